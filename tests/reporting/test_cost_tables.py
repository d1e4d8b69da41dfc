"""Tables 3 and 4: every time at its place beside the paper's, extrapolated ones marked, and their figures."""

import numpy as np
import pandas as pd
import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting import Results, cost_table
from mmr_kit.reporting.figures import evaluation_figure, query_figure
from mmr_kit.reporting.timings import BE, CE, COOP, Part, Timing, rows_of

METRICS = {3: "latency", 4: "time"}


def timings(sizes: tuple[int, ...], together: bool = True, ways: tuple[str, ...] = ("published", "fast")) -> list[Timing]:
    made = []
    for items in sizes:
        for way in ways:
            slow = 10.0 if way == "published" else 1.0
            be = {"encoding": Part(slow * np.array([0.01, 0.012])), "search": Part(slow * np.array([1e-6, 1.1e-6]) * items)}
            coop = {**be, "reranking": Part(slow * np.array([0.1, 0.1]))}
            ce = {"reranking": Part(slow * np.array([0.005, 0.005]), items)}
            made += [Timing(BE, way, "cpu", items, be, together), Timing(COOP, way, "cpu", items, coop, together, k=20),
                     Timing(CE, way, "cpu", items, ce, False, "16 pairs")]  # fmt: skip
    return made


def frame(number: int, made: list[Timing]) -> pd.DataFrame:
    results = Results(f"table{number}", "x")
    for timing in made:
        for row in rows_of(timing, METRICS[number], {}):
            results.add(dataset="random", **row)
    return results.frame


def test_table3_has_both_ways_beside_the_papers_devices() -> None:
    table = cost_table(3, frame(3, timings((50_000, 1_000_000))), ["a note"])
    assert [column for column in table.frame.columns if column[0] == "50,000 images"] == [
        ("50,000 images", "oscar, cpu", "published"), ("50,000 images", "oscar, cpu", "fast"),
        ("50,000 images", "the paper", "NVIDIA V100"), ("50,000 images", "the paper", "Intel Xeon Gold 6154 CPU"),
    ]  # fmt: skip
    cells = table.frame.loc[("One query", COOP)]
    assert str(cells["1,000,000 images", "oscar, cpu", "fast"]).startswith("1.16 s ±")
    assert str(cells["1,000,000 images", "the paper", "NVIDIA V100"]) == "(94 ms)"
    assert cells["1,000,000 images", "the paper", "Intel Xeon Gold 6154 CPU"].mark, "the paper's 13 s has an erratum"
    of_ce = table.frame.loc[("One query", CE)]
    assert str(of_ce["50,000 images", "oscar, cpu", "fast"]) == "4.17 min* ±0 µs"
    assert "\\*" in table.to_markdown()
    assert "4.17 min*" in table.to_html()
    assert "a note" in table.notes
    parts = table.frame.loc["Where the time of SEP/JOINT+COOP goes"]
    assert list(parts.index) == ["encoding", "search", "reranking"]
    assert "5.9 pairs/s" in " ".join(table.notes)


def test_sizes_that_the_paper_has_not_stand_alone() -> None:
    table = cost_table(3, frame(3, timings((300,))))
    assert {column[1] for column in table.frame.columns} == {"oscar, cpu"}
    assert not any(note.startswith("†") for note in table.notes)


def test_table4_marks_what_the_authors_extrapolated() -> None:
    table = cost_table(4, frame(4, timings((1000, 100_000), together=False)))
    printed = table.frame.loc[("Both directions, encoding included", CE)]["100,000 images", "the paper", "NVIDIA V100"]
    assert str(printed).startswith("(2.3 a")
    assert printed.mark.endswith("*")
    assert "95th percentile of the queries" not in table.frame.index.get_level_values(0)


def test_a_table_without_times_is_refused() -> None:
    with pytest.raises(InputError, match="no time among the rows"):
        cost_table(3, frame(3, timings((300,)))[:0])


def test_the_figure_of_queries_draws_each_time_once() -> None:
    fig = query_figure(frame(3, timings((50_000, 1_000_000))))
    large = fig.axes[1]
    drawn = sorted(float(line.get_xdata()[0]) for line in large.lines if line.get_marker() not in ("None", "", "d", "D"))  # type: ignore[arg-type, index]
    assert drawn == pytest.approx(sorted([1.061, 10.61, 1.161, 11.61, 5000, 50_000]), rel=1e-6)
    printed = sorted(float(line.get_xdata()[0]) for line in large.lines if line.get_marker() in ("d", "D"))  # type: ignore[index]
    assert printed == pytest.approx([0.037, 0.094, 1.6, 13, 2160, 169_200])
    shares = fig.axes[2]
    assert len(shares.patches) == 4 * 3
    assert sum(patch.get_width() for patch in shares.patches) == pytest.approx(400)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="no latency"):
        query_figure(frame(4, timings((1000,))))


def test_the_figure_of_evaluations_has_a_panel_for_each_model() -> None:
    fig = evaluation_figure(timings((1000, 5000), together=False), timings((20, 40)))
    assert [axis.texts[0].get_text() for axis in fig.axes] == ["the full model", "a small model, whole evaluations"]
    printed = [line for line in fig.axes[0].lines if line.get_marker() == "D"]
    assert len(printed) == 3
    assert not [line for line in fig.axes[1].lines if line.get_marker() == "D"]
    with pytest.raises(InputError, match="no evaluations"):
        evaluation_figure([], [])
