"""How sure we are of a mean over queries: the bootstrap.

"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmr_kit.errors import InputError

RESAMPLES = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and its 95% bootstrap interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: np.ndarray) -> Interval:
    """Mean and 95% percentile interval of values (seeds, queries) or (queries,), resampling queries and, where there are several, seeds.

    One draw of queries serves all seeds, as they answer the same questions; so a mean over seeds does not pretend to more queries than there are.
    With few seeds the spread between them is understated (by the factor (seeds - 1) / seeds of its variance). The generator's seed is fixed.
    """
    return stratified_interval([values])


def stratified_interval(strata: Sequence[np.ndarray]) -> Interval:
    """The mean over strata of each stratum's mean (all of one weight), and its interval; strata: values (seeds, queries of the stratum) each.

    The queries of each stratum (a direction, a language) are resampled on their own; one draw of seeds serves all, as a seed is one training.
    For the difference of two methods give the differences on the same queries, see `differences`.
    """
    return interval_of(bootstrap_means(strata), float(np.mean([np.mean(values, dtype=np.float64) for values in strata])))


def interval_of(draws: np.ndarray, mean: float) -> Interval:
    """A statistic of the sample with the 95% percentile interval of its resampled values."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def bootstrap_means(strata: Sequence[np.ndarray]) -> np.ndarray:
    """The resampled means behind `stratified_interval`: float (RESAMPLES,). Values of the same shapes are resampled alike, so that two calls are paired."""
    means = np.zeros(RESAMPLES)
    if not strata:
        raise InputError("the bootstrap needs at least one stratum")
    seeds_of = {np.atleast_2d(values).shape[0] for values in strata}
    if len(seeds_of) > 1:
        raise InputError(f"all strata need the same seeds, not {sorted(seeds_of)} of them")
    for number, values in enumerate(strata):
        values = np.atleast_2d(np.asarray(values))
        if values.ndim != 2 or values.size == 0:
            raise InputError(f"the bootstrap needs values of shape (seeds, queries), not {values.shape}")
        seeds, queries = values.shape
        per_seed = np.asarray(values, dtype=np.float32)  # sums of 0, 1 and -1 stay exact below 2^24 queries
        weights = _counts(queries, seed=number + (number > 0))  # seed 1 draws the seeds
        sums = np.empty((RESAMPLES, seeds))
        for start in range(0, RESAMPLES, 100):
            sums[start : start + 100] = weights[start : start + 100].astype(np.float32) @ per_seed.T
        means += np.einsum("rs,rs->r", sums, _counts(seeds, seed=1)) / (queries * seeds)
    return means / len(strata)


def paired_bootstrap(a: np.ndarray, b: np.ndarray) -> Interval:
    """Mean of a - b and its 95% interval; a and b (seeds, queries) answer the same queries in the same order, seed i of one beside seed i of the other."""
    return stratified_interval(differences([a], [b]))


def differences(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[np.ndarray]:
    """a - b stratum by stratum, float (seeds, queries); InputError where the two did not answer the same queries under the same seeds."""
    shapes = [[np.atleast_2d(values).shape for values in side] for side in (a, b)]
    if shapes[0] != shapes[1]:
        raise InputError(f"a paired comparison needs the same seeds and queries on both sides, not {shapes[0]} and {shapes[1]}")
    return [np.atleast_2d(np.subtract(of_a, of_b, dtype=np.float64)) for of_a, of_b in zip(a, b, strict=True)]


@lru_cache(maxsize=12)
def _counts(n: int, seed: int) -> np.ndarray:
    """How often each of n things is drawn in each resample: uint8 (RESAMPLES, n), the same for every call, so that tables are stable and cheap."""
    generator = np.random.default_rng(seed)
    counts = np.empty((RESAMPLES, n), dtype=np.uint8)  # a count above 255 does not happen: it is about Poisson(1)
    for row in counts:
        row[:] = np.bincount(generator.integers(n, size=n, dtype=np.int32), minlength=n)
    return counts
