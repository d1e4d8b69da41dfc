"""The paper's three ways to retrieve (section 3): BE alone, CE over every pair, and retrieve with BE, rerank with CE."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.contracts import Dataset, Model, Progress
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.rerank import score_candidates, score_pairs
from mmr_kit.retrieval.search import search
from mmr_kit.retrieval.searcher import Searcher

DEPTH = 100  # candidates kept of a ranking over the whole collection; R@M needs 10


def retrieve(model: Model, dataset: Dataset, direction: str, k: int = 20, rerank: Model | None = None) -> Ranking:
    """The k best candidates of each query by the embeddings of `model`, in the order of `rerank`'s match probability where it is given.

    direction: "image_retrieval" (caption -> images) or "text_retrieval" (image -> captions).
    """
    if direction not in DIRECTIONS:
        raise InputError(f"no direction {direction!r}; there are {' and '.join(DIRECTIONS)}")
    ranking = bi_encode(model, dataset, k)[direction]
    return score_candidates(rerank, dataset, [ranking])[0].ranking(k) if rerank is not None else ranking


def search_images(caption: str, retriever: Model, dataset: Dataset, k: int = 20, reranker: Model | None = None) -> tuple[Ranking, Ranking]:
    """The k images nearest to a caption of one's own, and the same in the order of the match probability; one query each, with id "query"."""
    answer = Searcher(dataset, retriever).ask("image_retrieval", caption, k, reranker or retriever)
    assert answer.retrieved is not None
    return answer.retrieved, answer.ranking


def bi_encode(model: Model, dataset: Dataset, k: int = DEPTH) -> dict[str, Ranking]:
    """BE in both directions: each caption and each image is embedded once. Each query is searched for in its own gallery of the data set."""
    return _joined([_bi_encode(model, gallery, k) for gallery in dataset.galleries()])


def _bi_encode(model: Model, dataset: Dataset, k: int) -> dict[str, Ranking]:
    images = model.embed_images([dataset.regions[image_id] for image_id in dataset.image_ids])
    captions = model.embed_texts(dataset.texts)
    return {"image_retrieval": _nearest("image_retrieval", dataset, captions, images, k),
            "text_retrieval": _nearest("text_retrieval", dataset, images, captions, k)}


def cooperate(retriever: Model, reranker: Model, dataset: Dataset, k: int = 20) -> dict[str, Ranking]:
    """SEP+COOP (two models) or JOINT+COOP (twice the same) in both directions; sections 3.3 and 3.4."""
    retrieved = bi_encode(retriever, dataset, k)
    return {scored.direction: scored.ranking(k) for scored in score_candidates(reranker, dataset, list(retrieved.values()))}


def cross_encode(model: Model, dataset: Dataset, progress: Progress | None = None) -> dict[str, Ranking]:
    """CE alone (equation 1): every caption with every image of its gallery, once; the grid serves both directions."""
    galleries = dataset.galleries()
    pairs = [len(gallery.texts) * len(gallery.image_ids) for gallery in galleries]
    return _joined([_cross_encode(model, gallery, _after(sum(pairs[:place]), sum(pairs), progress)) for place, gallery in enumerate(galleries)])


def _cross_encode(model: Model, dataset: Dataset, progress: Progress | None) -> dict[str, Ranking]:
    captions, images = shape = len(dataset.texts), len(dataset.image_ids)

    def of_queries() -> Iterator[np.ndarray]:
        yield from (caption * images + np.arange(images) for caption in range(captions))
        yield from (np.arange(captions) * images + image for image in range(images))

    grid = score_pairs(model, dataset, captions * images, lambda pairs: np.divmod(pairs, images), of_queries, progress).reshape(shape)
    return {direction: _ranked(direction, dataset, grid if direction == "image_retrieval" else grid.T) for direction in DIRECTIONS}


def _after(before: int, total: int, progress: Progress | None) -> Progress:
    """The progress of a part of the work, told as that of the whole."""

    def report(done: int, _: int) -> None:
        if progress is not None:
            progress(before + done, total)

    return report


def _joined(galleries: list[dict[str, Ranking]]) -> dict[str, Ranking]:
    return galleries[0] if len(galleries) == 1 else {direction: Ranking.joined([of[direction] for of in galleries]) for direction in galleries[0]}


def _nearest(direction: str, dataset: Dataset, queries: np.ndarray, items: np.ndarray, k: int) -> Ranking:
    """Search in the order of the item ids, so that ties at the k-th place are broken by id too."""
    query_ids, item_ids = dataset.query_ids(direction), dataset.item_ids(direction)
    order = np.argsort(np.asarray(item_ids), kind="stable")
    rows, scores = search(queries[: len(query_ids)], items[order], k)
    return Ranking(direction, query_ids, [[item_ids[order[row]] for row in best] for best in rows], list(scores))


def _ranked(direction: str, dataset: Dataset, scores: np.ndarray) -> Ranking:
    query_ids, item_ids = dataset.query_ids(direction), dataset.item_ids(direction)
    return Ranking.from_scores(direction, query_ids, [item_ids] * len(query_ids), list(scores[: len(query_ids)]), DEPTH)
