"""The OSCAR architecture (Li et al., 2020): one BERT-like Transformer over [CLS] text [SEP] regions.

Inputs, as the published models build them:

- text alone: `[CLS] t [SEP]`, at most 70 word pieces between the two, so `max_tokens` 72 (over-long text is cut, `[SEP]` kept); image alone: one `[CLS]`,
  then the regions; pair: the text, then the regions.
- a region: its features, then x1, y1, x2, y2, width, height as shares of the image; one linear layer, and a LayerNorm where the checkpoint has one.
  Regions have neither position nor type embedding, and do not pass the embedding LayerNorm.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.errors import InputError
from mmr_kit.models.backbone import Backbone, read_checkpoint

BOX_VALUES = 6


class Oscar(Backbone):
    """Any BERT-like model of the transformers library (modules `embeddings`, `encoder.layer` and `pooler`; a `LayerNorm` after the last layer where the
    architecture is pre-LN), and a linear layer for the regions, with a LayerNorm behind it where `region_layer_norm`.
    """

    kind = "oscar"

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, region_layer_norm: bool = False,
                 max_tokens: int = 72, max_regions: int = 50) -> None:
        super().__init__(config, tokenizer, region_width, max_tokens, max_regions)
        self.region_projection = self.fresh_linear(region_width + BOX_VALUES)
        self.region_layer_norm = nn.LayerNorm(self.width, eps=config.layer_norm_eps) if region_layer_norm else None

    def geometry(self, boxes: np.ndarray) -> np.ndarray:
        """x1, y1, x2, y2, width, height."""
        return np.hstack([boxes, boxes[:, 2:] - boxes[:, :2]])

    def embed_regions(self, regions: Tensor) -> Tensor:
        states = self.region_projection(regions)
        if self.region_layer_norm is not None:
            states = self.region_layer_norm(states)
        return self.transformer.embeddings.dropout(states)

    def encode(self, states: Tensor, mask: Tensor) -> Tensor:
        states = super().encode(states, mask)
        return getattr(self.transformer, "LayerNorm", nn.Identity())(states)  # pre-LN models normalise once more at the end

    def options(self) -> dict[str, Any]:
        return {"region_layer_norm": self.region_layer_norm is not None}

    @classmethod
    def from_language_model(cls, name_or_folder: str, region_width: int, max_tokens: int = 72, max_regions: int = 50) -> Self:
        """Start from a BERT-like checkpoint (a folder, or a hub id where the user is online) with a fresh region projection."""
        config, tokenizer, weights = read_checkpoint(name_or_folder, "a language model")
        parts = [hasattr(weights, "embeddings"), hasattr(weights, "pooler"), hasattr(getattr(weights, "encoder", None), "layer")]
        if not all(parts) or weights.get_input_embeddings().embedding_dim != config.hidden_size:
            raise InputError(f"{name_or_folder}: a {config.model_type} model is not built like BERT (embeddings of full width, encoder.layer, pooler); "
                             "oscar needs one that is")
        backbone = cls(config, tokenizer, region_width, max_tokens=max_tokens, max_regions=max_regions)
        backbone.transformer.load_state_dict(weights.state_dict())
        places = backbone.transformer.embeddings.position_embeddings
        if places.padding_idx is not None:  # RoBERTa and its like count positions from the row behind that of padding, the kit from the first
            first = places.padding_idx + 1
            backbone.max_tokens = min(backbone.max_tokens, places.num_embeddings - first)
            places.weight.data = places.weight.data.roll(-first, dims=0)
            places.padding_idx = None  # a row of that number would have no gradient, and now it is a word's
        return backbone
