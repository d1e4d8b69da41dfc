"""A table beside the paper's: what was measured here and what is printed there, in one cell, and the documents they are written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Protocol

import pandas as pd

from mmr_kit.errors import InputError
from mmr_kit.reporting.markup import STYLE, markdown_cell, tex
from mmr_kit.reporting.paper import paper_table

DIRECTION_NAMES = {"image_retrieval": "image retrieval", "text_retrieval": "text retrieval"}
MARKS = "†‡§¶"
Column = tuple[str, str, str]  # data set, direction, metric
Line = tuple[str, str]  # group, method


class Shown(Protocol):
    """Something with a place in a document."""

    def to_html(self) -> str: ...
    def to_markdown(self) -> str: ...
    def to_latex(self) -> str: ...


@dataclass(frozen=True)
class Cell:
    """Ours with half of its 95% interval, and the paper's number; None where there is none.

    mark: the sign of the note on the printed number; form: how Python formats the numbers.
    """

    ours: float | None = None
    half: float | None = None
    paper: float | None = None
    best: bool = False
    paper_best: bool = False
    mark: str = ""
    form: str = ".1f"

    def texts(self) -> tuple[str, str, str]:
        """Ours, half of its interval and the paper's number as text; "" where there is none."""
        ours, half, paper = ("" if value is None else format(value, self.form) for value in (self.ours, self.half, self.paper))
        return ours, half, paper

    def __str__(self) -> str:
        ours, half, paper = self.texts()
        return " ".join([*([ours] if ours else []), *([f"±{half}"] if half else []), *([f"({paper}{self.mark})"] if paper else [])]) or "–"

    __repr__ = __str__


@dataclass(frozen=True)
class SideBySide:
    """A table of cells, shown by a notebook as HTML.

    frame: Cells, index (group, method), columns (data set, direction, metric). caption: how to read it. notes: errata and departures, below it.
    """

    frame: pd.DataFrame
    caption: str = ""
    notes: tuple[str, ...] = field(default=())

    def to_html(self) -> str:
        columns = _columns(self.frame)
        edges = {start for _, start, _ in _spans(columns, 1)}
        head = []
        for level, name in enumerate(("", "", "method")):
            names = "".join(f"<th{_span(width)}{_edge(start in edges)}>{escape(text)}</th>" for text, start, width in _spans(columns, level))
            head.append(f"<tr><th>{name}</th>{names}</tr>")
        body, last = [], ""
        for (group, method), row in zip(self.frame.index, self.frame.itertuples(index=False, name=None), strict=True):
            if group != last:
                body.append(f'<tr class="group"><th scope="rowgroup">{escape(group)}</th><td colspan="{len(columns)}"></td></tr>')
                last = group
            name, bracket, citation = method.partition(" (")
            cited = f" <small>({escape(citation)}</small>" if bracket else ""
            numbers = "".join(f"<td{_edge(place in edges)}>{_html_cell(cell)}</td>" for place, cell in enumerate(row))
            body.append(f'<tr><th scope="row">{escape(name)}{cited}</th>{numbers}</tr>')
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = f'<table class="mmr-table mmr-numbers"><thead>{"".join(head)}</thead><tbody>{"".join(body)}</tbody></table>'
        below = f"<p><small>{escape(self.caption)}</small></p>{f'<ul>{notes}</ul>' if notes else ''}"
        return f'{STYLE}<div class="mmr"><div class="mmr-scroll">{table}</div>{below}</div>'

    _repr_html_ = to_html

    def to_markdown(self) -> str:
        """One Markdown table a data set: twelve columns side by side are more than a page shows."""
        lines: list[str] = []
        columns = _columns(self.frame)
        for dataset, start, width in _spans(columns, 0):
            head = ["method", *(f"{direction} {metric}".strip() for _, direction, metric in columns[start : start + width])]
            lines += [f"**{markdown_cell(dataset)}**", ""] if dataset else []
            lines += ["| " + " | ".join(map(markdown_cell, head)) + " |", "|---" + "|--:" * width + "|"]
            last = ""
            for (group, method), row in zip(self.frame.index, self.frame.itertuples(index=False, name=None), strict=True):
                if group != last:
                    lines.append(f"| **{markdown_cell(group)}** |" + " |" * width)
                    last = group
                lines.append("| " + " | ".join([markdown_cell(method), *map(_markdown_cell, row[start : start + width])]) + " |")
            lines.append("")
        lines += [markdown_cell(self.caption), ""] if self.caption else []
        return "\n".join([*lines, *(f"- {markdown_cell(note)}" for note in self.notes)]).rstrip() + "\n"

    def to_latex(self) -> str:
        """A tabular for booktabs, amssymb and graphicx (it is scaled to the width of the line)."""
        columns = _columns(self.frame)
        lines = [r"\resizebox{\linewidth}{!}{%", r"\begin{tabular}{l" + "r" * len(columns) + "}", r"\toprule"]
        for level in (0, 1):
            lines.append("".join(rf" & \multicolumn{{{width}}}{{c}}{{{tex(text)}}}" for text, _, width in _spans(columns, level)) + r" \\")
        lines += ["method" + "".join(f" & {tex(str(column[2]))}" for column in columns) + r" \\", r"\midrule"]
        last = ""
        for (group, method), row in zip(self.frame.index, self.frame.itertuples(index=False, name=None), strict=True):
            if group != last:
                lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\textbf{{{tex(group)}}}}} \\")
                last = group
            lines.append(tex(method) + "".join(f" & {_tex_cell(cell)}" for cell in row) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}}", ""]
        return "\n".join([*lines, *(tex(text) + r"\par" for text in (self.caption, *self.notes) if text), ""])


