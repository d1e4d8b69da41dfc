"""The paper's three ways to retrieve (section 3): BE alone, CE over every pair, and retrieve with BE, rerank with CE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.search import search

DEPTH = 100  # candidates kept of a ranking over the whole collection; R@M needs 10
PAIRS_AT_ONCE = 20_000  # bounds memory, and how often progress is reported
Progress = Callable[[int, int], None]


class Model(Protocol):
    """What retrieval needs of a model; see `RetrievalModel`."""

    def embed_texts(self, captions: Sequence[str]) -> np.ndarray: ...
    def embed_images(self, images: Sequence[Any]) -> np.ndarray: ...
    def score_pairs(self, captions: Sequence[str], images: Sequence[Any]) -> np.ndarray: ...


class Dataset(Protocol):
    """What retrieval needs of a data set; see `RetrievalDataset`."""

    @property
    def image_ids(self) -> list[str]: ...
    @property
    def caption_ids(self) -> list[str]: ...
    @property
    def texts(self) -> list[str]: ...
    @property
    def regions(self) -> Mapping[str, Any]: ...
    def query_ids(self, direction: str) -> list[str]: ...
    def item_ids(self, direction: str) -> list[str]: ...


def retrieve(model: Model, dataset: Dataset, direction: str, k: int = 20, rerank: Model | None = None) -> Ranking:
    """The k best candidates of each query by the embeddings of `model`, in the order of `rerank`'s match probability where it is given.

    direction: "image_retrieval" (caption -> images) or "text_retrieval" (image -> captions).
    """
    if direction not in DIRECTIONS:
        raise InputError(f"no direction {direction!r}; there are {' and '.join(DIRECTIONS)}")
    ranking = bi_encode(model, dataset, k)[direction]
    return rerank_all(rerank, dataset, [ranking])[0] if rerank is not None else ranking


def search_images(caption: str, retriever: Model, dataset: Dataset, k: int = 20, reranker: Model | None = None) -> tuple[Ranking, Ranking]:
    """The k images nearest to a caption of one's own, and the same in the order of the match probability; one query each, with id "query"."""
    if not caption.strip():
        raise InputError("the caption is empty; describe what to look for")
    images = sorted(dataset.image_ids)
    rows, cosines = search(retriever.embed_texts([caption]), retriever.embed_images([dataset.regions[image_id] for image_id in images]), k)
    found = [images[row] for row in rows[0]]
    matches = (reranker or retriever).score_pairs([caption] * len(found), [dataset.regions[image_id] for image_id in found])
    retrieved = Ranking("image_retrieval", ["query"], [found], [cosines[0]])
    return retrieved, Ranking.from_scores("image_retrieval", ["query"], [found], [matches])


def bi_encode(model: Model, dataset: Dataset, k: int = DEPTH) -> dict[str, Ranking]:
    """BE in both directions: each caption and each image is embedded once."""
    images = model.embed_images([dataset.regions[image_id] for image_id in dataset.image_ids])
    captions = model.embed_texts(dataset.texts)
    return {"image_retrieval": _nearest("image_retrieval", dataset, captions, images, k),
            "text_retrieval": _nearest("text_retrieval", dataset, images, captions, k)}


def cooperate(retriever: Model, reranker: Model, dataset: Dataset, k: int = 20, progress: Progress | None = None) -> dict[str, Ranking]:
    """SEP+COOP (two models) or JOINT+COOP (twice the same) in both directions; sections 3.3 and 3.4."""
    candidates = bi_encode(retriever, dataset, k)
    return dict(zip(DIRECTIONS, rerank_all(reranker, dataset, [candidates[direction] for direction in DIRECTIONS], progress), strict=True))


def cross_encode(model: Model, dataset: Dataset, progress: Progress | None = None) -> dict[str, Ranking]:
    """CE alone (equation 1): every caption with every image, once; the grid serves both directions."""
    regions = [dataset.regions[image_id] for image_id in dataset.image_ids]
    shape = len(dataset.texts), len(regions)
    grid = _score(model, dataset.texts, regions, shape[0] * shape[1], lambda pairs: np.divmod(pairs, len(regions)), progress).reshape(shape)
    return {direction: _ranked(direction, dataset, grid if direction == "image_retrieval" else grid.T) for direction in DIRECTIONS}


def rerank_all(model: Model, dataset: Dataset, rankings: Sequence[Ranking], progress: Progress | None = None) -> list[Ranking]:
    """Order the candidates of each ranking by the match probability of `model`; a pair that occurs in several rankings is scored once."""
    caption_row = {caption_id: row for row, caption_id in enumerate(dataset.caption_ids)}
    image_row = {image_id: row for row, image_id in enumerate(dataset.image_ids)}
    per_ranking = []
    for ranking in rankings:
        flipped = ranking.direction == "text_retrieval"
        pairs = [(item, query) if flipped else (query, item) for query, items in zip(ranking.query_ids, ranking.candidate_ids, strict=True) for item in items]
        per_ranking.append(np.array([(caption_row[caption], image_row[image]) for caption, image in pairs]))
    unique, back = np.unique(np.concatenate(per_ranking), axis=0, return_inverse=True)
    regions = [dataset.regions[image_id] for image_id in dataset.image_ids]
    scores = _score(model, dataset.texts, regions, len(unique), lambda pairs: (unique[pairs, 0], unique[pairs, 1]), progress)[back.ravel()]
    reranked, start = [], 0
    for ranking in rankings:
        counts = [len(items) for items in ranking.candidate_ids]
        split = np.split(scores[start : start + sum(counts)], np.cumsum(counts)[:-1])
        reranked.append(Ranking.from_scores(ranking.direction, ranking.query_ids, ranking.candidate_ids, split))
        start += sum(counts)
    return reranked


def _score(model: Model, texts: Sequence[str], regions: Sequence[Any], count: int, rows: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
           progress: Progress | None) -> np.ndarray:
    """Match probabilities (count,), a bounded number of pairs at a time; rows(pair numbers) -> their caption rows and image rows."""
    scores = np.empty(count, dtype=np.float32)
    for start in range(0, count, PAIRS_AT_ONCE):
        pairs = np.arange(start, min(start + PAIRS_AT_ONCE, count))
        captions, images = rows(pairs)
        scores[pairs] = model.score_pairs([texts[row] for row in captions], [regions[row] for row in images])
        if progress is not None:
            progress(min(start + PAIRS_AT_ONCE, len(scores)), len(scores))
    if not np.isfinite(scores).all():
        raise InputError("match probabilities hold NaN or infinite values; the model or the region features are broken")
    return scores


def _nearest(direction: str, dataset: Dataset, queries: np.ndarray, items: np.ndarray, k: int) -> Ranking:
    """Search in the order of the item ids, so that ties at the k-th place are broken by id too."""
    query_ids, item_ids = dataset.query_ids(direction), dataset.item_ids(direction)
    order = np.argsort(np.asarray(item_ids), kind="stable")
    rows, scores = search(queries[: len(query_ids)], items[order], k)
    return Ranking(direction, query_ids, [[item_ids[order[row]] for row in best] for best in rows], list(scores))


def _ranked(direction: str, dataset: Dataset, scores: np.ndarray) -> Ranking:
    query_ids, item_ids = dataset.query_ids(direction), dataset.item_ids(direction)
    return Ranking.from_scores(direction, query_ids, [item_ids] * len(query_ids), list(scores[: len(query_ids)]), DEPTH)
