"""How far two rankings of the same queries agree, ties and near-ties told apart from real differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 1e-5
"""Scores closer than this are near-ties: float32 sums of 768 products of unit vectors differ by up to about 1e-6 with the order of summation, and the
probabilities of a Transformer by some 1e-6 with the size of its batches."""


@dataclass(frozen=True)
class Agreement:
    """Two ways' first k of so many queries, as shares of the queries or of the places, from 0 to 1.

    overlap: mean share of the first k that both have. same_order: queries with the same k in the same order. excused: the queries without a difference or
    whose differences all lie between near-ties (of the first way's scores). tied, near_tied: neighbours among the first k of equal scores, and closer than
    NEAR. apart: the largest difference between the scores that the two ways give at one place.
    """

    overlap: float
    same_order: float
    excused: float
    tied: float
    near_tied: float
    apart: float
    queries: int


def agreement(rows: np.ndarray, scores: np.ndarray, other_rows: np.ndarray, other_scores: np.ndarray, near: float = NEAR) -> Agreement:
    """Compare two ways: rows int (queries, k), best first, and scores float (queries, k) of each."""
    overlap = np.mean([len(np.intersect1d(one, other)) / len(one) for one, other in zip(rows, other_rows, strict=True)])
    same = (rows == other_rows).all(axis=1)
    excused = [_only_near_ties(*query, near) for query in zip(rows, scores, other_rows, other_scores, strict=True)]
    gaps = -np.diff(scores, axis=1) if scores.shape[1] > 1 else np.full((len(scores), 1), np.inf)
    return Agreement(float(overlap), float(same.mean()), float(np.mean(excused)), float((gaps == 0).mean()), float((gaps < near).mean()),
                     float(np.abs(scores - other_scores).max()), len(rows))  # fmt: skip


def _only_near_ties(rows: np.ndarray, scores: np.ndarray, other_rows: np.ndarray, other_scores: np.ndarray, near: float) -> bool:
    """Whether each item of the other way stands where one of nearly its score stands; an item that only the other way has counts with that way's score."""
    score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    theirs = [score_of.get(row, score) for row, score in zip(other_rows.tolist(), other_scores.tolist(), strict=True)]
    return bool((np.abs(np.array(theirs) - scores) < near).all())
