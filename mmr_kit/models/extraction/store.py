"""A folder of photographs -> a region store: in batches, restartable, past broken pictures."""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mmr_kit.cache import atomic_write, identity_hash
from mmr_kit.data.pictures import PictureFault, Skipped, list_pictures, open_picture
from mmr_kit.data.regions import Regions
from mmr_kit.data.store_writer import PRECISIONS, StoreWriter, clear_workplace
from mmr_kit.errors import InputError
from mmr_kit.models import distributed, memory
from mmr_kit.models.extraction.detectors import Detector
from mmr_kit.models.extraction.encoders import Encoder
from mmr_kit.models.extraction.exchange import Extracted, packed, unpacked
from mmr_kit.models.extraction.regions import WHOLE, grid_boxes, patch_regions, plain_values
from mmr_kit.models.retrieval_model import best_device
from mmr_kit.models.starts import start_identity

if TYPE_CHECKING:
    from PIL.Image import Image

RECORD, SKIPPED = "extraction.json", "skipped.csv"  # files of the store beside its arrays: what it was made of, and what was left out
HERE = "./"  # before names in skipped.csv: one that begins with = or - would be a formula to a spreadsheet
READERS = 4  # threads that decode pictures
PLAIN_MOST = 1024  # pixels of a side: larger pictures are scaled down before plain values are taken

Progress = Callable[[int, int], None]
"""Told after each batch: files so far, files in all."""


@dataclass(frozen=True)
class Extraction:
    """How features are extracted.

    The regions of a picture are the whole of it and then the boxes that `detector` finds (score at least `threshold`, at most `most_boxes`, best first), or
    where there is no detector the cells of a grid of `grid` x `grid` (0: none). Their features are the map of `encoder` averaged over each region, or where
    there is no encoder plain RGB values (see `plain_values`). Or, with `patches`: the raw patches of so many pixels of the picture, resized to `size` pixels
    a side (see `patch_regions`). Checkpoints are named as in `models.starts.resolve`. precision: of the features in the store.
    """

    detector: str = ""
    threshold: float = 0.3
    most_boxes: int = 36
    grid: int = 6
    encoder: str = ""
    patches: int = 0
    size: int = 224
    batch_size: int = 16
    precision: str = "float16"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision!r} is unknown; there are {', '.join(PRECISIONS)}")
        if not 0 <= self.threshold <= 1:
            raise InputError(f"threshold {self.threshold} is not between 0 and 1; scores are")
        if min(self.most_boxes, self.size, self.batch_size) < 1 or min(self.grid, self.patches) < 0:
            raise InputError("boxes, size and batch size must be 1 or more, grid and patches 0 or more")
        if self.patches and self.size % self.patches:
            raise InputError(f"patches of {self.patches} pixels do not tile a picture of {self.size}; choose a size that is a multiple")
        if self.patches and (self.detector or self.encoder):
            raise InputError("raw patches need neither detector nor encoder; leave them out, or leave out the patches")

    def identity(self) -> dict[str, Any]:
        """All that determines the features of a picture, checkpoints by their files."""
        checkpoints = {"detector": self.detector, "encoder": self.encoder}
        return asdict(self) | {name: start_identity(value) if value else "" for name, value in checkpoints.items()}


class _Picture(NamedTuple):
    """A picture that was read: its (height, width), a small copy, itself as the models take it, and its regions where they need no model."""

    image_id: str
    image_hw: tuple[int, int]
    small: Image
    for_detector: torch.Tensor | None
    for_encoder: torch.Tensor | None
    regions: Regions | None


