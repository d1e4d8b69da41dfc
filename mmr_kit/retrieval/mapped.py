"""Arrays on the disk, read through memory maps whose pages are given back."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mmr_kit.errors import InputError


class Mapped:
    """A read-only `.npy` file as an array; the pages that were read stay in this process's memory until `release`."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is missing, cut short, or no array of numbers."""
        try:
            with open(path, "rb", buffering=0) as file:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError("another version of the format")
                shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
                start, size = file.tell(), os.fstat(file.fileno()).st_size
                if by_columns or kind.hasobject:
                    raise ValueError("not an array of numbers row by row")
                wanted = start + int(np.prod(shape)) * kind.itemsize
                if size != wanted:
                    raise ValueError(f"{size} bytes instead of {wanted}")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._file, self._start = os.dup(file.fileno()), start
                weakref.finalize(self, os.close, self._file)
        except FileNotFoundError:
            raise InputError(f"{path} is missing; build the collection again") from None
        except (ValueError, EOFError, OSError) as fault:
            raise InputError(f"{path} is damaged ({fault}); build the collection again") from None
        self.array: np.ndarray = np.frombuffer(self._map, dtype=kind, offset=start, count=int(np.prod(shape))).reshape(shape)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Some rows, copied; unlike `array[rows]` this leaves no pages in the memory of this process."""
        gathered = np.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        size = self.array[:1].nbytes
        for into, row in zip(gathered, rows.tolist(), strict=True):
            if os.preadv(self._file, [into], self._start + row * size) != size:
                raise OSError(f"row {row} could not be read")
        return gathered

    def release(self) -> None:
        """Give the pages back; the file's content stays in the operating system's cache as long as there is room."""
        self._map.madvise(mmap.MADV_DONTNEED)


class Growing:
    """A `.npy` file that rows are appended to; its header is right when it is closed."""

    def __init__(self, path: Path, kind: str, width: int) -> None:
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 (closed by `close`)
        self._kind, self._width, self._rows = np.dtype(kind), width, 0
        self._write_header()

    def append(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, dtype=self._kind).data)
        self._rows += len(rows)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()  # as long as before: NumPy leaves room for the number of rows to grow
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(self._file, {"descr": self._kind.str, "fortran_order": False, "shape": (self._rows, self._width)})


def blocks(chunks: Iterator[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """The rows of all chunks in turn, `rows` at a time (fewer at the end), however they were cut."""
    waiting: list[np.ndarray] = []
    count = 0
    for chunk in chunks:
        while len(chunk):
            part, chunk = chunk[: rows - count], chunk[rows - count :]
            waiting.append(part)
            count += len(part)
            if count == rows:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)
