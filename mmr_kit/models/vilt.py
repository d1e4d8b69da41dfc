"""The ViLT architecture (Kim et al., 2021) of the transformers library: one Transformer over text and raw patches (see `patches`).

Inputs: `[CLS] t [SEP]` of at most 40 tokens; then the image's own class token and its patches. An image alone stands behind one `[CLS]`, as elsewhere. Position
embeddings of patches are interpolated (bilinear) from the checkpoint's grid to where the box says that the patch lies, so pictures of any shape fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.data.regions import Regions
from mmr_kit.models.patches import PatchBackbone

PLACE_VALUES = 2


class Vilt(PatchBackbone):
    """A ViltModel. region_width must be 3 * patch_size ** 2."""

    kind = "vilt"

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, image_mean: list[float], image_std: list[float],
                 max_tokens: int = 40, max_regions: int = 240) -> None:
        super().__init__(config, tokenizer, region_width, image_mean, image_std, max_tokens, max_regions)

    def geometry(self, boxes: np.ndarray) -> np.ndarray:
        """Column and row of a patch, from -1 (first) to 1 (last)."""
        corners, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        return 2 * corners / np.maximum(1 - sides, 1e-6) - 1  # one patch over the whole side: the first place

    def lengths(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> np.ndarray:
        return super().lengths(captions, images) + (images is not None)

    def embed_text(self, ids: Tensor) -> Tensor:
        embeddings, positions = self.transformer.embeddings, torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        text = embeddings.text_embeddings(input_ids=ids, position_ids=positions, token_type_ids=torch.zeros_like(ids))
        return text + embeddings.token_type_embeddings.weight[0]

    def embed_regions(self, regions: Tensor) -> Tensor:
        """The image's class token, then the patches: (n, 1 + patches, width)."""
        embeddings, convolution = self.transformer.embeddings, self.transformer.embeddings.patch_embeddings.projection
        pixels, places = regions.split([self.region_width, PLACE_VALUES], dim=-1)
        patches = F.linear(self.region_dropout(pixels), convolution.weight.flatten(1), convolution.bias)  # its stride is its size
        first, grid = embeddings.position_embeddings.split([1, embeddings.position_embeddings.shape[1] - 1], dim=1)
        side = round(grid.shape[1] ** 0.5)
        grid = grid.reshape(1, side, side, self.width).permute(0, 3, 1, 2).expand(len(regions), -1, -1, -1)
        positions = F.grid_sample(grid, places[:, :, None].to(grid.dtype), padding_mode="border", align_corners=True)[..., 0].transpose(1, 2)
        states = torch.cat([(embeddings.cls_token + first).expand(len(regions), -1, -1), patches + positions], dim=1)
        return embeddings.dropout(states) + embeddings.token_type_embeddings.weight[1]

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden states (n, positions, width) and mask (n, positions), True where a position is real; text, the image's class token, patches."""
        states, mask = self.embed_text(inputs["token_ids"]), inputs["token_mask"]
        if "regions" in inputs:
            states = torch.cat([states, self.embed_regions(inputs["regions"])], dim=1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1]), inputs["region_mask"]], dim=1)
        return self.encode(states, mask), mask

    def encode(self, states: Tensor, mask: Tensor) -> Tensor:
        return self.transformer.layernorm(super().encode(states, mask))
