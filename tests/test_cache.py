"""The cache: an entry is whole and as it was built, or it is built again; whatever happens in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit import cache
from mmr_kit.costs.workload import temporary_folder
from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError

IDENTITY = {"method": "BE", "seed": 0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of these tests."""
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Build:
    """Writes an entry of two files and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: Path) -> None:
        self.count += 1
        (folder / "weights").write_bytes(b"\x00\x01\x02")
        (folder / "inner").mkdir()
        (folder / "inner" / "config").write_text("{}")


def leftovers(folder: Path) -> list[str]:
    """What lies in the cache beside the finished entry and its lock."""
    final = cache.entry_folder("models", IDENTITY)
    return [path.name for path in (folder / "models").iterdir() if path.name not in (final.name, f"{final.name}.lock")]


def test_builds_once(folder: Path) -> None:
    build = Build()
    entry = cache.cached("models", IDENTITY, build)
    assert cache.cached("models", dict(reversed(IDENTITY.items())), build) == entry == cache.entry_folder("models", IDENTITY)
    assert build.count == 1
    assert (entry / "weights").read_bytes() == b"\x00\x01\x02"
    assert json.loads((entry / cache.ENTRY).read_text())["identity"] == IDENTITY
    assert cache.cached("models", {**IDENTITY, "seed": 1}, build) != entry
    assert build.count == 2
    assert cache.cached("rankings", IDENTITY, build) != entry
    assert build.count == 3


def test_a_cache_that_cannot_be_written_to_is_refused_in_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("a file")
    with pytest.raises(InputError, match=rf"^{folder}/models: Not a directory; name a folder that may be written to \(MMR_CACHE_DIR"):
        cache.cached("models", IDENTITY, Build())
    for call in (temporary_folder().__enter__, lambda: load_dataset("smoke_a")):
        with pytest.raises(InputError, match="name a folder that may be written to"):
            call()
    folder.unlink()
    (folder / "models").mkdir(parents=True)

    def refuse(*_: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied", str(named["dir"]))

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", refuse)  # root may write anywhere
    with pytest.raises(InputError, match=rf"^{folder}/models: Permission denied; name a folder that may be written to \(MMR_CACHE_DIR"):
        cache.cached("models", IDENTITY, Build())
    assert leftovers(folder) == []


@pytest.mark.parametrize("damage", [
    lambda entry: (entry / "weights").write_bytes(b"\x00\x01\x03"),
    lambda entry: (entry / "weights").write_bytes(b""),
    lambda entry: (entry / "inner" / "config").write_text("{} "),
    lambda entry: (entry / "weights").unlink(),
    lambda entry: (entry / "inner" / "more").touch(),
    lambda entry: (entry / "weights").rename(entry / "inner" / "weights"),
    lambda entry: (entry / cache.ENTRY).unlink(),
    lambda entry: (entry / cache.ENTRY).write_text((entry / cache.ENTRY).read_text()[:-20]),
    lambda entry: (entry / cache.ENTRY).write_text("[]"),
    lambda entry: (entry / cache.ENTRY).write_bytes(b"\xff"),
    lambda entry: shutil.rmtree(entry),
], ids=["altered", "emptied", "altered below", "removed", "added", "moved", "no record", "half a record", "other record", "binary record", "gone"])
def test_notices_every_damage_and_builds_again(damage: Callable[[Path], object]) -> None:
    build = Build()
    entry = cache.cached("models", IDENTITY, build)
    damage(entry)
    assert not cache.is_complete(entry)
    assert cache.cached("models", IDENTITY, build) == entry
    assert cache.is_complete(entry)
    assert build.count == 2
    assert {path.name for path in entry.iterdir()} == {"weights", "inner", cache.ENTRY}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_build_leaves_nothing_but_its_checkpoints(folder: Path, error: BaseException) -> None:
    def fails(temporary: Path) -> None:
        (temporary / "half").touch()
        work = cache.work_folder("models", IDENTITY)
        work.mkdir()
        (work / "checkpoint").touch()
        raise error

    with pytest.raises(type(error)):
        cache.cached("models", IDENTITY, fails)
    assert leftovers(folder) == [cache.work_folder("models", IDENTITY).name]
    entry = cache.cached("models", IDENTITY, Build())
    assert cache.is_complete(entry)
    assert leftovers(folder) == []


def test_failed_rebuild_does_not_bring_the_altered_entry_back() -> None:
    entry = cache.cached("models", IDENTITY, Build())
    (entry / "weights").write_bytes(b"altered")

    def fails(_: Path) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.cached("models", IDENTITY, fails)
    assert not cache.is_complete(entry)


def test_threads_wait_for_one_another() -> None:
    build, barrier = Build(), threading.Barrier(4)

    def ask(_: int) -> Path:
        barrier.wait()
        return cache.cached("models", IDENTITY, build)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1
    assert build.count == 1


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from mmr_kit import cache

def build(folder):
    with open(log, "a") as file:
        file.write("built\\n")
    (folder / "weights").write_text("complete")
    if moment == "build":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)

replaced, replace = [], os.replace
def replace_or_die(source, target):
    if moment == f"before replace {len(replaced)}":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    replaced.append(target)
    if moment == f"after replace {len(replaced) - 1}":
        os.kill(os.getpid(), signal.SIGKILL)

log, moment = sys.argv[1:]
os.replace = replace_or_die
cache.work_folder("models", {"method": "BE", "seed": 0}).mkdir(parents=True, exist_ok=True)
print(cache.cached("models", {"method": "BE", "seed": 0}, build))
"""


