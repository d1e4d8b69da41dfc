"""The lock file of a data folder: the SHA-256 of each file as it was first seen there, and whether it still is that file.

Most published data sets name no hashes. What is first seen is taken for right; what differs later was altered or damaged.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from filelock import FileLock

from mmr_kit.cache import atomic_write, file_hash
from mmr_kit.errors import InputError

LOCK = "mmr_data.lock.json"


def content_hash(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of the names and hashes of all files in it."""
    if not path.is_dir():
        return file_hash(path)
    lines = (f"{file_hash(file)}  {file.relative_to(path).as_posix()}\n" for file in sorted(path.rglob("*")) if file.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pinned(folder: Path) -> dict[str, str]:
    """Path below the data folder -> hash at first sight. Raises InputError where the lock file is damaged."""
    path = folder / LOCK
    try:
        hashes = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        if all(isinstance(value, str) for value in hashes.values()):
            return dict(hashes)
        raise ValueError("a hash is no text")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a lock file ({error!r}); restore it, or delete it so that all files are pinned anew") from None


def check(folder: Path, name: str) -> bool | None:
    """Whether folder/name is what it was at first sight; None at first sight, when it is pinned."""
    found, earlier = content_hash(folder / name), pinned(folder).get(name)
    if earlier is None:
        with FileLock(folder / f".{LOCK}.lock"):
            atomic_write(folder / LOCK, json.dumps({"sha256": {name: found} | pinned(folder)}, indent=1, sort_keys=True) + "\n")
    return None if earlier is None else found == earlier
