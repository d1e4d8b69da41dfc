"""What a machine may lack: disk, permission, open files, memory, a clock that goes on. One clear line, nothing half-written, and the next run succeeds."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mmr_kit import cache
from mmr_kit.errors import InputError, wanted
from mmr_kit.models.retrieval_model import RetrievalModel

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def train(kept_data: Any, make_model: Callable[..., RetrievalModel], tmp_path: Path) -> Run:
    """Trains a tiny model by the command, in a cache that is told."""
    start = tmp_path / "start"
    make_model().save(start)

    def run(folder: Path, before: Callable[[], None] | None = None, workers: str = "0", seed: int = 0) -> Any:
        arguments = ["train", "CE", "--dataset", str(kept_data.manifest), "--start", str(start), "--seed", str(seed), "--steps", "4", "--match-batch-size", "9"]
        environment = {**os.environ, "MMR_CACHE_DIR": str(folder), "MMR_WORKERS": workers}
        return subprocess.run([sys.executable, "-m", "mmr_kit.cli", *arguments], env=environment, capture_output=True, text=True, check=False,
                              preexec_fn=before)  # fmt: skip

    return run


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    """It ended with one line that says all of this."""
    assert done.returncode == 2, done.stdout[-500:] + done.stderr[-2500:]
    assert done.stderr.startswith("mmr: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for words in said:
        assert words in done.stderr


def whole(folder: Path) -> bool:
    """Whether all that a cache holds is whole: nothing half-built has an entry's name."""
    return all(cache.is_complete(path) for path in folder.glob("*/*") if path.is_dir() and "." not in path.name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("a small disk can be made by root alone (mount -t tmpfs)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_full_disk(train: Run, small_disk: Path, workers: str) -> None:
    refused(train(small_disk, workers=workers), "o space left on", "make room on the disk, or set MMR_CACHE_DIR")
    assert whole(small_disk)
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    done = train(small_disk, workers=workers)
    assert done.returncode == 0, done.stderr
    assert whole(small_disk)


def test_a_folder_that_may_not_be_written_to(train: Run, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(train(small_disk), "Read-only file system; name a folder that may be written to")


def limited(kind: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (value, value))


def test_too_few_open_files(train: Run, tmp_path: Path) -> None:
    """However few: never a traceback of ours, and never a half-written model."""
    ended = []
    for files in (24, 40, 128):
        done = train(tmp_path / "cache", limited(resource.RLIMIT_NOFILE, files))
        assert whole(tmp_path / "cache")
        ended.append(done.returncode)
        if done.returncode:
            assert "Too many open files" in done.stderr or "open" in done.stderr, done.stderr[-500:]
    assert ended[-1] == 0


def test_a_limit_of_memory(train: Run, tmp_path: Path) -> None:
    done = train(tmp_path / "cache", limited(resource.RLIMIT_AS, 700 * 2**20))
    assert done.returncode != 0
    assert whole(tmp_path / "cache")
    assert train(tmp_path / "cache").returncode == 0


def test_a_clock_that_was_set_back(train: Run, tmp_path: Path) -> None:
    """Files from the future are as good as others: what an entry is worth, its hashes say."""
    first = train(tmp_path / "cache")
    future = time.time() + 10**7
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (future, future))
    again = train(tmp_path / "cache")
    assert (first.returncode, again.returncode) == (0, 0)
    assert "training" in first.stdout
    assert "training" not in again.stdout


def test_several_at_once_on_one_cache(train: Run, tmp_path: Path) -> None:
    runs = 4
    with ThreadPoolExecutor(runs) as pool:
        done = list(pool.map(lambda number: train(tmp_path / "cache", seed=number % 2), range(runs)))
    assert [each.returncode for each in done] == [0] * runs
    assert len({each.stdout.splitlines()[-1] for each in done}) == 2
    assert whole(tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("models/*.tmp"))


def test_every_altered_file_is_noticed(train: Run, tmp_path: Path) -> None:
    """A byte changed anywhere, a file cut or added: the entry counts as absent."""
    assert train(tmp_path / "cache").returncode == 0
    entry, = (path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir())
    assert cache.is_complete(entry)
    for path in sorted(entry.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        step = max(1, len(content) // 40)
        changes = [content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in range(0, len(content), step)]
        for changed in (*changes, content[:-1], content + b"\0", b""):
            path.write_bytes(changed)
            if path.name == cache.ENTRY and _says_the_same(changed, content):
                continue
            assert not cache.is_complete(entry), path
        path.write_bytes(content)
        assert cache.is_complete(entry)
    (entry / "more").write_text("")
    assert not cache.is_complete(entry)


def _says_the_same(changed: bytes, content: bytes) -> bool:
    """Whether a changed record still lists the same files and hashes: its other values, and its spaces, decide nothing."""
    try:
        return bool(json.loads(changed)["files"] == json.loads(content)["files"])
    except (ValueError, KeyError, TypeError):
        return False


@pytest.mark.parametrize(("error", "said"), [
    (OSError(28, "No space left on device", "x.npy"), "x.npy: no space left on the device; make room"),
    (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "no space left on the device"),
    (OSError("1024 requested and 0 written"), "no space left on the device"),
    (OSError(24, "Too many open files", "y"), "y: Too many open files; allow more open files"),
    (PermissionError(13, "Permission denied", "z"), "z: Permission denied; name a folder"),
    (MemoryError(), "out of memory: close other programs"),
])  # fmt: skip
def test_each_want_has_its_remedy(error: Exception, said: str) -> None:
    assert said in str(wanted(error))


def test_another_error_is_no_want() -> None:
    for error in (OSError(2, "No such file"), ValueError("x"), InputError("y")):
        assert wanted(error) is None
