"""Vision encoders as maps of features, averaged over boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmr_kit.errors import InputError
from mmr_kit.models.extraction.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image


class Encoder:
    """A vision encoder of the transformers library (any AutoModel whose last hidden state is patch tokens or a map; of CLIP and SigLIP the vision tower).

    Every picture is squeezed into the checkpoint's own square, so that its map covers the whole picture, however the processor crops. checkpoint: see
    `models.starts.resolve`.
    """

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        from transformers import AutoModel

        model, self.processor = load_checkpoint(checkpoint, AutoModel, device, "vision encoder")
        self.model: torch.nn.Module = getattr(model, "vision_model", model)
        self.checkpoint, self.device = checkpoint, device
        self.side = _side(self.processor, self.model.config)

    def prepare(self, picture: Image) -> Tensor:
        """The picture as the model takes it, float32 (3, side, side)."""
        from PIL.Image import Resampling

        square = picture.resize((self.side, self.side), Resampling.BICUBIC)
        pixels: Tensor = self.processor(images=[square], do_resize=False, do_center_crop=False, do_pad=False, return_tensors="pt")["pixel_values"]
        return pixels[0]

    @torch.inference_mode()
    def features(self, prepared: list[Tensor], boxes: list[np.ndarray]) -> list[np.ndarray]:
        """For each picture the mean of its map over each box: float32 (boxes, width)."""
        maps = self.maps(torch.stack(prepared).to(self.device))
        return [average(features, torch.from_numpy(of_picture).to(self.device)).cpu().numpy() for features, of_picture in zip(maps, boxes, strict=True)]

    def maps(self, pixels: Tensor) -> Tensor:
        """Maps of features (n, width, rows, columns) of pictures (n, 3, side, side); tokens that stand for no place are left out."""
        states: Tensor = self.model(pixel_values=pixels).last_hidden_state
        if states.ndim == 4:
            return states
        rows = self.side // int(getattr(self.model.config, "patch_size", 0) or self.side)
        if rows == 1 or rows * rows > states.shape[1]:  # of a hierarchical model: fewer tokens than patches, all with a place
            rows = round(states.shape[1] ** 0.5)
            if rows * rows != states.shape[1]:
                raise InputError(f"{self.checkpoint}: its {states.shape[1]} tokens are no square map of patches; use another vision encoder")
        return states[:, -rows * rows :].transpose(1, 2).unflatten(2, (rows, rows))


def average(features: Tensor, boxes: Tensor) -> Tensor:
    """Mean of a map (width, rows, columns) over each box (n, 4), cells weighted by the share of them that the box covers: (n, width)."""
    rows, columns = features.shape[1:]
    weights = _coverage(boxes[:, 1], boxes[:, 3], rows)[:, :, None] * _coverage(boxes[:, 0], boxes[:, 2], columns)[:, None]
    weights = weights.flatten(1) / weights.sum(dim=(1, 2))[:, None]
    return weights @ features.flatten(1).T


def _coverage(start: Tensor, end: Tensor, cells: int) -> Tensor:
    """How much of each of the cells that divide [0, 1] lies between start and end (n,): (n, cells), in cells."""
    edges = torch.arange(cells, device=start.device)
    return (torch.minimum(end[:, None] * cells, edges + 1) - torch.maximum(start[:, None] * cells, edges)).clamp(min=0)


def _side(processor: Any, config: Any) -> int:
    """Pixels of a side of the square that a checkpoint takes: what its processor crops, else what it resizes to, else the model's image size."""
    for size in (getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None, getattr(processor, "size", None)):
        for name in ("height", "shortest_edge"):
            side = getattr(size, name, None)
            if side:
                return int(side)
    side = getattr(config, "image_size", None)
    return int(side) if isinstance(side, int) else 224
