"""R@M, mR, and how sure we are of them.

The naming trap: `R@M` of the image-text literature, and so of this kit, is the share of queries with *at least one* relevant item among the first M.
Elsewhere that is success@M or hit rate (ir-measures `Success@M`, ranx `hit_rate@M`). It is not |relevant in the first M| / |relevant|, which other tools
call recall: an image with five captions of which one stands first has R@1 = 1 here and 0.2 there. (With one relevant item a query, as in image retrieval,
both agree.)

Nothing here depends on the direction: queries and items are ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.ranking import Ranking

AT = (1, 5, 10)  # the paper's M
RESAMPLES = 2000
LEVEL = 0.95


class HasRelevance(Protocol):
    """What `recall` needs of a data set."""

    def relevance(self, direction: str) -> Mapping[str, Collection[str]]: ...


class Interval(NamedTuple):
    """A mean and its 95% bootstrap interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def first_relevant(ranking: Ranking, relevance: Mapping[str, Collection[str]]) -> np.ndarray:
    """Place of the first relevant item of each query, from 1; one more than the number of candidates where none was retrieved. int (queries,).

    A query without any relevant item has no answer to find: InputError.
    """
    places = np.empty(len(ranking.query_ids), dtype=np.int64)
    for row, (query, candidates) in enumerate(zip(ranking.query_ids, ranking.candidate_ids, strict=True)):
        relevant = relevance.get(query)
        if not relevant:
            raise InputError(f"query {query!r} ({ranking.direction}) has no relevant item: leave it out of the data set, or add its pair")
        places[row] = next((place for place, item in enumerate(candidates, start=1) if item in relevant), len(candidates) + 1)
    return places


def success(ranking: Ranking, relevance: Mapping[str, Collection[str]], at: Sequence[int] = AT) -> np.ndarray:
    """Whether a relevant item stands among the first M of each query: bool (queries, len(at)). One that was not retrieved counts as a miss."""
    if not at or min(at) < 1:
        raise InputError(f"R@M needs M >= 1, not {list(at)}")
    retrieved = np.array([len(candidates) for candidates in ranking.candidate_ids])
    places = first_relevant(ranking, relevance)
    return (places[:, None] <= np.asarray(at)) & (places <= retrieved)[:, None]


def recall(ranking: Ranking, dataset: HasRelevance, at: Sequence[int] = AT) -> dict[str, float]:
    """{"R@1": 45.2, ...} in percent, over the queries of the ranking."""
    if not ranking.query_ids:
        raise InputError("R@M of a ranking without queries is not defined")
    hits = success(ranking, dataset.relevance(ranking.direction), at)
    return {f"R@{m}": 100 * float(share) for m, share in zip(at, hits.mean(axis=0), strict=True)}


def mean_recall(*recalls: Mapping[str, float]) -> float:
    """mR: the mean of R@1, R@5 and R@10 over both directions (section 5); one mapping of `recall` a direction."""
    values = [each[f"R@{m}"] for each in recalls for m in AT]
    if not values:
        raise InputError("mR needs the recalls of at least one direction")
    return float(np.mean(values))


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
