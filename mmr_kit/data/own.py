"""A folder of photographs of one's own and a csv of captions -> a data set: captions, region store, pictures and manifest in one folder."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from mmr_kit.cache import atomic_write
from mmr_kit.data.captions import LANGUAGE, SPLIT_NAMES, SPLITS, Caption
from mmr_kit.data.manifests import MANIFESTS, NAME
from mmr_kit.data.pictures import Skipped, list_pictures, picture_id
from mmr_kit.data.reading import read_text
from mmr_kit.errors import InputError

COLUMNS, OPTIONAL = ("image", "caption"), ("language", "split")
CAPTIONS, REGIONS, PICTURES = "captions.jsonl", "regions", "pictures"

Extract = Callable[[Path, Path, Collection[str]], list[Skipped]]
"""(folder of pictures, new region store, image ids) -> what could not be taken."""


@dataclass(frozen=True)
class Added:
    """A data set that was made: images of each split, captions, captions that were left out with their pictures, pictures that the csv does not name, and
    the languages in which all of it can be loaded (see `shared_languages`)."""

    manifest: Path
    images: dict[str, int]
    captions: int
    left_out: int
    uncaptioned: int
    skipped: list[Skipped]
    languages: tuple[str, ...]


def add_dataset(name: str, pictures: Path, captions: Path, folder: Path, extract: Extract, *, language: str = "en", seed: int = 0,
                licence: str = "not stated") -> Added:
    """Make the data set `name` of the pictures that a csv describes (see `read_caption_table`), in `folder`; its manifest, `<name>.yaml`, comes last.

    Where the csv has no splits, `seed` draws them, 80 / 10 / 10 of the images. language: of the captions, where the csv does not say. `pictures` in the folder
    are links to where the pictures lie, under their image ids (copies where the disk knows no links). A picture that cannot be read is left out with its
    captions. Interrupted, the same call goes on. Raises InputError for a name that is taken or cannot be one, a data set that is there, faults of the csv.
    """
    manifest = _free(name, folder)
    files, unfit = list_pictures(pictures)
    described = read_caption_table(captions, files, unfit, language)
    skipped = extract(pictures, folder / REGIONS, {caption.image_id for caption in described})
    left_out = {picture_id(file.name) for file in skipped if file not in unfit}
    kept = [caption for caption in described if caption.image_id not in left_out]
    used = list(dict.fromkeys(caption.image_id for caption in kept))
    if any(not caption.split for caption in kept):
        drawn = draw_splits(used, seed)
        kept = [replace(caption, split=drawn[caption.image_id]) for caption in kept]
    for image_id in used:
        _link(files[image_id].absolute(), folder / PICTURES / image_id)
    atomic_write(folder / CAPTIONS, "".join(json.dumps(asdict(caption), ensure_ascii=False) + "\n" for caption in kept))
    content = {
        "name": name, "title": f"{name}, photographs and captions of one's own", "licence": licence, "source": f"made from {captions.name} by mmr data add",
        "files": {"captions": [{"path": CAPTIONS, "format": "jsonl", "language": ""}], "regions": REGIONS, "pictures": PICTURES},
    }  # fmt: skip
    atomic_write(manifest, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    split_of = {caption.image_id: caption.split for caption in kept}
    images = {split: list(split_of.values()).count(split) for split in SPLITS}
    uncaptioned = len(files.keys() - {caption.image_id for caption in described})
    return Added(manifest, images, len(kept), len(described) - len(kept), uncaptioned, skipped, shared_languages(kept))


def shared_languages(captions: Sequence[Caption]) -> tuple[str, ...]:
    """The language in which each image has a caption: English, else the one of most captions. Where there is none, all that each split has, if each image has
    a caption in one of them; else none."""
    languages_of: dict[str, set[str]] = {}
    of_split: dict[str, set[str]] = {}
    for caption in captions:
        languages_of.setdefault(caption.image_id, set()).add(caption.language)
        of_split.setdefault(caption.split, set()).add(caption.language)
    usual = [language for language, _ in Counter(caption.language for caption in captions).most_common()]
    of_all = [language for language in usual if all(language in found for found in languages_of.values())]
    if of_all:
        return ("en",) if "en" in of_all else (of_all[0],)
    shared = [language for language in usual if all(language in found for found in of_split.values())]
    return tuple(shared) if all(found.intersection(shared) for found in languages_of.values()) else ()


def _free(name: str, folder: Path) -> Path:
    """Where the manifest will lie."""
    if not re.fullmatch(NAME, name) or name.endswith((".yaml", ".yml")):
        raise InputError(f"{name!r} cannot name a data set; use letters without accents, digits, and . _ - (not in front)")
    if (MANIFESTS / f"{name}.yaml").exists():
        raise InputError(f"{name!r} is a data set of the kit; choose another name")
    manifest = folder / f"{name}.yaml"
    if manifest.exists():
        raise InputError(f"{manifest}: is there already; remove {folder} to make it again, or choose another name")
    return manifest


def _link(picture: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    try:
        os.symlink(picture, place)
    except OSError:
        shutil.copyfile(picture, place)


def draw_splits(image_ids: Collection[str], seed: int) -> dict[str, str]:
    """Image id -> split: a tenth dev, a tenth test (one or more), the rest train; the same for the same images and seed. Raises InputError for less than 3."""
    if len(image_ids) < 3:
        raise InputError(f"{len(image_ids)} pictures cannot be drawn into train, dev and test; give three or more, or a column split")
    mixed = np.random.default_rng(seed).permutation(sorted(image_ids)).tolist()
    tenth = max(1, round(len(mixed) / 10))
    names = ["dev"] * tenth + ["test"] * tenth + ["train"] * (len(mixed) - 2 * tenth)
    return dict(zip(mixed, names, strict=True))


def read_caption_table(path: Path, files: Collection[str], unfit: Collection[Skipped], language: str) -> list[Caption]:
    """Captions of a csv with the columns image (file name) and caption, and optionally language and split, in any order: UTF-8, separated by commas.

    files: image ids that are there; unfit: files that are there and cannot be taken. split is "" in the result where there is no such column. White space in
    a caption becomes one space. Raises InputError that names the line of a missing, unknown or empty column, a picture that is not there, a row that occurs
    twice, an image in two splits, a split or language that is none.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: {'not a file' if Path(path).exists() else 'missing'}; give a csv with the columns {', '.join(COLUMNS)}")
    reasons = {file.name: file.reason for file in unfit}
    rows = csv.reader(io.StringIO(read_text(path)), strict=True)
    captions: list[Caption] = []
    first_line: dict[tuple[str, str, str], int] = {}
    split_of: dict[str, str] = {}
    counts: dict[tuple[str, str], int] = {}
    try:
        header = [column.strip() for column in next(rows, [])]
        if fault := _fault_of_header(header):
            raise InputError(f"{path}, line 1: {fault}; name the columns {', '.join(COLUMNS)}, and {' and '.join(OPTIONAL)} if you like, separated by commas")
        for row in rows:
            try:
                if not row:
                    continue
                caption = _caption(header, row, language)
                name = row[header.index("image")].strip()
                if name in reasons or caption.image_id not in files:
                    raise ValueError(f"picture {name!r} {reasons.get(name, 'is not there')}")
                key = (caption.image_id, caption.language, caption.text)
                if (earlier := first_line.setdefault(key, rows.line_num)) != rows.line_num:
                    raise ValueError(f"the same image and caption as in line {earlier}")
                if split_of.setdefault(caption.image_id, caption.split) != caption.split:
                    raise ValueError(f"image {caption.image_id!r} is in split {split_of[caption.image_id]} before")
            except ValueError as error:
                raise InputError(f"{path}, line {rows.line_num}: {error}; correct the row or take it out") from None
            number = counts[key[:2]] = counts.get(key[:2], -1) + 1
            captions.append(replace(caption, caption_id=f"{caption.image_id}#{caption.language}{number}"))
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: {error}; save it as csv, separated by commas") from None
    if not captions:
        raise InputError(f"{path}: holds no captions; write a row for each caption")
    return captions


def _fault_of_header(header: list[str]) -> str:
    for column in COLUMNS:
        if column not in header:
            return f"there is no column {column!r}"
    unknown = [column for column in header if column not in COLUMNS + OPTIONAL]
    if unknown:
        return f"column {unknown[0]!r} is unknown"
    return "a column occurs twice" if len(set(header)) < len(header) else ""


def _caption(header: list[str], row: list[str], language: str) -> Caption:
    """A row as a caption, yet without an id; split "" where there is no such column. Raises ValueError."""
    if len(row) != len(header):
        raise ValueError(f"{len(row)} columns, expected {len(header)}")
    values = {column: " ".join(value.split()) for column, value in zip(header, row, strict=True)}
    for column, value in values.items():
        if not value:
            raise ValueError(f"{column} is empty")
    said, split = values.get("language", language), values.get("split", "")
    if not LANGUAGE.fullmatch(said):
        raise ValueError(f"language {said!r} is no code such as en or pt-BR")
    if split and split not in SPLIT_NAMES:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    return Caption("", picture_id(row[header.index("image")]), said, values["caption"], SPLIT_NAMES.get(split, ""))
