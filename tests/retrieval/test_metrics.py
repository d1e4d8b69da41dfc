"""R@M against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.retrieval.metrics import mean_recall, recall, success
from mmr_kit.retrieval.ranking import Ranking

ITEMS = [f"item-{i}" for i in range(12)]


def ranking_of(candidates: dict[str, list[str]], direction: str = "image_retrieval") -> Ranking:
    scores = [np.arange(len(items), 0, -1, dtype=np.float32) for items in candidates.values()]
    return Ranking(direction, list(candidates), list(candidates.values()), scores)


class Known:
    """A data set as far as `recall` cares."""

    def __init__(self, relevance: dict[str, set[str]]) -> None:
        self.relevant = relevance

    def relevance(self, direction: str) -> dict[str, set[str]]:
        return self.relevant


@st.composite
def judged_rankings(draw: st.DrawFn) -> tuple[Ranking, dict[str, set[str]]]:
    queries = [f"query-{i}" for i in range(draw(st.integers(1, 6)))]
    candidates = {query: draw(st.lists(st.sampled_from(ITEMS), unique=True)) for query in queries}
    relevance = {query: draw(st.sets(st.sampled_from(ITEMS), min_size=1)) for query in queries}
    return ranking_of(candidates, draw(st.sampled_from(["image_retrieval", "text_retrieval"]))), relevance


@given(judged_rankings(), st.lists(st.integers(1, 15), min_size=1, max_size=4))
def test_success_is_any_relevant_item_among_the_first_m(judged: tuple[Ranking, dict[str, set[str]]], at: list[int]) -> None:
    ranking, relevance = judged
    hits = success(ranking, relevance, at)
    assert hits.dtype == bool
    assert hits.shape == (len(ranking.query_ids), len(at))
    for row, (query, items) in enumerate(zip(ranking.query_ids, ranking.candidate_ids, strict=True)):
        for column, m in enumerate(at):
            assert hits[row, column] == bool(set(items[:m]) & relevance[query])


@given(judged_rankings())
def test_success_rises_with_m(judged: tuple[Ranking, dict[str, set[str]]]) -> None:
    hits = success(*judged, range(1, 14))
    assert (hits[:, 1:] >= hits[:, :-1]).all()


@given(judged_rankings())
def test_recall_is_the_share_in_percent(judged: tuple[Ranking, dict[str, set[str]]]) -> None:
    ranking, relevance = judged
    found = recall(ranking, Known(relevance), at=(1, 3))
    naive = {m: [bool(set(items[:m]) & relevance[query]) for query, items in zip(ranking.query_ids, ranking.candidate_ids, strict=True)] for m in (1, 3)}
    assert found == {f"R@{m}": 100 * (sum(values) / len(values)) for m, values in naive.items()}


def test_five_captions_count_once() -> None:
    """The naming trap: one of five captions at the top is a full hit, not a fifth of one."""
    ranking = ranking_of({"image": ["c0", "x", "y"]}, "text_retrieval")
    assert recall(ranking, Known({"image": {f"c{i}" for i in range(5)}}), at=(1,)) == {"R@1": 100.0}


def test_an_item_that_was_not_retrieved_is_a_miss() -> None:
    assert not success(ranking_of({"q": ["a", "b"]}), {"q": {"c"}}, at=(1, 10)).any()
    assert not success(ranking_of({"q": []}), {"q": {"c"}}).any()


@pytest.mark.parametrize("relevance", [{}, {"q": set()}])
def test_a_query_without_relevant_items_is_named(relevance: dict[str, set[str]]) -> None:
    with pytest.raises(InputError, match=r"'q'.*no relevant item"):
        success(ranking_of({"q": ["a"]}), relevance)


def test_bad_arguments() -> None:
    ranking = ranking_of({"q": ["a"]})
    with pytest.raises(InputError, match="M >= 1"):
        success(ranking, {"q": {"a"}}, at=(0, 1))
    with pytest.raises(InputError, match="M >= 1"):
        success(ranking, {"q": {"a"}}, at=())
    with pytest.raises(InputError, match="without queries"):
        recall(ranking_of({}), Known({}))
    with pytest.raises(InputError, match="at least one direction"):
        mean_recall()


def test_mean_recall_is_over_both_directions() -> None:
    """The paper's own row: JOINT+COOP on Flickr30k."""
    image, text = {"R@1": 76.4, "R@5": 93.6, "R@10": 96.2}, {"R@1": 89.4, "R@5": 97.7, "R@10": 99.0}
    assert mean_recall(image, text) == pytest.approx((76.4 + 93.6 + 96.2 + 89.4 + 97.7 + 99.0) / 6)
