"""Rankings: order by score, then by id."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.retrieval.ranking import Ranking

QUERIES = st.lists(st.dictionaries(st.text("aäbZ01-", min_size=1, max_size=4), st.integers(-3, 3), min_size=1, max_size=8), min_size=1, max_size=4)


@given(QUERIES, st.none() | st.integers(1, 10))
def test_orders_by_falling_score_then_rising_id(queries: list[dict[str, int]], depth: int | None) -> None:
    scores = [np.array(list(items.values()), dtype=np.int64) for items in queries]
    ids = [f"query-{number}" for number in range(len(queries))]
    ranking = Ranking.from_scores("text_retrieval", ids, [list(items) for items in queries], scores, depth)
    assert (ranking.direction, ranking.query_ids) == ("text_retrieval", ids)
    for items, candidates, ordered in zip(queries, ranking.candidate_ids, ranking.scores, strict=True):
        expected = sorted(items, key=lambda item: (-items[item], item))[:depth]
        assert candidates == expected
        assert ordered.dtype == np.float32
        assert ordered.tolist() == [items[item] for item in expected]


def test_joined_rankings_are_as_deep_as_the_shallowest() -> None:
    """So that they can be kept as arrays."""
    deep = Ranking.from_scores("image_retrieval", ["q"], [["a", "b", "c"]], [np.array([1.0, 3.0, 2.0])])
    other = Ranking.from_scores("image_retrieval", ["r", "s"], [["d", "e"], ["e", "d"]], [np.array([0.5, 0.25]), np.array([0.125, 0.75])])
    joined = Ranking.joined([deep, other])
    assert (joined.direction, joined.query_ids, joined.candidate_ids) == ("image_retrieval", ["q", "r", "s"], [["b", "c"], ["d", "e"], ["d", "e"]])
    assert np.stack(joined.scores).tolist() == [[3.0, 2.0], [0.5, 0.25], [0.75, 0.125]]


def test_scores_are_compared_as_float32() -> None:
    """What float64 tells apart and the files do not hold is a tie."""
    ranking = Ranking.from_scores("image_retrieval", ["q"], [["b", "a"]], [np.array([1.0, 1.0 - 1e-12])])
    assert ranking.candidate_ids == [["a", "b"]]
