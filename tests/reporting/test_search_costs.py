"""The cost of search: rows, table, growth, and the figures over size, against accuracy and below the roofline."""

import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting import Results
from mmr_kit.reporting.figures import accuracy_figure, roofline_figure, size_figure
from mmr_kit.reporting.search_costs import (
    APPROXIMATE,
    INT8,
    Achieved,
    Machine,
    SearchCost,
    add_achieved,
    add_search_costs,
    growth_note,
    search_table,
    shown,
)


def costs() -> list[SearchCost]:
    """Exact search that grows linearly, approximate with the root; 1 probe finds half, 4 find 96%, 16 all."""
    made = []
    for items in (10_000, 1_000_000):
        made.append(SearchCost(INT8, items, np.full(5, 1e-7 * items), 100.0, 20))
        made += [SearchCost(APPROXIMATE, items, np.full(5, probes * 1e-6 * items**0.5), found, 20, probes) for probes, found in ((1, 50), (4, 96), (16, 100))]
    return made


def test_rows_and_table() -> None:
    results = Results("search_costs", "x")
    add_search_costs(results, costs())
    assert len(results.frame) == 2 * len(costs())
    row = results.frame.set_index(["method", "collection", "metric"]).sort_index().loc[("approximate, 4 probes", "1,000,000 images")]
    assert row["value"].to_dict() == pytest.approx({"search_s": 0.004, "found_of_exact": 96})
    table = search_table(costs(), ["a note"])
    assert [str(cell) for cell in table.frame.loc[("", "exact by int8")]] == ["1 ms ±0 µs", "100.0", "100 ms ±0 µs", "100.0"]
    with pytest.raises(InputError, match="no search"):
        search_table([])


def test_the_number_of_probes_that_is_good_enough_is_shown() -> None:
    assert list(shown(costs())) == ["exact by int8", "approximate, 4 probes"]
    poor = [cost for cost in costs() if (cost.probes or 1) == 1]
    assert list(shown(poor)) == ["exact by int8", "approximate, 1 probe"]
    assert list(shown([cost for cost in costs() if cost.probes is None])) == ["exact by int8"]


def test_growth_is_told_as_a_power() -> None:
    note = growth_note(costs())
    assert "exact by int8 with the power 1.00 from 10,000 to 1,000,000" in note
    assert "approximate, 4 probes with the power 0.50" in note
    assert growth_note(costs()[:1]) == ""


def test_the_figure_over_size_has_time_recall_and_the_papers_times() -> None:
    fig = size_figure(costs())
    times, found = fig.axes
    curves = {tuple(line.get_ydata()) for line in times.lines if line.get_marker() in "ov"}  # type: ignore[arg-type, operator]
    assert any(values == pytest.approx((0.001, 0.1)) for values in curves)
    assert any(tuple(line.get_ydata()) == (96, 96) for line in found.lines)  # type: ignore[arg-type]
    printed = [tuple(line.get_ydata()) for line in times.lines if line.get_marker() in ("d", "D")]  # type: ignore[arg-type]
    assert sorted(printed) == [(0.016, 0.037), (0.2, 1.6)]
    with pytest.raises(InputError, match="no search"):
        size_figure([])


def test_the_figure_against_accuracy_names_each_point() -> None:
    (axis,) = accuracy_figure(costs()).axes
    assert [text.get_text() for text in axis.texts] == ["exact by int8", "1 probe", "4 probes", "16 probes"]
    assert "1,000,000 images" in axis.get_xlabel()


def test_the_roofline_is_memory_first_and_arithmetic_then() -> None:
    machine = Machine(10e9, {"float32": 100e9, "bfloat16": 200e9})
    assert machine.allows(0.5) == 5e9
    assert machine.allows(1000) == 100e9
    assert machine.allows(1000, "bfloat16") == 200e9
    fig = roofline_figure(machine, [Achieved("search", 4e9, 0.5), Achieved("cross-encoder", 50e9, 300, "bfloat16")])
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels[2:] == ["search (80% of the float32 limit)", "cross-encoder (25% of the bfloat16 limit)"]
    results = Results("search_costs", "x")
    add_achieved(results, machine, [Achieved("search", 4e9, 0.5)])
    assert results.frame.set_index("method")["value"]["search"] == 4e9
    assert len(roofline_figure(Machine(10e9, {"float32": 100e9}), [Achieved("search", 4e9, 0.5)]).legends[0].get_texts()) == 2, "one limit, one job"
    with pytest.raises(InputError, match="no job"):
        roofline_figure(machine, [])
