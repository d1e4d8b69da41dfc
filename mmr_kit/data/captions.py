"""Caption files of each format -> captions with ids, image, language and split."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmr_kit.errors import InputError

SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {"train": "train", "restval": "train", "val": "dev", "dev": "dev", "test": "test"}  # 'restval': MSCOCO's extra training images


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption: `text` in `language` describes the image `image_id` of `split`."""

    caption_id: str
    image_id: str
    language: str
    text: str
    split: str


def read_captions(path: Path, format: str, language: str) -> list[Caption]:
    """Captions of a file in its order. format: 'jsonl' (the kit's own, which names the languages itself) or 'karpathy' (all in `language`).

    Raises InputError that names the file, and the line or image, where something is missing, empty or of the wrong type.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: missing; `mmr data status` says where captions are expected") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    captions = _jsonl(path, text) if format == "jsonl" else _karpathy(path, text, language)
    if not captions:
        raise InputError(f"{path}: holds no captions; prepare or download it again")
    return captions


def _jsonl(path: Path, text: str) -> list[Caption]:
    captions = []
    for number, line in enumerate(io.StringIO(text), 1):  # not splitlines: U+2028 and the like may stand inside a caption
        try:
            captions.append(_checked(Caption(**json.loads(line))))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}, line {number}: not a caption ({error}); prepare the data set again") from None
    return captions


def _karpathy(path: Path, text: str, language: str) -> list[Caption]:
    """Karpathy's layout: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}; an image's id is its file name."""
    try:
        images: list[dict[str, Any]] = list(json.loads(text)["images"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not JSON in Karpathy's layout ({error!r}); download it again") from None
    captions = []
    for number, image in enumerate(images):
        try:
            image_id, split = image["filename"], SPLIT_NAMES.get(image["split"], image["split"])
            captions += [_checked(Caption(f"{image_id}#{language}{i}", image_id, language, sentence["raw"].strip(), split))
                         for i, sentence in enumerate(image["sentences"])]
            if not image["sentences"]:
                raise ValueError(f"image {image_id!r} has no captions")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            fault = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}, images[{number}]: {fault}; download the file again") from None
    return captions


def _checked(caption: Caption) -> Caption:
    if not all(isinstance(value, str) and value.strip() for value in (caption.caption_id, caption.image_id, caption.language, caption.text)):
        raise ValueError("an id, the language or the text is empty or not a string")
    if caption.split not in SPLITS:
        raise ValueError(f"split {caption.split!r} is none of {', '.join(SPLITS)}")
    if any(character.isspace() for character in caption.caption_id + caption.image_id):
        raise ValueError(f"white space in an id: {caption.caption_id!r} of {caption.image_id!r}")  # TREC files separate by white space
    return caption
