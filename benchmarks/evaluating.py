"""A full evaluation with COOP, both directions with k = 20, against the published way: float32, padded, each direction scored by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lengths
import numpy as np
import torch
from timing import side_by_side

from mmr_kit.costs.ways import PublishedModel
from mmr_kit.costs.workload import random_model
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.regions import Regions
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel, load_model, unit_length
from mmr_kit.models.starts import resolve
from mmr_kit.retrieval.contracts import Dataset
from mmr_kit.retrieval.rerank import score_candidates
from mmr_kit.retrieval.retrieve import bi_encode, cooperate

K, AT_LEAST = 20, 4.0
IMAGES, QUERIES = 1000, 20  # of the gallery of random scenes, and images of it whose captions are queries


class _Published(PublishedModel):
    def embed_texts(self, captions: Sequence[str]) -> np.ndarray:
        return unit_length(super().embed_texts(captions))

    def embed_images(self, images: Sequence[Regions]) -> np.ndarray:
        return unit_length(super().embed_images(images))


class _Gallery:
    """Images of 10 to 50 regions with five captions each, as long as Flickr8k's; the first `queries` images and their captions are queries."""

    def __init__(self, count: int, queries: int) -> None:
        self.image_ids, self.texts = [f"{row:04}" for row in range(count)], lengths.captions(5 * queries)
        self.caption_ids = [f"{row:04}" for row in range(5 * queries)]
        self.regions, self._queries = dict(zip(self.image_ids, lengths.images(count, lengths.MINILM), strict=True)), queries

    def query_ids(self, direction: str) -> list[str]:
        return self.caption_ids if direction == "image_retrieval" else self.image_ids[: self._queries]

    def item_ids(self, direction: str) -> list[str]:
        return self.image_ids if direction == "image_retrieval" else self.caption_ids

    def galleries(self) -> list[_Gallery]:
        return [self]


def cases() -> Iterator[dict[str, Any]]:
    """Results for the generated world's 1,000 test images and 5,000 captions, whole, and for a sample of the queries at real lengths and MiniLM's size."""
    torch.set_num_threads(lengths.THREADS)
    yield _compared("1,000 pictogram scenes", load_model(resolve("pictograms")), load_dataset("pictograms_a"))
    yield _compared(f"{QUERIES} of {IMAGES:,} images of real lengths, MiniLM size", random_model(lengths.MINILM), _Gallery(IMAGES, QUERIES))


def _compared(name: str, model: RetrievalModel, dataset: Dataset) -> dict[str, Any]:
    published, engine = _Published(model), Engine(model, "bf16")
    engine.exact = None  # with random weights nearly all candidates are near ties, with trained ones few: see agreeing.py

    def as_published() -> object:
        return [score_candidates(published, dataset, [ranking]) for ranking in bi_encode(published, dataset, K).values()]

    return side_by_side(f"evaluation with COOP: {name}, {engine.precision}", as_published, lambda: cooperate(engine, engine, dataset, K), 3, AT_LEAST,
                        warm_up=0)  # fmt: skip
