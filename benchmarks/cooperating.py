"""COOP end to end against the published way: encode a caption, search a million images, score 20 of them with a cross-encoder of BERT-base size.

Published: float32, padded, the collection normalised at each query, product and top-k. Weights, captions and images are random (see `mmr_kit.costs.workload`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import lengths
import psutil
from timing import side_by_side

from mmr_kit.costs.progress import teller
from mmr_kit.costs.queries import fitting
from mmr_kit.costs.ways import contestants, published_search
from mmr_kit.costs.workload import Sizes, build_collection, captions, images, temporary_folder
from mmr_kit.retrieval.contracts import Model
from mmr_kit.retrieval.latency import Search

IMAGES, K, DIFFERENT = 1_000_000, 20, 1000
AT_LEAST = {"no": 0.0, "bf16": 5.0, "int8": 5.0}  # what the ratio is to reach in a precision of the engine


def cases() -> Iterator[dict[str, Any]]:
    """A result for each precision of the engine; with fewer images where memory has no room for a million and the published way's copy of them."""
    sizes = Sizes()
    count = fitting(IMAGES, sizes.width, psutil.virtual_memory().available)
    pictures = images(DIFFERENT, sizes)
    with temporary_folder() as folder:
        collection = build_collection(folder, count, sizes.width, teller("benchmark"))
        for precision in lengths.precisions():
            pair = contestants(sizes, "cpu", precision)
            asked = cycle(captions(100, sizes)), cycle(captions(100, sizes))

            def answer(model: Model, search: Search, caption: str) -> object:
                rows, _ = search(model.embed_texts([caption]), K)
                return model.score_pairs([caption] * K, [pictures[row % DIFFERENT] for row in rows[0]])

            search = published_search(collection.vectors)
            name = f"COOP: one query, {count:,} images, k = {K}, {precision}"
            yield side_by_side(name, lambda: answer(pair.published, search, next(asked[0])), lambda: answer(pair.fast, collection.search, next(asked[1])),  # noqa: B023
                               at_least=AT_LEAST[precision])  # fmt: skip
