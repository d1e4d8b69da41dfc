"""Figures of the cost of search: over the size of the collection, against accuracy, and below the machine's roofline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mmr_kit.errors import InputError
from mmr_kit.reporting.cost_figures import PAPER_MARKERS, size_axis, time_axis
from mmr_kit.reporting.looks import PAPER_POINT, VARIANTS, Look, apart, style
from mmr_kit.reporting.paper import paper_table
from mmr_kit.reporting.search_costs import APPROXIMATE, FLOAT, INT8, PUBLISHED_SEARCH, Achieved, Machine, SearchCost, shown

LOOKS = {name: look._replace(marker=marker) for name, look, marker in zip((INT8, PUBLISHED_SEARCH, FLOAT, APPROXIMATE), VARIANTS, "os^v", strict=True)}
DOT: dict[str, Any] = {"markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.5, "clip_on": False}
ROOFS: dict[str, Literal["-", "--"]] = {"float32": "-", "bfloat16": "--"}
MARKERS = "os^vPX"


def size_figure(costs: Sequence[SearchCost]) -> Figure:
    """Time of a query's search over the size of the collection, beside the paper's BE, and the percentage of the exact results that was found."""
    series = shown(costs)
    if not series:
        raise InputError("there is no search to draw")
    sizes = sorted({cost.items for cost in costs})
    printed = paper_table(3)
    with style():
        fig, (times, found) = plt.subplots(2, 1, figsize=(5.4, 5.6), sharex=True, height_ratios=(2.2, 1), layout="constrained")
        handles = []
        for name, of in series.items():
            look, places = look_of_search(name), [cost.items for cost in of]
            medians = [cost.median for cost in of]
            times.fill_between(places, [m.low for m in medians], [m.high for m in medians], color=look.color, alpha=0.15, linewidth=0)
            times.plot(places, [m.mean for m in medians], color=look.color, linestyle=look.line, marker=look.marker, **DOT)
            found.plot(places, [cost.found for cost in of], color=look.color, linestyle=look.line, marker=look.marker, **DOT)
            handles.append(Line2D([], [], color=look.color, linestyle=look.line, marker=look.marker, label=name))
        for device, (marker, name) in PAPER_MARKERS.items():
            of_be = printed[(printed["method"] == "BE") & (printed["device"] == device) & printed["collection_images"].between(sizes[0], sizes[-1])]
            if len(of_be):
                point: dict[str, Any] = {**PAPER_POINT, "marker": marker, "linestyle": ":", "linewidth": 0.8}
                times.plot(of_be["collection_images"], of_be["value"], **point)
                handles.append(Line2D([], [], **point, label=f"{name} (with encoding)"))
        times.set_xscale("log")
        size_axis(found, sizes)
        times.set_yscale("log")
        time_axis(times, "y")
        times.set_ylabel("time of a search")
        found.set_ylim(0, 104)
        found.set_ylabel("found of exact (%)")
        found.set_xlabel("images of the collection")
        fig.align_ylabels((times, found))
        fig.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=3)
    plt.close(fig)
    return fig


def accuracy_figure(costs: Sequence[SearchCost]) -> Figure:
    """Time of a query's search against the percentage of the exact results it found, in the largest collection with an approximate search (or at all)."""
    if not costs:
        raise InputError("there is no search to draw")
    items = max([cost.items for cost in costs if cost.probes is not None] or [cost.items for cost in costs])
    here = [cost for cost in costs if cost.items == items]
    probing = sorted((cost for cost in here if cost.probes is not None), key=lambda cost: cost.probes or 0)
    with style():
        fig, axis = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
        look = look_of_search(APPROXIMATE)
        axis.plot([cost.found for cost in probing], [cost.median.mean for cost in probing], color=look.color, linestyle=look.line)
        for cost in here:
            look, value = look_of_search(cost.name), cost.median
            axis.vlines(cost.found, value.low, value.high, color=look.color, linewidth=2)
            axis.plot(cost.found, value.mean, look.marker, color=look.color, **DOT)
            told = cost.method if cost.probes is None else f"{cost.probes} probe{'s' if cost.probes > 1 else ''}"
            axis.annotate(told, (cost.found, value.mean), (-7, 5), textcoords="offset points", ha="right", va="bottom", fontsize=9)
        axis.set_yscale("log")
        axis.set_ylim(min(cost.median.low for cost in here) / 1.6, max(cost.median.high for cost in here) * 1.6)
        time_axis(axis, "y")
        axis.set_xlim(min(0.0, *(cost.found for cost in here)), 102)
        axis.set_ylabel("time of a search")
        axis.set_xlabel(f"found of the exact {here[0].k} (%), {items:,} images")
    plt.close(fig)
    return fig


def roofline_figure(machine: Machine, achieved: Sequence[Achieved]) -> Figure:
    """Operations in a second over operations a byte: what the machine allows, and what each job reached."""
    if not achieved:
        raise InputError("there is no job to draw below the roofline")
    lowest, highest = min(one.intensity for one in achieved) / 3, max(one.intensity for one in achieved) * 3
    places = np.geomspace(lowest, highest, 200)
    with style():
        fig, axis = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
        roofs = {kind: ROOFS[kind] for kind in machine.peaks}
        for kind, line in roofs.items():
            axis.plot(places, [machine.allows(place, kind) / 1e9 for place in places], color="#222222", linestyle=line)
        handles = [Line2D([], [], color="#222222", linestyle=line, label=f"limit, {kind}: {machine.peaks[kind] / 1e9:,.0f} billion a second")
                   for kind, line in roofs.items()]  # fmt: skip
        for place, one in enumerate(achieved):
            look, marker = VARIANTS[1 + place % 3], MARKERS[place % len(MARKERS)]
            axis.plot(one.intensity, one.speed / 1e9, marker, color=look.color, **DOT)
            share = one.speed / machine.allows(one.intensity, one.kind)
            handles.append(Line2D([], [], color=look.color, marker=marker, linewidth=0, label=f"{one.name} ({share:.0%} of the {one.kind} limit)"))
        axis.set_xscale("log")
        axis.set_yscale("log")
        number_axis(axis.xaxis)
        number_axis(axis.yaxis)
        axis.set_xlabel("operations for each byte that must be read")
        axis.set_ylabel("billion operations a second")
        axis.set_title(f"memory: {machine.bandwidth / 1e9:.1f} GB a second")
        fig.legend(handles=handles, loc="outside upper left", ncols=1)
    plt.close(fig)
    return fig


def number_axis(axis: Axis) -> None:
    """A logarithmic axis with ticks at 1, 2, 5, 10, ..., as many as find room, written as numbers."""
    low, high = axis.get_view_interval()
    round_numbers = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
    axis.set_major_locator(FixedLocator(apart([number for number in round_numbers if low <= number <= high], high / low)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def look_of_search(name: str) -> Look:
    return LOOKS[name.partition(", ")[0]]
