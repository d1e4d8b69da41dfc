"""Raw pixels as regions, for models that read pictures themselves.

The regions of a picture are its square patches of p x p pixels, which tile it, row by row; the features of a patch are its 3 * p * p pixel values in [0, 1],
in channel, row, column order, and its box is its place in the picture (which was resized, and cropped where the model wants it so, before). A store of such
patches holds for every model of that size of patch and picture: mean and standard deviation of a model's colours are taken off here, not in the store.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import PretrainedConfig, PreTrainedTokenizerBase
from transformers.image_processing_base import ImageProcessingMixin

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.backbone import Backbone, first_line


class PatchBackbone(Backbone):
    """What backbones over raw patches share. image_mean, image_std: of the three channels, as the model's preprocessor_config.json has them."""

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, image_mean: list[float], image_std: list[float],
                 max_tokens: int, max_regions: int) -> None:
        super().__init__(config, tokenizer, region_width, max_tokens, max_regions)
        self.image_mean, self.image_std = list(image_mean), list(image_std)

    def region_values(self, image: Regions) -> np.ndarray:
        """Normalised pixels float32 (n, region_width), then what `geometry` makes of the boxes."""
        self.check_width(image)
        mean, std = (np.repeat(np.array(values, dtype=np.float32), self.region_width // 3) for values in (self.image_mean, self.image_std))
        return np.hstack([(image.features - mean) / std, self.geometry(image.boxes)])

    def options(self) -> dict[str, Any]:
        return {"image_mean": self.image_mean, "image_std": self.image_std}

    @classmethod
    def checkpoint_options(cls, name_or_folder: str, config: PretrainedConfig) -> dict[str, Any]:
        try:
            said, _ = ImageProcessingMixin.get_image_processor_dict(name_or_folder)
            colours = {name: [float(value) for value in said[name]] for name in ("image_mean", "image_std")}
        except Exception as error:  # whatever transformers raises
            raise InputError(f"{name_or_folder}: preprocessor_config.json with image_mean and image_std is missing or damaged ({first_line(error)}); "
                             "copy the whole checkpoint again") from None
        return {"region_width": 3 * getattr(config, "vision_config", config).patch_size ** 2, **colours}
