"""The VisualBERT architecture (Li et al., 2019) of the transformers library.

Inputs: the text as in OSCAR, `[CLS] t [SEP]`; an image alone stands behind one `[CLS]`. A region: its features through one linear layer, plus the visual token
type 1 and the visual position 0, through the LayerNorm of the text embeddings. Boxes are not read.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.errors import InputError
from mmr_kit.models.backbone import Backbone


class VisualBert(Backbone):
    """A VisualBertModel. region_width must be its visual_embedding_dim."""

    kind = "visualbert"

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, max_tokens: int = 72, max_regions: int = 50) -> None:
        if config.bypass_transformer:
            raise InputError("a VisualBERT model with bypass_transformer reads images after its last layer and cannot embed them alone; use another checkpoint")
        super().__init__(config, tokenizer, region_width, max_tokens, max_regions)

    def embed_regions(self, regions: Tensor) -> Tensor:
        embeddings = self.transformer.embeddings
        place = embeddings.visual_token_type_embeddings.weight[1] + embeddings.visual_position_embeddings.weight[0]
        return embeddings.dropout(embeddings.LayerNorm(embeddings.visual_projection(regions) + place))

    @classmethod
    def checkpoint_options(cls, name_or_folder: str, config: PretrainedConfig) -> dict[str, Any]:
        return {"region_width": config.visual_embedding_dim}
