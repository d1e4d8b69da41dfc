"""Caption files of each format -> captions with ids, image, language and split.

A caption's id is its image's id, its language and its place among the image's captions in that language, unless the file names it itself. Every caption of a
file is kept; where published code drops some, this reader does not.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmr_kit.data.reading import REMEDY, fault_of_id, read_image_list, read_lines, read_pt, read_text
from mmr_kit.errors import InputError

SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {"train": "train", "restval": "train", "val": "dev", "dev": "dev", "test": "test"}  # 'restval': MSCOCO's extra training images
LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # it stands in names of files and in tables
_BRACKETS = re.compile(r"(\[/EN#[^\s\[\]]+\s*|\[|\])")  # Flickr30k Entities: [/EN#chain/type words]


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption: `text` in `language` describes the image `image_id` of `split`."""

    caption_id: str
    image_id: str
    language: str
    text: str
    split: str


def read_captions(
    path: Path, format: str, language: str, *, split: str = "", images: Path | None = None, image_id: str = "filename", number: int = 0
) -> list[Caption]:
    """Captions of a file in its order.

    format: 'jsonl' (the kit's own: languages and splits stand in it); 'karpathy' (splits stand in it; `image_id` is its 'filename', the 'stem' of that, or
    its 'cocoid'); 'oscar' (a .pt file of `split`: image id -> captions); 'entities' (a folder of Flickr30k Entities' Sentences); 'lines' (Multi30k: line i is
    caption `number` of image i of `images`); 'tsv' (Conceptual Captions: columns caption and image_id). images: the file that lists the images of `split`, one
    a line; 'oscar' reads only those it lists, or all where there is no list.

    Raises InputError that names the file, and the line or image, where something is missing, empty or of the wrong type.
    """
    path = Path(path)
    ids = read_image_list(images) if images else None
    if format == "jsonl":
        captions = _jsonl(path)
    elif format == "karpathy":
        captions = _karpathy(path, language, image_id)
    elif format == "oscar":
        captions = list(_oscar(path, language, split, ids))
    elif format == "entities":
        captions = list(_entities(path, language, split, ids or []))
    elif format == "lines":
        captions = _aligned(path, language, split, ids or [], number)
    elif format == "tsv":
        captions = list(_tsv(path, language, split))
    else:
        raise InputError(f"{path}: unknown caption format {format!r}; there are jsonl, karpathy, oscar, entities, lines, tsv")
    if not captions:
        raise InputError(f"{path}: holds no captions; prepare or download it again")
    seen: set[str] = set()
    for caption in captions:
        if caption.caption_id in seen:
            raise InputError(f"{path}: caption id {caption.caption_id!r} occurs twice; name each caption once")
        seen.add(caption.caption_id)
    return captions


def _jsonl(path: Path) -> list[Caption]:
    captions = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            captions.append(_checked(Caption(**json.loads(line))))
        except (ValueError, TypeError, RecursionError) as error:
            told = " ".join(str(error).split())  # a name in it may hold line ends
            raise InputError(f"{path}, line {number}: not a caption ({told}); prepare the data set again") from None
    return captions


