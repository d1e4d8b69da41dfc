"""Cross-encoding against the published way: pairs in the order they come, padded to the longest of their batch, in float32.

With random weights, on captions as long as Flickr8k's with 10 to 50 regions an image, in batches of 512, and of 20 as a query that is reranked; on 12 tokens
with 50 regions, where nothing is padded; and with trained weights on the generated world, where the rankings are compared, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lengths
import numpy as np
import torch
from agreeing import agreement_of_precisions
from timing import side_by_side

from mmr_kit.costs.ways import PublishedModel
from mmr_kit.costs.workload import Sizes, random_model
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.regions import Regions
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.models.starts import resolve

AT_LEAST = {"no": 0.0, "bf16": 2.0, "int8": 3.0}
REPEATS = 3
K = 20


def cases() -> Iterator[dict[str, Any]]:
    """Results for each kind of pairs and each precision of the engine."""
    torch.set_num_threads(lengths.THREADS)
    small = random_model(lengths.MINILM)
    real = lengths.captions(512), lengths.images(512, lengths.MINILM)
    yield from _compared("MiniLM size, real lengths", small, real, 512)
    yield from _compared("MiniLM size, real lengths", small, tuple(part[: 4 * K] for part in real), K)
    yield from _compared("MiniLM size, 12 + 50", small, lengths.padless(256, lengths.MINILM), 512)
    yield from _compared("MiniLM size, 12 + 50", small, lengths.padless(4 * K, lengths.MINILM), K)
    yield from _compared("BERT-base size, 12 + 50", random_model(Sizes()), lengths.padless(K, Sizes()), K)
    model, data, rng = load_model(resolve("pictograms")), load_dataset("pictograms_a"), np.random.default_rng(0)
    texts = [data.texts[row] for row in rng.integers(len(data.texts), size=2048)]
    regions = [data.regions[data.image_ids[row]] for row in rng.integers(len(data.image_ids), size=2048)]
    yield from _compared("pictogram scenes", model, (texts, regions), 512, asked=False)
    yield from agreement_of_precisions(model, model, data.subset(200), K)


def _compared(name: str, model: RetrievalModel, pairs: Sequence[Any], batch: int, asked: bool = True) -> Iterator[dict[str, Any]]:
    captions: list[str] = pairs[0]
    images: list[Regions] = pairs[1]
    published = PublishedModel(model, batch)

    def in_batches(scorer: Engine) -> object:
        return [scorer.score_pairs(captions[start : start + batch], images[start : start + batch]) for start in range(0, len(captions), batch)]

    for precision in lengths.precisions():
        engine = Engine(model, precision)
        if engine.precision != precision:  # a narrow model is computed in float32
            continue
        yield side_by_side(f"cross-encoding, {name}, batch {batch}, {precision}", lambda: published.score_pairs(captions, images),
                           lambda: in_batches(engine), REPEATS, AT_LEAST[precision] * asked)  # noqa: B023  # fmt: skip
