"""Region features of many images in one memory-mapped store.

A store is a folder: `features.npy` (rows x width; float32, float16, or uint8 with `scale.npy`, one float32 factor a column), `boxes.npy` (rows x 4:
x1, y1, x2, y2 in [0, 1]), `offsets.npy` (images + 1: rows of image i are offsets[i]:offsets[i + 1]) and `images.json`
({"image_ids": [...], "image_hw": [[height, width], ...]}). NumPy alone reads it. What the detector took each region for may stand beside them:
`object_class.npy` (rows; whole numbers, below 0 for none) and the names of the classes, one a line, in `<any>_classes.txt` there or one folder above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmr_kit.data.store_writer import TOLERANCE, StoreWriter
from mmr_kit.errors import InputError

IDS_FIRST = re.compile(r'\s*\{\s*"image_ids"\s*:\s*')
REMEDY = "prepare the region store again"


@dataclass(frozen=True)
class Regions:
    """One image as a Transformer sees it: features float32 (n, width) and boxes float32 (n, 4), x1, y1, x2, y2 as shares of width and height.

    tags: names of the objects that were detected, each once; () where they are not known.
    """

    features: np.ndarray
    boxes: np.ndarray
    tags: tuple[str, ...] = ()


class Rows:
    """Where each of many ids stands: a fifth of a dict's memory."""

    def __init__(self, ids: list[str]) -> None:
        self._ids = ids
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
        self._order = np.argsort(hashes)
        self._sorted = hashes[self._order]
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        self.duplicate = len(same) > 0 and any(self.find(ids[row]) != row for row in self._order[same + 1])

    def find(self, image_id: object) -> int | None:
        """The row of an id, None for one that is not there."""
        first, last = (int(np.searchsorted(self._sorted, hash(image_id), side)) for side in ("left", "right"))
        return next((int(row) for row in self._order[first:last] if self._ids[row] == image_id), None)


class RegionStore(Mapping[str, Regions]):
    """Read-only mapping image id -> Regions, memory-mapped.

    Raises InputError where a file is missing, truncated, of the wrong shape or type, or its parts disagree. NaN is looked for when an image is read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._features = self._array("features.npy", 2, ("float32", "float16", "uint8"))
        self._boxes = self._array("boxes.npy", 2, ("float32", "float16", "float64"))
        self._offsets = np.asarray(self._array("offsets.npy", 1, ("int64", "int32", "uint32", "uint64")), dtype=np.int64)
        self._scale = np.asarray(self._array("scale.npy", 1, ("float32",))) if self._features.dtype == np.uint8 else None
        self.image_ids: list[str] = self._images()
        self._row = Rows(self.image_ids)
        rows, images = len(self._features), len(self.image_ids)
        self._require(not self._row.duplicate, "images.json", "an image id occurs twice")
        self._require(self._boxes.shape == (rows, 4), "boxes.npy", f"shape {self._boxes.shape}, expected ({rows}, 4)")
        self._require(len(self._offsets) == images + 1, "offsets.npy", f"{len(self._offsets)} offsets for {images} images, expected {images + 1}")
        ordered = self._offsets[0] == 0 and self._offsets[-1] == rows and bool((np.diff(self._offsets) > 0).all())
        self._require(ordered, "offsets.npy", f"offsets must rise from 0 to {rows}, one region or more an image")
        if self._scale is not None:
            self._require(self._scale.shape == (self.width,), "scale.npy", f"shape {self._scale.shape}, expected ({self.width},)")
        self._classes, self._class_names = self._objects(rows)

    @property
    def width(self) -> int:
        """Number of feature values a region."""
        return int(self._features.shape[1])

    def __len__(self) -> int:
        return len(self.image_ids)

    def __contains__(self, image_id: object) -> bool:
        return self._row.find(image_id) is not None  # the Mapping's own would read the image

    def __iter__(self) -> Iterator[str]:
        return iter(self.image_ids)

    def __getitem__(self, image_id: str) -> Regions:
        row = self._row.find(image_id)
        if row is None:
            raise KeyError(image_id)
        rows = slice(self._offsets[row], self._offsets[row + 1])
        features = np.asarray(self._features[rows], dtype=np.float32)
        if self._scale is not None:
            features = features * self._scale
        boxes = np.asarray(self._boxes[rows], dtype=np.float32)
        if not (np.isfinite(features).all() and np.isfinite(boxes).all()):
            raise InputError(f"{self.folder}: image {image_id!r} has NaN or infinite region values; {REMEDY}")
        if boxes.min() < -TOLERANCE or boxes.max() > 1 + TOLERANCE:
            raise InputError(f"{self.folder}: image {image_id!r} has a box outside [0, 1] (in pixels?); divide x by the width and y by the height")
        found = (number for number in self._classes[rows].tolist() if number >= 0) if self._classes is not None else ()
        return Regions(features, boxes, tuple(dict.fromkeys(self._class_names[number] for number in found)))

    def _objects(self, rows: int) -> tuple[np.ndarray | None, list[str]]:
        """The class of each region and the names of the classes; None where the store has none."""
        name = "object_class.npy"
        if not (self.folder / name).is_file():
            return None, []
        classes = self._array(name, 1, ("int8", "int16", "int32", "int64"))
        lists = [path for folder in (self.folder, self.folder.parent) for path in sorted(folder.glob("*_classes.txt"))]
        self._require(bool(lists), name, "no list of names, <any>_classes.txt, lies beside it or one folder above")
        try:
            names = lists[0].read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{lists[0]}: not readable as text ({error}); {REMEDY}") from None
        self._require(len(classes) == rows, name, f"{len(classes)} classes for {rows} regions")
        self._require(int(classes.max(initial=-1)) < len(names), name, f"class {classes.max(initial=-1)}, but {lists[0].name} names {len(names)}")
        return classes, names

    def _array(self, name: str, ndim: int, types: tuple[str, ...]) -> np.ndarray:
        try:
            array = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise InputError(f"{self.folder / name}: missing; {REMEDY}") from None
        except Exception as error:  # whatever damage does to a header, which is a piece of Python source
            raise InputError(f"{self.folder / name}: not a complete .npy file ({' '.join(str(error).split())}); {REMEDY}") from None
        self._require(isinstance(array, np.ndarray), name, "a .npz archive, expected one array")
        self._require(array.ndim == ndim and array.dtype.name in types, name, f"{array.ndim}-d {array.dtype}, expected {ndim}-d {' or '.join(types)}")
        return array

    def _images(self) -> list[str]:
        path = self.folder / "images.json"
        try:
            text = path.read_text(encoding="utf-8")
            first = IDS_FIRST.match(text)
            if first and text[-64:].rstrip().endswith("}"):  # what follows the ids need not be read: a million sizes are slow and large
                ids = json.JSONDecoder().raw_decode(text, first.end())[0]
            else:
                ids = json.loads(text)["image_ids"]
            return list(map(str, ids))
        except FileNotFoundError:
            raise InputError(f"{path}: missing; {REMEDY}") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: not a JSON object with image_ids ({error}); {REMEDY}") from None

    def _require(self, condition: bool, name: str, fault: str) -> None:
        if not condition:
            raise InputError(f"{self.folder / name}: {fault}; {REMEDY}")


def write_region_store(folder: Path, images: Iterable[tuple[str, tuple[int, int], Regions]]) -> None:
    """Write a float32 store from (image id, (height, width) in pixels, regions), in the given order, as the new folder `folder`: complete or not at all.

    Raises InputError as StoreWriter does.
    """
    with StoreWriter(folder) as store:
        for image in images:
            store.add(*image)
