"""How long a query takes, measured one at a time as someone who waits for it would."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from mmr_kit.errors import InputError
from mmr_kit.retrieval.contracts import Dataset, Model
from mmr_kit.retrieval.search import search

WARM_UP = 3


def latency_over_k(retriever: Model, reranker: Model, dataset: Dataset, ks: Sequence[int], queries: int = 20) -> dict[int, float]:
    """Median seconds of an image retrieval query for each k: embed the caption, search the images (embedded beforehand), score k pairs.

    The k are measured in turn for each query, so that a machine that slows down slows all of them; the first WARM_UP queries do not count.
    """
    if queries < 1 or not ks or min(ks) < 1:
        raise InputError(f"latency over k = {list(ks)} with {queries} queries: give k from 1 and at least one query")
    images = [dataset.regions[image_id] for image_id in dataset.image_ids]
    embedded = retriever.embed_images(images)
    seconds: dict[int, list[float]] = {k: [] for k in ks}
    for number in range(WARM_UP + queries):
        caption = dataset.texts[number % len(dataset.texts)]
        for k in ks:
            started = time.perf_counter()
            rows, _ = search(retriever.embed_texts([caption]), embedded, k)
            reranker.score_pairs([caption] * rows.shape[1], [images[row] for row in rows[0]])
            if number >= WARM_UP:
                seconds[k].append(time.perf_counter() - started)
    return {k: float(np.median(values)) for k, values in seconds.items()}
