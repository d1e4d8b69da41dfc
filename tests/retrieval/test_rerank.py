"""Candidates with both scores: any k and any combination by hand, and what the released code did with normalised scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.retrieval.rerank import AS_RELEASED, COMBINATIONS, Candidates

DIRECTIONS = ("image_retrieval", "text_retrieval")


def candidates(direction: str = "image_retrieval", queries: int = 10, found: int = 6, images: int = 2, seed: int = 0) -> Candidates:
    rng = np.random.default_rng(seed)
    ids = [[f"i{item}" for item in rng.permutation(20)[:found]] for _ in range(queries)]
    cosines = [np.sort(rng.uniform(-1, 1, found).astype(np.float32))[::-1] for _ in range(queries)]
    matches = [rng.uniform(0, 1, found).astype(np.float32) for _ in range(queries)]
    return Candidates(direction, [f"q{query}" for query in range(queries)], ids, cosines, matches, images)


@given(st.sampled_from(["none", "ADD", "NORM_ADD"]), st.integers(1, 8), st.floats(0, 1), st.integers(0, 99), st.sampled_from(DIRECTIONS))
def test_every_combination_by_hand(combination: str, k: int, weight: float, seed: int, direction: str) -> None:
    scored = candidates(direction, seed=seed)
    ranking = scored.ranking(k, combination, weight)
    for query, (ids, e, c) in enumerate(zip(scored.candidate_ids, scored.cosines, scored.matches, strict=True)):
        ids, e, c = ids[:k], e[:k], c[:k]
        if combination == "NORM_ADD":
            e, c = ((x - x.min()) / (x.max() - x.min()) if x.max() > x.min() else x * 0 for x in (e, c))
        values = c if combination == "none" else weight * e + (1 - weight) * c
        expected = sorted(zip(-values.astype(np.float32), ids, strict=True))
        assert ranking.candidate_ids[query] == [item for _, item in expected]
        np.testing.assert_array_equal(ranking.scores[query], [-value for value, _ in expected])


def test_lambda_0_is_the_cross_encoder_and_1_the_bi_encoder() -> None:
    scored = candidates()
    for name in ("ADD", "NORM_ADD"):
        assert scored.ranking(6, name, 0.0).candidate_ids == scored.ranking(6).candidate_ids
        assert scored.ranking(6, name, 1.0).candidate_ids == scored.candidate_ids


def test_as_released_only_as_many_captions_as_there_are_images_are_reranked() -> None:
    positive = candidates(images=3)
    scored = Candidates(positive.direction, positive.query_ids, positive.candidate_ids, [np.abs(e)[::-1] for e in positive.cosines], positive.matches, 3)
    scored = Candidates(scored.direction, scored.query_ids, scored.candidate_ids, [np.sort(e)[::-1] for e in scored.cosines], scored.matches, 3)
    released, proper = scored.ranking(6, AS_RELEASED, 0.1), scored.ranking(6, "NORM_ADD", 0.1)
    assert released.candidate_ids[:3] == proper.candidate_ids[:3]
    assert released.candidate_ids[3:] == scored.candidate_ids[3:]
    assert proper.candidate_ids[3:] != scored.candidate_ids[3:]
    other = Candidates("text_retrieval", scored.query_ids, scored.candidate_ids, scored.cosines, scored.matches, 3)
    assert other.ranking(6, AS_RELEASED, 0.1).candidate_ids == proper.candidate_ids, "text retrieval loops over its queries"


def test_as_released_takes_the_lower_bound_from_the_wrong_sign() -> None:
    e, c = np.array([0.5, 0.1, -0.2], dtype=np.float32), np.array([0.0, 0.5, 1.0], dtype=np.float32)
    np.testing.assert_allclose(COMBINATIONS[AS_RELEASED](e, c, 1.0), (e - 0.2) / 0.3, rtol=1e-6)
    np.testing.assert_allclose(COMBINATIONS["NORM_ADD"](e, c, 1.0), (e + 0.2) / 0.7, rtol=1e-6)


def test_refuses() -> None:
    for k, combination, weight, fault in [(0, "none", 0.0, "k is 0"), (1, "SUM", 0.0, "no score combination 'SUM'"), (1, "ADD", 1.1, "lambda 1.1")]:
        with pytest.raises(InputError, match=fault):
            candidates().ranking(k, combination, weight)
