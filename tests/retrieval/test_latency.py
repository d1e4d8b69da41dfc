"""What is timed, in which order, and what counts: with fakes, and a clock that only they move."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.retrieval.latency import (
    CERTAIN,
    LEAST,
    WARM_UP,
    Search,
    Way,
    evaluation_times,
    latency_over_k,
    query_times,
    search_times,
    throughputs,
)


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


class Clock:
    """Time that passes only where a fake says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow(Counting):
    """A model whose every call takes as long as it is told: 1 s a text, 10 s an image, 100 s a pair."""

    def __init__(self, clock: Clock, factor: float = 1.0) -> None:
        super().__init__()
        self.clock, self.factor, self.asked = clock, factor, []  # type: ignore[var-annotated]

    def embed_images(self, images: list[int]) -> np.ndarray:
        self.clock.now += 10 * self.factor * len(images)
        return super().embed_images(images)

    def embed_texts(self, captions: list[str]) -> np.ndarray:
        self.clock.now += self.factor * len(captions)
        self.asked += captions
        return super().embed_texts(captions)

    def score_pairs(self, captions: list[str], images: list[int]) -> np.ndarray:
        self.clock.now += 100 * self.factor * len(images)
        return super().score_pairs(captions, images)


def test_the_parts_of_a_query_are_timed_apart_and_the_warm_up_does_not_count() -> None:
    clock = Clock()

    def find(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        clock.now += 0.5
        return np.arange(k)[None], -np.arange(k, dtype=np.float32)[None]

    ways = {"published": Way(Slow(clock, 3), find), "fast": Way(Slow(clock), find)}
    lines: list[str] = []
    times = query_times(ways, ["warm", "a", "b"], lambda row: row, 2, 1, lines.append, clock)
    assert {name: {part: list(seconds) for part, seconds in found.seconds.items()} for name, found in times.items()} == {
        "published": {"encoding": [3, 3], "search": [0.5, 0.5], "reranking": [600, 600]},
        "fast": {"encoding": [1, 1], "search": [0.5, 0.5], "reranking": [200, 200]},
    }
    assert times["fast"].rows.tolist() == [[0, 1], [0, 1]]
    assert times["fast"].matches.shape == (2, 2)
    assert lines[:2] == ["query 1 of 3, published", "query 1 of 3, fast"], "in turn"
    assert ways["fast"].model.asked == ["warm", "a", "b"]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="give more queries"):
        query_times(ways, ["warm"], lambda row: row, 2, 1)


def jobs(clock: Clock, seconds: Sequence[float]) -> Callable[[int], int]:
    def job(batch: int) -> int:
        clock.now += seconds[batch % len(seconds)]
        return 4

    return job


def test_a_throughput_is_measured_until_it_is_known() -> None:
    clock = Clock()
    found = throughputs({"even": jobs(clock, [2.0]), "uneven": jobs(clock, [1.0, 1.2])}, budget=1e9, clock=clock)
    assert found["even"].units == 4
    assert set(found["even"].per_unit) == {0.5}
    assert LEAST <= len(found["uneven"].seconds) == len(found["even"].seconds) < 50
    assert found["uneven"].half_width <= CERTAIN
    noisy = throughputs({"noisy": jobs(clock, [1.0, 3.0])}, budget=1e9, clock=clock)["noisy"]
    assert len(noisy.seconds) > len(found["uneven"].seconds)
    assert noisy.half_width <= CERTAIN


def test_a_throughput_ends_with_its_budget_and_says_that_it_is_not_known() -> None:
    clock = Clock()
    found = throughputs({"noisy": jobs(clock, [1.0, 3.0])}, budget=7.0, clock=clock)["noisy"]
    assert len(found.seconds) < LEAST
    assert found.half_width == float("inf")
    with pytest.raises(InputError, match="batches of a throughput are alike"):
        throughputs({"odd": lambda batch: batch}, budget=1.0, clock=clock)


def test_the_parts_of_an_evaluation() -> None:
    clock = Clock()

    def find(queries: np.ndarray, items: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        clock.now += 1000
        k = min(k, len(items))
        return np.tile(np.arange(k), (len(queries), 1)), np.zeros((len(queries), k), dtype=np.float32)

    captions, images = ["a"] * 6, list(range(3))
    assert evaluation_times(Slow(clock), find, captions, images, 2, clock=clock) == {"encoding": 36, "search": 2000, "reranking": 100 * (6 * 2 + 3 * 2)}
    assert evaluation_times(Slow(clock), find, captions, images, 2, rerank=False, clock=clock) == {"encoding": 36, "search": 2000}


def test_searches_are_timed_in_turn() -> None:
    clock = Clock()
    order: list[str] = []

    def find(name: str, seconds: float) -> Search:
        def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            clock.now += seconds
            order.append(name)
            return np.arange(k)[None], np.zeros((1, k), dtype=np.float32)

        return search

    found = search_times({"slow": find("slow", 2), "quick": find("quick", 1)}, np.zeros((3, 4), dtype=np.float32), 2, 1, clock=clock)
    assert order == ["slow", "quick"] * 3
    assert {name: list(seconds) for name, (seconds, _) in found.items()} == {"slow": [2, 2], "quick": [1, 1]}
    assert found["slow"][1].tolist() == [[0, 1], [0, 1]]
