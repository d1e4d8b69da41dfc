"""Region features in NumPy's and PyTorch's files: a .npz or .pt an image, or one .pt of many images.

No pickle in them can run code: NumPy's are refused, of PyTorch's only the weights are read, and NumPy's arrays inside those are rebuilt here. Nothing
is unpacked before its size is known.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmr_kit.data.feature_values import IMAGE_BYTES, REMEDY, Fault, Image, image_id, joined_regions, located, pixel_regions
from mmr_kit.errors import InputError

LEGACY_BYTES = 2 * 2**30  # PyTorch's format before 1.6 cannot be mapped: it is read whole, so only up to this size


def npz(path: Path, start: int = 0) -> Iterator[tuple[int, Image]]:
    """The image `<id>` of `<id>.npz`, which holds x (n x width), bbox (n x 4 pixels: x1, y1, x2, y2), num_bbox, image_h and image_w; none if start > 0.

    Raises InputError that names the file and the array.
    """
    if start == 0:
        names = ("x", "bbox", "num_bbox", "image_h", "image_w")
        with located(str, path), _archive(path) as archive:
            image = _pixel_image(path, {name: _member(archive, name) for name in names}, names)
        yield 1, image


def m3p_pt(path: Path, start: int = 0) -> Iterator[tuple[int, Image]]:
    """The image `<id>` of `<id>.pt`: a dict of features, boxes (pixels), num_boxes, img_h and img_w, NumPy arrays and numbers; none if start > 0.

    Raises InputError that names the file and the array.
    """
    if start == 0:
        with located(str, path):
            values = {name: _rebuilt(value, str(name)) for name, value in _load(path, mmap=False, limit=IMAGE_BYTES).items()}
            image = _pixel_image(path, values, ("features", "boxes", "num_boxes", "img_h", "img_w"))
        yield 1, image


def oscar_pt(path: Path, start: int = 0) -> Iterator[tuple[int, Image]]:
    """Images of OSCAR's features file {id: tensor (n, width + 6)}, from the entry number `start` on, each with the number of the next; sizes are unknown.

    The last six values are x1/W, y1/H, x2/W, y2/H, w/W, h/H; ids are whole numbers or strings. The file is mapped, not read: pages that memory is short of go
    back. One of PyTorch's format before 1.6 is read whole. Raises InputError that names the file and the image.
    """
    with located(str, path):
        entries = _load(path, mmap=True, limit=None)
    for number, (key, rows) in enumerate(itertools.islice(entries.items(), start, None), start + 1):
        with located("{}, image {!r}".format, path, str(key)[:60]):
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise Fault("image id", f"{type(key).__name__}, expected a whole number or a string")
            image = Image(image_id(str(key)), (0, 0), joined_regions(_array(rows, "features")))
        yield number, image


def _pixel_image(path: Path, values: dict[Any, Any], names: tuple[str, str, str, str, str]) -> Image:
    missing = [name for name in names if name not in values]
    if missing:
        raise Fault(missing[0], "missing")
    features, boxes = (_array(values[name], name) for name in names[:2])
    count, height, width = (_number(values[name], name) for name in names[2:])
    if len(features) != count:
        raise Fault(names[2], f"{count}, but {names[0]} has {len(features)} rows")
    return Image(image_id(path.stem), (height, width), pixel_regions(features, boxes, (height, width), names[:2]))


def _array(value: Any, name: str) -> np.ndarray:
    """float32 of an array or tensor of floats with two axes."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or not value.is_floating_point():
            raise Fault(name, f"a tensor of {value.dtype}, {value.layout}, on {value.device}; expected an ordinary one of floats")
        if value.numel() * 4 <= IMAGE_BYTES:
            value = value.detach().to(torch.float32).numpy()
    if not isinstance(value, np.ndarray | torch.Tensor) or value.ndim != 2:
        raise Fault(name, f"{getattr(value, 'ndim', 'no')} axes ({type(value).__name__}), expected an array with two")
    if isinstance(value, torch.Tensor) or value.size * 4 > IMAGE_BYTES:
        raise Fault(name, f"shape {tuple(value.shape)} is larger than an image can be")
    if value.dtype.kind != "f":
        raise Fault(name, f"{value.dtype} values, expected floats")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused
        return value.astype(np.float32, copy=False)


