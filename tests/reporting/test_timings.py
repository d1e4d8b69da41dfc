"""Timings: medians of queries, sums of extrapolated means, intervals that widen with noise, rows that say what was extrapolated."""

import numpy as np
import pytest

from mmr_kit.reporting import Results
from mmr_kit.reporting.timings import BE, CE, COOP, Part, Timing, duration, rows_of


def test_a_query_is_the_sum_of_its_parts_and_the_median_counts() -> None:
    parts = {"encoding": Part(np.array([1.0, 2.0, 9.0])), "search": Part(np.array([3.0, 1.0, 1.0]), factor=2)}
    timing = Timing(BE, "fast", "cpu", 1000, parts)
    assert timing.of_queries.tolist() == [7, 4, 11]
    value, low, high = timing.estimate()
    assert value == 7
    assert 4 <= low <= 7 <= high <= 11
    assert timing.of_part("search").estimate().mean == 2


def test_extrapolated_parts_add_their_means() -> None:
    parts = {"encoding": Part(np.array([1.0, 3.0]), factor=10), "reranking": Part(np.array([0.5, 0.5, 0.5]), factor=100)}
    value, low, high = Timing(COOP, "fast", "cpu", 1000, parts, together=False).estimate()
    assert value == 20 + 50
    assert (low, high) == (10 + 50, 30 + 50)


def test_intervals_widen_with_noise_and_are_the_same_at_every_call() -> None:
    rng = np.random.default_rng(0)
    calm, noisy = (Timing(BE, "fast", "cpu", 1, {"search": Part(1 + spread * rng.normal(size=20))}) for spread in (0.01, 0.2))
    width = [timing.estimate().high - timing.estimate().low for timing in (calm, noisy)]
    assert width[1] > 5 * width[0]
    assert (noisy.draws() == noisy.draws()).all()


def test_rows_say_what_was_extrapolated() -> None:
    results = Results("table3", "x")
    whole = Timing(COOP, "published", "cpu", 50_000, {"encoding": Part(np.array([1.0, 2.0])), "search": Part(np.array([1.0, 1.0]))}, k=20)
    guessed = Timing(CE, "published", "cpu", 50_000, {"reranking": Part(np.array([0.1, 0.1]), 50_000)}, together=False, extrapolated="64 pairs")
    once = Timing(BE, "fast", "cpu", 50_000, {"encoding": Part(np.array([1.0]))}, together=False)
    for timing, paper in ((whole, {"paper_value": 6.0, "erratum": "odd"}), (guessed, {"paper_value": 8640.0, "erratum": "odd"}), (once, {})):
        for row in rows_of(timing, "latency", paper):
            results.add(**row)
    rows = results.frame.set_index(["method", "metric"])
    assert set(rows.loc[COOP].index) == {"latency_s", "latency_p95_s", "encoding_s", "search_s"}
    assert rows.loc[(COOP, "latency_s"), "erratum"] == "odd"
    assert rows.loc[(COOP, "latency_s"), "collection"] == "50,000 images"
    assert rows.loc[(CE, "latency_s"), "erratum"] == "Extrapolated from 64 pairs. odd"
    assert rows.loc[(CE, "latency_s"), "value"] == pytest.approx(5000)
    assert set(rows.loc[[CE]].index.get_level_values("metric")) == {"latency_s"}, "no percentile of what was extrapolated"
    assert np.isnan(rows.loc[(BE, "latency_s"), "ci_low"]), "a single repeat has no interval"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.234e-6, "1.23 µs"), (0.0161, "16.1 ms"), (0.9999, "1 s"), (12.34, "12.3 s"), (119, "119 s"), (120, "2 min"), (2160, "36 min"), (8640, "2.4 h"),
     (169_200, "47 h"), (30_600 * 24, "8.5 d"), (7.25328e7, "2.3 a"), (4e11, "12,684 a"), (0, "0 µs")],
)  # fmt: skip
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
