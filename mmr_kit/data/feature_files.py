"""Region feature files of every published layout -> region store."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmr_kit.data.feature_archives import m3p_pt, npz, oscar_pt
from mmr_kit.data.feature_tables import bottom_up_tsv, vinvl_tsv
from mmr_kit.data.feature_values import Image
from mmr_kit.data.store_writer import Progress, StoreWriter
from mmr_kit.errors import InputError

Place = list[int | str]  # number of a file, where in it the next image begins, and the digest of the files up to it


@dataclass(frozen=True)
class Format:
    """A layout: how a file is read from a place on, the ending of its files where a source is a folder of them, and bytes of values a byte of file."""

    read: Callable[[Path, int], Iterator[tuple[int, Image]]]
    suffix: str | None = None
    share: float = 1.0


FORMATS = {
    "bottom_up_tsv": Format(bottom_up_tsv, share=0.75),
    "vinvl_tsv": Format(vinvl_tsv, share=0.75),
    "oscar_pt": Format(oscar_pt),
    "npz": Format(npz, suffix=".npz"),
    "m3p_pt": Format(m3p_pt, suffix=".pt"),
}


def prepare_region_store(format: str, sources: Sequence[Path], folder: Path, precision: str = "float32", progress: Progress | None = None) -> None:
    """Write the new region store `folder` from feature files of one layout: the images of all sources, in the order of the sources.

    format: a key of FORMATS; its reader says what it expects. sources: files, or for 'npz' and 'm3p_pt' folders, whose files are taken in the order of their
    names. precision: 'float32' or 'float16', of the features. progress: told images, bytes, and bytes expected (an estimate) about once a second.

    Interrupted, the same call goes on after the last image that is safe on the disk, if the files up to it are as they were, and gives the same store.
    Raises InputError for an unknown format, a missing or broken file, an image that occurs twice or is no image, a folder that is there already, a full disk.
    """
    files = _files(format, sources)
    expected = int(sum(file.stat().st_size for file in files) * FORMATS[format].share * _inflation(files[0]) * (0.5 if precision == "float16" else 1))
    with StoreWriter(folder, precision, expected, progress, format, lambda place: _is_place(files, place)) as store:
        for path, place, image in _images(format, files, store.place):
            store.add(*image, place, path)


def read_features(format: str, sources: Sequence[Path]) -> Iterator[Image]:
    """(image id, (height, width) in pixels or (0, 0), regions) of each image of feature files, one at a time; arguments and errors as above."""
    for _, _, image in _images(format, _files(format, sources)):
        yield image


def _images(format: str, files: list[Path], place: Place | None = None) -> Iterator[tuple[Path, Place, Image]]:
    """Each image with its file and the place after it, from a place on."""
    number, start = (int(place[0]), int(place[1])) if place else (0, 0)
    for current, digest in itertools.islice(enumerate(_digests(files)), number, None):
        try:
            for after, image in FORMATS[format].read(files[current], start):
                yield files[current], [current, after, digest], image
        except OSError as error:
            raise InputError(f"{files[current]}: cannot be read ({error.strerror or error}); give the path of a file") from None
        start = 0


def _files(format: str, sources: Sequence[Path]) -> list[Path]:
    if format not in FORMATS:
        raise InputError(f"feature format {format!r} is unknown; there are {', '.join(FORMATS)}")
    suffix, files = FORMATS[format].suffix, []
    for source in map(Path, sources):
        if source.is_dir() and suffix:
            files += sorted(path for path in source.iterdir() if path.suffix == suffix and path.is_file())
        elif source.is_file():
            files.append(source)
        else:
            expected = f"folder of {suffix} files" if suffix else "files"
            raise InputError(f"{source}: {'not a file' if source.exists() else 'missing'}; give the {expected} of {format}")
    if not files:
        raise InputError(f"{', '.join(map(str, sources)) or 'sources'}: no {suffix or ''} files; give those of {format}")
    return files


def _digests(files: list[Path]) -> Iterator[str]:
    """For each file a hash of the names, sizes and times of the files up to it: while it stays, they need not be read again."""
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{file.absolute()}\n{state.st_size} {state.st_mtime_ns}\n".encode(errors="surrogateescape"))
        yield digest.hexdigest()[:16]


def _is_place(files: list[Path], place: Place) -> bool:
    number, _, digest = place
    return next(itertools.islice(_digests(files), int(number), None), None) == digest


def _inflation(file: Path) -> float:
    """How much larger the content of a compressed .npz is."""
    if file.suffix == ".npz" and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return max(1.0, sum(member.file_size for member in archive.infolist()) / file.stat().st_size)
    return 1.0
