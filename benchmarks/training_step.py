"""A training step of a cross-encoder against the plain way: the whole batch padded to its longest pair, in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lengths
import torch
from timing import side_by_side
from torch import Tensor

from mmr_kit.costs.workload import random_model
from mmr_kit.models.losses import match_loss
from mmr_kit.models.packed import without_padding
from mmr_kit.models.retrieval_model import mixed_precision
from mmr_kit.models.training import rows_of_tables

PAIRS, REPEATS, AT_LEAST = 64, 3, 1.5


def cases() -> Iterator[dict[str, Any]]:
    """Results of a step in float32, and with bfloat16."""
    torch.set_num_threads(lengths.THREADS)
    model = random_model(lengths.MINILM).train()
    captions, images, labels = lengths.captions(PAIRS), lengths.images(PAIRS, lengths.MINILM), torch.arange(PAIRS) % 2
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(logits: Callable[[], Tensor], precision: str, gathering: AbstractContextManager[None]) -> None:
        with gathering:
            with mixed_precision(precision):
                loss = match_loss(logits(), labels)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def padded() -> Tensor:
        return model.match(*model.backbone(model.backbone.inputs(captions, images)))

    model.without_padding = without_padding(model.backbone)
    for precision, at_least in (("no", 0.0), ("bf16", AT_LEAST)):
        yield side_by_side(f"training step: {PAIRS} pairs of real lengths, MiniLM size, {precision}", lambda: step(padded, "no", nullcontext()),
                           lambda: step(lambda: model.match_logits(captions, images), precision, rows_of_tables(model)),  # noqa: B023
                           REPEATS, at_least, ("padded float32", "kit"))  # fmt: skip
