"""Archives unpacked without trusting them: nothing outside the folder, no links, no more than a given size, nothing half-written."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mmr_kit.data.manifests import inside
from mmr_kit.errors import InputError

CHUNK = 2**20
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)  # RuntimeError: encrypted


@dataclass(frozen=True)
class _Member:
    name: str
    size: int  # bytes as declared; -1: unknown
    open: Callable[[], Any]  # a binary file to read from


def unpack(archive: Path, folder: Path, limit: int) -> list[Path]:
    """Unpack a .zip, .tar (compressed or not) or .gz of one file into `folder`, `limit` bytes at most; returns the files, which replace those of their names.

    Where all of an archive lies in one folder, that folder is left out. Files appear when all of them are unpacked. Raises InputError for an archive that is
    damaged, too large, or holds links, devices, or names that lead elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f".{archive.name}."))
    try:
        names = _write(archive, temporary, limit)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary / name, folder / name)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{archive}: cannot be unpacked into {folder} ({' '.join(str(error).split()) or type(error).__name__}); download it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in names]


def _write(archive: Path, folder: Path, limit: int) -> list[str]:
    """Unpack all members into an empty folder, synced; returns their names there."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            return _write_members(archive, _of_zip(archive, opened), folder, limit)
    if ".tar" in archive.suffixes or archive.suffix == ".tgz":
        with tarfile.open(archive) as opened_tar:
            return _write_members(archive, _of_tar(archive, opened_tar), folder, limit)
    if archive.suffix == ".gz" and archive.stat().st_size:  # an empty file would unpack to an empty file
        return _write_members(archive, [_Member(archive.stem, -1, partial(gzip.GzipFile, archive))], folder, limit)
    raise InputError(f"{archive}: neither .zip, .tar nor .gz; download it again")


def _write_members(archive: Path, members: list[_Member], folder: Path, limit: int) -> list[str]:
    if not members:
        raise InputError(f"{archive}: holds no files; download it again")
    for member in members:
        try:
            inside(member.name)
        except ValueError:
            raise InputError(f"{archive}: {member.name!r} leads out of the folder; do not use this archive") from None
    declared, free = sum(max(member.size, 0) for member in members), shutil.disk_usage(folder).free
    if declared > min(limit, free):
        room = f"{free / 1e9:.1f} GB are free in {folder}" if declared > free else f"at most {limit / 1e9:g} GB are expected"
        raise InputError(f"{archive}: holds {declared / 1e9:.1f} GB, {room}; {'make room' if declared > free else 'do not use this archive'}")
    tops = {PurePosixPath(member.name).parts[0] for member in members}
    drop = 1 if len(tops) == 1 and all(len(PurePosixPath(member.name).parts) > 1 for member in members) else 0
    names, left = [], limit
    for member in members:
        name = "/".join(PurePosixPath(member.name).parts[drop:])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with closing(member.open()) as source, open(folder / name, "xb") as target:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise InputError(f"{archive}: {member.name!r} makes more than the {limit / 1e9:g} GB that are expected; do not use this archive")
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        names.append(name)
    return names


def _of_zip(archive: Path, opened: zipfile.ZipFile) -> list[_Member]:
    members = []
    for part in opened.infolist():
        kind = stat.S_IFMT(part.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{archive}: {part.filename!r} is a link or a device; do not use this archive")
        if not part.filename.endswith("/") and PurePosixPath(part.filename).parts[:1] != ("__MACOSX",):  # what macOS adds
            members.append(_Member(part.orig_filename, part.file_size, partial(opened.open, part)))
    return members


def _of_tar(archive: Path, opened: tarfile.TarFile) -> list[_Member]:
    members = []
    for part in opened:
        if not (part.isreg() or part.isdir()):
            raise InputError(f"{archive}: {part.name!r} is a link or a device; do not use this archive")
        if part.isreg():
            members.append(_Member(part.name.removeprefix("./"), part.size, partial(opened.extractfile, part)))
    return members
