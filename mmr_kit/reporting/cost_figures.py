"""Figures of cost: times of queries and evaluations, in the published way and the kit's, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mmr_kit.errors import InputError
from mmr_kit.reporting.claims_costs import PRINTED_DEVICE
from mmr_kit.reporting.looks import PAPER_POINT, VARIANTS, Look, apart, look_of, set_heading, style
from mmr_kit.reporting.paper import paper_table
from mmr_kit.reporting.timings import BE, CE, COOP, FAST, PUBLISHED, Timing, duration, images_named

METHODS = {BE: "BE", COOP: "COOP", CE: "CE"}
PAPER_MARKERS = {"NVIDIA V100": ("d", "the paper, V100"), "Intel Xeon Gold 6154 CPU": ("D", "the paper, CPU")}
PART_LOOKS = {"encoding_s": ("encode the caption", VARIANTS[1], ""), "search_s": ("search", VARIANTS[2], "///"), "reranking_s": ("rerank", VARIANTS[3], "...")}
WAYS: dict[str, dict[str, Any]] = {PUBLISHED: {"markerfacecolor": "white"}, FAST: {}}
DAY, YEAR = 86400, 365 * 86400
ROUND_TIMES = (*(10.0**power for power in range(-6, 2)), 60, 600, 3600, 36000, DAY, 10 * DAY, 100 * DAY, YEAR, 10 * YEAR, 100 * YEAR)


def query_figure(rows: pd.DataFrame) -> Figure:
    """Table 3 as a figure: for each collection the median query of each method on a logarithmic axis, and the shares of COOP's parts.

    rows: the result rows of Table 3.
    """
    whole = rows[rows["metric"] == "latency_s"]
    if whole.empty:
        raise InputError("there is no latency among the rows to draw")
    collections, devices = list(dict.fromkeys(whole["collection"])), list(dict.fromkeys(_device(row) for row in whole.to_dict("records")))
    bars = [(collection, device, way) for collection in collections for device in devices for way in WAYS]
    with style():
        heights = [1.1 + 0.25 * len(devices)] * len(collections) + [0.7 + 0.24 * len(bars)]
        fig, axes = plt.subplots(len(heights), 1, figsize=(5.4, 1.3 + sum(heights)), height_ratios=heights, squeeze=False, layout="constrained")
        for axis, collection in zip(axes[:, 0], collections, strict=False):
            _times(axis, whole[whole["collection"] == collection], collection, devices)
            set_heading(axis, collection)
        of_times = axes[: len(collections), 0]
        limits = np.array([axis.get_xlim() for axis in of_times])
        for axis in of_times:
            axis.set_xlim(limits[:, 0].min(), limits[:, 1].max())
            time_axis(axis, "x")
        axes[len(collections) - 1, 0].set_xlabel("time of a query")
        _shares(axes[-1, 0], rows[rows["method"] == COOP], bars, len(devices) > 1)
        handles = [*_way_handles(), *(Line2D([], [], **{**PAPER_POINT, "marker": marker}, linewidth=0, label=name) for marker, name in PAPER_MARKERS.values())]
        fig.legend(handles=handles, loc="outside upper left", ncols=2)
    plt.close(fig)
    return fig


def evaluation_figure(timings: Sequence[Timing], growth: Sequence[Timing]) -> Figure:
    """Table 4 as a figure: time over the number of images, of the full model beside the paper's, and of whole evaluations with the small model."""
    panels = [(series, title) for series, title in ((timings, "the full model"), (growth, "a small model, whole evaluations")) if series]
    if not panels:
        raise InputError("there are no evaluations to draw")
    printed = paper_table(4)
    with style():
        fig, axes = plt.subplots(len(panels), 1, figsize=(5.4, 0.9 + 2.6 * len(panels)), squeeze=False, layout="constrained")
        for axis, (series, title) in zip(axes[:, 0], panels, strict=True):
            for (device, way, method), found in _grouped(series).items():
                look, places = look_of(_own_name(method)), [one.items for one in found]
                line = "-" if way == FAST else "--"
                axis.plot(places, [one.estimate().mean for one in found], color=look.color, linestyle=line, marker=look.marker, markersize=5.5,
                          alpha=1 if device == "cpu" else 0.5, **WAYS[way])  # fmt: skip
            if series is timings:
                for method in METHODS:
                    of = printed[printed["method"] == method]
                    axis.plot(of["test_images"], of["value"], linestyle=":", linewidth=0.8, **{**PAPER_POINT, "color": look_of(_own_name(method)).color})
            axis.set_xscale("log")
            size_axis(axis, sorted({one.items for one in series} | (set(printed["test_images"]) if series is timings else set())))
            axis.set_yscale("log")
            time_axis(axis, "y")
            axis.set_ylabel("time of an evaluation")
            set_heading(axis, title)
        axes[-1, 0].set_xlabel("test images, five captions each")
        handles = [Line2D([], [], color=look.color, marker=look.marker, label=name) for name, look in _method_looks().items()]
        handles += [*_way_handles(lines=True), Line2D([], [], **PAPER_POINT, linestyle=":", linewidth=0.8, label="the paper, V100")]
        fig.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=3)
    plt.close(fig)
    return fig


