"""R@M and mR.

The naming trap: `R@M` of the image-text literature, and so of this kit, is the share of queries with *at least one* relevant item among the first M.
Elsewhere that is success@M or hit rate (ir-measures `Success@M`, ranx `hit_rate@M`). It is not |relevant in the first M| / |relevant|, which other tools
call recall: an image with five captions of which one stands first has R@1 = 1 here and 0.2 there. (With one relevant item a query, as in image retrieval,
both agree.)

Nothing here depends on the direction: queries and items are ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.ranking import Ranking

AT = (1, 5, 10)  # the paper's M


class HasRelevance(Protocol):
    """What `recall` needs of a data set."""

    def relevance(self, direction: str) -> Mapping[str, Collection[str]]: ...


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
