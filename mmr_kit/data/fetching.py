"""Official files of a data set, downloaded on request into the data folder, pinned by hash at first sight, and unpacked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mmr_kit.data import downloading, lock
from mmr_kit.data.archives import unpack
from mmr_kit.data.manifests import STORE, Download, Manifest
from mmr_kit.errors import InputError


def fetch(manifest: Manifest, say: Callable[[str], None]) -> None:
    """Get what the manifest's downloads name and is not here. `say` is told each step. A second call goes on with what is missing, within a file too.

    An archive that was deleted stays so while nothing is missing that may have come from it. Raises InputError where a file cannot be got, is not what it was
    at first sight, or is a bad archive.
    """
    folder = manifest.data_dir()
    for download in manifest.downloads:
        for name, path in zip(download.names, download.paths, strict=True):
            is_new, is_lacking = not (folder / path).exists(), _lacking(manifest, download)
            if is_new and download.unpack and not is_lacking:
                continue
            if is_new:
                say(f"downloading {download.base}{name}")
                _get(download.base + name, folder / path, lock.pinned(folder).get(path))
            if lock.check(folder, path) is False:
                raise InputError(f"{folder / path}: not what it was at first sight ({lock.LOCK}); delete it and fetch it again")
            if download.unpack and is_lacking:
                files = unpack(folder / path, folder / download.unpack, int(download.gigabytes * 1e9))
                say(f"unpacked {len(files)} files into {folder / download.unpack}")


def _lacking(manifest: Manifest, download: Download) -> bool:
    """Whether something is missing that may come with a download; the region store is made here."""
    return any(not part.present and part.what != STORE and download.may_hold(part.path) for part in manifest.parts())


def _get(url: str, path: Path, known: str | None) -> None:
    """Download a file to its place, complete or not at all, with progress on standard error. known: its SHA-256, where it was seen before."""
    import pooch

    pooch.get_logger().setLevel(logging.ERROR)

    def downloader(url: str, target: str, _pooch: object) -> None:
        downloading.download(url, path, Path(target))

    try:
        pooch.retrieve(url, known_hash=f"sha256:{known}" if known else None, fname=path.name, path=path.parent, downloader=downloader)
    except (OSError, ValueError) as error:  # also of the network; ValueError: another hash than at first sight
        raise InputError(f"{url}: cannot be downloaded ({' '.join(str(error).split())}); try again later, or put the file to {path} by hand") from None
