"""Regions of a picture that need no model: the cells of a grid, plain values of boxes, raw patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmr_kit.data.regions import Regions

if TYPE_CHECKING:
    from PIL.Image import Image

PLAIN_SIDE = 8  # plain values of a region: its RGB values, scaled down to so many rows and columns
WHOLE = np.array([[0, 0, 1, 1]], dtype=np.float32)


def grid_boxes(side: int) -> np.ndarray:
    """The side x side cells of a picture, row by row, as boxes float32 (side * side, 4)."""
    rows, columns = np.divmod(np.arange(side * side), side)
    return (np.stack([columns, rows, columns + 1, rows + 1], axis=1) / side).astype(np.float32)


def plain_values(picture: Image, boxes: np.ndarray) -> np.ndarray:
    """Each box scaled down to PLAIN_SIDE x PLAIN_SIDE means, as values in [0, 1] in channel, row, column order: float32 (n, 3 * PLAIN_SIDE ** 2)."""
    from PIL.Image import Resampling

    sides = np.array([picture.width, picture.height] * 2)
    small = [picture.resize((PLAIN_SIDE, PLAIN_SIDE), Resampling.BOX, box=tuple(corners)) for corners in (boxes * sides).clip(0, sides).tolist()]
    return np.stack([_values(part).ravel() for part in small])


def patch_regions(picture: Image, patch: int, size: int) -> Regions:
    """The picture resized to size x size (bicubic) and cut into patches of patch x patch pixels, row by row, as the backbones over raw patches take them.

    Features are pixel values in [0, 1] in channel, row, column order: float32 ((size / patch) ** 2, 3 * patch ** 2).
    """
    from PIL.Image import Resampling

    side = size // patch
    values = _values(picture.resize((size, size), Resampling.BICUBIC))
    patches = values.reshape(3, side, patch, side, patch).transpose(1, 3, 0, 2, 4)
    return Regions(patches.reshape(side * side, -1), grid_boxes(side))


def _values(picture: Image) -> np.ndarray:
    """float32 (3, height, width) in [0, 1]."""
    return np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255
