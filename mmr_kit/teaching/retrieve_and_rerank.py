"""Lesson 3: candidates, R@M and its ceiling, the latency budget (paper, sections 3.3 and 6)."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from mmr_kit.teaching.exercises import Exercise


def _query(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """What BE and CE say of the ten images of a collection, and k."""
    return rng.uniform(size=10), rng.uniform(size=10), int(rng.integers(3, 7))


def _reranked(cosines: np.ndarray, matches: np.ndarray, k: int) -> np.ndarray:
    candidates = np.argsort(-cosines)[:k]
    return candidates[np.argsort(-matches[candidates])]


def _of_ranks(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    return rng.integers(1, 12, size=8), int(rng.choice([1, 5, 10]))


def _of_ceiling(rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    ranks, (k, at, _) = rng.integers(1, 30, size=8), rng.permutation(np.array([5, 10, 20])).tolist()
    return ranks, k, at


def _budget(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A budget, which may be too small for the search alone, and seconds of embedding, search and a pair."""
    return tuple(float(rng.uniform(*limits)) for limits in ((0.005, 0.1), (0.002, 0.01), (0.001, 0.02), (0.001, 0.004)))  # type: ignore[return-value]


EXERCISES = {
    "retrieve_and_rerank": Exercise(
        truth=_reranked,
        draw=_query,
        mistakes={
            "the candidates stand in the BE's order; the second step is missing": lambda cosines, matches, k: np.argsort(-cosines)[:k],
            "these are places among the candidates; translate them back into images of the collection": lambda cosines, matches, k: np.argsort(
                -matches[np.argsort(-cosines)[:k]]
            ),
            "the CE has looked at the whole collection; it may see the k candidates only": lambda cosines, matches, k: np.argsort(-matches)[:k],
            "you sorted ascending in the second step: the worst candidate stands first": lambda cosines, matches, k: _reranked(cosines, -matches, k),
            "you sorted ascending in the first step: these are the k worst candidates": lambda cosines, matches, k: _reranked(-cosines, matches, k),
            "there are more than k candidates, all are ordered": lambda cosines, matches, k: np.argsort(-matches),
        },
        remark="That is SEP+COOP, and with one model for both JOINT+COOP.",
    ),
    "recall": Exercise(
        truth=lambda ranks, m: 100 * np.mean(ranks <= m),
        draw=_of_ranks,
        mistakes={
            "the place m itself counts, too": lambda ranks, m: 100 * np.mean(ranks < m),
            "this is a share; give percent": lambda ranks, m: np.mean(ranks <= m),
            "this is a number of queries; give the percentage of them": lambda ranks, m: np.sum(ranks <= m),
            "only place m itself is counted; all places up to m are hits": lambda ranks, m: 100 * np.mean(ranks == m),
            "these are the misses": lambda ranks, m: 100 * np.mean(ranks > m),
        },
        remark="Elsewhere it is called success@M or hit rate.",
    ),
    "perfect_reranker": Exercise(
        truth=lambda be_ranks, k, m: 100 * np.mean(be_ranks <= max(k, m)),
        draw=_of_ceiling,
        mistakes={
            "for m > k the places k + 1 to m count as well: they keep the BE's order": lambda be_ranks, k, m: 100 * np.mean(be_ranks <= k),
            "this is what BE alone reaches; a perfect reranker puts any right image among the first k in first place": lambda be_ranks, k, m: 100
            * np.mean(be_ranks <= m),
            "the reranker may fetch from place k what belongs to the first m: not the smaller of k and m counts": lambda be_ranks, k, m: 100
            * np.mean(be_ranks <= min(k, m)),
            "this is a share; give percent": lambda be_ranks, k, m: np.mean(be_ranks <= max(k, m)),
        },
        remark="No reranker can do better: what BE does not find is lost.",
    ),
    "largest_k": Exercise(
        truth=lambda budget, embedding, search, pair: max(0, floor((budget - embedding - search) / pair)),
        draw=_budget,
        mistakes={
            "where the budget does not even pay for the search, k is 0, not negative": lambda budget, embedding, search, pair: floor(
                (budget - embedding - search) / pair
            ),
            "rounded up, the last pair is late; round down": lambda budget, embedding, search, pair: max(0, ceil((budget - embedding - search) / pair)),
            "this is no whole number of pairs": lambda budget, embedding, search, pair: max(0.0, (budget - embedding - search) / pair),
            "the search is not paid for": lambda budget, embedding, search, pair: max(0, floor((budget - embedding) / pair)),
            "the embedding of the query is not paid for": lambda budget, embedding, search, pair: max(0, floor((budget - search) / pair)),
            "neither embedding nor search is paid for": lambda budget, embedding, search, pair: floor(budget / pair),
        },
        remark="The size of the collection enters through the search alone.",
    ),
}
