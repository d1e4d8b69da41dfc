"""Writes a region store image by image, in bounded memory; a writing that was cut off goes on after the last image that is safe on the disk.

While it grows, a store lies beside its place in `<folder>.partial/`: the arrays in `store/`, and `journal.jsonl` with a line for each image whose values
have reached the disk. The finished store takes its place by one rename.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from mmr_kit.cache import atomic_write, sync
from mmr_kit.data.store_batch import FLOAT, Batch
from mmr_kit.errors import InputError

if TYPE_CHECKING:
    from mmr_kit.data.regions import Regions

TOLERANCE = 0.001  # a box may stick out by rounding
PRECISIONS = ("float32", "float16")
BATCH_SECONDS = 1.0  # what came in so long is written and made safe at a time
SPARE_BYTES = 16 * 2**20  # room for offsets, ids and journal
HALF_LIMIT = 65520  # from which on float16 is infinite

Progress = Callable[[int, int, int], None]
"""Told now and then: images so far, bytes of arrays so far, bytes expected in all (0: unknown)."""


def clear_workplace(folder: Path) -> None:
    """Remove what a writer left beside its finished store `folder`, killed between finishing and tidying up."""
    partial = folder.absolute().with_name(f"{folder.name}.partial")
    if folder.is_dir() and not (partial / "store").exists():
        shutil.rmtree(partial, ignore_errors=True)


class StoreWriter:
    """Context manager: `add` images one by one; the store is there when the block ends without an exception.

    precision: 'float32' or 'float16', of the features on the disk; boxes are float32. expected: about how many bytes will come; the disk must have room.
    may_resume: where it is given, what was written is kept after an interruption, and the next writer of this folder with the same `identity` (any JSON
    value) asks it with the place of the last safe image. On yes it goes on there and has that `place`; on no, or without may_resume, it begins anew.

    Raises InputError for an image that is none (see `add`), a folder in use, a full disk, and a store without images.
    """

    def __init__(self, folder: Path, precision: str = "float32", expected: int = 0, progress: Progress | None = None,
                 identity: Any = None, may_resume: Callable[[Any], bool] | None = None) -> None:  # fmt: skip
        if precision not in PRECISIONS:
            raise InputError(f"precision {precision!r} is unknown; there are {', '.join(PRECISIONS)}")
        self.folder = Path(folder).absolute()
        self._partial = self.folder.with_name(f"{self.folder.name}.partial")
        self._store, self._journal = self._partial / "store", self._partial / "journal.jsonl"
        self._type = np.dtype(precision).newbyteorder("<")
        self._limit = np.inf if precision == "float32" else HALF_LIMIT
        self._expected, self._progress, self._may_resume = expected, progress, may_resume
        self._identity = json.loads(json.dumps([precision, identity]))
        self.attachments: dict[str, str] = {}  # name -> text of further files of the store, written when it is finished
        self._forget()

    def _forget(self) -> None:
        self.place: Any = None  # of the last image, as given to `add`
        self._width = 0
        self._rows: dict[str, int] = {}  # image id -> number of regions, in the order of the store
        self._sizes, self._total = array("q"), 0  # height and width of each image in turn; regions of all images
        self._batch, self._other = Batch(), Batch()  # one fills while the other is written
        self._pending: Future[None] | None = None

    @property
    def workplace(self) -> Path:
        """A folder for what must outlive an interruption beside the growing store; it is gone when the store is finished."""
        return self._partial

    def __len__(self) -> int:
        """Images so far."""
        return len(self._rows)

    def __enter__(self) -> StoreWriter:
        with self._refusing():
            if self.folder.exists() and not (self.folder.is_dir() and not any(self.folder.iterdir())):
                raise InputError(f"{self.folder}: is there already; remove it, or name another folder for the region store")
            self._partial.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._partial / "lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise InputError(f"{self.folder}: another process is writing this region store; wait for it, or name another folder") from None
            try:
                self._begin()
            except BaseException:
                self._leave()
                raise
        self._pool = ThreadPoolExecutor(1, "store-writer")  # values go to the disk while the next ones are read
        self._tell()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._refusing():
                    self._finish()
            else:
                with suppress(Exception):  # the first fault is the one to tell
                    if issubclass(kind, Exception):  # an interrupt may have come in the midst of `add`
                        self._hand_over()
                    self._settle()
        finally:
            self._pool.shutdown()
            self._leave()

    def _leave(self) -> None:
        self._lock.release()
        if self._may_resume is None or not self._store.exists():  # nothing to go on from
            shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, image_id: str, image_hw: tuple[int, int], regions: Regions, place: Any = None, source: Path | None = None) -> None:
        """The next image: (height, width) in pixels or (0, 0), features (n, width), boxes (n, 4) as shares. place: any JSON value, where the next one begins.

        Raises InputError, with the image's `source`, for an id that was there before, no region, shapes that disagree, values that are not finite (or too
        large for float16), a box outside the image.
        """
        features, boxes = np.asarray(regions.features), np.asarray(regions.boxes)
        fault = self._disagreement(image_id, features, boxes) or self._copy(features, boxes)
        if fault:
            raise InputError(f"{source or self.folder}: image {image_id!r}{fault}; correct it or take the image out")
        self.place, rows, hw = place, len(features), [int(side) for side in image_hw]
        self._rows[image_id] = rows
        self._sizes.extend(hw)
        self._total += rows
        self._batch.rows += rows
        self._batch.lines.append(json.dumps([image_id, hw, rows, place]) + "\n")
        if time.monotonic() - self._batch.begun >= BATCH_SECONDS:
            self._hand_over()

    def _disagreement(self, image_id: str, features: np.ndarray, boxes: np.ndarray) -> str:
        if image_id in self._rows:
            return " occurs twice"
        if features.ndim != 2 or not features.size:
            return f", features: shape {features.shape}, expected one row or more a region"
        if self._width not in (0, features.shape[1]):
            return f", features: {features.shape[1]} values a region, the images before have {self._width}"
        if boxes.shape != (len(features), 4):
            return f", boxes: shape {boxes.shape}, expected ({len(features)}, 4)"
        return ""

    def _copy(self, features: np.ndarray, boxes: np.ndarray) -> str:
        """Into the batch; the fault, if what is to be stored is none."""
        self._width = features.shape[1]
        room = self._batch.room(len(features), self._width)
        if room is None:
            self._hand_over()
            room = self._batch.room(len(features), self._width)
            assert room
        with np.errstate(over="ignore"):
            room[0][:], room[1][:] = features, boxes
        if not (-self._limit < room[0].min() and room[0].max() < self._limit):  # false for NaN, too
            return ", features: NaN or infinite" + (", or too large for float16" if self._type.itemsize == 2 else "")
        if not (room[1].min() >= -TOLERANCE and room[1].max() <= 1 + TOLERANCE):
            return ", boxes: outside [0, 1]"
        return ""

    def _hand_over(self) -> None:
        """The batch goes to the disk in the background, once the one before is there: two batches are in memory."""
        with self._refusing():
            self._settle()
        if self._batch.rows:
            self._other.clear()
            self._batch, self._other = self._other, self._batch
            self._pending = self._pool.submit(self._write, self._other)
            self._tell()

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        try:
            if pending:
                pending.result()
        except BaseException:
            self._batch.clear()  # what comes after a gap must not be written
            raise

    def _write(self, batch: Batch) -> None:
        """Values first, and safe, then the journal's lines that vouch for them."""
        if not self._journal.exists():
            self._store.mkdir()
            (self._store / "features.npy").write_bytes(_header(self._type, 0, self._width))
            (self._store / "boxes.npy").write_bytes(_header(FLOAT, 0, 4))
            atomic_write(self._journal, json.dumps({"identity": self._identity, "width": self._width}) + "\n")
        _append(self._store / "features.npy", batch.features[: batch.rows].astype(self._type, copy=False))
        _append(self._store / "boxes.npy", batch.boxes[: batch.rows])
        _append(self._journal, "".join(batch.lines).encode())

    def _begin(self) -> None:
        """Take up what the journal vouches for, or begin anew."""
        if not (self._may_resume and self._take_up() and self._may_resume(self.place)):
            self._forget()
            shutil.rmtree(self._store, ignore_errors=True)
            self._journal.unlink(missing_ok=True)
        needed, free = self._expected - self._bytes() + SPARE_BYTES, shutil.disk_usage(self._partial).free
        if self._expected and needed > free:
            raise InputError(f"{self.folder}: needs about {needed / 1e9:.2f} GB more, its disk has {free / 1e9:.2f} GB free; "
                             "make room, or name a folder on another disk")  # fmt: skip

    def _take_up(self) -> bool:
        """Read the journal; cut off what an interrupted write left behind its last whole line. Whether there is anything to go on from."""
        try:
            with open(self._journal, "rb") as journal:
                head = json.loads(journal.readline())
                if head["identity"] != self._identity:
                    return False
                self._width, safe = head["width"], journal.tell()
                for line in journal:
                    if not line.endswith(b"\n"):
                        break
                    image_id, image_hw, rows, self.place = json.loads(line)
                    self._rows[image_id] = rows
                    self._sizes.extend(image_hw)
                    self._total += rows
                    safe += len(line)
            os.truncate(self._journal, safe)
            sizes = self._sizes_of_files()
            for path in self._store.iterdir():
                if path.name not in sizes:  # of a finish that was interrupted
                    path.unlink()
            for name, size in sizes.items():
                if (self._store / name).stat().st_size < size:
                    return False
                os.truncate(self._store / name, size)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(self._rows)

    def _sizes_of_files(self) -> dict[str, int]:
        start = len(_header(self._type, 0, 1))
        return {"features.npy": start + self._total * self._width * self._type.itemsize, "boxes.npy": start + self._total * 4 * FLOAT.itemsize}

    def _finish(self) -> None:
        self._hand_over()
        self._settle()
        if not self._rows:
            raise InputError(f"{self.folder}: there are no images to write; a region store holds at least one")
        for name, kind, width in (("features.npy", self._type, self._width), ("boxes.npy", FLOAT, 4)):
            with open(self._store / name, "r+b") as file:
                file.write(_header(kind, self._total, width))
            sync(self._store / name)
        offsets = io.BytesIO()
        np.save(offsets, np.concatenate([[0], np.cumsum(np.fromiter(self._rows.values(), np.int64))]), allow_pickle=False)
        atomic_write(self._store / "offsets.npy", offsets.getvalue())
        image_hw = np.asarray(self._sizes).reshape(-1, 2).tolist()
        # `image_ids` first: a reader that wants nothing else can stop there.
        atomic_write(self._store / "images.json", json.dumps({"image_ids": list(self._rows), "image_hw": image_hw}))
        for name, text in self.attachments.items():
            atomic_write(self._store / name, text)
        os.replace(self._store, self.folder)
        sync(self.folder.parent)
        self._tell()

    def _bytes(self) -> int:
        return self._total * (self._width * self._type.itemsize + 4 * FLOAT.itemsize)

    def _tell(self) -> None:
        if self._progress and self._rows:
            self._progress(len(self._rows), self._bytes(), self._expected)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """A disk that is full or cannot be written to is the user's to mend."""
        try:
            yield
        except OSError as error:
            kept = "; what is there is kept, start again to go on" if self._may_resume else ""
            raise InputError(f"{self.folder}: cannot be written ({error.strerror or error}); make room or name another folder{kept}") from None


def _header(kind: np.dtype, rows: int, width: int) -> bytes:
    """Of a .npy file, as long for any number of rows: it is written before they are counted, and again when they are."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind.str, "fortran_order": False, "shape": (rows, width)})
    return file.getvalue()


def _append(path: Path, content: Any) -> None:
    with open(path, "ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
