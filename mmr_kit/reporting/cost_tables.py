"""Tables 3 and 4: the published way and the kit's side by side, beside the paper's times on its own devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mmr_kit.errors import InputError
from mmr_kit.reporting.cells import Cell, Column, Line, SideBySide, footnotes
from mmr_kit.reporting.layouts import number_of
from mmr_kit.reporting.paper import paper_table
from mmr_kit.reporting.tables import frame_of
from mmr_kit.reporting.timings import BE, CE, COOP, duration, images_named

METHODS = (BE, COOP, CE)
EXTRAPOLATED = "*"
SIZES = {3: "collection_images", 4: "test_images"}
GROUPS = {3: {"latency_s": "One query", "latency_p95_s": "95th percentile of the queries"}, 4: {"time_s": "Both directions, encoding included"}}
PARTS = {"encoding_s": "encoding", "search_s": "search", "reranking_s": "reranking"}
WHERE = f"Where the time of {COOP} goes"  # BE's is the same without the reranking
ABOUT = {3: "Median over queries", 4: "Means"}


def cost_table(number: int, rows: pd.DataFrame, notes: Sequence[str] = ()) -> SideBySide:
    """Table 3 or 4: a column for each device and way that was measured and one for each of the paper's devices, below each size of the collection.

    rows: result rows of `timings.rows_of`, of the full model; one that was extrapolated says so in its erratum, and has an asterisk. Paper's sizes that were
    not asked for are not shown. Raises InputError where there is nothing to show.
    """
    cells: dict[Column, dict[Line, Cell]] = {}
    printed = paper_table(number)
    marks = footnotes(printed["erratum"])
    for collection in dict.fromkeys(rows["collection"]):
        own = rows[rows["collection"] == collection]
        for row in own.to_dict("records"):
            if (line := _line(number, row)) is not None:
                device, way = row["backbone"].rsplit(", ", 1)
                cells.setdefault((collection, device, way), {})[line] = _cell(row)
        for row in printed[printed[SIZES[number]].map(images_named) == collection].to_dict("records"):
            place = (collection, "the paper", row["device"])
            mark = marks.get(row["erratum"], "") + (EXTRAPOLATED if row.get("extrapolated") == "yes" else "")
            cells.setdefault(place, {})[_whole(number, row["method"])] = Cell(paper=row["value"], mark=mark, form=duration)
    if not any(cell.ours for of in cells.values() for cell in of.values()):
        raise InputError(f"Table {number}: there is no time among the rows to show")
    lines = [line for line in _lines(number) if any(line in of for of in cells.values())]
    caption = (f"{ABOUT[number]}, ± half of the 95% bootstrap interval over repeats. Published: float32, padded to the longest of a batch, the collection "
               f"normalised at each search, plain product and top-k; fast: the kit's. {EXTRAPOLATED} extrapolated, ours from the throughput told in the "
               "csv. In italics: as printed in the paper, on its devices.")  # fmt: skip
    return SideBySide(frame_of(cells, lines), caption, (*(f"{mark} {note}" for note, mark in marks.items() if note in _shown_notes(cells, marks)), *notes))


def _lines(number: int) -> list[Line]:
    return [*((group, method) for group in GROUPS[number].values() for method in METHODS), *((WHERE, part) for part in PARTS.values())]


def _whole(number: int, method: str) -> Line:
    return next(iter(GROUPS[number].values())), method


def _line(number: int, row: Mapping[str, Any]) -> Line | None:
    """The line of a result row; None where the table does not show it."""
    if row["metric"] in GROUPS[number]:
        return GROUPS[number][row["metric"]], row["method"]
    return (WHERE, PARTS[row["metric"]]) if row["metric"] in PARTS and row["method"] == COOP else None


def _cell(row: Mapping[str, Any]) -> Cell:
    low, high = number_of(row["ci_low"]), number_of(row["ci_high"])
    half = None if low is None or high is None else (high - low) / 2
    return Cell(row["value"], half, form=duration, own_mark=EXTRAPOLATED if row["erratum"].startswith("Extrapolated") else "")


def _shown_notes(cells: Mapping[Column, Mapping[Line, Cell]], marks: Mapping[str, str]) -> set[str]:
    signs = {sign for of in cells.values() for cell in of.values() for sign in cell.mark}
    return {note for note, mark in marks.items() if mark in signs}
