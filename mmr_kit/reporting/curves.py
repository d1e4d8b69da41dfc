"""Curves: a quantity over training steps, candidates, lambda, images, with 95% bands and the paper's points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from mmr_kit.errors import InputError
from mmr_kit.reporting.layouts import COMBINATION_NAMES, DIRECTION_NAMES
from mmr_kit.reporting.looks import LINES, PAPER_POINT, VARIANTS, Look, apart, in_order, look_of, paper_handle, set_heading, style


def learning_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure | None:
    """The losses and the dev score over training steps, a panel each; None where nothing was trained.

    histories: {label that begins with the method, "CE on pictograms_a, seed 0": the points of a training}; methods differ by colour and marker, further
    labels of one method by line style. Each point has `step`, any of its losses ("match loss", "triplet loss", ...) and,
    where the dev split was scored, `dev score` (mean R@1 of both directions, percent).
    """
    losses = list(dict.fromkeys(key for points in histories.values() for point in points for key in point if key.endswith(" loss")))
    if not losses:
        return None
    with style():
        height = 0.8 + 0.18 * len(histories) + 1.35 * len(losses) + 2
        fig, axes = plt.subplots(len(losses) + 1, 1, figsize=(5.4, height), sharex=True, layout="constrained", height_ratios=(*[1.0] * len(losses), 1.5))
        methods = [name.replace(",", " ").split()[0] for name in histories]
        looks = {name: look_of(method)._replace(line=LINES[methods[:place].count(method) % len(LINES)])
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


class Panels(NamedTuple):
    """A row of panels, one a direction. lines: {label: (its rows, its look)}; printed: the paper's numbers in place of ours."""

    title: str
    metric: str
    lines: dict[str, tuple[pd.DataFrame, Look]]
    printed: bool = False


def curve_figure(rows: pd.DataFrame, x: str, xlabel: str | Mapping[str, str], metrics: Mapping[str, str] | None = None, told_by: str = "",
                 log: bool = False, paper_apart: bool = False) -> Figure:  # fmt: skip
    """A line a method over column `x`, with its 95% band and the paper's numbers as hollow diamonds; a row of panels a data set and metric.

    rows: one result row a number (`results.headline`); those without an x are lines across their panel. xlabel: with the unit, one for both directions or
    {direction: label}. metrics: {metric: label of its axis}, by default {"R@1": "R@1 (%)"}. told_by: a column whose values are the lines; each method has
    panels of its own then. log: a logarithmic x axis. paper_apart: the paper's numbers in panels of their own, where they lie far from ours.
    """
    metrics = metrics or {"R@1": "R@1 (%)"}
    rows = rows[rows["metric"].isin(list(metrics))]
    if rows.empty or rows[x].isna().all():
        raise InputError(f"there is no {' or '.join(metrics)} over {x} among the rows to draw")
    panels = _panels(rows, metrics, told_by, paper_apart)
    looks = {label: look for panel in panels for label, (_, look) in panel.lines.items()}
    directions = [direction for direction in DIRECTION_NAMES if direction in set(rows["direction"])]
    with style():
        fig, axes = plt.subplots(len(panels), len(directions), figsize=(5.4, 0.9 + 0.1 * len(looks) + 1.55 * len(panels)), sharex="col", sharey="row",
                                 squeeze=False, layout="constrained")  # fmt: skip
        for place, (row, panel) in enumerate(zip(axes, panels, strict=True)):
            for axis, direction in zip(row, directions, strict=True):
                if axis not in axes[-1] and all((lines["direction"] != direction).all() for lines, _ in panel.lines.values()):
                    axis.set_axis_off()  # a latency measured in one direction, say
                for lines, look in panel.lines.values():
                    _curve(axis, lines[lines["direction"] == direction], x, look, panel.printed, paper_apart)
                if not place or panel.title != panels[place - 1].title:
                    set_heading(axis, f"{panel.title if direction == directions[0] else ''}\n{DIRECTION_NAMES[direction]}")
            row[0].set_ylabel(metrics[panel.metric])
            if not panel.metric.startswith(("R@", "mR")):
                row[0].set_ylim(bottom=0)
        for axis, direction in zip(axes[-1], directions, strict=True):
            axis.set_xlabel(xlabel if isinstance(xlabel, str) else xlabel[direction])
            if log:
                _log_axis(axis, sorted(set(rows.loc[rows["direction"] == direction, x].dropna())))
        fig.align_ylabels(axes[:, 0])
        handles = [Line2D([], [], color=look.color, linestyle=look.line, marker=look.marker, label=label) for label, look in looks.items()]
        if rows["paper_value"].notna().any():
            handles.append(paper_handle())
        fig.legend(handles=handles, loc="outside upper left", ncols=2 if told_by else 3, handlelength=3)
    plt.close(fig)
    return fig


