"""One query at a time, over a collection that is embedded once: what each stage answers, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.contracts import Dataset, Model
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.rerank import Candidates
from mmr_kit.retrieval.search import search
from mmr_kit.retrieval.settling import settle

QUERY = "query"  # the id of the one query


@dataclass(frozen=True)
class Answer:
    """What became of one query, whose id is `QUERY`.

    retrieved: the k nearest by cosine; None where CE alone ranks. ranking: the final order; that of `retrieved` where BE alone ranks. seconds: wall time of
    the stages that took place, of "encoding the query", "search" and "reranking", or "scoring" where CE alone ranks.
    """

    retrieved: Ranking | None
    ranking: Ranking
    seconds: dict[str, float]


class Searcher:
    """Asks about one caption or one image at a time: BE (`retriever`), with a CE to rerank or without, or (None) a CE alone.

    The collection is embedded when a direction is first asked for, and never again.
    """

    def __init__(self, dataset: Dataset, retriever: Model | None = None) -> None:
        self.dataset, self.retriever = dataset, retriever
        self._texts = dict(zip(dataset.caption_ids, dataset.texts, strict=True))
        self._embedded: dict[str, tuple[list[str], np.ndarray]] = {}

    def ask(self, direction: str, query: Any, k: int = 20, rerank: Model | None = None, combination: str = "none", weight: float = 0.0) -> Answer:
        """The k best of the collection. query: a caption in "image_retrieval", the regions of an image in "text_retrieval".

        combination, weight: of the two scores, see `Candidates.ranking`. Raises InputError for an empty caption, and where there is neither BE nor CE.
        """
        if direction not in DIRECTIONS:
            raise InputError(f"no direction {direction!r}; there are {' and '.join(DIRECTIONS)}")
        if isinstance(query, str) and not query.strip():
            raise InputError("the caption is empty; describe what to look for")
        seconds: dict[str, float] = {}
        if self.retriever is None:
            if rerank is None:
                raise InputError("name a retriever, a model that reranks, or both")
            items = self.dataset.item_ids(direction)
            with _timed(seconds, "scoring"):
                scores = self.matches(rerank, direction, query, items)
            return Answer(None, Ranking.from_scores(direction, [QUERY], [items], [scores], k), seconds)
        ids, embeddings = self.embedded(direction)
        with _timed(seconds, "encoding the query"):
            embedding = embed(self.retriever, direction != "image_retrieval", [query])
        with _timed(seconds, "search"):
            rows, cosines = search(embedding, embeddings, k)
        found = [ids[row] for row in rows[0]]
        retrieved = Ranking(direction, [QUERY], [found], [cosines[0]])
        if rerank is None:
            return Answer(retrieved, retrieved, seconds)
        with _timed(seconds, "reranking"):
            candidates = Candidates(direction, [QUERY], [found], [cosines[0]], [self.matches(rerank, direction, query, found)], 1)
            ranking = candidates.ranking(k, combination, weight)
        return Answer(retrieved, ranking, seconds)

    def embedded(self, direction: str) -> tuple[list[str], np.ndarray]:
        """Ids of what is searched, sorted, so that equal cosines stand in their order, and the embeddings (items, width); computed now if they are not yet."""
        assert self.retriever is not None
        if direction not in self._embedded:
            ids = sorted(self.dataset.item_ids(direction))
            self._embedded[direction] = ids, embed(self.retriever, direction == "image_retrieval", [self._content(direction, item) for item in ids])
        return self._embedded[direction]

    def matches(self, model: Model, direction: str, query: Any, items: Sequence[str]) -> np.ndarray:
        """Match probability (items,) of the query with each item."""

        def score(model: Model, rows: np.ndarray) -> np.ndarray:
            queries, contents = [query] * len(rows), [self._content(direction, items[row]) for row in rows]
            return model.score_pairs(*((queries, contents) if direction == "image_retrieval" else (contents, queries)))

        rows = np.arange(len(items))
        scores = score(model, rows)
        settle(model, scores, lambda: [rows], score)
        return scores

    def _content(self, direction: str, item: str) -> Any:
        return self.dataset.regions[item] if direction == "image_retrieval" else self._texts[item]


def embed(model: Model, images: bool, contents: list[Any]) -> np.ndarray:
    """Embeddings (contents, width) of images (their regions) or of captions."""
    return model.embed_images(contents) if images else model.embed_texts(contents)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started
