"""A ranking: for each query the best candidates, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DIRECTIONS = ("image_retrieval", "text_retrieval")


@dataclass(frozen=True)
class Ranking:
    """Best-first candidates of each query; equal scores stand in the order of their candidate ids, never by luck.

    direction: "image_retrieval" (caption -> images) or "text_retrieval" (image -> captions).
    query_ids: (queries,); candidate_ids: for each query its candidates, best first; scores: float32, one array a query, descending.
    """

    direction: str
    query_ids: list[str]
    candidate_ids: list[list[str]]
    scores: list[np.ndarray]

    @classmethod
    def joined(cls, parts: Sequence[Ranking]) -> Ranking:
        """The queries of all parts, of one direction, in turn; as deep as the shallowest of them."""
        depth = min((len(items) for part in parts for items in part.candidate_ids), default=0)
        return cls(parts[0].direction, [query for part in parts for query in part.query_ids],
                   [items[:depth] for part in parts for items in part.candidate_ids], [scores[:depth] for part in parts for scores in part.scores])

    @classmethod
    def from_scores(cls, direction: str, query_ids: Sequence[str], item_ids: Sequence[Sequence[str]], scores: Sequence[np.ndarray],
                    depth: int | None = None) -> Ranking:
        """Order each query's items (item_ids[q], same length as scores[q]) by falling score, then rising id, and keep the first `depth`."""
        candidates, ordered = [], []
        for ids, values in zip(item_ids, scores, strict=True):
            values = np.asarray(values, dtype=np.float32)
            order = np.lexsort((np.asarray(ids), -values))[:depth]
            candidates.append([ids[i] for i in order])
            ordered.append(values[order])
        return cls(direction, list(query_ids), candidates, ordered)