def _panels(rows: pd.DataFrame, metrics: Mapping[str, str], told_by: str, paper_apart: bool) -> list[Panels]:
    """The rows of panels from top to bottom."""
    made = []
    methods = in_order(rows["method"])
    for dataset in dict.fromkeys(rows["dataset"]):
        for together in [[method] for method in methods] if told_by else [methods]:
            title = f"{dataset}, {together[0]}" if told_by else dataset
            for metric in metrics:
                here = rows[(rows["dataset"] == dataset) & rows["method"].isin(together) & (rows["metric"] == metric)]
                if told_by:
                    lines = {COMBINATION_NAMES.get(kind, kind): (here[here[told_by] == kind], VARIANTS[place % len(VARIANTS)])
                             for place, kind in enumerate(dict.fromkeys(rows[told_by]))}  # fmt: skip
                else:
                    lines = {method: (here[here["method"] == method], look_of(method)) for method in together}
                made += [Panels(title, metric, lines)] if len(here) else []
                made += [Panels(f"{title}, the paper", metric, lines, printed=True)] if paper_apart and here["paper_value"].notna().any() else []
    return made


def _curve(axis: Axes, rows: pd.DataFrame, x: str, look: Look, printed: bool, apart: bool) -> None:
    """One line of one panel, with the paper's numbers unless they are drawn apart; or (printed) these alone."""
    across, rows = rows[rows[x].isna()], rows[rows[x].notna()].sort_values(x)
    places = rows[x].astype(float)
    dots: dict[str, Any] = {"linewidth": 0.8, "linestyle": look.line, **PAPER_POINT, "color": look.color, "clip_on": False}
    if not printed:
        for row in across.to_dict("records"):
            axis.axhspan(row["ci_low"], row["ci_high"], color=look.color, alpha=0.12, linewidth=0)
            axis.axhline(row["value"], color=look.color, linestyle=look.line)
    if len(rows) and not printed:
        axis.fill_between(places, rows["ci_low"], rows["ci_high"], color=look.color, alpha=0.15, linewidth=0)
        axis.plot(places, rows["value"], color=look.color, linestyle=look.line, marker=look.marker, markersize=5.5, markeredgecolor="white",
                  markeredgewidth=0.5, markevery=max(1, len(rows) // 8))  # fmt: skip
    if printed or not apart:
        for value in across["paper_value"].dropna():
            axis.axhline(value, linewidth=0.8, color=look.color, linestyle=look.line)
            axis.plot(0, value, transform=axis.get_yaxis_transform(), **dots)
        known = rows["paper_value"].notna()
        if known.any():  # an empty line has no extent that the layout could reckon with
            axis.plot(places[known], rows["paper_value"][known], **dots)


def _log_axis(axis: Axes, places: Sequence[float]) -> None:
    """A logarithmic axis with ticks at the measured places, as many as find room."""
    axis.set_xscale("log")
    axis.set_xticks(apart(places, places[-1] / places[0], 0.2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.minorticks_off()
