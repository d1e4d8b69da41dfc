"""A byte a value in the place of four, and how far each item may be from its bytes: what lets a search read a quarter and still be exact.

An item x is stood for by centre + step * c R', where c are whole numbers from -127 to 127 and R is a rotation (R' turns back). The centre takes away what
all items share (trained embeddings lie in a narrow cone); the rotation spreads the few dimensions of large values that such embeddings have over many, so that
items and queries alike use all levels. For every query q, by Cauchy and Schwarz,

    |q x - (q centre + step * qR c)|  <=  |q| * error(x),       error(x) >= |x - centre - step * c R'|,

and whole numbers in the place of qR add at most |qR - its whole numbers| * |step * c|. `Compact.slack` adds both, and what
rounding may add. So an item can only be among the k best if what its whole numbers say, plus the slack, reaches the k-th best score found so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from mmr_kit.retrieval.first_pass import LEVELS, OFFSET, ROUNDING, rounding

GROUP = 128  # columns that are rotated among one another: enough to spread a large one, cheap to compute
REACH = 5.5  # standard deviations that the levels reach; what lies beyond (one value in 26 million of a normal distribution) is cut, and the error grows
DOUBLE_ROUNDING = 4 * 2.0**-53  # of products in float64: the true score's and the bound's
# Float32 sums of GROUP products are wrong by at most GROUP * 2^-24 * sqrt(GROUP) of the vector's length in each of two stages; the third is for the matrices,
# whose rounding changes lengths by less.
SLIP = 3 * GROUP**1.5 * ROUNDING
UNDERFLOW = 1e-18  # float32 squares of less than this may vanish


@dataclass(frozen=True)
class Frame:
    """What all items of a collection share: centre float32 (width,), step, and a rotation in two stages.

    rotation float32 (2, width, GROUP): of each stage, for each group of columns, its matrix. Between the stages the columns are dealt out to the groups anew,
    so that a large column is spread over all columns at a fraction of the cost of one matrix (width, width).
    """

    centre: np.ndarray
    rotation: np.ndarray
    step: float

    @classmethod
    def of(cls, sample: np.ndarray) -> Frame:
        """Fitted to some items (n, width); any frame is correct for any item, a good one has small errors."""
        width = sample.shape[1]
        rng = np.random.default_rng(0)
        rotation = np.zeros((2, width, min(GROUP, width)), dtype=np.float32)
        for stage in rotation:
            for group in _groups(width):
                size = group.stop - group.start
                stage[group, :size] = np.linalg.qr(rng.normal(size=(size, size)))[0]
        centre = sample.mean(0, dtype=np.float64).astype(np.float32)
        squares = np.mean((sample - centre.astype(np.float64)) ** 2, axis=1)
        spread = np.sqrt(np.quantile(squares, 0.9) or squares.mean())  # long items are not cut, but a few very long ones do not coarsen all others
        return cls(centre, rotation, float(np.float32(max(REACH * spread / LEVELS, np.finfo(np.float32).tiny))))

    def rotate(self, vectors: np.ndarray) -> np.ndarray:
        """(n, width) -> (n, width), in the precision of the vectors."""
        groups = _groups(vectors.shape[1])
        for stage in self.rotation:
            dealt = [vectors[:, number :: len(groups)] for number in range(len(groups))]
            vectors = np.hstack([part @ stage[group, : part.shape[1]].astype(part.dtype) for part, group in zip(dealt, groups, strict=True)])
        return vectors

    def encode(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bytes uint8 (n, width), and float32 (n, 2): upper bounds of each item's error (infinite where float32 overflows) and of the length of step * c."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = vectors - self.centre
            rotated = self.rotate(moved)
            values = np.clip(np.nan_to_num(np.rint(rotated / np.float32(self.step)), nan=0.0), -LEVELS, LEVELS)
            stood_for = values * np.float32(self.step)
            error = np.nan_to_num(_lengths(rotated - stood_for) + SLIP * _lengths(moved), nan=np.inf, posinf=np.inf)
            return (values + OFFSET).astype(np.uint8), np.stack([error, _lengths(stood_for)], axis=1).astype(np.float32)

    def whole_numbers(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of queries (n, width): int8 (n, width), the factor (n,) that turns their products with codes into products with items, and what they miss (n,)."""
        rotated = self.rotate(queries.astype(np.float64))
        peak = np.abs(rotated).max(1)
        unit = np.where(peak > 0, peak, 1.0) / LEVELS
        values = np.rint(rotated / unit[:, None])
        return values.astype(np.int8), unit * self.step, np.linalg.norm(rotated - values * unit[:, None], axis=1)


class Compact:
    """The frame of a collection, the bytes of its items uint8 (n, width), and their bounds float32 (n, 2): see `Frame.encode`."""

    def __init__(self, frame: Frame, codes: np.ndarray, bounds: np.ndarray, apart: int = 256) -> None:
        """At most `apart` items with an error far above the others' are looked at in every search, so that they need not widen the bound of all."""
        self.frame, self.codes = frame, codes
        errors = bounds[:, 0]
        limit = max(1.2 * float(np.median(errors)), float(np.partition(errors, -apart)[-apart]) if len(errors) > apart else 0.0)
        usual = errors <= limit
        self.apart = np.flatnonzero(~usual)
        self._error, self._length = (float(bounds[usual, column].max(initial=0)) for column in (0, 1))
        self._longest = float(np.linalg.norm(frame.centre.astype(np.float64))) + self._length + self._error

    def slack(self, queries: np.ndarray, missed: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """(queries,): by how much an item, but those `apart`, may be above what its whole numbers say."""
        width = queries.shape[1]
        length = np.linalg.norm(queries.astype(np.float64), axis=1)
        with np.errstate(invalid="ignore"):  # 0 * inf: nothing is known, and no comparison with it holds
            rounded = rounding(width) * factors + DOUBLE_ROUNDING * width * length * self._longest
            return (1 + SLIP) * (length * self._error + missed * self._length) + rounded


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Upper bounds of the Euclidean lengths (n,), float64."""
    squares = np.einsum("ij,ij->i", vectors, vectors).astype(np.float64)
    width = vectors.shape[1]
    return np.sqrt(squares) * (1 + (width + 4) * ROUNDING) + UNDERFLOW * np.sqrt(width)


def _groups(width: int) -> list[slice]:
    """Rows of the matrices of each group; the group of number i has every n-th column from i on, of n groups."""
    count = -(-width // GROUP)
    edges = [0, *accumulate(len(range(number, width, count)) for number in range(count))]
    return [slice(start, stop) for start, stop in pairwise(edges)]
