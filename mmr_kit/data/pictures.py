"""Photographs as people have them -> RGB pictures that stand upright; a file that is none is told by name and reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmr_kit.data.reading import fault_of_id
from mmr_kit.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # PIL reads others too, EPS by running Ghostscript, whatever a file is called
DEEP = 257  # 65535 of 16 bits is 255 of 8


class PictureFault(Exception):
    """Why a file is not taken as a picture."""


class Skipped(NamedTuple):
    """A file that was left out: its name relative to the folder, and why."""

    name: str
    reason: str


def picture_id(name: str) -> str:
    """The image id of a file: its name, each run of white space as one `_` (TREC files separate by white space)."""
    return "_".join(name.split())


def list_pictures(folder: Path) -> tuple[dict[str, Path], list[Skipped]]:
    """Image id -> file of each picture of a folder, sorted by file name, and what cannot be taken.

    A picture is a file whose name ends as one of ENDINGS, large or small letters; hidden and other files are not looked at. Left out: pictures in subfolders
    (an id is a bare file name), names that cannot be ids, the second of two names with the same id. Raises InputError where the folder cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'missing'}; give the folder of the pictures")
    found: dict[str, Path] = {}
    skipped: list[Skipped] = []
    for parent, subfolders, names in os.walk(folder, onerror=_refuse):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or path.suffix.lower() not in ENDINGS:
                continue
            image_id, shown = picture_id(name), os.fsencode(path.relative_to(folder)).decode(errors="backslashreplace")
            if path.parent != folder:
                skipped.append(Skipped(shown, "lies in a subfolder; move it up"))
            elif fault := fault_of_id(image_id) or ("" if path.is_file() else "is no file"):
                skipped.append(Skipped(shown, f"{fault}; rename it"))
            elif image_id in found:
                skipped.append(Skipped(shown, f"has the image id {image_id} of {found[image_id].name}; rename it"))
            else:
                found[image_id] = path
    return found, skipped


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror}); allow reading it, or name another folder") from None


def open_picture(path: Path) -> Image:
    """The whole picture as RGB, turned as its EXIF data say, transparent parts on white, 16 bits a channel as 8; the first frame of several.

    Raises PictureFault for what is no picture, is broken, or has more than PIL's MAX_IMAGE_PIXELS pixels.
    """
    from PIL import Image as images
    from PIL import ImageOps

    try:
        if not path.stat().st_size:
            raise PictureFault("empty file")
        with images.open(path, formats=FORMATS) as opened:
            pixels, most = opened.width * opened.height, images.MAX_IMAGE_PIXELS
            if most and pixels > most:  # where PIL only warns
                raise PictureFault(f"{pixels} pixels, more than {most}; scale it down")
            return _rgb(ImageOps.exif_transpose(opened))
    except images.DecompressionBombError as error:
        raise PictureFault(f"far too many pixels ({error}); scale it down") from None
    except images.UnidentifiedImageError:
        raise PictureFault("not a picture of a known kind") from None
    except PictureFault:
        raise
    except Exception as error:  # a broken picture ends in an exception of nearly any type
        raise PictureFault(f"broken: {' '.join(str(error).split())[:120] or type(error).__name__}") from None


def _rgb(picture: Image) -> Image:
    from PIL import Image as images

    if picture.mode == "F":
        raise PictureFault("pixels are floating-point numbers of unknown range; convert it")
    if picture.mode.startswith("I"):  # grey values of 16 bits, which PIL's own conversion would cut at 255
        least, most = picture.getextrema()
        if least < 0 or most > 255 * DEEP:  # type: ignore[operator]
            raise PictureFault("pixels are whole numbers of more than 16 bits; convert it")
        return picture.convert("I").point(lambda value: value / DEEP).convert("L").convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return images.alpha_composite(images.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")
