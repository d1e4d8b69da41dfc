"""CLIP (Radford et al., 2021) and SigLIP (Zhai et al., 2023) of the transformers library, for zero-shot retrieval: two Transformers, one for texts and one for
raw patches (see `patches`), that meet in their embeddings only.

So they are bi-encoders: the state that stands for an input is its embedding, and pairs cannot be scored. A picture must come as the checkpoint's own grid of
patches (a square picture of its size); position embeddings are not interpolated. SigLIP's texts are padded to the full length, as in its training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.patches import PatchBackbone


class Clip(PatchBackbone):
    """A CLIPModel or SiglipModel. region_width must be 3 * patch_size ** 2."""

    kind = "clip"

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, image_mean: list[float], image_std: list[float],
                 max_tokens: int = 77, max_regions: int = 0) -> None:
        side = config.vision_config.image_size // config.vision_config.patch_size
        super().__init__(config, tokenizer, region_width, image_mean, image_std, max_tokens, max_regions or side**2)
        self.side, self.pads_text = side, config.model_type == "siglip"  # side: patches a row and rows

    @property
    def width(self) -> int:
        """Width of an embedding."""
        return int(getattr(self.config, "projection_dim", 0) or self.config.vision_config.hidden_size)

    def skip_odd_layers(self) -> None:
        for tower, config in ((self.transformer.text_model, self.config.text_config), (self.transformer.vision_model, self.config.vision_config)):
            tower.encoder.layers = tower.encoder.layers[::2]
            config.num_hidden_layers = len(tower.encoder.layers)

    def tokenize(self, captions: list[str]) -> list[list[int]]:
        return self.tokenizer(captions, truncation=True, max_length=self.max_tokens, padding="max_length" if self.pads_text else False)["input_ids"]

    def region_values(self, image: Regions) -> np.ndarray:
        """Normalised pixels float32 (side * side, region_width), row by row whatever their order in the store."""
        places = np.round(image.boxes[:, :2] * self.side).astype(int)
        order = np.lexsort(places.T)
        if not np.array_equal(places[order][:, ::-1], np.argwhere(np.ones((self.side, self.side)))):
            raise InputError(f"an image has {len(places)} patches that are not the {self.side} x {self.side} grid of this model; extract patches of "
                             f"{self.config.vision_config.patch_size} pixels from square pictures of {self.config.vision_config.image_size}")
        return super().region_values(image)[order]

    def inputs(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> dict[str, Tensor]:
        """Padded tensors of n texts (token_ids, token_mask) or n images (regions, region_mask)."""
        if captions is not None and images is not None:
            raise InputError(f"a {self.config.model_type} model embeds texts and images apart and cannot score pairs: retrieve with it, and rerank with a "
                             "cross-encoder")
        tensors = self.padded_tokens(self.token_ids(captions)) if captions is not None else self.padded_regions(images or ())
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings as the one state of each input, (n, 1, width), and a mask that is True."""
        if "regions" in inputs:
            side, size = self.side, self.config.vision_config.patch_size
            patches = self.region_dropout(inputs["regions"]).reshape(-1, side, side, 3, size, size)
            pixels = patches.permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, side * size, side * size)
            states = self.transformer.get_image_features(pixel_values=pixels).pooler_output
        else:
            states = self.transformer.get_text_features(input_ids=inputs["token_ids"], attention_mask=inputs["token_mask"]).pooler_output
        return states[:, None], torch.ones(len(states), 1, dtype=torch.bool, device=states.device)
