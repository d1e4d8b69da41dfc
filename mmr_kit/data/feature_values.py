"""What feature files of every layout have in common: image ids, the values of one image, and how a fault in them is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from mmr_kit.data.reading import fault_of_id
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError

IMAGE_BYTES = 256 * 2**20  # no image of the published files has a hundredth of that; what claims more is damaged, or a bomb
GEOMETRY = 6  # values at the end of a row of OSCAR and VinVL: x1/W, y1/H, x2/W, y2/H, and the box's width and height as shares
STICKING_OUT = 1.0  # pixels; published boxes do
STICKING_OUT_SHARE = 0.01  # the same where the size of the image is unknown: a pixel of a small image
GEOMETRY_TOLERANCE = 0.02  # VinVL has height before width, and extractors differ by a pixel in what they call width
ID_BYTES = 200  # a file name has room for 255
REMEDY = "download or extract this file again, or take the image out"


class Image(NamedTuple):
    """One image of a feature file: size in pixels, (0, 0) where the file does not say."""

    image_id: str
    image_hw: tuple[int, int]
    regions: Regions


class Fault(Exception):
    """What is wrong with a part (a column, an array) of one image."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__(f"{part}: {text}")


@contextmanager
def located(place: Callable[..., str], *arguments: Any) -> Iterator[None]:
    """Turns a Fault into an InputError that begins with place(*arguments), which is asked for only then."""
    try:
        yield
    except Fault as fault:
        raise InputError(f"{place(*arguments)}, {fault}; {REMEDY}") from None


def image_id(text: str) -> str:
    """The id, if it can serve in file names and TREC files; raises Fault for one that cannot (see `fault_of_id`), or is too long."""
    if fault := fault_of_id(text):
        raise Fault("image id", f"{text[:60]!r} {fault}")
    if len(text.encode()) > ID_BYTES:
        raise Fault("image id", f"{text[:60]!r}... is {len(text.encode())} bytes long, at most {ID_BYTES} are allowed")
    return text


def pixel_regions(features: np.ndarray, boxes: np.ndarray, image_hw: tuple[int, int], names: tuple[str, str] = ("features", "boxes")) -> Regions:
    """From features (n, width) and boxes (n, 4) in pixels, x1, y1, x2, y2; a box that sticks out by a pixel is clipped. `names` are for a Fault."""
    if boxes.shape != (len(features), 4):
        raise Fault(names[1], f"shape {boxes.shape}, expected ({len(features)}, 4)")
    height, width = image_hw
    if height < 1 or width < 1:
        raise Fault("image size", f"{width} x {height} pixels")
    sides = np.array([width, height, width, height], np.float32)
    return _regions(features, boxes / sides, STICKING_OUT / sides, names)


def joined_regions(rows: np.ndarray, name: str = "features") -> Regions:
    """From rows (n, width + 6) as OSCAR and VinVL have them: features, then the geometry of the box as shares."""
    if rows.ndim != 2 or rows.shape[1] <= GEOMETRY:
        raise Fault(name, f"shape {rows.shape}, expected (regions, features + {GEOMETRY})")
    boxes, sides = rows[:, -GEOMETRY:-2], rows[:, -2:]
    regions = _regions(rows[:, :-GEOMETRY], boxes, np.float32(STICKING_OUT_SHARE), (name, f"{name}, last {GEOMETRY} values"))
    spans = boxes[:, 2:] - boxes[:, :2]
    if not min(np.abs(sides - spans).max(), np.abs(sides - spans[:, ::-1]).max()) <= GEOMETRY_TOLERANCE:  # so that NaN is refused, too
        raise Fault(f"{name}, last {GEOMETRY} values", "not x1/W, y1/H, x2/W, y2/H, w/W, h/H of a box")
    return regions


def _regions(features: np.ndarray, boxes: np.ndarray, sticking_out: np.ndarray | np.float32, names: tuple[str, str]) -> Regions:
    """Checked, and clipped to the image. boxes and sticking_out as shares."""
    if features.ndim != 2 or not features.size:
        raise Fault(names[0], f"shape {features.shape}, expected one row or more")
    for name, values in zip(names, (features, boxes), strict=True):
        if not np.isfinite(values).all():
            raise Fault(name, "NaN or infinite values")
    slack = sticking_out * np.float32(1.001)  # a whole pixel, after rounding
    if (boxes < -slack).any() or (boxes > 1 + slack).any():
        raise Fault(names[1], f"a box outside the image ({boxes.min():.3f} to {boxes.max():.3f} of its sides)")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise Fault(names[1], "a box that ends before it begins; boxes are x1, y1, x2, y2")
    return Regions(features, boxes.clip(0, 1))
