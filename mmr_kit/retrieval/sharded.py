"""A collection in parts, each built by itself, perhaps on another machine: searched as one, to the same items and scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.collection import RESIDENT, Collection


class Sharded:
    """Collections of one width, one behind the other: the rows of each follow those of the one before. Searched one at a time, so that they share memory."""

    def __init__(self, shards: Sequence[Collection]) -> None:
        if not shards:
            raise InputError("there are no shards to search; name one collection at least")
        if different := {shard.width for shard in shards} - {shards[0].width}:
            raise InputError(f"shards hold embeddings {shards[0].width} and {different.pop()} wide: all must come from the same model")
        self.shards = list(shards)
        self._starts = np.cumsum([0, *map(len, shards)])

    @classmethod
    def open(cls, folders: Iterable[Path], resident: int = RESIDENT) -> Sharded:
        """What `Collection.build` wrote into these folders, in this order; at most about `resident` bytes of all of them stay in memory."""
        folders = list(folders)
        return cls([Collection.open(folder, resident // len(folders)) for folder in folders])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def width(self) -> int:
        return self.shards[0].width

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Collection.search`."""
        found = [shard.search(queries, k) for shard in self.shards]
        rows = np.hstack([rows + start for (rows, _), start in zip(found, self._starts, strict=False)])
        scores = np.hstack([scores for _, scores in found])
        order = np.lexsort([rows, -scores])[:, : min(k, len(self))]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
