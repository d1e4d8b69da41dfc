"""Object detectors: the boxes of what a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from mmr_kit.models.extraction.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST = 1e-3  # share of a side; a thinner box shows nothing


class Detector:
    """An object detector of the transformers library (any AutoModelForObjectDetection): where a picture shows something.

    checkpoint: see `models.starts.resolve`. threshold: least score of a box. most: boxes a picture, best first.
    """

    def __init__(self, checkpoint: str, threshold: float, most: int, device: torch.device) -> None:
        from transformers import AutoModelForObjectDetection

        self.model, self.processor = load_checkpoint(checkpoint, AutoModelForObjectDetection, device, "object detector")
        self.threshold, self.most, self.device = threshold, most, device

    def prepare(self, picture: Image) -> torch.Tensor:
        """The picture as the model takes it, float32 (3, height, width); not padded: in some models boxes are shares of the padded picture."""
        pixels: torch.Tensor = self.processor(images=[picture], do_pad=False, return_tensors="pt")["pixel_values"]
        return pixels[0]

    @torch.inference_mode()
    def boxes(self, prepared: list[torch.Tensor]) -> list[np.ndarray]:
        """Boxes float32 (n, 4) of each picture, n from 0 to `most`. Pictures of one shape share a forward pass."""
        found: list[np.ndarray] = [np.empty((0, 4), np.float32)] * len(prepared)
        by_shape: dict[torch.Size, list[int]] = {}
        for number, pixels in enumerate(prepared):
            by_shape.setdefault(pixels.shape, []).append(number)
        for numbers in by_shape.values():
            outputs = self.model(pixel_values=torch.stack([prepared[number] for number in numbers]).to(self.device))
            sizes = torch.ones(len(numbers), 2, device=self.device)  # so that boxes come as shares
            told = self.processor.post_process_object_detection(outputs, threshold=self.threshold, target_sizes=sizes)
            for number, picture in zip(numbers, told, strict=True):
                found[number] = self._best(picture["boxes"].float().cpu().numpy(), picture["scores"].float().cpu().numpy())
        return found

    def _best(self, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        boxes = boxes.clip(0, 1)
        boxes = boxes[np.argsort(-scores, kind="stable")]
        large = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST).all(axis=1)
        return boxes[large][: self.most]
