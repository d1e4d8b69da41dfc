"""How sure we are of a mean over queries: the bootstrap over images.

The five captions of a photograph are no five independent questions, nor are the two directions or the languages in which the same photographs are asked for:
what is hard about a photograph is hard in all of them. So what is drawn is images, each with all its queries. `by_image` takes the queries of each image
together, and everything else here counts images: values are (seeds, images).
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


def by_image(values: np.ndarray, images: Sequence[str]) -> np.ndarray:
    """Values of queries (seeds, queries, ...) taken together for each image, float (seeds, images, ...), images in the order of their ids.

    images: the image of each query. Where all have equally many queries, what stands for an image is the mean of its queries. Else it is the linearised ratio
    of the sums to the numbers of queries: an image with more queries weighs more, the mean over images stays the mean over queries, and that a resample draws
    more or fewer queries is no source of chance.
    """
    ids, rows = np.unique(np.asarray(images), return_inverse=True)
    if len(rows) != values.shape[1]:
        raise InputError(f"{len(rows)} images were given for {values.shape[1]} queries")
    values, order, share = np.asarray(values, dtype=np.float64), np.argsort(rows, kind="stable"), len(ids) / len(rows)
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    sums = np.add.reduceat(values[:, order], starts, axis=1) * share
    extra = np.bincount(rows) * share - 1  # queries of an image beyond those of the mean image, as a share of these
    return sums - extra.reshape(1, -1, *[1] * (values.ndim - 2)) * values.mean(axis=1, keepdims=True)


def bootstrap_interval(values: np.ndarray, images: Sequence[str] | None = None) -> Interval:
    """Mean and 95% percentile interval of values (seeds, images) or (images,), resampling images and, where there are several, seeds.

    images: of each query, where the values are those of queries.

    One draw of images serves all seeds, as they answer the same questions; so a mean over seeds does not pretend to more images than there are.
    With few seeds the spread between them is understated (by the factor (seeds - 1) / seeds of its variance). The generator's seed is fixed.
    """
    return stratified_interval([values if images is None else by_image(np.atleast_2d(values), images)])


def stratified_interval(strata: Sequence[np.ndarray]) -> Interval:
    """The mean over strata of each stratum's mean (all of one weight), and its interval; strata: values (seeds, images) each.

    A stratum is a direction or a language. One draw of images serves all strata of equally many images, which are taken to be the same ones in the same order;
    others are drawn on their own. One draw of seeds serves all, as a seed is one training.
    For the difference of two methods give the differences on the same images, see `differences`.
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
    for each in strata:
        values = np.atleast_2d(np.asarray(each, dtype=np.float64))
        if values.ndim != 2 or values.size == 0:
            raise InputError(f"the bootstrap needs values of shape (seeds, images), not {values.shape}")
        seeds, images = values.shape
        weights, sums = _counts(images, "units"), np.empty((RESAMPLES, seeds))
        for start in range(0, RESAMPLES, 100):
            sums[start : start + 100] = weights[start : start + 100].astype(np.float64) @ values.T
        means += np.einsum("rs,rs->r", sums, _counts(seeds, "seeds")) / (images * seeds)
    return means / len(strata)


def paired_bootstrap(a: np.ndarray, b: np.ndarray) -> Interval:
    """Mean of a - b and its 95% interval; a and b (seeds, images) are of the same images in the same order, seed i of one beside seed i of the other."""
    return stratified_interval(differences([a], [b]))


def differences(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[np.ndarray]:
    """a - b stratum by stratum, float (seeds, images); InputError where the two are not of the same images under the same seeds."""
    shapes = [[np.atleast_2d(values).shape for values in side] for side in (a, b)]
    if shapes[0] != shapes[1]:
        raise InputError(f"a paired comparison needs the same seeds and images on both sides, not {shapes[0]} and {shapes[1]}")
    return [np.atleast_2d(np.subtract(of_a, of_b, dtype=np.float64)) for of_a, of_b in zip(a, b, strict=True)]


@lru_cache(maxsize=12)
def _counts(n: int, what: str) -> np.ndarray:
    """How often each of n things comes in each resample: uint8 (RESAMPLES, n), always the same, so that tables are stable.

    what: "units" (images, or whatever else stands in their place) or "seeds", which are drawn apart.
    """
    generator = np.random.default_rng(["units", "seeds"].index(what))
    counts = np.empty((RESAMPLES, n), dtype=np.uint8)  # a count above 255 does not happen: it is about Poisson(1)
    for row in counts:
        row[:] = np.bincount(generator.integers(n, size=n, dtype=np.int32), minlength=n)
    return counts
