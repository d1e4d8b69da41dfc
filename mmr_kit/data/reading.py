"""Files of data sets, read without trusting them: text, YAML, lists of images, what torch.save wrote."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import yaml

from mmr_kit.errors import InputError

ENDING = ".jpg"  # lists of images name files; an image's id is the name without it
REMEDY = "download the file again"


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without its byte order mark; a line ends in a line feed, whatever it ends in there. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise _unreadable(path, error) from None


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without their ends. Raises InputError."""
    return [line.rstrip("\n") for line in io.StringIO(read_text(path))]  # not splitlines: U+2028 and the like may stand inside a caption


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name); write the value out")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """What a YAML file says: dicts, lists, texts, numbers, dates; no tag of it makes anything else. Raises InputError."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)  # a SafeLoader
    except Exception as error:  # tags such as !!int end in an exception of nearly any type
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split()) or type(error).__name__}") from None


def read_image_list(path: Path) -> list[str]:
    """Image ids, one a line, given with or without the ending of the file name. Raises InputError that names the line."""
    ids = [line.strip().removesuffix(ENDING) for line in read_lines(path)]
    seen: set[str] = set()
    for number, image_id in enumerate(ids, 1):
        if fault := "occurs twice" if image_id in seen else fault_of_id(image_id):
            raise InputError(f"{path}, line {number}: image id {image_id!r} {fault}; {REMEDY}")
        seen.add(image_id)
    if not ids:
        raise InputError(f"{path}: lists no images; {REMEDY}")
    return ids


def read_pt(path: Path) -> Any:
    """What torch.save wrote, if it is plain data: dicts, lists, texts, numbers, tensors. Runs no code of the file. Raises InputError."""
    try:
        return load_pt(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except Exception as error:  # a damaged file ends in an exception of nearly any type
        told = " ".join(str(error).split())[:80]
        raise InputError(f"{path}: not a file of plain data that torch.save wrote ({type(error).__name__}: {told}); {REMEDY}") from None


def load_pt(path: Path) -> Any:
    """The same for those who tell errors themselves: raises whatever zipfile, pickle and torch do."""
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("compressed parts")  # torch writes none: it may be a bomb
    return torch.load(path, map_location="cpu", weights_only=True)


def fault_of_id(image_id: str) -> str:
    """What makes an image id unfit, as ids end up in file names and in lines of TREC files; empty where nothing does."""
    if image_id.split() != [image_id]:
        return "is empty or has white space in it"
    if "/" in image_id or "\\" in image_id or image_id in (".", "..") or not image_id.isprintable():
        return "cannot name a file"
    return ""


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: missing; `mmr data status` says where captions are expected")
    return InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give the path of a file")
