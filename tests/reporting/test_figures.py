"""Figures: what they draw, that each method looks the same in all of them, and stable bytes."""

import io
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from mmr_kit.errors import InputError
from mmr_kit.reporting.figures import LOOKS, learning_curves, recall_figure, save_png, style
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.rows import headline

METHODS = ("CE", "BE", "SEP+COOP", "JOINT+COOP", "JOINT+CE", "JOINT+BE")


@pytest.fixture
def rows(gallery: Any, make_ranking: Any) -> pd.DataFrame:
    results = Results("table1", "smoke")
    for i, method in enumerate(METHODS):
        for direction in ("text_retrieval", "image_retrieval"):
            results.add_rankings({0: make_ranking(gallery, direction, i / 2)}, gallery, method=method)
    return headline(results.frame)


def headings(axes: Iterable[Axes]) -> list[str]:
    return [text.get_text() for axis in axes for text in axis.texts]


def curve(step: int, **points: float) -> list[dict[str, float]]:
    return [{"step": i, **points} for i in range(step, 5 * step, step)]


def test_every_number_is_drawn(rows: pd.DataFrame) -> None:
    axes = recall_figure(rows).axes
    assert len(axes) == 2 * 3
    drawn = sorted(float(line.get_xdata()[0]) for axis in axes for line in axis.lines)
    assert drawn == pytest.approx(sorted([*rows["value"], *rows["paper_value"]]))
    assert headings(axes[::3]) == ["pictograms_a, image retrieval", "pictograms_a, text retrieval"]
    assert [axis.get_xlabel() for axis in axes[-3:]] == ["R@1 (%)", "R@5 (%)", "R@10 (%)"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(METHODS)


def test_rows_without_the_papers_number_or_with_new_methods(rows: pd.DataFrame) -> None:
    fig = recall_figure(rows.assign(paper_value=np.nan, method=rows["method"].replace("CE", "CLIP")))
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["measured, 95% interval"]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [*METHODS[1:], "CLIP"]


def test_nothing_to_draw(rows: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no R@M"):
        recall_figure(rows.assign(metric="seconds"))
    assert learning_curves({}) is None
    assert learning_curves({"CE": []}) is None, "a model that others trained"


def test_learning_curves_have_a_panel_a_loss_and_one_for_dev() -> None:
    histories = {
        "CE": [*curve(10, **{"match loss": 0.3}), {"step": 50, "match loss": 0.2, "dev score": 70.0}],
        "JOINT": [*curve(10, **{"match loss": 0.4, "triplet loss": 0.17, "N": 12}), {"step": 50, "dev score": 60.0}],
    }
    fig = learning_curves(histories)
    assert fig is not None
    assert [axis.get_ylabel() for axis in fig.axes] == ["match loss", "triplet loss", "dev R@1 (%)"]
    assert [len(axis.lines) for axis in fig.axes] == [2, 1, 2]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["CE", "JOINT"]
    assert fig.axes[2].lines[1].get_color() == LOOKS["JOINT+COOP"].color


def test_seeds_of_a_method_look_alike() -> None:
    fig = learning_curves({f"BE, seed {seed}": curve(10, **{"triplet loss": 0.2}) for seed in (0, 1)})
    assert {line.get_color() for line in fig.axes[0].lines} == {LOOKS["BE"].color}


def test_methods_differ_in_colour_marker_and_hatch() -> None:
    assert set(LOOKS) == {*METHODS, "floor"}
    for one, other in combinations(LOOKS.values(), 2):
        assert one.marker != other.marker
        assert one.hatch != other.hatch
        assert np.abs(np.subtract(to_rgb(one.color), to_rgb(other.color))).sum() > 0.3


def test_equal_figures_are_equal_bytes_and_name_no_software(rows: pd.DataFrame, tmp_path: Path) -> None:
    one, other = (save_png(recall_figure(rows), tmp_path / name).read_bytes() for name in ("one.png", "other.png"))
    assert one == other
    with Image.open(io.BytesIO(one)) as image:
        assert "Software" not in image.info
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255), "a white ground, for dark pages too"
        assert image.width > 800


def test_the_style_ends_with_its_block() -> None:
    before = mpl.rcParams["axes.spines.top"]
    with style():
        assert not mpl.rcParams["axes.spines.top"]
    assert mpl.rcParams["axes.spines.top"] == before


def test_no_figure_stays_open(rows: pd.DataFrame) -> None:
    import matplotlib.pyplot as plt

    recall_figure(rows)
    assert plt.get_fignums() == []
