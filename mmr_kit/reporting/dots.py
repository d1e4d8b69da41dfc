"""Dot plots: each number a dot on its 95% interval, the paper's beside it as a hollow diamond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmr_kit.errors import InputError
from mmr_kit.reporting.layouts import DIRECTION_NAMES, LANGUAGE_NAMES
from mmr_kit.reporting.looks import DOT, PAPER_POINT, in_order, look_of, paper_handle, set_heading, style


class Block(NamedTuple):
    """A row of panels below one title. rows: columns panel, line, value, ci_low, ci_high, paper_value."""

    title: str
    rows: pd.DataFrame


def recall_figure(rows: pd.DataFrame) -> Figure:
    """R@1, R@5 and R@10 of each method with 95% intervals, the paper's number below as a hollow diamond; a row of panels a data set and direction.

    rows: one result row a number (`results.headline`), metrics R@M. What was trained on several data sets has a row of panels for each (Table 6).
    """
    rows = rows[rows["metric"].str.startswith("R@")]
    if rows.empty:
        raise InputError("there is no R@M among the rows to draw")
    several = rows.duplicated(["dataset", "direction", "metric", "method"], keep=False)
    told = rows["dataset"] + ", " + rows["direction"].map(DIRECTION_NAMES) + (", from " + rows["trained_on"]).where(several, "")
    rows = rows.assign(title=told, panel=rows["metric"], line=rows["method"].replace("JOINT+COOP (In-Domain)", "JOINT, in-domain"))
    blocks = [Block(title, here) for dataset in dict.fromkeys(rows["dataset"]) for direction in DIRECTION_NAMES
              for title, here in rows[(rows["dataset"] == dataset) & (rows["direction"] == direction)].groupby("title", sort=False)]  # fmt: skip
    return _dot_panels(blocks, {metric: f"{metric} (%)" for metric in dict.fromkeys(rows["metric"])})


def ablation_figure(rows: pd.DataFrame, group: str, metric: str = "R@1") -> Figure:
    """One metric of each variant with 95% intervals; a row of panels a question (the values of column `group`), a column a direction."""
    rows = rows[rows["metric"] == metric]
    if rows.empty:
        raise InputError(f"there is no {metric} among the rows to draw")
    rows = rows.assign(line=rows["method"], panel=rows["direction"])
    several = rows["dataset"].nunique() > 1
    blocks = [Block(f"{question}{f', {dataset}' if several else ''}", rows[(rows[group] == question) & (rows["dataset"] == dataset)])
              for dataset in dict.fromkeys(rows["dataset"]) for question in dict.fromkeys(rows[group])]  # fmt: skip
    return _dot_panels(blocks, {direction: f"{name}\n{metric} (%)" for direction, name in DIRECTION_NAMES.items()})


def share_figure(shares: pd.DataFrame, expected: float = 90, label: str = "half-size R@1 / full-size R@1 (%)") -> Figure:
    """A share (percent) of each method with its interval, a dashed line at the expected one; a row of panels a data set, a column a direction.

    shares: columns dataset, direction, method, value, ci_low, ci_high.
    """
    if shares.empty:
        raise InputError("there are no shares to draw")
    rows = shares.assign(line=shares["method"], panel=shares["direction"], paper_value=float("nan"))
    blocks = [Block(dataset, rows[rows["dataset"] == dataset]) for dataset in dict.fromkeys(rows["dataset"])]
    panels = {direction: name for direction, name in DIRECTION_NAMES.items() if direction in set(rows["panel"])}
    fig = _dot_panels(blocks, panels, expected)
    with style():
        fig.supxlabel(label, fontsize=10)
    return fig


def language_figure(rows: pd.DataFrame) -> Figure:
    """mR of each method in each language with 95% intervals, the paper's number at the right of each as a hollow diamond; a panel a data set.

    rows: one result row a number (`results.headline`), metric mR (Tables 2 and 7).
    """
    rows = rows[rows["metric"] == "mR"]
    if rows.empty:
        raise InputError("there is no mR among the rows to draw")
    methods, languages, datasets = in_order(rows["method"]), list(dict.fromkeys(rows["language"])), list(dict.fromkeys(rows["dataset"]))
    step = 0.8 / len(methods)
    with style():
        fig, axes = plt.subplots(len(datasets), 1, figsize=(5.4, 0.7 + 2.6 * len(datasets)), sharex=True, squeeze=False, layout="constrained")
        for axis, dataset in zip(axes[:, 0], datasets, strict=True):
            for row in rows[rows["dataset"] == dataset].to_dict("records"):
                look = look_of(row["method"])
                at = languages.index(row["language"]) + step * (methods.index(row["method"]) - (len(methods) - 1) / 2)
                axis.vlines(at, row["ci_low"], row["ci_high"], color=look.color, linewidth=2.4)
                axis.plot(at, row["value"], look.marker, color=look.color, **DOT)
                if pd.notna(row["paper_value"]):
                    axis.plot(at + 0.4 * step, row["paper_value"], **PAPER_POINT)
            for place, language in enumerate(languages):
                if place:
                    single = language in LANGUAGE_NAMES or language == "mean"
                    axis.axvline(place - 0.5, color="#888888" if single else "#D8D8D8", linewidth=0.8, linestyle="--" if single else "-")
            axis.set_xticks(range(len(languages)), [LANGUAGE_NAMES.get(language, language).replace(" ", "\n", 1) for language in languages])
            axis.tick_params(axis="x", length=0)
            axis.grid(axis="x", visible=False)
            axis.set_ylabel("mR (%)")
            set_heading(axis, dataset)
        axes[-1, 0].set_xlim(-0.5, len(languages) - 0.5)
        handles = [Line2D([], [], color=look_of(method).color, marker=look_of(method).marker, linewidth=2.4, label=method) for method in methods]
        if rows["paper_value"].notna().any():
            handles.append(paper_handle())
        fig.legend(handles=handles, loc="outside upper left", ncols=3, handletextpad=0.6, columnspacing=1.5)
    plt.close(fig)
    return fig


def _dot_panels(blocks: Sequence[Block], panels: Mapping[str, str], expected: float | None = None) -> Figure:
    """A grid of panels: blocks from top to bottom, panels ({value of column `panel`: its label}) from left to right; expected: where a dashed line stands."""
    blocks = [block for block in blocks if len(block.rows)]
    lines = [in_order(block.rows["line"]) for block in blocks]
    heights = [0.4 + 0.24 * len(of) for of in lines]
    with style():
        fig, axes = plt.subplots(len(blocks), len(panels), figsize=(5.4, 0.9 + sum(heights)), sharex="all" if expected else "col", sharey="row",
                                 squeeze=False, height_ratios=heights, layout="constrained")  # fmt: skip
        for row, block, of in zip(axes, blocks, lines, strict=True):
            for axis, panel in zip(row, panels, strict=True):
                _dot_panel(axis, block.rows[block.rows["panel"] == panel].set_index("line"), of)
                if expected is not None:
                    axis.axvline(expected, color="#222222", linewidth=1, linestyle="--", zorder=0.9)
            row[0].set_ylim(len(of) - 0.35, -0.5)
            set_heading(row[0], block.title)
        for axis, label in zip(axes[-1], panels.values(), strict=True):
            axis.set_xlabel(label)
            low, high = axis.get_xlim()
            if expected is None:
                axis.set_xlim(max(low - 2, 0), min(high + 2, 101))
        handles = [Line2D([], [], color="#555555", marker="o", markersize=6.5, linewidth=2.4, label="measured, 95% interval")]
        if any(block.rows["paper_value"].notna().any() for block in blocks):
            handles.append(paper_handle())
        if expected is not None:
            handles.append(Line2D([], [], color="#222222", linewidth=1, linestyle="--", label=f"{expected:g}%"))
        fig.legend(handles=handles, loc="outside upper left", ncols=2, handletextpad=0.6, columnspacing=1.5)
    plt.close(fig)
    return fig


def _dot_panel(axis: Axes, rows: pd.DataFrame, lines: Sequence[str]) -> None:
    """One panel; rows are indexed by line."""
    for place, line in enumerate(lines):
        if line not in rows.index:
            continue
        look, own = look_of(line), rows.loc[line]
        axis.hlines(place, own["ci_low"], own["ci_high"], color=look.color, linewidth=2.4)
        axis.plot(own["value"], place, look.marker, color=look.color, **DOT)
        if pd.notna(own["paper_value"]):
            axis.plot(own["paper_value"], place + 0.32, **PAPER_POINT, clip_on=False)
    axis.set_yticks(range(len(lines)), lines)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
