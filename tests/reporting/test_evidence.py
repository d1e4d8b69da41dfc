"""What each test of a comparison says."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.reporting.evidence import (
    MARGIN,
    Finding,
    Verdict,
    all_of,
    apart,
    at_least,
    by_far,
    equivalent,
    greater,
    keeps_more,
    ratio_within,
    rises,
)

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE, NOT_MEASURED = Verdict


def values(share: float, queries: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, queries)) < share


def exactly(share: float, queries: int = 2000) -> np.ndarray:
    return (np.arange(queries) < share * queries)[None].astype(float)


@pytest.mark.parametrize(
    ("test", "a", "b", "verdict"),
    [
        (greater, 0.70, 0.50, SUPPORTED),
        (greater, 0.50, 0.70, NOT_SUPPORTED),
        (greater, 0.505, 0.50, INCONCLUSIVE),
        (at_least, 0.60, 0.50, SUPPORTED),
        (at_least, 0.40, 0.50, NOT_SUPPORTED),
        (at_least, 0.48, 0.50, INCONCLUSIVE),
        (equivalent, 0.60, 0.50, NOT_SUPPORTED),
        (equivalent, 0.50, 0.60, NOT_SUPPORTED),
        (equivalent, 0.50, 0.485, INCONCLUSIVE),
    ],
)
def test_verdicts_of_independent_methods(test: Callable[..., Finding], a: float, b: float, verdict: Verdict) -> None:
    finding = test(values(a, seed=1), values(b, seed=2))
    assert finding.verdict == verdict, finding.text


def test_equal_methods() -> None:
    same = values(0.5)
    assert equivalent(same, same).verdict == SUPPORTED
    assert at_least(same, same).verdict == SUPPORTED
    assert greater(same, same).verdict == INCONCLUSIVE, "an interval that ends at what is needed does not contradict it"


def test_a_wider_margin_is_easier() -> None:
    a, b = values(0.48, seed=1), values(0.5, seed=2)
    assert equivalent(a, b, margin=10).verdict == SUPPORTED
    assert at_least(a, b, margin=10).verdict == SUPPORTED
    assert at_least(a, b, margin=0.1).verdict != SUPPORTED


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.sampled_from([30, 400]))
def test_the_tests_agree_with_one_another(seed: int, share_a: float, share_b: float, queries: int) -> None:
    a, b = values(share_a, queries, seed), values(share_b, queries, seed + 1)
    if greater(a, b).verdict == SUPPORTED:
        assert at_least(a, b).verdict == SUPPORTED
        assert greater(b, a).verdict == NOT_SUPPORTED
    if equivalent(a, b).verdict == SUPPORTED:
        assert at_least(a, b).verdict == at_least(b, a).verdict == SUPPORTED
    if at_least(a, b).verdict == NOT_SUPPORTED:
        assert equivalent(a, b).verdict == NOT_SUPPORTED
        assert greater(a, b).verdict == NOT_SUPPORTED
    if greater(a, b, by=5).verdict == SUPPORTED:
        assert greater(a, b).verdict == SUPPORTED


def test_the_evidence_is_in_numbers() -> None:
    a, b = exactly(0.721), exactly(0.505)
    assert greater(a, b).text.startswith("72.1 - 50.5 = +21.6 [+19.")
    assert f"needed: within ±{MARGIN:g}" in equivalent(a, b).text
    assert f"needed: above -{MARGIN:g}" in at_least(a, b).text
    assert greater(a, b, by=5).text.endswith("needed: above 5")
    assert "-0.0" not in greater(exactly(0.5), exactly(0.5002, 10_000)[:, :2000]).text


def test_far_is_more_than_a_par() -> None:
    assert by_far(10, 26) == 5
    assert by_far(2.4) == MARGIN
    assert greater(exactly(0.6), exactly(0.5), by=5).verdict == SUPPORTED
    assert greater(exactly(0.6), exactly(0.5), by=15).verdict == NOT_SUPPORTED
    assert greater(exactly(0.6), exactly(0.5), by=10).verdict == INCONCLUSIVE


def test_strata_weigh_the_same_whatever_their_size() -> None:
    """Two directions: +20 points on 100 queries and -10 on 5000 make +5, though most queries are lost."""
    a, b = [exactly(0.7, 100), exactly(0.4, 5000)], [exactly(0.5, 100), exactly(0.5, 5000)]
    finding = greater(a, b)
    assert finding.text.startswith("55.0 - 50.0 = +5.0")
    assert finding.verdict == SUPPORTED


def test_thirds_of_a_hit_decide_nothing_by_their_last_bit() -> None:
    """The mean of three metrics: what one query gains another loses, and the lower end is 0 but for rounding."""
    gains = np.array([[1 / 3, 2 / 3, -1.0]])
    assert greater([gains], [np.zeros((1, 3))]).verdict == INCONCLUSIVE
    assert greater([gains - gains.mean(), 0.1 + 0.2 - np.full((1, 3), 0.3)], [np.zeros((1, 3))] * 2).verdict == INCONCLUSIVE


def test_sides_that_answer_different_queries() -> None:
    """One stratum of 300 queries against two of 200 and 500: means are kept, and the interval is that of independent samples."""
    english, others = [values(0.8, 300, 1).astype(float)], [values(0.6, 200, 2).astype(float), values(0.4, 500, 3).astype(float)]
    finding = greater(*apart(english, others))
    mean = 100 * (english[0].mean() - (others[0].mean() + others[1].mean()) / 2)
    half = 196 * np.sqrt(english[0].var() / 300 + others[0].var() / 200 / 4 + others[1].var() / 500 / 4)
    low, high = (float(number) for number in finding.text.split("[")[1].rstrip("]").split(","))
    assert f"= {mean:+.1f} [" in finding.text
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=1)


@pytest.mark.parametrize(("share", "verdict"), [(0.72, SUPPORTED), (0.4, NOT_SUPPORTED), (0.9, NOT_SUPPORTED), (0.64, INCONCLUSIVE), (0.79, INCONCLUSIVE)])
def test_a_ratio_within_a_band(share: float, verdict: Verdict) -> None:
    finding = ratio_within(values(share, 1000, 1), exactly(0.8, 1000), (0.8, 1.0))
    assert finding.verdict == verdict, finding.text


def test_no_ratio_to_nothing() -> None:
    finding = ratio_within(exactly(0.5), exactly(0.0), (0.8, 1.0))
    assert finding.verdict == INCONCLUSIVE
    assert keeps_more(exactly(0.0), exactly(0.0), exactly(0.5), exactly(0.5)).verdict == INCONCLUSIVE
    with pytest.raises(InputError, match="same seeds and images"):
        ratio_within(exactly(0.5, 10), exactly(0.5, 20), (0.8, 1.0))


@pytest.mark.parametrize(("kept", "verdict"), [((0.6, 0.4), SUPPORTED), ((0.4, 0.6), NOT_SUPPORTED), ((0.5, 0.5), INCONCLUSIVE)])
def test_what_is_kept(kept: tuple[float, float], verdict: Verdict) -> None:
    """Shares of the full value: 0.6 of 0.8 is more than 0.4 of 0.5."""
    a, b = values(0.8 * kept[0], seed=1), values(0.5 * kept[1], seed=2)
    finding = keeps_more(a, exactly(0.8), b, exactly(0.5))
    assert finding.verdict == verdict, finding.text


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([0.4, 0.5, 0.6], SUPPORTED),
        ([0.6, 0.5, 0.4], NOT_SUPPORTED),
        ([0.4, 0.7, 0.6], NOT_SUPPORTED),
        ([0.5], NOT_MEASURED),
    ],
)
def test_a_rise(shares: list[float], verdict: Verdict) -> None:
    finding = rises([(str(i), exactly(share)) for i, share in enumerate(shares)])
    assert finding.verdict == verdict, finding.text


def test_a_step_down_within_noise_is_still_a_rise() -> None:
    finding = rises([("1", values(0.4, seed=1)), ("2", values(0.601, seed=2)), ("3", values(0.6, seed=3))])
    assert finding.verdict == SUPPORTED
    assert rises([("1", values(0.5, seed=1)), ("2", values(0.505, seed=2))]).verdict == INCONCLUSIVE


def test_all_must_hold() -> None:
    held, failed = Finding(SUPPORTED, "yes"), Finding(NOT_SUPPORTED, "no")
    assert all_of({"a": held, "b": held}) == Finding(SUPPORTED, "a: yes; b: yes")
    assert all_of({"a": held, "b": failed}).verdict == NOT_SUPPORTED
    assert all_of({"a": held, "b": Finding(INCONCLUSIVE, "")}).verdict == INCONCLUSIVE
