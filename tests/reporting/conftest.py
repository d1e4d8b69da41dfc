"""A small data set and rankings of it, without a model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmr_kit.reporting.measured import Measured
from mmr_kit.retrieval.ranking import Ranking


class Gallery:
    """Images with five captions each, as far as the reporting cares."""

    def __init__(self, name: str, images: int, paper_dataset: str | None = None) -> None:
        self.name, self.paper_dataset = name, paper_dataset
        self.images = [f"{name}-{i:08d}" for i in range(images)]
        self.of = {f"{name}-{i:03d}-en-{j}": image for i, image in enumerate(self.images) for j in range(5)}  # ids all of one width: see test_public_tools

    def item_ids(self, direction: str) -> list[str]:
        return self.images if direction == "image_retrieval" else list(self.of)

    def relevance(self, direction: str) -> dict[str, set[str]]:
        if direction == "image_retrieval":
            return {caption: {image} for caption, image in self.of.items()}
        return {image: {caption for caption, its in self.of.items() if its == image} for image in self.images}


MakeRanking = Callable[..., Ranking]


@pytest.fixture
def make_gallery() -> type[Gallery]:
    return Gallery


@pytest.fixture
def gallery() -> Gallery:
    return Gallery("pictograms_a", 24, "MSCOCO 5k")


@pytest.fixture
def make_ranking() -> MakeRanking:
    def make(gallery: Gallery, direction: str = "image_retrieval", skill: float = 1.0, seed: int = 0, depth: int = 15) -> Ranking:
        """Scores are noise, plus `skill` for relevant items; rounded, so that many are equal."""
        generator, items = np.random.default_rng(seed), gallery.item_ids(direction)
        scores = [
            np.round(generator.normal(size=len(items)) + [skill * (item in relevant) for item in items], 1)
            for relevant in gallery.relevance(direction).values()
        ]
        return Ranking.from_scores(direction, list(gallery.relevance(direction)), [items] * len(scores), scores, depth)

    return make


Shares = float | tuple[float, float, float]
Measure = Callable[..., Measured]


@pytest.fixture(scope="session")
def measure() -> Measure:
    """A cell with exactly these shares of hits (R@1, R@5, R@10, or one for all three).

    luck=0: the queries have one order of difficulty for all methods, so that differences are as sharp as they can be; else each luck has its own.
    """

    def make(shares: Shares, queries: int = 2000, seeds: int = 1, luck: int = 0, **columns: Any) -> Measured:
        difficulty = (np.random.default_rng(luck).permutation(queries) + 0.5) / queries
        return Measured(columns, np.stack([difficulty[:, None] < np.broadcast_to(shares, 3)] * seeds), tuple(str(seed) for seed in range(seeds)))

    return make
