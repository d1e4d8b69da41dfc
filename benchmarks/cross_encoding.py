"""Cross-encoding against the published way: pairs in the order they come, padded to the longest of their batch, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from timing import side_by_side

from mmr_kit.data.datasets import load_dataset
from mmr_kit.models.retrieval_model import load_model
from mmr_kit.models.starts import resolve

PAIRS, BATCH = 4096, 512


def cases() -> Iterator[dict[str, Any]]:
    """Results for pairs of pictogram scenes."""
    model, data = load_model(resolve("pictograms")), load_dataset("smoke_a", "train")
    rng = np.random.default_rng(0)
    captions = [data.texts[row] for row in rng.integers(len(data.texts), size=PAIRS)]
    images = [data.regions[data.image_ids[row]] for row in rng.integers(len(data.image_ids), size=PAIRS)]

    @torch.inference_mode()
    def published() -> object:
        return [model.match_logits(captions[start : start + BATCH], images[start : start + BATCH]) for start in range(0, PAIRS, BATCH)]

    yield side_by_side(f"cross-encoding: {PAIRS} pairs of pictogram scenes", published, lambda: model.score_pairs(captions, images))
