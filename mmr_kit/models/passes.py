"""Which inputs pass through a Transformer together, and such a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from mmr_kit.data.regions import Regions
from mmr_kit.models.backbone import Backbone

Finish = Callable[[Tensor, Tensor], Tensor]
CPU_VALUES, CUDA_VALUES = 2**18, 2**25  # hidden values (positions x width) a forward pass holds; on a CPU, what its cache holds is twice as fast as more


def positions_at_once(backbone: Backbone) -> int:
    """Positions that a forward pass holds."""
    return (CPU_VALUES if backbone.device.type == "cpu" else CUDA_VALUES) // backbone.width


def rows_of_like_length(lengths: np.ndarray, budget: int, most: int) -> Iterator[np.ndarray]:
    """Row numbers in parts, the shortest inputs first: at most `most` rows and, padded to the longest of the part, `budget` positions (one row always)."""
    order = np.argsort(lengths, kind="stable")
    while len(order):
        padded = np.arange(1, min(len(order), most) + 1) * lengths[order[:most]]
        size = max(1, int((padded <= budget).sum()))
        yield order[:size]
        order = order[size:]


def passing(backbone: Backbone, captions: Sequence[str] | None, images: Sequence[Regions] | None, finish: Finish) -> Callable[[np.ndarray], Tensor]:
    """A function: rows of the input -> what `finish` makes of their hidden states and mask, in one pass.

    `finish` runs in float32 whatever precision the Transformer runs in, as half-precision scores would tie.
    """

    def compute(rows: np.ndarray) -> Tensor:
        states, mask = backbone(backbone.inputs([captions[row] for row in rows] if captions is not None else None,
                                                [images[row] for row in rows] if images is not None else None))
        with torch.autocast(states.device.type, enabled=False):
            return finish(states.float(), mask)

    return compute