def extract_features(pictures: Path, store: Path, extraction: Extraction, progress: Progress | None = None,
                     only: Collection[str] | None = None) -> list[Skipped]:  # fmt: skip
    """Write the new region store `store` of a folder's pictures, in the order of their names; returns what was left out, which `skipped.csv` in it tells, too.

    only: image ids to take (None: all; see `data.pictures.list_pictures`). Interrupted, the same call goes on where it was and gives the same store; a store
    that it has made already stays as it is. Raises InputError for checkpoints that cannot be loaded, a store that is there and was made otherwise, no
    picture that can be taken. Processes that `torchrun` started share the work; the first of them writes the store and knows what was left out.
    """
    files, unfit = list_pictures(pictures)
    files = {image_id: path for image_id, path in files.items() if only is None or image_id in only}
    if not files:
        raise InputError(f"{pictures}: holds no pictures that can be taken{f' ({unfit[0].name} {unfit[0].reason})' if unfit else ''}; "
                         "name a folder of photographs")
    states = [[image_id, path.stat().st_size, path.stat().st_mtime_ns] for image_id, path in files.items()]
    identity = extraction.identity() | {"pictures": identity_hash([states, unfit])}
    if len(set(distributed.collected(identity_hash(identity).encode()))) > 1:
        raise InputError(f"{pictures}: the processes that torchrun started see different pictures or checkpoints; let all machines use the same folders")
    if distributed.number() == 0 and (made := _made_already(store, identity)) is not None:
        clear_workplace(store)
        distributed.from_first(str(len(files)).encode())  # there is nothing to help with
        return made
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what they warn of is handled or skipped
        if distributed.number():
            for _ in _results(list(files.items()), int(distributed.from_first(None) or 0), extraction):
                pass  # it is the first process that gets and writes them
            return []
        with StoreWriter(store, extraction.precision, identity=identity, may_resume=lambda place: True) as writer:
            log = _SkipLog(writer.workplace / "skipped.jsonl", writer.place)
            distributed.from_first(str(writer.place or 0).encode())
            splits = _write(writer, log, list(files.items()), extraction, progress)
            skipped = unfit + list(log.found.values())
            if not len(writer):
                raise InputError(f"{pictures}: not one picture could be read ({skipped[0].name}: {skipped[0].reason}); name a folder of photographs")
            record: dict[str, Any] = {"extraction": asdict(extraction), "identity": identity}
            record |= {"incidents": [f"out of memory: {splits} batches were split"]} if splits else {}
            writer.attachments = {SKIPPED: _as_csv(skipped), RECORD: json.dumps(record, indent=1)}
    return skipped


def _write(writer: StoreWriter, log: _SkipLog, files: list[tuple[str, Path]], extraction: Extraction, progress: Progress | None) -> int:
    """Returns how many batches had no room in memory and were split."""
    first, before = writer.place or 0, memory.splits
    if progress:
        progress(first, len(files))
    for start, results in _results(files, first, extraction):
        for number, result in enumerate(results, start):
            if number < first:
                continue
            if isinstance(result, Skipped):
                log.add(number, result)
            else:
                writer.add(files[number][0], result.image_hw, result.regions, place=number + 1, source=files[number][1])
        if progress:
            progress(start + len(results), len(files))
    return memory.splits - before


def _results(files: list[tuple[str, Path]], first: int, extraction: Extraction) -> Iterator[tuple[int, list[Extracted | Skipped]]]:
    """Number of its first file and what came of each, batch by batch, from that with file number `first` on. Several processes take the batches in turn, and
    the first of them gets what all found.

    Batches begin at the same files whether or not the extraction was interrupted: what shares a batch may differ in the last digit.
    """
    if first == len(files):
        return
    extractor, size, before = _Extractor(extraction), extraction.batch_size, memory.splits
    starts = range(first - first % size, len(files), size)
    with ThreadPoolExecutor(READERS, "picture-reader") as pool:
        read = _ahead(pool, extractor.read, [files[start : start + size] for start in distributed.dealt(starts)])
        for turn in range(0, len(starts), distributed.count()):
            own = extractor.finish(next(read, []))  # in the last turn there may be none left
            together = [own] if distributed.count() == 1 else map(unpacked, distributed.collected(packed(own)))
            yield from zip(starts[turn:], together, strict=False)
    memory.splits = before + sum(map(int, distributed.collected(str(memory.splits - before).encode())))  # the first process tells of those of all


def _ahead(pool: ThreadPoolExecutor, read: Callable[[tuple[str, Path]], _Picture | Skipped],
           batches: list[list[tuple[str, Path]]]) -> Iterator[list[_Picture | Skipped]]:  # fmt: skip
    """Each batch as read, while the next one is being read."""
    pending = [pool.submit(read, file) for file in batches[0]] if batches else []
    for number in range(len(batches)):
        current, pending = pending, [pool.submit(read, file) for file in batches[number + 1]] if number + 1 < len(batches) else []
        yield [future.result() for future in current]


