"""Inputs for models: captions and images of unequal length."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from mmr_kit.data.regions import Regions

WORDS = ["apple", "boat", "cat", "dog", "egg", "fish", "goat", "hat", "a", "beside", "one", "and", "neben", "unknown"]


@pytest.fixture(scope="session")
def captions() -> list[str]:
    """Twelve captions of 1 to 15 words, one of them unknown to the tokenizer."""
    drawn = random.Random(0)
    return [" ".join(drawn.choices(WORDS, k=length)) for length in (4, 15, 1, 7, 7, 2, 11, 3, 5, 1, 9, 6)]


@pytest.fixture(scope="session")
def make_images() -> Callable[..., list[Regions]]:
    """Images with as many regions as told, of random features and boxes."""

    def make(*counts: int, width: int = 8, seed: int = 0) -> list[Regions]:
        rng = np.random.default_rng(seed)
        boxes = [np.hstack([corner := rng.random((n, 2)) * 0.6, corner + rng.random((n, 2)) * 0.4]) for n in counts]
        return [Regions(rng.normal(size=(n, width)).astype(np.float32), box.astype(np.float32)) for n, box in zip(counts, boxes, strict=True)]

    return make


@pytest.fixture(scope="session")
def images(make_images: Callable[..., list[Regions]]) -> list[Regions]:
    """Twelve images of 1 to 9 regions."""
    return make_images(3, 1, 9, 4, 2, 2, 7, 1, 5, 6, 3, 8)
