"""Exact search against brute force, with ties wherever possible."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mmr_kit.errors import InputError
from mmr_kit.retrieval.search import search

WIDTH = 3


def vectors(least: int, most: int) -> st.SearchStrategy[np.ndarray]:
    """Whole numbers, so that products are exact and ties common."""
    return arrays.arrays(np.float32, st.tuples(st.integers(least, most), st.just(WIDTH)), elements=st.integers(-2, 2))


@given(vectors(0, 5), vectors(1, 20), st.integers(1, 25), st.integers(1, 400))
def test_equals_brute_force_in_chunks_of_any_size(queries: np.ndarray, items: np.ndarray, k: int, chunk_bytes: int) -> None:
    rows, scores = search(queries, items, k, chunk_bytes)
    similarity = queries @ items.T
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    assert np.array_equal(rows, expected)
    assert np.array_equal(scores, np.take_along_axis(similarity, expected, axis=1))


def test_equal_items_come_in_their_order() -> None:
    rows, scores = search(np.ones((2, WIDTH), np.float32), np.ones((50, WIDTH), np.float32), 7, chunk_bytes=1)
    assert rows.tolist() == [list(range(7))] * 2
    assert (scores == WIDTH).all()


def test_real_vectors() -> None:
    rng = np.random.default_rng(0)
    queries, items = (rng.normal(size=(count, 16)).astype(np.float32) for count in (30, 500))
    similarity = queries @ items.T
    for chunk_bytes in (1, 30 * 4 * 77, 2**26):
        rows, scores = search(queries, items, 20, chunk_bytes)
        assert np.allclose(scores, -np.sort(-similarity, axis=1)[:, :20], atol=1e-5)
        assert np.allclose(np.take_along_axis(similarity, rows, axis=1), scores, atol=1e-5)
        assert all(len(set(row)) == 20 for row in rows.tolist())


def test_keeps_within_its_memory() -> None:
    queries, items = np.ones((200, 2), np.float32), np.ones((20_000, 2), np.float32)
    tracemalloc.start()
    search(queries, items, 5, chunk_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20, "all similarities at once are 16 MB, and sorting them several times as much"


@pytest.mark.parametrize(("queries", "items", "k", "fault"), [
    (np.ones((2, 3)), np.ones((4, 3)), 0, "k is 0"),
    (np.ones((2, 3)), np.ones((4, 3)), -1, "k is -1"),
    (np.ones((2, 3)), np.ones((0, 3)), 1, "the collection is empty"),
    (np.ones((2, 3)), np.ones((4, 2)), 1, "queries are 3 wide, items 2"),
    (np.array([[1.0, np.nan]]), np.ones((4, 2)), 1, "NaN or infinite"),
    (np.ones((1, 2)), np.array([[1.0, 2.0], [np.inf, 0.0]]), 1, "NaN or infinite"),
])  # fmt: skip
def test_refuses(queries: np.ndarray, items: np.ndarray, k: int, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        search(queries, items, k)
