"""Approximate search: an inverted file by FAISS that looks at a share of the collection; how large a share is the price of recall."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mmr_kit.cache import sync
from mmr_kit.errors import InputError
from mmr_kit.retrieval.checks import checked_queries
from mmr_kit.retrieval.collection import Collection

SAMPLES = 50  # items a list that the lists are fitted to
ROWS = 16_384  # added at a time
SPARE = 4  # times k candidates come from the bytes of the index and are then scored from float32


class ApproximateIndex:
    """The items of a collection in `lists` groups of near ones (k-means), a byte a value; a query looks into the `probes` groups nearest to it.

    probes may be set at any time: 1 is fastest, `lists` looks at every item. What is returned carries exact scores (see `Collection.score`), so that only
    items can be missed.
    """

    def __init__(self, index: Any, collection: Collection, probes: int) -> None:
        self._index, self._collection, self.probes = index, collection, probes

    @property
    def lists(self) -> int:
        return int(self._index.nlist)

    @classmethod
    def build(cls, collection: Collection, lists: int = 0, probes: int = 8, seed: int = 0) -> ApproximateIndex:
        """lists: 0 takes the square root of the number of items, the usual balance between finding the lists and reading them."""
        faiss = _faiss()
        items = len(collection)
        lists = min(items, lists or max(1, round(items**0.5)))
        index = faiss.index_factory(collection.width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.min_points_per_centroid = seed, 1
        sample = np.sort(np.random.default_rng(seed).choice(items, min(items, SAMPLES * lists), replace=False))
        index.train(collection.vectors[sample])
        for start in range(0, items, ROWS):
            index.add(collection.vectors[start : start + ROWS])
            collection.release()
        return cls(index, collection, probes)

    @classmethod
    def open(cls, file: Path, collection: Collection, probes: int = 8) -> ApproximateIndex:
        """What `save` wrote, of this very collection."""
        faiss = _faiss()
        try:
            index = faiss.read_index(str(file))
        except RuntimeError:
            raise InputError(f"{file}: no index of FAISS, or a damaged one; build it again") from None
        if (index.ntotal, index.d) != (len(collection), collection.width):
            raise InputError(f"{file} is the index of {index.ntotal} items, {index.d} wide, not of these {len(collection)}, {collection.width} wide; "
                             "build it again")
        return cls(index, collection, probes)

    def save(self, file: Path) -> None:
        """Write a whole file or none."""
        file = Path(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as temporary:
            whole = Path(temporary) / "index"
            _faiss().write_index(self._index, str(whole))
            sync(whole)
            os.replace(whole, file)
        sync(file.parent)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Collection.search`, but an item may be missed: rows int64 and scores float32, both (q, min(k, n))."""
        queries, k = checked_queries(queries, k, self._collection.width), min(k, len(self._collection))
        if not 1 <= self.probes <= self.lists:
            raise InputError(f"probes is {self.probes}; the index has {self.lists} lists, look into 1 or more of them")
        rows = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        for number, query in enumerate(queries):
            found = self._candidates(query, k)
            values = self._collection.score(query, found)
            order = np.lexsort([found, -values])[:k]
            rows[number], scores[number] = found[order], values[order]
        return rows, scores

    def _candidates(self, query: np.ndarray, k: int) -> np.ndarray:
        """At least k rows; where the nearest lists hold fewer, further ones are looked into."""
        probes, wanted = self.probes, min(len(self._collection), SPARE * k)
        while True:
            parameters = _faiss().SearchParametersIVF(nprobe=probes)
            found = self._index.search(query[None], wanted, params=parameters)[1][0]
            found = found[found >= 0].astype(np.int64)
            if len(found) >= k or probes >= self.lists:
                return found
            probes = min(self.lists, 2 * probes)


def recall_of(rows: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact k best, rows (queries, k), that an approximate search found."""
    return float(np.mean([len(np.intersect1d(some, all_)) / len(all_) for some, all_ in zip(rows, exact, strict=True)]))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise InputError("approximate search needs FAISS: pip install 'mmr-kit[fast]' (or faiss-cpu), or use Collection.search, which is exact") from None
    return faiss
