"""Reranking (paper, section 3.3): CE reads each query with the k candidates that BE retrieved; the two scores alone or combined give the order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.contracts import Dataset, Model, Progress
from mmr_kit.retrieval.ranking import Ranking
from mmr_kit.retrieval.settling import Lists, settle

PAIRS_AT_ONCE = 20_000  # bounds memory, and how often progress is reported
AS_RELEASED = "NORM_ADD as released"
Rows = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Candidates:
    """What BE retrieved for each query, best first, and what CE says of it: all that the ranking of any smaller k and any combination needs.

    direction, query_ids, candidate_ids: as in `Ranking`. cosines, matches: float32, one array a query. images: queries that the released evaluation code
    reranked when it combined normalised scores; see `COMBINATIONS`.
    """

    direction: str
    query_ids: list[str]
    candidate_ids: list[list[str]]
    cosines: list[np.ndarray]
    matches: list[np.ndarray]
    images: int

    def ranking(self, k: int, combination: str = "none", weight: float = 0.0) -> Ranking:
        """The first k candidates of each query in the order of the combined score; weight is the paper's lambda, the share of the BE's score."""
        if combination not in COMBINATIONS:
            raise InputError(f"no score combination {combination!r}; there are {', '.join(COMBINATIONS)}")
        if k < 1 or not 0 <= weight <= 1:
            raise InputError(f"k is {k} and lambda {weight}: k must be at least 1, lambda in [0, 1]")
        items = [candidates[:k] for candidates in self.candidate_ids]
        cosines, matches = ([values[:k] for values in scores] for scores in (self.cosines, self.matches))
        combined = [COMBINATIONS[combination](e, c, weight) for e, c in zip(cosines, matches, strict=True)]
        if combination == AS_RELEASED and self.direction == "image_retrieval":
            combined[self.images :] = cosines[self.images :]
        return Ranking.from_scores(self.direction, self.query_ids, items, combined)


def add(cosines: np.ndarray, matches: np.ndarray, weight: float) -> np.ndarray:
    """ADD (equation 3): lambda * cosine + (1 - lambda) * match probability."""
    return weight * cosines + (1 - weight) * matches


def norm_add(cosines: np.ndarray, matches: np.ndarray, weight: float) -> np.ndarray:
    """NORM_ADD: ADD of the scores normalised to [0, 1] among the candidates of the query."""
    return add(_normalised(cosines, cosines.min()), _normalised(matches, matches.min()), weight)


def norm_add_as_released(cosines: np.ndarray, matches: np.ndarray, weight: float) -> np.ndarray:
    """NORM_ADD as the authors' released code has it: the lower bound taken from the cosines is |min|, not min.

    In image retrieval its loop runs over the images where it should run over the captions, so only as many caption queries as there are images are
    reranked, one in five, and the others keep the BE's order (see results/paper/errata.csv).
    """
    return add(_normalised(cosines, abs(cosines.min())), _normalised(matches, matches.min()), weight)


COMBINATIONS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "none": lambda cosines, matches, weight: matches,
    "ADD": add,
    "NORM_ADD": norm_add,
    AS_RELEASED: norm_add_as_released,
}


def _normalised(scores: np.ndarray, low: np.floating[Any]) -> np.ndarray:
    """(scores - low) / (max - low); 0 where all are alike."""
    width = scores.max() - low
    return (scores - low) / width if width > 0 else np.zeros_like(scores)


def score_candidates(model: Model, dataset: Dataset, rankings: Sequence[Ranking], progress: Progress | None = None) -> list[Candidates]:
    """The match probability of `model` for every candidate of each ranking; a pair that occurs in several rankings is scored once."""
    caption_row = {caption_id: row for row, caption_id in enumerate(dataset.caption_ids)}
    image_row = {image_id: row for row, image_id in enumerate(dataset.image_ids)}
    per_ranking = []
    for ranking in rankings:
        flipped = ranking.direction == "text_retrieval"
        pairs = [(item, query) if flipped else (query, item) for query, items in zip(ranking.query_ids, ranking.candidate_ids, strict=True) for item in items]
        per_ranking.append(np.array([(caption_row[caption], image_row[image]) for caption, image in pairs]))
    unique, back = np.unique(np.concatenate(per_ranking), axis=0, return_inverse=True)
    counts = [len(items) for ranking in rankings for items in ranking.candidate_ids]
    of_queries = np.split(back.ravel(), np.cumsum(counts)[:-1])
    scores = score_pairs(model, dataset, len(unique), lambda pairs: (unique[pairs, 0], unique[pairs, 1]), lambda: of_queries, progress)
    scored, images = [], len(dataset.query_ids("text_retrieval"))
    matches = iter([scores[pairs] for pairs in of_queries])
    for ranking in rankings:
        of_ranking = [next(matches) for _ in ranking.query_ids]
        scored.append(Candidates(ranking.direction, ranking.query_ids, ranking.candidate_ids, ranking.scores, of_ranking, images))
    return scored


def score_pairs(model: Model, dataset: Dataset, count: int, rows: Rows, lists: Lists, progress: Progress | None = None) -> np.ndarray:
    """Match probabilities (count,); rows(pair numbers) -> their caption rows and image rows in the data set.

    lists() -> the pairs of each query. Where `model` computes in low precision, its float32 self settles which of nearly equal ones is first (see `settling`).
    """
    scores = _score_pairs(model, dataset, count, rows, progress)
    settle(model, scores, lists, lambda itself, pairs: _score_pairs(itself, dataset, len(pairs), lambda some: rows(pairs[some])))
    return scores


def _score_pairs(model: Model, dataset: Dataset, count: int, rows: Rows, progress: Progress | None = None) -> np.ndarray:
    """A bounded number of pairs at a time."""
    texts, image_ids = dataset.texts, dataset.image_ids
    scores = np.empty(count, dtype=np.float32)
    for start in range(0, count, PAIRS_AT_ONCE):
        pairs = np.arange(start, min(start + PAIRS_AT_ONCE, count))
        captions, images = rows(pairs)
        regions = {row: dataset.regions[image_ids[row]] for row in np.unique(images)}
        scores[pairs] = model.score_pairs([texts[row] for row in captions], [regions[row] for row in images])
        if progress is not None:
            progress(min(start + PAIRS_AT_ONCE, count), count)
    if not np.isfinite(scores).all():
        raise InputError("match probabilities hold NaN or infinite values; the model or the region features are broken")
    return scores