def _times(axis: Axes, rows: pd.DataFrame, collection: str, devices: Sequence[str]) -> None:
    """A line a method (and device): both ways, and the paper's two times below."""
    lines = [(method, device) for method in METHODS for device in devices]
    for place, (method, device) in enumerate(lines):
        look = look_of(_own_name(method))
        own = {row["backbone"].rsplit(", ", 1)[1]: row for row in rows[rows["method"] == method].to_dict("records") if _device(row) == device}
        for way, shift in ((PUBLISHED, -0.13), (FAST, 0.13)):
            if way in own:
                row = own[way]
                axis.hlines(place + shift, row["ci_low"], row["ci_high"], color=look.color, linewidth=2.4)
                axis.plot(row["value"], place + shift, look.marker, color=look.color, markersize=7, **WAYS[way])
        printed = paper_table(3)
        for name, (marker, _) in PAPER_MARKERS.items():
            of = printed[(printed["method"] == method) & (printed["device"] == name) & (printed["collection_images"].map(images_named) == collection)]
            if len(of) and (len(devices) == 1 or name == PRINTED_DEVICE[_kind(device)]):
                axis.plot(of["value"], [place + 0.36], **{**PAPER_POINT, "marker": marker}, linewidth=0)
    axis.set_xscale("log")
    axis.set_yticks(range(len(lines)), [f"{METHODS[method]}, {_kind(device)}" if len(devices) > 1 else METHODS[method] for method, device in lines])
    axis.set_ylim(len(lines) - 0.4, -0.5)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _shares(axis: Axes, rows: pd.DataFrame, bars: Sequence[tuple[str, str, str]], devices: bool) -> None:
    """A bar for each collection, device and way: the share of each part in COOP's time, with the time."""
    for place, (collection, device, way) in enumerate(bars):
        of = rows[(rows["collection"] == collection) & (rows["backbone"] == f"{device}, {way}")].set_index("metric")["value"]
        total, left = sum(of[part] for part in PART_LOOKS), 0.0
        for part, (_, look, hatch) in PART_LOOKS.items():
            share = 100 * of[part] / total
            axis.barh(place, share, left=left, height=0.62, color=look.color, hatch=hatch, edgecolor="white", linewidth=0.5)
            left += share
        axis.text(101, place, duration(total), va="center", fontsize=9)
    names = [", ".join([collection.removesuffix(" images"), *([_kind(device)] if devices else []), way]) for collection, device, way in bars]
    axis.set_yticks(range(len(bars)), names)
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlim(0, 118)
    axis.set_xticks(range(0, 101, 25))
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("share of COOP's time (%)")
    set_heading(axis, "where the time of COOP goes\n")
    handles = [Patch(facecolor=look.color, hatch=hatch, edgecolor="white", label=name) for name, look, hatch in PART_LOOKS.values()]
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=3, borderaxespad=0, handlelength=1.6)


def time_axis(axis: Axes, which: str) -> None:
    """A logarithmic axis of seconds, with ticks at round times in their own units."""
    of = axis.xaxis if which == "x" else axis.yaxis
    low, high = of.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    ticks = apart(sorted(step * time for time in ROUND_TIMES for step in steps if low <= step * time <= high), high / low)
    of.set_major_locator(FixedLocator(ticks))
    of.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    of.set_minor_locator(NullLocator())


def size_axis(axis: Axes, sizes: Sequence[int]) -> None:
    """Ticks at these sizes, as many as find room."""
    axis.xaxis.set_major_locator(FixedLocator(apart(sizes, sizes[-1] / sizes[0])))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.xaxis.set_minor_locator(NullLocator())


def _grouped(series: Sequence[Timing]) -> dict[tuple[str, str, str], list[Timing]]:
    """Timings by device, way and method, the smallest collection first."""
    found: dict[tuple[str, str, str], list[Timing]] = {}
    for one in sorted(series, key=lambda one: one.items):
        found.setdefault((one.device, one.way, one.method), []).append(one)
    return found


def _method_looks() -> dict[str, Look]:
    return {name: look_of(_own_name(method)) for method, name in METHODS.items()}


def _own_name(method: str) -> str:
    """The name by which `looks` knows a method of Tables 3 and 4."""
    return "SEP+COOP" if method == COOP else method


def _device(row: Mapping[Any, Any]) -> str:
    """ "oscar, cpu" of "oscar, cpu, fast"."""
    return str(row["backbone"]).rsplit(", ", 1)[0]


def _kind(device: str) -> str:
    """ "cpu" of "oscar, cpu"."""
    return device.rsplit(", ", 1)[1]


def _way_handles(lines: bool = False) -> list[Line2D]:
    gray: dict[str, Any] = {"color": "#555555", "marker": "o", "markersize": 6.5}
    return [Line2D([], [], **gray, **look, linestyle=("-" if way == FAST else "--") if lines else "", label=way) for way, look in WAYS.items()]