def _number(value: Any, name: str) -> int:
    """A whole number above 0, which may come as an array or a float."""
    if isinstance(value, np.ndarray | np.generic) and value.size == 1 and value.dtype.kind in "iuf":
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**9 or value != int(value):
        raise Fault(name, f"{str(value)[:40]!r} is no whole number above 0")
    return int(value)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise InputError(f"{path}: not a complete archive ({error}); {REMEDY}") from None


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of a .npz: NumPy's own reader believes the header's shape and asks for that much memory."""
    try:
        info = archive.getinfo(f"{name}.npy")
        if info.file_size > IMAGE_BYTES:
            raise Fault(name, f"{info.file_size} bytes unpacked, larger than an image can be")
        file = io.BytesIO(archive.read(info))
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = header(file)
        if kind.hasobject:
            raise Fault(name, "a pickle; only arrays of numbers are read")
        return _shaped(file.getbuffer()[file.tell() :], kind, shape, fortran)
    except Fault:
        raise
    except KeyError:
        raise Fault(name, "missing") from None
    except Exception as error:  # whatever damage does to a decompressor or a header
        raise Fault(name, f"not a complete array ({_brief(error)})") from None


def _load(path: Path, *, mmap: bool, limit: int | None) -> dict[Any, Any]:
    """The dict in a file of torch.save; nothing in it is executed. limit: of its unpacked bytes."""
    import torch

    with open(path, "rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped:
        with _archive(path) as archive:
            members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise Fault("file", "compressed, which torch.save does not do")
        size = sum(member.file_size for member in members)
    else:
        size, limit = path.stat().st_size, limit or LEGACY_BYTES
    if limit and size > limit:
        raise Fault("file", f"{size} bytes, at most {limit} can be read" + ("" if zipped else " of PyTorch's old format; save it again with a newer PyTorch"))
    try:
        with torch.serialization.safe_globals(STAND_INS), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipped)
    except Exception as error:  # whatever damage does to an unpickler, and code, which it refuses to run
        raise Fault("file", f"not what torch.save writes of arrays and numbers ({_brief(error)})") from None
    if not isinstance(content, dict):
        raise Fault("file", f"holds a {type(content).__name__}, expected a dict")
    return content


class _Kind:
    """In place of numpy.dtype, which believes whatever flags a pickle gives it, to the point of corrupting memory."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """In place of numpy.ndarray: keeps what it is to be built from, until it is asked for (see _rebuilt)."""

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _scalar(kind: Any, data: Any) -> _Array:
    array = _Array()
    array.state = (1, (), kind, False, data)
    return array


def _encode(text: str, _: str) -> bytes:
    """How pickles before protocol 3 write bytes."""
    return text.encode("latin1")


HOMES = ("numpy.core.multiarray", "numpy._core.multiarray")  # of NumPy 1 and 2
STAND_INS: list[Any] = [(_Kind, "numpy.dtype"), (_Array, "numpy.ndarray"), (_encode, "_codecs.encode"), *((_Array, f"{home}._reconstruct") for home in HOMES),
             *((_scalar, f"{home}.scalar") for home in HOMES)]  # fmt: skip


def _rebuilt(value: Any, name: str) -> Any:
    """The array that a stand-in stands for, if it is one of plain numbers; other values as they are, for the caller to judge."""
    if not isinstance(value, _Array):
        return value
    try:
        _, shape, kind, fortran, data = value.state
        if kind.order not in ("<", ">", "|") or not re.fullmatch("[fiu][1248]", kind.code):
            return value
        return _shaped(data, np.dtype(kind.order + kind.code), shape, fortran)
    except Exception as error:  # whatever a damaged pickle gives as the parts of an array
        raise Fault(name, f"not a complete array ({_brief(error)})") from None


def _shaped(data: Any, kind: np.dtype, shape: Any, fortran: bool) -> np.ndarray:
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")  # which reshape would take for 'as many as there are'
    return np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C")


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
