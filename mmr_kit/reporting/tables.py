"""A table beside the paper's: what was measured here and what is printed there, in one cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pandas as pd

from mmr_kit.errors import InputError
from mmr_kit.reporting.cells import Cell, Column, Line, SideBySide, footnotes
from mmr_kit.reporting.documents import Picture, document
from mmr_kit.reporting.layouts import DIRECTION_NAMES, LATENCY, LAYOUTS, number_of

__all__ = ["DIRECTION_NAMES", "Cell", "Picture", "SideBySide", "document", "pivot_table", "plain_table", "side_by_side", "table1", "training_images"]
Cells = dict[Column, dict[Line, Cell]]
Place = TypeVar("Place", Line, Column)


def side_by_side(number: int, rows: pd.DataFrame, paper_datasets: Mapping[str, str], notes: Sequence[str] = ()) -> SideBySide:
    """Table `number` (1, 2, 5 to 9): the paper's lines in the paper's groups, our numbers in the lines that were measured, literature rows as quoted.

    rows: one result row a number (`results.headline`); what was measured beyond the paper has lines of its own. paper_datasets: {our data set: the
    paper's} as `Results.paper_datasets` has it; "", or one that the table does not have, for none. notes: departures from the paper, printed below.
    """
    if number not in LAYOUTS:
        raise InputError(f"no layout for Table {number}; there are {', '.join(map(str, LAYOUTS))}")
    layout, printed = LAYOUTS[number], LAYOUTS[number].printed()
    marks = footnotes(printed["erratum"])
    ours, printed = _in_common_terms(layout.shown(rows), printed, paper_datasets)
    known = set(printed["dataset"]) - {""}
    cells: Cells = {}
    order: dict[Line, float] = {}
    errata: dict[str, list[str]] = {}
    for dataset in dict.fromkeys(rows["dataset"]):
        if dataset not in paper_datasets:
            raise InputError(f"beside which of the paper's data sets does {dataset!r} stand? Name it in paper_datasets")
        beside = paper_datasets[dataset] if paper_datasets[dataset] in known else ""
        heading = f"{dataset} (paper: {beside})" if beside else dataset
        for row in _records(printed[printed["dataset"] == beside]) if beside else []:
            line, headings = (layout.group(row), _quoted(row) or layout.name(row)), layout.headings(row)
            order.setdefault(line, layout.order(row))
            cells.setdefault((heading, *headings), {})[line] = Cell(paper=row["value"], mark=marks.get(row["erratum"], ""))
            if row["erratum"]:
                errata.setdefault(row["erratum"], []).append(f"{row['method']}, {beside} {' '.join(headings)}, as printed {row['value']}: ")
        for row in _records(ours[ours["dataset"] == dataset]):
            line, column = (layout.group(row), layout.name(row)), (heading, *layout.headings(row))
            order.setdefault(line, layout.order(row))
            at = cells.setdefault(column, {}).get(line, Cell())
            if at.ours is not None:
                raise InputError(f"Table {number}: two rows for {', '.join(filter(None, (*line, *column)))}; give one row a number (`headline`)")
            cells[column][line] = replace(_ours(row), paper=at.paper, mark=at.mark)
    groups = list(dict.fromkeys(group for group, _ in order))
    lines = sorted(order, key=lambda line: (groups.index(line[0]), order[line]))
    explained = (f"{marks[note]} {where[0] if len(set(where)) == 1 else ''}{note}" for note, where in errata.items())
    quoted = " Rows with a citation are quoted from the paper." if any(map(_quoted, _records(printed))) else ""
    has_printed = any(cell.paper is not None for of in cells.values() for cell in of.values())
    beside_ours = "in italics: as printed in the paper" if has_printed else f"none of the data sets stands beside one of the paper's Table {number}"
    caption = (f"Measured here ± half of the 95% bootstrap interval over {_spread(rows)}; {beside_ours}. {layout.about} "
               f"Bold: the highest of its group.{quoted if has_printed else ''}")  # fmt: skip
    return SideBySide(frame_of(_with_best(cells), lines), caption, (*explained, *notes))


def table1(rows: pd.DataFrame, paper_datasets: Mapping[str, str], notes: Sequence[str] = ()) -> SideBySide:
    """Table 1, see `side_by_side`."""
    return side_by_side(1, rows, paper_datasets, notes)


def pivot_table(rows: pd.DataFrame, columns: Sequence[str] = ("dataset", "direction", "metric"), line: str = "method", group: str = "",
                notes: Sequence[str] = ()) -> SideBySide:  # fmt: skip
    """A table of ours only, for what the paper shows as a plot: a line for each value of `line`, a column for each value of `columns` (up to three).

    rows: one result row a number (`results.headline`), in percent. group: a column whose values head the lines below them.
    """
    cells: Cells = {}
    for row in _records(rows):
        first, second, third = [""] * (3 - len(columns)) + [_word(row, name) for name in columns]
        place = (_word(row, group) if group else "", _word(row, line))
        of = cells.setdefault((first, second, third), {})
        if place in of:
            raise InputError(f"two rows for {', '.join(filter(None, (*place, first, second, third)))}; name more columns, or give fewer rows")
        of[place] = replace(_ours(row), paper=number_of(row["paper_value"]))
    lines = _together(place for of in cells.values() for place in of)
    caption = f"Measured here ± half of the 95% bootstrap interval over {_spread(rows)}, in percent. Bold: the highest of its group."
    return SideBySide(frame_of(_with_best(cells), lines), caption, tuple(notes))


def plain_table(rows: pd.DataFrame) -> SideBySide:
    """Result rows as they are, one number a line: for tables without a layout of their own."""
    told = ("dataset", "collection", "trained_on", "method", "direction", "language", "k", "combination", "lambda", "metric")
    shown = [name for name in told if name == "metric" or rows[name].nunique(dropna=False) > 1]
    cells: dict[Line, Cell] = {}
    for row in _records(rows):
        words = (str(row[name]) for name in shown if not pd.isna(row[name]))
        form = ".1f" if row["metric"] == "mR" or row["metric"].startswith("R@") else ",.6g"
        cells["", ", ".join(word for word in words if word)] = replace(_ours(row), paper=number_of(row["paper_value"]), form=form)
    caption = "Measured here ± half of the 95% interval; in italics: as printed in the paper."
    return SideBySide(frame_of({("", "", "value"): cells}, list(cells)), caption)


def training_images(rows: pd.DataFrame, all_images: Mapping[str, int]) -> pd.Series:
    """The number of training images of each row, from its trained_on: "<data set>_<images>", or "<data set>" for the full split ({data set: images})."""
    return rows["trained_on"].map(lambda name: all_images.get(name) or int(name.rpartition("_")[2]))


def _in_common_terms(ours: pd.DataFrame, printed: pd.DataFrame, paper_datasets: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Our rows with the paper's groups, and both with `training`, where "pictograms_a (paper: MSCOCO)" is what the paper calls MSCOCO."""
    if "group" in printed:
        own = printed[[not _quoted(row) for row in _records(printed)]]
        groups = dict(zip(own["method"], own["group"], strict=True))
        ours = ours.assign(group=ours["method"].map(lambda method: groups.get(method, "Measured here only")))
    if "trained_on" not in printed:
        return ours, printed
    both: dict[str, str] = {}
    for name in dict.fromkeys(ours["trained_on"]):
        galleries = (beside for gallery, beside in paper_datasets.items() if beside and f"{gallery}_".startswith(f"{name}_"))  # pictograms_a_200
        paper_name = next(galleries, "").rpartition(" ")[0]  # MSCOCO 5k is the test split of MSCOCO
        if paper_name:
            both[name] = both[paper_name] = f"{name} (paper: {paper_name})"
    ours, printed = (frame.assign(training=frame["trained_on"].map(lambda name: both.get(name, name))) for frame in (ours, printed))
    return ours, printed


def _spread(rows: pd.DataFrame) -> str:
    return "images and seeds" if "mean" in set(rows["seed"]) else "images (one seed)"


def _word(row: Mapping[str, Any], name: str) -> str:
    """A value as a heading; numbers with the name of their column: "1,000 train images"."""
    value = row[name]
    if isinstance(value, str):
        return DIRECTION_NAMES.get(value, value)
    return "" if pd.isna(value) else f"{value:,} {name.replace('_', ' ')}"


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.itertuples(index=False, name=None)]