@dataclass(frozen=True)
class Picture:
    """A figure file that lies beside the document."""

    file: str
    description: str

    def to_html(self) -> str:
        return f'{STYLE}<div class="mmr"><img src="{escape(self.file)}" alt="{escape(self.description)}"></div>'

    def to_markdown(self) -> str:
        return f"![{markdown_cell(self.description)}]({self.file})\n"

    def to_latex(self) -> str:
        return rf"\includegraphics[width=\linewidth]{{{self.file}}}" + "\n"


def table1(rows: pd.DataFrame, paper_datasets: Mapping[str, str], notes: Sequence[str] = ()) -> SideBySide:
    """Table 1: the paper's rows in the paper's groups, our numbers in those rows that were measured, literature rows as quoted.

    rows: one result row a number (`results.headline`); paper_datasets: {our data set: the paper's} as `Results.paper_datasets` has it;
    notes: departures from the paper, printed below.
    """
    printed = paper_table(1)
    marks = {note: MARKS[i % len(MARKS)] * (1 + i // len(MARKS)) for i, note in enumerate(dict.fromkeys(note for note in printed["erratum"] if note))}
    ours = {(row["dataset"], row["direction"], row["metric"], row["method"]): row for row in _records(rows)}
    lines: list[Line] = list(dict.fromkeys((row["group"], _name(row)) for row in _records(printed)))
    cells: dict[Column, dict[Line, Cell]] = {}
    errata: list[str] = []
    for dataset in dict.fromkeys(rows["dataset"]):
        if dataset not in paper_datasets:
            raise InputError(f"beside which of the paper's data sets does {dataset!r} stand? Name it in paper_datasets")
        for row in _records(printed[printed["dataset"] == paper_datasets[dataset]]):
            direction = DIRECTION_NAMES[row["direction"]]
            measured = None if _is_quoted(row) else ours.get((dataset, row["direction"], row["metric"], row["method"]))
            cell = replace(_ours(measured), paper=row["value"], mark=marks.get(row["erratum"], ""))
            cells.setdefault((f"{dataset} (paper: {paper_datasets[dataset]})", direction, row["metric"]), {})[row["group"], _name(row)] = cell
            if cell.mark:
                errata.append(f"{cell.mark} {row['method']}, {row['dataset']} {direction} {row['metric']}, as printed {cell.paper}: {row['erratum']}")
    if not cells:
        raise InputError("none of the data sets stands beside one of the paper's Table 1")
    spread = "queries and seeds" if "mean" in set(rows["seed"]) else "queries (one seed)"
    caption = (
        f"Measured here ± half of the 95% bootstrap interval over {spread}; in italics: as printed in the paper. "
        "R@M in percent. Bold: the highest of its group. Rows with a citation are quoted from the paper."
    )
    return SideBySide(_frame(_with_best(cells), lines), caption, (*dict.fromkeys(errata), *notes))


def plain_table(rows: pd.DataFrame) -> SideBySide:
    """Result rows as they are, one number a line: for tables without a layout of their own."""
    told = ("dataset", "collection", "trained_on", "method", "direction", "language", "k", "combination", "lambda", "metric")
    shown = [name for name in told if name == "metric" or rows[name].nunique(dropna=False) > 1]
    cells: dict[Line, Cell] = {}
    for row in _records(rows):
        words = (str(row[name]) for name in shown if not pd.isna(row[name]))
        form = ".1f" if row["metric"] == "mR" or row["metric"].startswith("R@") else ",.6g"
        cells["", ", ".join(word for word in words if word)] = replace(_ours(row), paper=_number(row["paper_value"]), form=form)
    caption = "Measured here ± half of the 95% interval; in italics: as printed in the paper."
    return SideBySide(_frame({("", "", "value"): cells}, list(cells)), caption)


def document(title: str, parts: Sequence[Shown]) -> dict[str, str]:
    """{"html": a page, "md": ..., "tex": ...} of the parts in order."""
    body = "\n".join(part.to_html() for part in parts).replace(STYLE, "")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>\n{STYLE}'
        "<style>body { font-family: system-ui, sans-serif; margin: 1rem auto; max-width: 80rem; padding: 0 1rem; }</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
    return {
        "html": page,
        "md": f"# {markdown_cell(title)}\n\n" + "\n".join(part.to_markdown() for part in parts),
        "tex": f"% {title}: needs booktabs, amssymb, graphicx\n" + "\n".join(part.to_latex() for part in parts),
    }


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.itertuples(index=False, name=None)]


def _is_quoted(row: Mapping[str, Any]) -> bool:
    return str(row["source"]).startswith("literature")


def _name(row: Mapping[str, Any]) -> str:
    """The name of a row: for quoted ones with model and citation, as several of them are called CE."""
    citation = f"({row['source'].removeprefix('literature: ')})"
    return " ".join(part for part in (row["method"], row["backbone"], citation) if part) if _is_quoted(row) else str(row["method"])


def _ours(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell()
    low, high = _number(row["ci_low"]), _number(row["ci_high"])
    return Cell(_number(row["value"]), None if low is None or high is None else (high - low) / 2)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _with_best(cells: Mapping[Column, Mapping[Line, Cell]]) -> dict[Column, dict[Line, Cell]]:
    """Mark the highest of each group and column, ours and the paper's apart; a group of one has no highest."""
    marked = {}
    for column, of in cells.items():
        ours: dict[str, list[float]] = {}
        printed: dict[str, list[float]] = {}
        for (group, _), cell in of.items():
            ours.setdefault(group, []).extend([] if cell.ours is None else [cell.ours])
            printed.setdefault(group, []).extend([] if cell.paper is None else [cell.paper])
        marked[column] = {
            (group, name): replace(cell, best=_is_highest(cell.ours, ours[group]), paper_best=_is_highest(cell.paper, printed[group]))
            for (group, name), cell in of.items()
        }
    return marked


def _is_highest(value: float | None, group: Sequence[float]) -> bool:
    return len(group) > 1 and value == max(group)


def _frame(cells: Mapping[Column, Mapping[Line, Cell]], lines: Sequence[Line]) -> pd.DataFrame:
    """Cells as a frame, with the lines that have a number in any column."""
    kept = [line for line in lines if any(line in of for of in cells.values())]
    frame = pd.DataFrame([[of.get(line, Cell()) for of in cells.values()] for line in kept])
    frame.index, frame.columns = pd.MultiIndex.from_tuples(kept, names=["group", "method"]), pd.MultiIndex.from_tuples(cells)
    return frame


def _columns(frame: pd.DataFrame) -> list[Column]:
    return [(str(column[0]), str(column[1]), str(column[2])) for column in frame.columns]


def _spans(columns: Sequence[Column], level: int) -> list[tuple[str, int, int]]:
    """(text, first column, columns) of the headings of a level: equal neighbours share one."""
    starts = [i for i, column in enumerate(columns) if i == 0 or column[: level + 1] != columns[i - 1][: level + 1]]
    return [(columns[start][level], start, end - start) for start, end in zip(starts, [*starts[1:], len(columns)], strict=True)]


def _span(width: int) -> str:
    return f' colspan="{width}"' if width > 1 else ""


def _edge(edge: bool) -> str:
    return ' class="edge"' if edge else ""


def _html_cell(cell: Cell) -> str:
    ours, half, paper = cell.texts()
    own = (f"<b>{ours}</b>" if cell.best else ours) + (f"&nbsp;<small>±{half}</small>" if half else "")
    printed = f"<i>{f'<b>{paper}</b>' if cell.paper_best else paper}{cell.mark}</i>" if paper else ""
    return "<br>".join(part for part in (own, printed) if part) or "–"


def _markdown_cell(cell: Cell) -> str:
    ours, half, paper = cell.texts()
    own = (f"**{ours}**" if cell.best else ours) + (f" ±{half}" if half else "")
    printed = (f"***{paper}***" if cell.paper_best else f"*{paper}*") + cell.mark if paper else ""
    return "<br>".join(part for part in (own, printed) if part) or "–"


def _tex_cell(cell: Cell) -> str:
    ours, half, paper = cell.texts()
    own = (rf"\textbf{{{ours}}}" if cell.best else ours) + (rf" {{\tiny$\pm${half}}}" if half else "")
    printed = (rf"\textbf{{\textit{{{paper}}}}}" if cell.paper_best else rf"\textit{{{paper}}}") + tex(cell.mark) if paper else ""
    return " / ".join(part for part in (own, printed) if part) or "--"
