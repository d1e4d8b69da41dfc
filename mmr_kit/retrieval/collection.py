"""A collection of embeddings that is searched again and again: in memory, or a folder on the disk that is larger than memory.

    Collection.build(folder, chunks)               # once; chunks: float32 arrays (some, width), of unit length for cosines
    rows, scores = Collection.open(folder).search(queries, 20)

The search is exact whatever the embeddings are. A first pass reads a byte a value (see `compact`); every item whose true score could be among the k best is
then scored from its float32 values. Where too many could be (near-duplicates by the thousand), the float32 values of all are read.

A score is the product in float64, rounded to float32: it depends on nothing but the query and the item, not on the other queries or items, on chunks or
threads. `search.search` rounds in its products already and may swap items whose scores differ by less (about 1e-6 for unit vectors).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mmr_kit.cache import atomic_write, sync
from mmr_kit.errors import InputError
from mmr_kit.retrieval.checks import checked_queries, float32_chunks, longest_item
from mmr_kit.retrieval.compact import Compact, Frame
from mmr_kit.retrieval.first_pass import GROUP, ROUNDING, largest
from mmr_kit.retrieval.mapped import Growing, Mapped, blocks

ABOUT = "collection.json"
FORMAT = 1
ROWS = 16_384  # read, encoded or scored at a time
CODES_AT_ONCE = 64 * 2**20  # bytes of a block of the first pass
QUERIES_AT_ONCE = 128  # of one pass, so that similarities stay bounded
DEPTHS = (512, 8192)  # of the first pass: what it may leave to be scored, and what the second attempt may
PLAIN_VALUES = 2**21  # up to so many values a plain product is about as fast as two passes (20,000 x 96: 1.2 ms against 0.8)
RESIDENT = 2**30  # bytes of codes that may stay in memory; of a larger collection each block is given back when it was read


class Collection:
    """Embeddings (n, width); `Collection.of`, `Collection.build` and `Collection.open` make one.

    scored: float32 items looked at by all searches so far, beside those of plain passes; plain: queries that needed a plain pass.
    """

    def __init__(self, vectors: np.ndarray, longest: float, compact: Compact | None, maps: tuple[Mapped, ...] = (), resident: int = RESIDENT) -> None:
        self.vectors, self._longest, self._compact, self._maps, self._resident = vectors, longest, compact, maps, resident
        self.scored = self.plain = 0

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        return self.vectors.shape[1]

    @classmethod
    def of(cls, vectors: np.ndarray) -> Collection:
        """Of embeddings (n, width) in memory, which are not copied where they are float32. A small one gets no codes: a plain product is faster."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        parts = [vectors[start : start + ROWS] for start in range(0, len(vectors), ROWS)] or [vectors]
        longest = max(longest_item(part, part.shape[-1]) for part in parts)
        if vectors.size <= PLAIN_VALUES:
            return cls(vectors, longest, None)
        frame = Frame.of(parts[0])
        codes, bounds = np.empty(vectors.shape, np.uint8), np.empty((len(vectors), 2), np.float32)
        for start, part in zip(range(0, len(vectors), ROWS), parts, strict=True):
            codes[start : start + ROWS], bounds[start : start + ROWS] = frame.encode(part)
        return cls(vectors, longest, Compact(frame, codes, bounds))

    @classmethod
    def build(cls, folder: Path, chunks: Iterable[np.ndarray]) -> Collection:
        """Write the embeddings of all chunks (arrays (some, width)) into a new folder, in bounded memory, and open it.

        The folder appears when it is complete. Raises InputError for a folder that is there, no embeddings, widths that differ, NaN, a full disk.
        """
        folder = Path(folder).absolute()
        if folder.exists():
            raise InputError(f"{folder}: is there already; remove it, or name another folder for the collection")
        partial = folder.with_name(f"{folder.name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(partial / "lock", timeout=0):
                try:
                    shutil.rmtree(partial / "collection", ignore_errors=True)  # of a process that was killed
                    (partial / "collection").mkdir()
                    _write(partial / "collection", chunks)
                    sync(partial / "collection")
                    os.rename(partial / "collection", folder)
                    sync(folder.parent)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        except Timeout:
            raise InputError(f"{folder}: another process is building this collection; wait for it, or name another folder") from None
        except OSError as fault:
            if fault.errno != errno.ENOSPC:
                raise
            raise InputError(f"{folder}: {fault.strerror}; make room on the disk (a collection takes 5 bytes a value)") from fault
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path, resident: int = RESIDENT) -> Collection:
        """What `build` wrote; at most about `resident` bytes of it stay in memory. Raises InputError, with the file, for what is missing or cut short."""
        folder = Path(folder)
        try:
            about = json.loads((folder / ABOUT).read_text())
            shape, step, longest = (int(about["items"]), int(about["width"])), float(about["step"]), float(about["longest"])
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, not {FORMAT}")
        except FileNotFoundError:
            raise InputError(f"{folder} holds no collection ({ABOUT} is missing); build one there, or name another folder") from None
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise InputError(f"{folder / ABOUT} is damaged ({fault}); build the collection again") from None
        vectors, codes = Mapped(folder / "vectors.npy"), Mapped(folder / "codes.npy")
        bounds, rotation, centre = (Mapped(folder / f"{name}.npy").array for name in ("bounds", "rotation", "centre"))
        for name, array, wanted in (("vectors", vectors.array, shape), ("codes", codes.array, shape), ("bounds", bounds, (shape[0], 2)),
                                    ("rotation", rotation, (2 * shape[1], rotation.shape[-1])), ("centre", centre, (1, shape[1]))):  # fmt: skip
            if array.shape != wanted or array.dtype != (np.uint8 if name == "codes" else np.float32):
                raise InputError(f"{folder / name}.npy holds {array.dtype} {array.shape}, not what {ABOUT} says; build the collection again")
        return cls(vectors.array, longest, Compact(Frame(centre[0], rotation.reshape(2, shape[1], -1), step), codes.array, bounds), (vectors, codes), resident)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best items of each query: rows int64 and scores float32, both (q, min(k, n)), best first; of equal scores the smaller row first.

        queries (q, width). Raises InputError for k below 1, another width, NaN. The answer is that of `search.search`; see above for the scores.
        """
        queries, k = checked_queries(queries, k, self.width), min(k, len(self))
        found = [self._search(queries[start : start + QUERIES_AT_ONCE], k) for start in range(0, len(queries), QUERIES_AT_ONCE)]
        if not found:
            return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        rows, scores = zip(*found, strict=True)
        return np.concatenate(rows), np.concatenate(scores)

    def release(self) -> None:
        """Give back the pages of the float32 values that were read; they stay in the operating system's cache."""
        for mapped in self._maps[:1]:
            mapped.release()

    def score(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Of one query (width,) with some items: the product in float64, rounded. float32 (rows,)."""
        items = self._maps[0].gather(rows) if self._maps else self.vectors[rows]
        with np.errstate(over="ignore"):
            return np.vecdot(items.astype(np.float64), query.astype(np.float64)).astype(np.float32)

    def _search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        best = [_Best(k) for _ in queries]
        open_ = list(range(len(queries)))  # queries whose answer is not known yet
        for depth in DEPTHS:
            if open_ and self._compact is not None and depth < len(self) and k <= depth // 4:
                open_ = [open_[place] for place in self._two_passes(self._compact, queries[open_], [best[number] for number in open_], depth)]
        if open_:
            self._plain_pass(queries[open_], [best[number] for number in open_])
        return np.stack([each.rows for each in best]), np.stack([each.scores for each in best])

    def _two_passes(self, compact: Compact, queries: np.ndarray, best: list[_Best], depth: int) -> list[int]:
        """Fill `best`; returns the places of the queries for which `depth` items of the first pass were not enough."""
        whole, factors, missed = compact.frame.whole_numbers(queries)
        rows, products = largest(self._blocks, whole, depth)
        slack = compact.slack(queries, missed, factors)
        shared = queries.astype(np.float64) @ compact.frame.centre.astype(np.float64)
        unfinished = []
        for place, (query, kept) in enumerate(zip(queries, best, strict=True)):
            upper = shared[place] + factors[place] * products[place] + slack[place]
            first = np.union1d(rows[place, : len(kept.rows)], compact.apart)
            kept.offer(first, self.score(query, first))
            if not upper[-1] < kept.floor():  # an item that the first pass left out might belong to the best, too
                unfinished.append(place)
                continue
            maybe = np.setdiff1d(rows[place, : int(np.searchsorted(-upper, -kept.floor(), side="right"))], first)
            kept.offer(maybe, self.score(query, maybe))
            self.scored += len(first) + len(maybe)
        return unfinished

    def _plain_pass(self, queries: np.ndarray, best: list[_Best]) -> None:
        """Float32 products with all items; those that rounding may have moved below the k best are scored."""
        self.plain += len(queries)
        single = np.finfo(np.float32)
        length = np.linalg.norm(queries.astype(np.float64), axis=1)
        slack = self.width * (1.01 * ROUNDING * length * self._longest + float(single.tiny) * (1 + length + self._longest))  # whatever the order of the sum
        slack[length * self._longest > float(single.max) / 2] = np.inf  # a sum may overflow on its way
        for start in range(0, len(self), ROWS):
            with np.errstate(over="ignore", invalid="ignore"):
                products = queries @ self.vectors[start : start + ROWS].T
            for query, kept, row, more in zip(queries, best, products, slack, strict=True):
                if start == 0:
                    first = np.argpartition(np.nan_to_num(-row), min(len(kept.rows), len(row)) - 1)[: len(kept.rows)]
                    kept.offer(first, self.score(query, first))
                with np.errstate(invalid="ignore"):  # inf - inf: not known to be below
                    maybe = start + np.flatnonzero(~(row + more < kept.floor()))
                kept.offer(maybe, self.score(query, maybe))
            self.release()

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        assert self._compact is not None
        codes = self._compact.codes
        rows = max(1, CODES_AT_ONCE // self.width // GROUP) * GROUP
        for start in range(0, len(codes), rows):
            yield start, codes[start : start + rows]
            if self._maps and codes.nbytes > self._resident:
                self._maps[1].release()


class _Best:
    """The k best items seen of one query."""

    def __init__(self, k: int) -> None:
        self.rows, self.scores = np.full(k, -1, dtype=np.int64), np.full(k, -np.inf, dtype=np.float32)

    def offer(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """Items may be offered again."""
        new = ~np.isin(rows, self.rows)
        rows, scores = np.concatenate([self.rows, rows[new]]), np.concatenate([self.scores, scores[new]])
        order = np.lexsort([rows, -scores, rows < 0])[: len(self.rows)]  # places that are still empty last
        self.rows, self.scores = rows[order], scores[order]

    def floor(self) -> float:
        """What is below it, before rounding, is not among the best, nor equal to the last of them after rounding."""
        return float(np.nextafter(self.scores[-1], np.float32(-np.inf)))


def _write(folder: Path, chunks: Iterable[np.ndarray]) -> None:
    frame, longest, items, files = None, 0.0, 0, {}
    for block in blocks(float32_chunks(chunks), ROWS):
        width = block.shape[1]
        longest = max(longest, longest_item(block, width))
        if frame is None:
            frame = Frame.of(block)
            files = {name: Growing(folder / f"{name}.npy", kind, columns) for name, kind, columns in (
                ("vectors", "<f4", width), ("codes", "|u1", width), ("bounds", "<f4", 2), ("centre", "<f4", width),
                ("rotation", "<f4", frame.rotation.shape[-1]))}  # fmt: skip
            files["centre"].append(frame.centre[None])
            files["rotation"].append(frame.rotation.reshape(-1, frame.rotation.shape[-1]))
        codes, bounds = frame.encode(block)
        for name, rows in (("vectors", block), ("codes", codes), ("bounds", bounds)):
            files[name].append(rows)
        items += len(block)
    if frame is None:
        raise InputError("the collection is empty; there is nothing to retrieve")
    for file in files.values():
        file.close()
    about = {"format": FORMAT, "items": items, "width": len(frame.centre), "step": frame.step, "longest": longest}
    atomic_write(folder / ABOUT, json.dumps(about, indent=1) + "\n")