class _Extractor:
    """Pictures -> regions."""

    def __init__(self, extraction: Extraction) -> None:
        self.extraction, device = extraction, best_device()
        self.detector = Detector(extraction.detector, extraction.threshold, extraction.most_boxes, device) if extraction.detector else None
        self.encoder = Encoder(extraction.encoder, device) if extraction.encoder else None
        self.cells = np.concatenate([WHOLE, grid_boxes(extraction.grid)])

    def read(self, file: tuple[str, Path]) -> _Picture | Skipped:
        """A picture, or why it is none."""
        image_id, path = file
        try:
            image = open_picture(path)
        except PictureFault as fault:
            return Skipped(path.name, str(fault))
        image_hw = (image.height, image.width)
        try:
            prepared = [model.prepare(image) if model else None for model in (self.detector, self.encoder)]
        except Exception as error:  # of an image processor that takes no picture of this shape
            return Skipped(path.name, f"cannot be prepared for the model: {' '.join(str(error).split())[:120]}")
        regions = patch_regions(image, self.extraction.patches, self.extraction.size) if self.extraction.patches else None
        image.thumbnail((PLAIN_MOST, PLAIN_MOST))  # the pictures of a batch are in memory together
        return _Picture(image_id, image_hw, image, prepared[0], prepared[1], regions)

    def finish(self, batch: list[_Picture | Skipped]) -> list[Extracted | Skipped]:
        """The batch with the regions of its pictures."""
        pictures = [picture for picture in batch if isinstance(picture, _Picture)]
        extracted = map(Extracted, [picture.image_hw for picture in pictures], self.regions(pictures))
        return [picture if isinstance(picture, Skipped) else next(extracted) for picture in batch]

    def regions(self, pictures: list[_Picture]) -> list[Regions]:
        """The regions of each picture, in halves where those of all do not fit in memory. Raises InputError where not even one picture does."""
        try:
            return self._regions(pictures)
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
            if len(pictures) == 1:
                raise InputError("out of memory on a single picture: close other programs, or use a machine with more memory") from None
        memory.count_split()
        half = len(pictures) // 2
        return self.regions(pictures[:half]) + self.regions(pictures[half:])

    def _regions(self, pictures: list[_Picture]) -> list[Regions]:
        if not pictures or self.extraction.patches:
            return [picture.regions for picture in pictures if picture.regions]
        boxes = [self.cells] * len(pictures)
        if self.detector:
            found = self.detector.boxes([picture.for_detector for picture in pictures if picture.for_detector is not None])
            boxes = [np.concatenate([WHOLE, of_picture]) for of_picture in found]
        if self.encoder:
            features = self.encoder.features([picture.for_encoder for picture in pictures if picture.for_encoder is not None], boxes)
        else:
            features = [plain_values(picture.small, of_picture) for picture, of_picture in zip(pictures, boxes, strict=True)]
        return [Regions(*of_picture) for of_picture in zip(features, boxes, strict=True)]


class _SkipLog:
    """What was left out, kept beside the growing store, so that a run that goes on at file number `place` (None: at the first) knows it, too."""

    def __init__(self, path: Path, place: int | None) -> None:
        self.path = path
        self.found: dict[int, Skipped] = {}
        if place is None:
            path.unlink(missing_ok=True)
        elif path.exists():
            whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
            self.found = {number: Skipped(name, reason) for number, name, reason in map(json.loads, whole) if number < place}
            atomic_write(path, "".join(whole))  # without a line that was cut off

    def add(self, number: int, skipped: Skipped) -> None:
        """Safe on the disk before any picture behind it is."""
        self.found[number] = skipped
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps([number, *skipped]) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _made_already(store: Path, identity: dict[str, Any]) -> list[Skipped] | None:
    """What was left out of the store, if it is there and this very extraction made it."""
    try:
        if json.loads((store / RECORD).read_text(encoding="utf-8"))["identity"] != identity:
            return None
        with open(store / SKIPPED, encoding="utf-8", newline="") as file:
            return [Skipped(name.removeprefix(HERE), reason) for name, reason in csv.reader(file)][1:]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _as_csv(skipped: list[Skipped]) -> str:
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows([Skipped._fields, *((HERE + file.name, file.reason) for file in skipped)])
    return content.getvalue()
