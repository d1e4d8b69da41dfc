"""A small object detector's second half: names object and colour of a crop; its last hidden layer is the region feature.

It plays the part of the Faster R-CNN behind the paper's region features (there 2048 values a region): trained once on other pictures, then fixed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmr_kit.cache import cached, identity_hash
from mmr_kit.data.pictograms import drawing, scenes
from mmr_kit.data.pictograms.lexicon import COLOURS, GLYPHS, OBJECTS, PAINTS

WIDTH = 128
INPUT = drawing.CROP * drawing.CROP * 3
TRAINING_SCENES, STEPS, BATCH, LEARNING_RATE = 5000, 700, 256, 2e-3
FILE = "detector.safetensors"


class Detector(nn.Module):
    """Crops, flat, in [0, 1] -> features (n, WIDTH), non-negative, scaled to unit mean square over the training crops."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(INPUT, 256)
        self.last = nn.Linear(256, WIDTH)
        self.name_object = nn.Linear(WIDTH, len(OBJECTS))
        self.name_colour = nn.Linear(WIDTH, len(COLOURS))
        self.scale = nn.Buffer(torch.ones(()))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.hidden(2 * crops - 1))
        return torch.relu(self.last(hidden)) * self.scale


def training_crops(count: int, name: str = "detector") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops (n, INPUT) with object and colour numbers (n), of `count` gist-free scenes of the pool; `name` seeds them."""
    crops, things = [], []
    for index in range(count):
        rng = Random(f"{name}/{index}")
        some, _, shown = drawing.regions(scenes.draw_scene("pool", [], rng), rng)
        crops.append(some)
        things += shown
    pixels = torch.from_numpy(np.concatenate(crops).reshape(-1, INPUT)).float() / 255
    return pixels, torch.tensor([thing.object for thing in things]), torch.tensor([thing.colour for thing in things])


def train_detector() -> Detector:
    """Train from scratch; about 7 s on one core. The global random state stays as it was."""
    crops, objects, colours = training_crops(TRAINING_SCENES)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        model = Detector()
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
        for _ in range(STEPS):
            batch = torch.randint(len(crops), (BATCH,))
            features = model(crops[batch])
            loss = nn.functional.cross_entropy(model.name_object(features), objects[batch])
            loss = loss + nn.functional.cross_entropy(model.name_colour(features), colours[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        model.scale.copy_(1 / model(crops).square().mean().sqrt())
    return model.eval()


def load_detector() -> Detector:
    """The kit's one detector, for all domains: from the cache, or trained now.

    The number of threads does not change it; another kind of processor does a little (AVX2 for AVX-512: cosine of features above 0.997).
    """
    here = Path(__file__).parent
    identity = {
        "source": {name: (here / name).read_text(encoding="utf-8") for name in ("detector.py", "drawing.py", "scenes.py")},
        "glyphs": GLYPHS,
        "paints": PAINTS,
    }
    folder = cached("detectors", {"detector": identity_hash(identity)}, lambda folder: save_file(train_detector().state_dict(), folder / FILE))
    return _read(folder)


@cache
def _read(folder: Path) -> Detector:
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, then overwritten
        model = Detector()
    model.load_state_dict(load_file(folder / FILE))
    return model.eval()


def detected_objects(features: np.ndarray) -> np.ndarray:
    """Which object the detector takes each region for, by its features (n, WIDTH): rows of OBJECTS, int16 (n,)."""
    model = load_detector()
    with torch.inference_mode():
        return model.name_object(torch.from_numpy(features) / model.scale).argmax(1).numpy().astype(np.int16)


def detector_features(crops: np.ndarray) -> np.ndarray:
    """Features float32 (n, WIDTH) of crops uint8 (n, CROP, CROP, 3)."""
    model = load_detector()
    with torch.inference_mode():
        parts = [model(torch.from_numpy(part.reshape(-1, INPUT)).float() / 255) for part in np.array_split(crops, max(len(crops) // 4096, 1))]
    return torch.cat(parts).numpy()
