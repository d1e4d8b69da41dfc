"""The figures of the other tables: every number at its place, the paper's beside it, labels that tell them apart."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmr_kit.errors import InputError
from mmr_kit.reporting.figures import ablation_figure, curve_figure, language_figure, recall_figure, share_figure
from mmr_kit.reporting.looks import LOOKS, in_order, look_of
from mmr_kit.reporting.rows import COLUMNS

DIRECTIONS = ("image_retrieval", "text_retrieval")


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Result rows with intervals of half width 1."""
    texts = dict.fromkeys(("collection", "trained_on", "combination", "language"), "")
    common = {**texts, "dataset": "a", "direction": "image_retrieval", "metric": "R@1", "method": "BE", "k": np.nan, "lambda": np.nan, "paper_value": np.nan}
    made = pd.DataFrame([common | row | {"ci_low": row["value"] - 1, "ci_high": row["value"] + 1} for row in rows])
    return made.reindex(columns=[*COLUMNS, *(name for name in made if name not in COLUMNS)])


def legend(fig: Figure) -> list[str]:
    return [text.get_text() for text in fig.legends[0].get_texts()]


def points(axis: Axes, marker: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for line in axis.lines if line.get_marker() == marker for x, y in zip(*line.get_data(), strict=True)]


def headings(fig: Figure) -> list[str]:
    return [text.get_text() for axis in fig.axes for text in axis.texts]


