"""Which content a stored data set has: the hashes of its captions and of its region store.

A region store may have tens of gigabytes, so the hashes of its files are remembered beside it, in `<store>.hashes.json`. A remembered hash counts as long as
size, times, and place on the disk of the file are what they were; `mmr data verify` computes it again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mmr_kit.cache import Stamp, atomic_write, file_hash, identity_hash, stamp
from mmr_kit.data.manifests import Files, load_manifest

MOMENT_NS = 2 * 10**9  # a file that was changed so shortly before may change again without another time


def caption_files(files: Files, folder: Path) -> list[Path]:
    """The files that captions are read from, lists of images included."""
    named = [folder / path for file in files.captions for path in (file.path, file.images) if path]
    return [path for name in dict.fromkeys(named) for path in (sorted(name.glob("*.txt")) if name.is_dir() else [name])]


def store_files(store: Path) -> list[Path]:
    """The files of a region store that are there."""
    return [path for path in (*sorted(store.glob("*.npy")), *sorted(store.glob("*_classes.txt")), store / "images.json") if path.is_file()]


def fingerprint(files: Files, folder: Path) -> str:
    """Hash of all that captions and regions of a stored data set are read from, and of how its manifest has the captions read (which are of which split)."""
    reading = files.model_dump(mode="json", include={"captions", "image_prefix"})
    return identity_hash([reading, *(file_hash(path) for path in caption_files(files, folder)), *store_hashes(folder / files.regions).values()])


def store_hashes(store: Path) -> dict[str, str]:
    """File name -> SHA-256 of the files of a region store: remembered, or computed now and remembered where the folder can be written to."""
    known, found = _remembered(store), {}
    for path in store_files(store):
        before, started = stamp(path), time.time_ns()
        if path.name in known and known[path.name][0] == before:
            found[path.name] = known[path.name]
        else:
            found[path.name] = (before, file_hash(path))
            if stamp(path) != before or started - max(before[1:3]) < MOMENT_NS:
                found[path.name] = ((), found[path.name][1])  # not to be remembered
    settled = {name: entry for name, entry in found.items() if entry[0]}
    if settled != known:
        with suppress(OSError):
            atomic_write(_record(store), json.dumps({name: {"stamp": at, "sha256": value} for name, (at, value) in settled.items()}, indent=1) + "\n")
    return {name: value for name, (_, value) in found.items()}


def damaged(store: Path) -> list[str]:
    """Files of a region store that have another content than the one remembered, though nobody is known to have changed them; reads all of them."""
    known = _remembered(store)
    return [path.name for path in store_files(store) if path.name in known and known[path.name][0] == stamp(path) and file_hash(path) != known[path.name][1]]


def data_identity(names: Sequence[str]) -> dict[str, str]:
    """What each data set of these names (or manifests' paths) is, its content included; "missing" where it is not all there."""
    identity = {}
    for name in names:
        manifest = load_manifest(name)
        content = "" if manifest.files is None else "missing" if manifest.missing() else fingerprint(manifest.files, manifest.data_dir())
        identity[name] = "missing" if content == "missing" else identity_hash([manifest.model_dump(mode="json"), content])
    return identity


def _record(store: Path) -> Path:
    return store.with_name(f"{store.name}.hashes.json")


def _remembered(store: Path) -> dict[str, tuple[Stamp, str]]:
    """File name -> (stamp, SHA-256); nothing where there is no record, or a damaged one."""
    try:
        entries = json.loads(_record(store).read_text(encoding="utf-8")).items()
        return {str(name): (tuple(map(int, entry["stamp"])), str(entry["sha256"])) for name, entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
