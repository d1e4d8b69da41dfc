"""The kit's figures: one style, one colour, marker and hatch a method, everywhere."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.reporting.tables import DIRECTION_NAMES

LINES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")


class Look(NamedTuple):
    color: str
    marker: str
    hatch: str
    line: Literal["-", "--", ":"]


# Okabe and Ito's colours, which colour-blind readers can tell apart; markers and hatches say the same again. The hollow diamond is the paper's.
LOOKS = {
    "CE": Look("#D55E00", "s", "///", "-"),
    "BE": Look("#0072B2", "o", "\\\\\\", "-"),
    "SEP+COOP": Look("#009E73", "^", "xxx", "-"),
    "JOINT+COOP": Look("#CC79A7", "v", "...", "-"),
    "JOINT+CE": Look("#E69F00", "P", "++", "--"),
    "JOINT+BE": Look("#56B4E9", "X", "oo", "--"),
}
PAPER_POINT: dict[str, Any] = {"marker": "D", "color": "#222222", "markerfacecolor": "none", "markersize": 4.5, "markeredgewidth": 0.9}
DPI = 160


@contextmanager
def style() -> Iterator[None]:
    """The style of every figure: white ground (so that it reads on a dark page too), sizes for 5.4 inches, which stay legible at 400 pixels and in print."""
    with mpl.rc_context({
        "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 100, "savefig.dpi": DPI,
        "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10, "xtick.labelsize": 9, "ytick.labelsize": 10,
        "legend.fontsize": 9, "axes.titlelocation": "left", "text.color": "#222222", "axes.labelcolor": "#222222", "axes.edgecolor": "#888888",
        "xtick.color": "#444444", "ytick.color": "#222222", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#E4E4E4",
        "grid.linewidth": .8, "axes.axisbelow": True, "lines.linewidth": 1.6, "legend.frameon": False, "hatch.linewidth": .8, "svg.hashsalt": "mmr_kit",
    }):  # fmt: skip
        yield


def save_png(fig: Figure, path: Path) -> Path:
    """Write the figure; the same figure gives the same bytes (no time, no software version)."""
    buffer = io.BytesIO()
    with style():
        fig.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    atomic_write(Path(path), buffer.getvalue())
    return Path(path)


def recall_figure(rows: pd.DataFrame) -> Figure:
    """R@1, R@5 and R@10 of each method with 95% intervals, the paper's number below as a hollow diamond; a row of panels a data set and direction.

    rows: one result row a number (`results.headline`), metrics R@M.
    """
    rows = rows[rows["metric"].str.startswith("R@")]
    if rows.empty:
        raise InputError("there is no R@M among the rows to draw")
    known = [method for method in LOOKS if method in set(rows["method"])]
    methods = known + [method for method in dict.fromkeys(rows["method"]) if method not in LOOKS]
    blocks = list(dict.fromkeys(zip(rows["dataset"], rows["direction"], strict=True)))
    metrics = list(dict.fromkeys(rows["metric"]))
    blocks.sort(key=lambda block: (list(dict.fromkeys(rows["dataset"])).index(block[0]), list(DIRECTION_NAMES).index(block[1])))
    with style():
        fig, axes = plt.subplots(len(blocks), len(metrics), figsize=(5.4, 0.9 + len(blocks) * (0.4 + 0.24 * len(methods))), sharex="col", sharey=True,
                                 squeeze=False, layout="constrained")  # fmt: skip
        for row, (dataset, direction) in enumerate(blocks):
            for column, metric in enumerate(metrics):
                here = (rows["dataset"] == dataset) & (rows["direction"] == direction) & (rows["metric"] == metric)
                _recall_panel(axes[row, column], rows[here].set_index("method"), methods)
            axes[row, 0].set_title(f"{dataset}, {DIRECTION_NAMES[direction]}", fontweight="bold", x=0)
        axes[0, 0].set_ylim(len(methods) - 0.35, -0.5)
        for axis, metric in zip(axes[-1], metrics, strict=True):
            axis.set_xlabel(f"{metric} (%)")
            low, high = axis.get_xlim()
            axis.set_xlim(max(low - 2, 0), min(high + 2, 101))
        handles = [Line2D([], [], color="#555555", marker="o", markersize=6.5, linewidth=2.4, label="measured, 95% interval")]
        if rows["paper_value"].notna().any():
            handles.append(Line2D([], [], **PAPER_POINT, linewidth=0, label="the paper's number"))
        fig.legend(handles=handles, loc="outside upper left", ncols=2, handletextpad=0.6, columnspacing=1.5)
    plt.close(fig)
    return fig


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """The losses and the dev score over training steps, a panel each.

    histories: {label that begins with the method, "CE on pictograms_a, seed 0": the points of a training}; methods differ by colour and marker, further
    labels of one method by line style. Each point has `step`, any of its losses ("match loss", "triplet loss", ...) and,
    where the dev split was scored, `dev score` (mean R@1 of both directions, percent).
    """
    losses = list(dict.fromkeys(key for points in histories.values() for point in points for key in point if key.endswith(" loss")))
    if not losses:
        raise InputError("there is no training history to draw")
    with style():
        height = 0.8 + 0.18 * len(histories) + 1.35 * len(losses) + 2
        fig, axes = plt.subplots(len(losses) + 1, 1, figsize=(5.4, height), sharex=True, layout="constrained", height_ratios=(*[1.0] * len(losses), 1.5))
        methods = [name.replace(",", " ").split()[0] for name in histories]
        looks = {name: _look(method)._replace(line=LINES[methods[:place].count(method) % len(LINES)])
                 for place, (name, method) in enumerate(zip(histories, methods, strict=True))}  # fmt: skip
        for axis, quantity in zip(axes, (*losses, "dev score"), strict=True):
            for name, points in histories.items():
                look, scored = looks[name], quantity == "dev score"
                curve = [(point["step"], point[quantity]) for point in points if quantity in point]
                if curve:
                    marks: dict[str, Any] = (
                        {"marker": look.marker, "markersize": 6.5, "markeredgecolor": "white", "markeredgewidth": 0.6} if scored else {"linewidth": 1.3}
                    )
                    axis.plot(*zip(*curve, strict=True), color=look.color, linestyle=look.line, **marks)
            axis.set_ylabel("dev R@1 (%)" if quantity == "dev score" else quantity)
            axis.set_ylim(bottom=0)
        axes[-1].set_ylim(0, 100)
        axes[-1].set_xlim(left=0)
        axes[-1].set_xlabel("training step")
        fig.align_ylabels(axes)
        handles = [Line2D([], [], color=look.color, linestyle=look.line, marker=look.marker, label=name) for name, look in looks.items()]
        fig.legend(handles=handles, loc="outside upper left", ncols=1 if len(max(histories, key=len)) > 20 else 3)
    plt.close(fig)
    return fig


def _look(method: str) -> Look:
    """The method's look; a grey one for methods the kit does not know."""
    if method == "JOINT":  # the trained model behind JOINT+COOP, JOINT+CE and JOINT+BE
        method = "JOINT+COOP"
    return LOOKS.get(method, Look("#777777", "o", "", ":"))


def _recall_panel(axis: Axes, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    """One metric on one data set in one direction: a line a method; rows are indexed by method."""
    for place, method in enumerate(methods):
        if method not in rows.index:
            continue
        look, own = _look(method), rows.loc[method]
        axis.hlines(place, own["ci_low"], own["ci_high"], color=look.color, linewidth=2.4)
        axis.plot(own["value"], place, look.marker, color=look.color, markersize=7, markeredgecolor="white", markeredgewidth=0.6, clip_on=False)
        if pd.notna(own["paper_value"]):
            axis.plot(own["paper_value"], place + 0.32, **PAPER_POINT, clip_on=False)
    axis.set_yticks(range(len(methods)), methods)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