def drawn(fig: Figure) -> Figure:
    """The figure after a layout that complains of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig.canvas.draw()
    return fig


def test_a_line_a_method_with_band_and_the_papers_points() -> None:
    rows = frame(*({"method": method, "k": k, "value": value + k / 10, "paper_value": 50 + k if k == 20 else np.nan, "direction": direction}
                   for direction in DIRECTIONS for method, value in (("JOINT+COOP", 90), ("SEP+COOP", 80)) for k in (50, 10, 20)))  # fmt: skip
    fig = drawn(curve_figure(rows, "k", "candidates k", log=True))
    image, text = fig.axes
    assert points(image, LOOKS["SEP+COOP"].marker) == [(10, 81), (20, 82), (50, 85)], "in order of k"
    assert points(text, "D") == [(20, 70), (20, 70)]
    band = image.collections[0].get_paths()[0].get_extents()
    assert (band.x0, band.x1, band.y0, band.y1) == (10, 50, 80, 86)
    assert [axis.get_xlabel() for axis in fig.axes] == ["candidates k"] * 2
    assert image.get_ylabel() == "R@1 (%)"
    assert [label.get_text() for label in image.get_xticklabels()] == ["10", "20", "50"]
    assert headings(fig) == ["a\nimage retrieval", "\ntext retrieval"]
    assert legend(fig) == ["SEP+COOP", "JOINT+COOP", "the paper's number"]


def test_a_second_quantity_has_panels_of_its_own() -> None:
    rows = frame({"k": 10, "value": 80}, {"k": 20, "value": 82}, {"k": 10, "value": 80, "direction": "text_retrieval"},
                 {"k": 10, "value": 5.0, "metric": "latency_ms"}, {"k": 10, "value": 70, "dataset": "b"})  # fmt: skip
    fig = drawn(curve_figure(rows, "k", "k", {"R@1": "R@1 (%)", "latency_ms": "ms a query"}))
    assert [axis.get_ylabel() for axis in fig.axes[::2]] == ["R@1 (%)", "ms a query", "R@1 (%)"]
    assert fig.axes[2].get_ylim()[0] == 0
    assert [axis.axison for axis in fig.axes] == [True, True, True, False, True, True], "no empty panel where latency was not measured"
    assert legend(fig) == ["BE"]


def test_lines_told_apart_by_a_column_and_the_paper_apart() -> None:
    rows = frame(*({"method": "SEP+COOP", "combination": name, "lambda": weight, "value": value, "paper_value": value - 20}
                   for name, weight, value in (("none", np.nan, 90), ("ADD", 0.1, 89), ("ADD", 0.5, 87), ("NORM_ADD", 0.1, 80))))  # fmt: skip
    ours, paper = drawn(curve_figure(rows, "lambda", "λ", told_by="combination", paper_apart=True)).axes
    assert points(ours, "o") == [(0.1, 89), (0.5, 87)]
    assert [line.get_ydata()[0] for line in ours.lines if line.get_marker() in ("None", "")] == [90], "without lambda: a line across"
    assert not points(ours, "D")
    assert {y for _, y in points(paper, "D")} == {70, 69, 67, 60}
    assert [text.get_text() for text in (*ours.texts, *paper.texts)] == ["a, SEP+COOP\nimage retrieval", "a, SEP+COOP, the paper\nimage retrieval"]
    assert legend(ours.figure) == ["CE's score alone", "ADD", "NORM_ADD", "the paper's number"]  # type: ignore[arg-type]
    assert len({(line.get_linestyle(), line.get_color()) for line in ours.lines}) == 3


def test_axes_may_differ_by_direction() -> None:
    rows = frame(*({"direction": direction, "n_items": size * (1 + 4 * i), "value": 90 - size / 100}
                   for i, direction in enumerate(DIRECTIONS) for size in (100, 105, 1000)))  # fmt: skip
    fig = drawn(curve_figure(rows, "n_items", {"image_retrieval": "images", "text_retrieval": "captions"}, log=True))
    assert [axis.get_xlabel() for axis in fig.axes] == ["images", "captions"]
    assert [label.get_text() for label in fig.axes[1].get_xticklabels()] == ["500", "5,000"], "525 would cover 500"


def test_languages_side_by_side() -> None:
    rows = frame(*({"metric": "mR", "method": method, "language": language, "direction": "", "value": value - 2 * i, "paper_value": 60 + i}
                   for method, value in (("SEP+COOP", 90), ("CE", 95)) for i, language in enumerate(("en", "de", "avg_non_english"))))  # fmt: skip
    fig = drawn(language_figure(rows))
    axis = fig.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["en", "de", "mean\nwithout en"]
    assert [(round(x), y) for x, y in points(axis, LOOKS["CE"].marker)] == [(0, 95), (1, 93), (2, 91)]
    assert sorted(y for _, y in points(axis, "D")) == [60, 60, 61, 61, 62, 62]
    assert legend(fig) == ["CE", "SEP+COOP", "the paper's number"]
    assert (axis.get_ylabel(), headings(fig)) == ("mR (%)", ["a"])


def test_shares_against_a_line() -> None:
    shares = frame(*({"direction": direction, "method": method, "value": value} for direction in DIRECTIONS for method, value in (("CE", 88), ("BE", 91))))
    fig = drawn(share_figure(shares[["dataset", "direction", "method", "value", "ci_low", "ci_high"]]))
    assert [points(axis, LOOKS["CE"].marker) for axis in fig.axes] == [[(88, 0)], [(88, 0)]]
    assert all([90, 90] in [list(line.get_xdata()) for line in axis.lines] for axis in fig.axes)
    assert legend(fig) == ["measured, 95% interval", "90%"]
    assert fig.get_supxlabel() == "half-size R@1 / full-size R@1 (%)"


def test_ablations_by_question() -> None:
    rows = frame(*({"direction": direction, "method": method, "value": value, "question": question} for direction in DIRECTIONS
                   for method, value, question in (("BE, mean pooling", 80, "pooling"), ("BE, [CLS] pooling", 70, "pooling"),
                                                   ("CE, hard negatives", 60, "negatives"))))  # fmt: skip
    fig = drawn(ablation_figure(rows, "question"))
    assert headings(fig) == ["pooling", "negatives"]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["BE, mean pooling", "BE, [CLS] pooling"]
    assert points(fig.axes[1], "o") == [(80, 0), (70, 1)]
    assert points(fig.axes[2], LOOKS["CE"].marker) == [(60, 0)]
    assert [axis.get_xlabel() for axis in fig.axes[2:]] == ["image retrieval\nR@1 (%)", "text retrieval\nR@1 (%)"]


def test_zero_shot_from_two_trainings() -> None:
    rows = frame({"value": 50, "dataset": "c", "trained_on": "a"}, {"value": 40, "dataset": "c", "trained_on": "b", "paper_value": 13.8},
                 {"value": 60, "trained_on": "b"}, {"value": 90, "trained_on": "a", "method": "JOINT+COOP (In-Domain)"})  # fmt: skip
    fig = drawn(recall_figure(rows))
    assert headings(fig) == ["c, image retrieval, from a", "c, image retrieval, from b", "a, image retrieval"]
    assert [points(axis, "D") for axis in fig.axes[:2]] == [[], [(13.8, 0.32)]]
    assert [label.get_text() for label in fig.axes[2].get_yticklabels()] == ["BE", "JOINT, in-domain"]


def test_looks_of_variants() -> None:
    assert look_of("BE, mean pooling") == LOOKS["BE"]
    assert look_of("JOINT, in-domain") == look_of("JOINT+COOP (In-Domain)") == LOOKS["JOINT+COOP"]
    assert look_of("CLIP").marker not in {look.marker for look in LOOKS.values()}
    assert in_order(["CLIP", "SEP+COOP", "CE", "CLIP"]) == ["CE", "SEP+COOP", "CLIP"]


def test_nothing_to_draw() -> None:
    rows = frame({"value": 1.0})
    for draw in (lambda: curve_figure(rows, "k", "k"), lambda: language_figure(rows), lambda: ablation_figure(rows, "dataset", "R@5"),
                 lambda: share_figure(rows.iloc[:0])):  # fmt: skip
        with pytest.raises(InputError, match="to draw"):
            draw()