def start(log: Path, moment: str = "never") -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(log), moment], stdout=subprocess.PIPE, text=True)


def test_processes_wait_for_one_another(tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [start(log) for _ in range(3)]
    printed = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    assert printed == {f"{cache.entry_folder('models', IDENTITY)}\n"}
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("altered", [False, True])
@pytest.mark.parametrize("moment", ["build", "before replace 0", "after replace 0", "before replace 1", "after replace 1"])
def test_killed_at_any_moment_the_next_call_gives_the_whole_entry(folder: Path, tmp_path: Path, moment: str, altered: bool) -> None:
    """replace 0 moves the record of the entry's files into place, replace 1 the entry itself."""

    def build(temporary: Path) -> None:
        (temporary / "weights").write_text("complete")

    if altered:
        (cache.cached("models", IDENTITY, build) / "weights").write_text("altered")
    child = start(tmp_path / "log", moment)
    assert child.wait(timeout=60) == -signal.SIGKILL
    entry = cache.entry_folder("models", IDENTITY)
    assert cache.is_complete(entry) == (moment == "after replace 1")
    assert cache.cached("models", IDENTITY, build) == entry
    assert (entry / "weights").read_text() == "complete"
    assert cache.is_complete(entry)
    assert leftovers(folder) == []


def test_leaves_the_temporary_folders_of_others_alone(folder: Path) -> None:
    other = cache.entry_folder("models", {"seed": 1}).name
    mine = cache.entry_folder("models", IDENTITY).name
    for name in (other, mine):
        (folder / "models" / f"{name}.abc.tmp").mkdir(parents=True)
    cache.cached("models", IDENTITY, Build())
    assert leftovers(folder) == [f"{other}.abc.tmp"]


@pytest.mark.parametrize("content", ["Straße\n", b"\x00\xff"])
def test_atomic_write_writes_all(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "new" / "folder" / "file"
    for _ in range(2):
        cache.atomic_write(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_atomic_write_writes_nothing_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    cache.atomic_write(path, "old")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="No space left"):
        cache.atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_cache_dir_is_absolute_and_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("", None):
        if value is None:
            monkeypatch.delenv("MMR_CACHE_DIR")
        else:
            monkeypatch.setenv("MMR_CACHE_DIR", value)
        assert cache.cache_dir() == Path(cache.__file__).parents[1] / ".mmr_cache"
    monkeypatch.setenv("MMR_CACHE_DIR", "here")
    assert cache.cache_dir() == tmp_path / "here"


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8)  # fmt: skip


@given(VALUES, VALUES)
def test_identity_hash_tells_values_apart(first: object, second: object) -> None:
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (cache.identity_hash(first) == cache.identity_hash(second)) == same
