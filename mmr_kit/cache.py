"""Work done once: folders named by the hash of everything that determines them.

A folder appears under its final name only when complete (temporary folder, fsync, rename) and carries the SHA-256 of each of its files in `entry.json`;
an entry that a crash, a full disk or a hand has altered is detected when it is next asked for, and built again. Processes that want the same entry wait
for one another on a file lock, which the operating system releases when its holder dies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmr_kit.errors import WRITING, InputError, wanted

ENTRY = "entry.json"
Stamp = tuple[int, ...]
SECONDS_AT_A_LOCK = 60.0  # between two calls of `waiting`


def cache_dir() -> Path:
    """Where the kit keeps generated data, trained models and scores: `$MMR_CACHE_DIR`, else `.mmr_cache` in the checkout, else `~/.cache/mmr_kit`."""
    checkout = Path(__file__).parents[1]
    usual = checkout / ".mmr_cache" if (checkout / "pyproject.toml").is_file() else Path.home() / ".cache" / "mmr_kit"
    return Path(os.environ.get("MMR_CACHE_DIR") or usual).resolve()


def usable(folder: Path) -> Path:
    """A folder of the cache, made where it is not there. Raises InputError where it cannot be made, or not be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            error.filename = str(folder)  # not that of a file that never was
            raise
    except OSError as error:
        raise wanted(error) or InputError(f"{error.filename}: {error.strerror}; {WRITING}") from None
    return folder


def identity_hash(identity: Any) -> str:
    """SHA-256 (first 20 hex digits) of a JSON value; equal values give equal hashes whatever the order of their keys."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:20]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(path: Path) -> Stamp:
    """Size, time of the last change of content and of anything (ns), and inode of a file; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def entry_folder(kind: str, identity: dict[str, Any]) -> Path:
    """Where the entry of this identity lies, or would lie."""
    return cache_dir() / kind / identity_hash(identity)


def is_complete(folder: Path) -> bool:
    """Whether a cache entry is there and each of its files has the hash it was written with."""
    try:
        files = json.loads((folder / ENTRY).read_text())["files"]
        present = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {ENTRY}
        return present == set(files) and all(file_hash(folder / name) == value for name, value in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def cached(kind: str, identity: dict[str, Any], build: Callable[[Path], None], waiting: Callable[[], object] = lambda: None) -> Path:
    """The finished folder for `identity`; where it is absent or altered, `build(temporary_folder)` makes it now.

    Two processes that ask for the same identity wait for one another; `waiting` is called now and then by the one that waits. `build` may use
    `work_folder(kind, identity)` to keep what lets it resume. Raises InputError where the cache cannot be written to.
    """
    final = entry_folder(kind, identity)
    usable(final.parent)
    with _locked(Path(f"{final}.lock"), waiting):
        for stale in final.parent.glob(f"{final.name}.*.tmp"):  # left by a process that was killed; we hold its lock
            shutil.rmtree(stale, ignore_errors=True)
        if not is_complete(final):
            _build(final, identity, build)
        shutil.rmtree(work_folder(kind, identity), ignore_errors=True)
    return final


@contextmanager
def _locked(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    lock = FileLock(path, timeout=SECONDS_AT_A_LOCK)
    while not lock.is_locked:
        try:
            lock.acquire()
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def _build(final: Path, identity: dict[str, Any], build: Callable[[Path], None]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"{final.name}.", suffix=".tmp", dir=final.parent))
    try:
        build(temporary)
        files = {str(p.relative_to(temporary)): file_hash(p) for p in sorted(temporary.rglob("*")) if p.is_file()}
        for path in temporary.rglob("*"):
            sync(path)
        atomic_write(temporary / ENTRY, json.dumps({"identity": identity, "files": files}, indent=1))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
        sync(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def work_folder(kind: str, identity: dict[str, Any]) -> Path:
    """A folder that survives a crash of the build, for its checkpoints; removed when the entry is finished."""
    return entry_folder(kind, identity).with_suffix(".work")


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: temporary file beside it, fsync, rename. Creates the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's or a folder's content outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
