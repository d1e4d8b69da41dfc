"""Tables of cells that hold our number and the paper's, shown as HTML, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import pandas as pd

from mmr_kit.reporting.markup import LEFT, STYLE, markdown_cell, tex

Column = tuple[str, str, str]  # three levels of headings: data set, direction, metric in Table 1
Line = tuple[str, str]  # group, method
MARKS = "†‡§¶"


@dataclass(frozen=True)
class Cell:
    """Ours with half of its 95% interval, and the paper's number; None where there is none.

    mark, own_mark: the signs of the notes on the printed number and on ours; form: how Python formats the numbers, or a function that does.
    """

    ours: float | None = None
    half: float | None = None
    paper: float | None = None
    best: bool = False
    paper_best: bool = False
    mark: str = ""
    form: str | Callable[[float], str] = ".1f"
    own_mark: str = ""

    def texts(self) -> tuple[str, str, str]:
        """Ours, half of its interval and the paper's number as text; "" where there is none."""
        form = self.form if callable(self.form) else f"{{:{self.form}}}".format
        ours, half, paper = ("" if value is None else form(value) for value in (self.ours, self.half, self.paper))
        return ours, half, paper

    def __str__(self) -> str:
        ours, half, paper = self.texts()
        return " ".join([*([ours + self.own_mark] if ours else []), *([f"±{half}"] if half else []), *([f"({paper}{self.mark})"] if paper else [])]) or "–"

    __repr__ = __str__


@dataclass(frozen=True)
class SideBySide:
    """A table of cells, shown by a notebook as HTML.

    frame: Cells, index (group, method), columns of three headings (data set, direction, metric in Table 1). caption: how to read it.
    notes: errata and departures, below it.
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
            head.append(f"<tr><th{LEFT}>{name}</th>{names}</tr>")
        body, last = [], ""
        for (group, method), row in zip(self.frame.index, self.frame.itertuples(index=False, name=None), strict=True):
            if group != last:
                body.append(f'<tr class="group"><th scope="rowgroup" colspan="{len(columns) + 1}"{LEFT}><span>{escape(group)}</span></th></tr>')
                last = group
            name, bracket, citation = method.partition(" (")
            cited = f" <small>({escape(citation)}</small>" if bracket else ""
            numbers = "".join(f"<td{_edge(place in edges)}>{_html_cell(cell)}</td>" for place, cell in enumerate(row))
            body.append(f'<tr><th scope="row"{LEFT}>{escape(name)}{cited}</th>{numbers}</tr>')
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
            rows = [(group, method, row[start : start + width]) for (group, method), row in zip(self.frame.index, self.frame.to_numpy(), strict=True)]
            last = ""
            for group, method, row in rows:
                if all(cell == Cell() for cell in row):  # was not measured on this data set
                    continue
                if group != last:
                    lines.append(f"| **{markdown_cell(group)}** |" + " |" * width)
                    last = group
                lines.append("| " + " | ".join([markdown_cell(method), *map(_markdown_cell, row)]) + " |")
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


def footnotes(notes: Iterable[str]) -> dict[str, str]:
    """Note -> the sign of it, a different one for each different note."""
    return {note: MARKS[i % len(MARKS)] * (1 + i // len(MARKS)) for i, note in enumerate(dict.fromkeys(note for note in notes if note))}


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
    own = (f"<b>{ours}</b>" if cell.best else ours) + cell.own_mark + (f"&nbsp;<small>±{half}</small>" if half else "")
    printed = f"<i>{f'<b>{paper}</b>' if cell.paper_best else paper}{cell.mark}</i>" if paper else ""
    return "<br>".join(part for part in (own, printed) if part) or "–"


def _markdown_cell(cell: Cell) -> str:
    ours, half, paper = cell.texts()
    own = (f"**{ours}**" if cell.best else ours) + markdown_cell(cell.own_mark) + (f" ±{half}" if half else "")
    printed = (f"***{paper}***" if cell.paper_best else f"*{paper}*") + cell.mark if paper else ""
    return "<br>".join(part for part in (own, printed) if part) or "–"


def _tex_cell(cell: Cell) -> str:
    ours, half, paper = cell.texts()
    own = (rf"\textbf{{{ours}}}" if cell.best else tex(ours)) + tex(cell.own_mark) + (rf" {{\tiny$\pm${tex(half)}}}" if half else "")
    printed = (rf"\textbf{{\textit{{{paper}}}}}" if cell.paper_best else rf"\textit{{{tex(paper)}}}") + tex(cell.mark) if paper else ""
    return " / ".join(part for part in (own, printed) if part) or "--"
