"""R@M against its definition, and the bootstrap against what is known of it."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.retrieval.metrics import bootstrap_interval, bootstrap_means, mean_recall, paired_bootstrap, recall, stratified_interval, success
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


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    truth, covered = 0.7, 0
    for _ in range(300):
        interval = bootstrap_interval(generator.random(200) < truth)
        covered += interval.low <= truth <= interval.high
    assert 0.91 <= covered / 300 <= 0.985


def test_the_interval_is_about_that_of_theory() -> None:
    values = np.arange(1000) < 300
    interval = bootstrap_interval(values)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert interval.mean == 0.3
    assert interval.low == pytest.approx(0.3 - half, abs=0.003)
    assert interval.high == pytest.approx(0.3 + half, abs=0.003)


def test_the_same_queries_under_several_seeds_are_not_more_queries() -> None:
    """Three seeds that agree on every query say no more than one."""
    values = np.random.default_rng(2).random(500) < 0.5
    once, thrice = bootstrap_interval(values), bootstrap_interval(np.stack([values] * 3))
    assert thrice == pytest.approx(once)


def test_a_spread_between_seeds_widens_the_interval() -> None:
    generator = np.random.default_rng(3)
    alike = generator.random((3, 2000)) < 0.5
    apart = generator.random((3, 2000)) < np.array([[0.3], [0.5], [0.7]])
    assert np.ptp(bootstrap_interval(apart)[1:]) > 2 * np.ptp(bootstrap_interval(alike)[1:])


@given(st.integers(1, 4), st.integers(1, 40), st.integers(0, 10_000))
def test_bootstrap_bounds_and_repeats(seeds: int, queries: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((seeds, queries)) < 0.5
    interval = bootstrap_interval(values)
    assert values.min() <= interval.low <= interval.high <= values.max()
    assert interval == bootstrap_interval(values)
    assert paired_bootstrap(values, values) == (0, 0, 0)


@given(st.integers(1, 3), st.integers(2, 40), st.integers(0, 10_000))
def test_paired_differences_turn_their_sign(seeds: int, queries: int, seed: int) -> None:
    a, b = np.random.default_rng(seed).random((2, seeds, queries)) < 0.5
    there, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert there.mean == pytest.approx(a.mean() - b.mean())
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_pairing_removes_what_the_queries_share() -> None:
    """Methods that agree on most queries differ by little, however hard the queries are."""
    b = np.random.default_rng(4).random(2000) < 0.5
    a = b.copy()
    a[:40] = True
    paired = paired_bootstrap(a, b)
    assert paired.low > 0
    assert np.ptp(paired[1:]) < np.ptp(bootstrap_interval(a)[1:]) / 3


def test_strata_weigh_the_same_and_are_resampled_apart() -> None:
    """100 and 5000 queries: the mean of the two means, with the interval of the sum of two independent halves."""
    generator = np.random.default_rng(6)
    few, many = generator.random((1, 100)) < 0.3, generator.random((1, 5000)) < 0.9
    mean, low, high = stratified_interval([few, many])
    half = 1.96 * np.sqrt(few.var() / 100 + many.var() / 5000) / 2
    assert mean == pytest.approx((few.mean() + many.mean()) / 2)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.006)


def test_strata_of_one_size_are_not_drawn_alike() -> None:
    """Were they, two opposite strata would cancel in every draw."""
    values = np.random.default_rng(7).random((1, 400)) < 0.5
    assert np.ptp(stratified_interval([values, ~values])[1:]) > 0.05
    assert np.corrcoef(bootstrap_means([values]), bootstrap_means([np.zeros_like(values), values]))[0, 1] < 0.1
    assert bootstrap_means([values]) == pytest.approx(1 - bootstrap_means([~values])), "but two calls are paired"


def test_one_draw_of_seeds_serves_all_strata() -> None:
    """A good training is good in both directions: the spread between seeds does not average out."""
    good_and_bad = np.broadcast_to(np.array([[0.2], [0.8]]), (2, 50))
    assert stratified_interval([good_and_bad] * 4) == pytest.approx(bootstrap_interval(good_and_bad))


def test_strata_need_the_same_seeds() -> None:
    with pytest.raises(InputError, match=r"all strata need the same seeds, not \[1, 2\]"):
        stratified_interval([np.zeros((1, 5)), np.zeros((2, 5))])
    with pytest.raises(InputError, match="at least one stratum"):
        stratified_interval([])


def test_wrong_shapes() -> None:
    with pytest.raises(InputError, match="same seeds and queries"):
        paired_bootstrap(np.zeros((1, 5)), np.zeros((3, 5)))
    with pytest.raises(InputError, match="shape"):
        bootstrap_interval(np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match="shape"):
        bootstrap_interval(np.zeros((2, 0)))


def test_fast_enough_for_a_table() -> None:
    values = np.random.default_rng(5).random((5, 5000)) < 0.7
    bootstrap_interval(values)  # the draws of 5000 queries are made once
    started = time.perf_counter()
    for _ in range(5):
        bootstrap_interval(values)
    assert time.perf_counter() - started < 2.5