def _karpathy(path: Path, language: str, name: str) -> list[Caption]:
    """Karpathy's layout: {"images": [{"filename", "split", "cocoid", "sentences": [{"raw"}]}]}."""
    try:
        images: list[dict[str, Any]] = list(json.loads(read_text(path))["images"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise error if isinstance(error, InputError) else InputError(f"{path}: not JSON in Karpathy's layout ({error!r}); {REMEDY}") from None
    captions = []
    for number, image in enumerate(images):
        try:
            image_id, split = _key(image["cocoid"]) if name == "cocoid" else image["filename"], SPLIT_NAMES.get(image["split"], image["split"])
            if name == "stem":
                image_id = image_id.rpartition(".")[0] or image_id
            captions += [_caption(image_id, language, i, sentence["raw"], split) for i, sentence in enumerate(image["sentences"])]
            if not image["sentences"]:
                raise ValueError(f"image {image_id!r} has no captions")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            fault = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}, images[{number}]: {fault}; {REMEDY}") from None
    return captions


def _oscar(path: Path, language: str, split: str, ids: list[str] | None) -> Iterator[Caption]:
    """OSCAR's <split>_captions.pt: {image id: captions}, the captions as a list (train, minival) or as a JSON list (test)."""
    content = read_pt(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected image id -> captions; {REMEDY}")
    image_id: object = None
    try:
        by_image: dict[str, Any] = {}
        for image_id, texts in content.items():
            if by_image.setdefault(_key(image_id), texts) is not texts:
                raise ValueError("occurs twice")
        for image_id in by_image if ids is None else ids:
            texts = by_image[image_id]
            texts = json.loads(texts) if isinstance(texts, str) else texts
            if not isinstance(texts, list) or not texts:
                raise ValueError("has no list of captions")
            for number, text in enumerate(texts):
                yield _caption(image_id, language, number, text, split)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        fault = "has no captions, though it is listed" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}, image {image_id!r}: {fault}; {REMEDY}") from None


def _entities(folder: Path, language: str, split: str, ids: list[str]) -> Iterator[Caption]:
    """Flickr30k Entities' Sentences: <image id>.txt with a caption a line, in which [/EN#chain/type words] marks a phrase; the words stay."""
    for image_id in ids:
        path = folder / f"{image_id}.txt"
        lines = [(place, line) for place, line in enumerate(read_lines(path), 1) if line.strip()]
        if not lines:
            raise InputError(f"{path}: holds no captions; {REMEDY}")
        for number, (place, line) in enumerate(lines):
            yield _at(path, place, image_id, language, number, _unmarked(path, place, line), split)


def _unmarked(path: Path, place: int, line: str) -> str:
    """A line without the marks of its phrases; other brackets stay."""
    words, marks = [], []
    for part in _BRACKETS.split(line):
        if part.startswith("["):
            marks.append(part != "[")
        if not (part.startswith("[/EN#") or (part == "]" and marks and marks.pop())):
            words.append(part)
    if any(marks):
        raise InputError(f"{path}, line {place}: a marked phrase is not closed by ]; {REMEDY}")
    return " ".join("".join(words).split())


def _aligned(path: Path, language: str, split: str, ids: list[str], number: int) -> list[Caption]:
    """Multi30k's raw files: a caption a line, in the order of the list of images."""
    lines = read_lines(path)
    if len(lines) != len(ids):
        raise InputError(f"{path}: {len(lines)} lines for {len(ids)} listed images, expected as many; download the captions and the list of images again")
    return [_at(path, place, image_id, language, number, line, split) for place, (image_id, line) in enumerate(zip(ids, lines, strict=True), 1)]


def _tsv(path: Path, language: str, split: str) -> Iterator[Caption]:
    """Conceptual Captions as the paper's authors publish them: columns caption and image_id, quoted as csv does where need be."""
    rows = csv.reader(io.StringIO(read_text(path)), delimiter="\t", strict=True)
    counts: dict[str, int] = {}
    try:
        if next(rows, None) != ["caption", "image_id"]:
            raise InputError(f"{path}, line 1: expected the columns caption and image_id, separated by a tab; {REMEDY}")
        for row in rows:
            if len(row) != 2:
                raise InputError(f"{path}, line {rows.line_num}: {len(row)} columns, expected 2; {REMEDY}")
            text, image_id = row
            counts[image_id] = counts.get(image_id, -1) + 1
            yield _at(path, rows.line_num, image_id, language, counts[image_id], text, split)
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: {error}; {REMEDY}") from None


def _key(value: object) -> str:
    """The image id that a file gives as a whole number or as text."""
    if type(value) not in (int, str):
        raise ValueError(f"image id {value!r} is neither a whole number nor text")
    return str(value)


def _at(path: Path, line: int, image_id: str, language: str, number: int, text: str, split: str) -> Caption:
    try:
        return _caption(image_id, language, number, text, split)
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {error}; {REMEDY}") from None


def _caption(image_id: str, language: str, number: int, text: str, split: str) -> Caption:
    return _checked(Caption(f"{image_id}#{language}{number}", image_id, language, text.strip(), split))


def _checked(caption: Caption) -> Caption:
    if not all(isinstance(value, str) and value.strip() for value in (caption.caption_id, caption.image_id, caption.language, caption.text)):
        raise ValueError("an id, the language or the text is empty or not a string")
    if caption.split not in SPLITS:
        raise ValueError(f"split {caption.split!r} is none of {', '.join(SPLITS)}")
    if not LANGUAGE.fullmatch(caption.language):
        raise ValueError(f"language {caption.language!r} is no code such as en or pt-BR")
    if caption.caption_id.split() != [caption.caption_id] or caption.image_id.split() != [caption.image_id]:
        raise ValueError(f"white space in an id: {caption.caption_id!r} of {caption.image_id!r}")  # TREC files separate by white space
    if fault := fault_of_id(caption.image_id):
        raise ValueError(f"image id {caption.image_id!r} {fault}")
    caption.text.encode()  # half a surrogate pair is no text, and no tokenizer takes it
    return caption
