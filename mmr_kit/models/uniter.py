"""The UNITER architecture (Chen et al., 2020), and VILLA (Gan et al., 2020), which differs in its training only.

Inputs: the text as in OSCAR, `[CLS] t [SEP]` of a cased BERT. A region: its features through one linear layer, x1, y1, x2, y2, width, height and area (as
shares of the image) through another, each with a LayerNorm; their sum plus the token type embedding 1 passes a third LayerNorm.

The released code crashes on an image alone, and takes the second item of the batch for the pooled [CLS]. This follows the paper: an image alone stands behind
one `[CLS]`, and the summary is the pooled first position of each item.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.models.backbone import Backbone

BOX_VALUES = 7


class Uniter(Backbone):
    """A BERT, and what embeds the regions before it."""

    kind = "uniter"

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, max_tokens: int = 72, max_regions: int = 50) -> None:
        super().__init__(config, tokenizer, region_width, max_tokens, max_regions)
        self.region_projection, self.box_projection = self.fresh_linear(region_width), self.fresh_linear(BOX_VALUES)
        self.region_norm, self.box_norm, self.sum_norm = (nn.LayerNorm(self.width, eps=config.layer_norm_eps) for _ in range(3))

    def geometry(self, boxes: np.ndarray) -> np.ndarray:
        """x1, y1, x2, y2, width, height, area."""
        sides = boxes[:, 2:] - boxes[:, :2]
        return np.hstack([boxes, sides, sides.prod(1, keepdims=True)])

    def embed_regions(self, regions: Tensor) -> Tensor:
        features, boxes = regions.split([self.region_width, BOX_VALUES], dim=-1)
        embeddings = self.transformer.embeddings
        states = self.region_norm(self.region_projection(features)) + self.box_norm(self.box_projection(boxes))
        return embeddings.dropout(self.sum_norm(states + embeddings.token_type_embeddings.weight[1]))
