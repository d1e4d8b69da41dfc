"""Images of a region store on their way to the disk."""

from __future__ import annotations

import time

import numpy as np

BATCH_BYTES = 32 * 2**20
FLOAT = np.dtype("<f4")


class Batch:
    """Features, boxes and journal lines of some images, in arrays that are used again and again: fresh memory costs nearly as much as decoding."""

    def __init__(self) -> None:
        self.features, self.boxes = np.empty((0, 0), FLOAT), np.empty((0, 4), FLOAT)
        self.clear()

    def clear(self) -> None:
        """Ready for the next images."""
        self.rows, self.begun = 0, time.monotonic()
        self.lines: list[str] = []  # of the journal

    def room(self, rows: int, width: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Where features and boxes of the next image go, None where there is no room; an empty batch has room for any image."""
        if not self.rows and (rows > len(self.features) or self.features.shape[1] != width):
            capacity = max(rows, BATCH_BYTES // ((width + 4) * FLOAT.itemsize))
            self.features, self.boxes = np.empty((capacity, width), FLOAT), np.empty((capacity, 4), FLOAT)
        end = self.rows + rows
        return None if end > len(self.features) else (self.features[self.rows : end], self.boxes[self.rows : end])
