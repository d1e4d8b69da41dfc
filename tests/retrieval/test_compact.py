"""What the first pass rests on: no item's true product is further from its codes' than the bound says."""

import numpy as np
import pytest

from mmr_kit.retrieval.compact import Compact, Frame


def items(kind: str, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, width))
    if kind == "cone":
        vectors = 0.1 * vectors + 1
    elif kind == "one large column":
        vectors[:, -1] *= 10
    elif kind == "one long":
        vectors[7] *= 1e4
    return vectors.astype(np.float32)


@pytest.mark.parametrize("width", [1, 2, 127, 128, 129, 300, 1500])
@pytest.mark.parametrize("kind", ["normal", "cone", "one large column", "one long"])
def test_products_are_within_the_bound_and_the_bound_is_of_use(kind: str, width: int) -> None:
    vectors = items(kind, width)
    frame = Frame.of(vectors[:100])
    codes, bounds = frame.encode(vectors)
    compact = Compact(frame, codes, bounds, apart=10)
    queries = np.vstack([vectors[:5], np.random.default_rng(1).normal(size=(5, width)), np.zeros((1, width))]).astype(np.float32)
    whole, factors, missed = frame.whole_numbers(queries)
    approximate = (queries.astype(np.float64) @ frame.centre)[:, None] + factors[:, None] * (whole.astype(int) @ (codes.astype(int) - 128).T)
    wrong = np.abs(queries.astype(np.float64) @ vectors.T.astype(np.float64) - approximate)
    slack = compact.slack(queries, missed, factors)
    usual = np.setdiff1d(np.arange(len(vectors)), compact.apart)
    assert (wrong[:, usual] <= slack[:, None]).all()
    assert len(compact.apart) <= 10
    if kind == "one long":
        assert 7 in compact.apart
    if width >= 127:
        moved = np.linalg.norm(vectors - frame.centre, axis=1)
        assert (slack[:10] < 0.05 * np.linalg.norm(queries[:10], axis=1) * np.median(moved)).all(), "a twentieth of the lengths"


def test_a_rotation_keeps_lengths() -> None:
    vectors = items("normal", 300)
    assert np.allclose(np.linalg.norm(Frame.of(vectors).rotate(vectors), axis=1), np.linalg.norm(vectors, axis=1), rtol=1e-5)