def _quoted(row: Mapping[str, Any]) -> str:
    """The name of a row quoted from the literature, with model and citation, as several of them are called CE; "" for the paper's own."""
    source = str(row.get("source", ""))
    if not source.startswith("literature"):
        return ""
    return " ".join(part for part in (row["method"], row["backbone"], f"({source.removeprefix('literature: ')})") if part)


def _ours(row: Mapping[str, Any]) -> Cell:
    low, high = number_of(row["ci_low"]), number_of(row["ci_high"])
    return Cell(number_of(row["value"]), None if low is None or high is None else (high - low) / 2)


def _with_best(cells: Mapping[Column, Mapping[Line, Cell]]) -> Cells:
    """Mark the highest of each group and column, ours and the paper's apart; a group of one has no highest, nor has a latency."""
    marked: Cells = {}
    for column, of in cells.items():
        ours: dict[str, list[float]] = {}
        printed: dict[str, list[float]] = {}
        for (group, _), cell in of.items():
            ours.setdefault(group, []).extend([] if cell.ours is None or column[-1] == LATENCY else [cell.ours])
            printed.setdefault(group, []).extend([] if cell.paper is None else [cell.paper])
        marked[column] = {
            (group, name): replace(cell, best=_is_highest(cell.ours, ours[group]), paper_best=_is_highest(cell.paper, printed[group]))
            for (group, name), cell in of.items()
        }
    return marked


def _is_highest(value: float | None, group: Sequence[float]) -> bool:
    return len(group) > 1 and value == max(group)


def _together(places: Iterable[Place]) -> list[Place]:
    """The places in the order they come, but those below one heading side by side."""
    once = list(dict.fromkeys(places))
    first: dict[tuple[str, ...], int] = {}
    for i, place in enumerate(once):
        for depth in range(1, len(place) + 1):
            first.setdefault(place[:depth], i)
    return sorted(once, key=lambda place: [first[place[:depth]] for depth in range(1, len(place) + 1)])


def frame_of(cells: Mapping[Column, Mapping[Line, Cell]], lines: Sequence[Line]) -> pd.DataFrame:
    """Cells as a frame, with the lines that have a number in any column."""
    columns = _together(cells)
    frame = pd.DataFrame([[cells[column].get(line, Cell()) for column in columns] for line in lines])
    frame.index, frame.columns = pd.MultiIndex.from_tuples(lines, names=["group", "method"]), pd.MultiIndex.from_tuples(columns)
    return frame
