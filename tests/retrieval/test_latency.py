"""Latency over k: what is asked of the models, and that medians come back."""

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.retrieval.latency import WARM_UP, latency_over_k


class Gallery:
    image_ids = [f"i{number}" for number in range(9)]  # noqa: RUF012
    texts = ["a", "b"]  # noqa: RUF012
    regions = {image_id: number for number, image_id in enumerate(image_ids)}  # noqa: RUF012


class Counting:
    """A model that counts what it scores."""

    def __init__(self) -> None:
        self.scored: list[int] = []

    def embed_images(self, images: list[int]) -> np.ndarray:
        return np.eye(9, dtype=np.float32)[images]

    def embed_texts(self, captions: list[str]) -> np.ndarray:
        return np.ones((len(captions), 9), dtype=np.float32)

    def score_pairs(self, captions: list[str], images: list[int]) -> np.ndarray:
        assert len(captions) == len(images)
        self.scored.append(len(images))
        return np.zeros(len(images), dtype=np.float32)


def test_every_query_scores_every_k() -> None:
    model = Counting()
    seconds = latency_over_k(model, model, Gallery(), [1, 4, 20], queries=2)  # type: ignore[arg-type]
    assert list(seconds) == [1, 4, 20]
    assert all(value > 0 for value in seconds.values())
    assert model.scored == [1, 4, 9] * (WARM_UP + 2)


@pytest.mark.parametrize(("ks", "queries"), [([], 3), ([0], 3), ([1], 0)])
def test_refuses(ks: list[int], queries: int) -> None:
    with pytest.raises(InputError, match="give k from 1"):
        latency_over_k(Counting(), Counting(), Gallery(), ks, queries)  # type: ignore[arg-type]
