"""The M3P architecture (Ni et al., 2021): a Transformer with the vocabulary of XLM-R that reads the regions first, then the text.

Inputs: `<s> t </s>` cut to `max_tokens`, which drops `</s>` of an over-long text; an image alone: the regions, then one `<s>`. One running position sequence
from 0 over regions and text (none of XLM-R's offset), no language or type embedding. A region: its features through one linear layer plus x1, y1, x2, y2 and
area (as shares of the image) through another, then a LayerNorm; the embedding LayerNorm follows over regions and text alike. So the first position, which the
match head reads, is the first region.

The released code attends to padding, and what it returns for an input depends on the others in its batch. This computes at every batch size what the released
code does for one input at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.models.backbone import Backbone

BOX_VALUES = 5


class _NoTypes(nn.Module):
    """In the place of BERT's token type embedding: M3P has none."""

    def forward(self, types: Tensor) -> float:
        return 0.0


class M3P(Backbone):
    """BERT's layers (M3P's are the same) behind M3P's embeddings. config: a BertConfig; it says nothing of token types."""

    kind = "m3p"
    regions_first = True

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, max_tokens: int = 72, max_regions: int = 50) -> None:
        super().__init__(config, tokenizer, region_width, max_tokens, max_regions)
        self.pad_id = 0  # as published; masked, so without effect
        self.transformer.embeddings.token_type_embeddings = _NoTypes()
        self.region_projection, self.box_projection = self.fresh_linear(region_width), self.fresh_linear(BOX_VALUES)
        self.region_norm = nn.LayerNorm(self.width, eps=config.layer_norm_eps)

    def tokenize(self, captions: list[str]) -> list[list[int]]:
        ids = self.tokenizer(captions, truncation=True, max_length=self.max_tokens + 1, add_special_tokens=True)["input_ids"]
        return [row[: self.max_tokens] for row in ids]

    def geometry(self, boxes: np.ndarray) -> np.ndarray:
        """x1, y1, x2, y2, area."""
        return np.hstack([boxes, (boxes[:, 2:] - boxes[:, :2]).prod(1, keepdims=True)])

    def embed_regions(self, regions: Tensor) -> Tensor:
        features, boxes = regions.split([self.region_width, BOX_VALUES], dim=-1)
        return self.transformer.embeddings.dropout(self.region_norm(self.region_projection(features) + self.box_projection(boxes)))

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden states (n, positions, width) and mask (n, positions), True where a position is real; regions first, then text.

        Positions count the real regions and tokens of each item, so that padding between the two does not move the text.
        """
        embeddings = self.transformer.embeddings
        states, mask = embeddings.word_embeddings(inputs["token_ids"]), inputs["token_mask"]
        if "regions" in inputs:
            states = torch.cat([self.embed_regions(self.region_dropout(inputs["regions"])), states], dim=1)
            mask = torch.cat([inputs["region_mask"], mask], dim=1)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        states = embeddings(inputs_embeds=states, position_ids=positions, token_type_ids=torch.zeros_like(positions))
        return self.encode(states, mask), mask
