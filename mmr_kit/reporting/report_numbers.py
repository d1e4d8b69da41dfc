"""The numbers of one result csv as a reader of a table meets them: each with its line in the csv, its seeds, and the run files it came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from mmr_kit.reporting.layouts import LANGUAGE_NAMES, MERGED, METRIC_NAMES
from mmr_kit.reporting.rows import COLUMNS, FINDINGS, MEAN, headline

TOLD = ("dataset", "collection", "trained_on", "backbone", "method", "direction", "language", "k", "combination", "lambda", "metric")
KEY = tuple(name for name in COLUMNS if name not in FINDINGS and name not in ("profile", "seed"))
"""The columns that say which number of a table this is, whatever the profile and the seed."""


@dataclass(frozen=True)
class Source:
    """One csv row behind a number: its line (the header is line 1), its seed ("" for none), its value, its run file relative to the csv ("" for none)."""

    line: int
    seed: str
    value: float
    run: str


@dataclass(frozen=True)
class Number:
    """A number of a table: what it is ({column: text}, the columns of TOLD that are filled), its value, interval and the paper's, and its sources."""

    line: int
    what: dict[str, str]
    value: float
    low: float | None
    high: float | None
    paper: float | None
    erratum: str
    n_queries: int | None
    sources: tuple[Source, ...]

    @cached_property
    def phrases(self) -> list[tuple[str, str]]:
        """What it is, column by column, in the words of the tables' headings and in the csv's."""
        return [(_normal(_heading(name, text)), _normal(text)) for name, text in self.what.items()]


def numbers(rows: pd.DataFrame) -> list[Number]:
    """The headline numbers of a result frame (`read_results`), in the csv's order."""
    rows = rows.assign(line=range(2, len(rows) + 2))
    sources: dict[tuple[str, ...], list[Source]] = {}
    for row in rows.to_dict("records"):
        if row["seed"] != MEAN:
            sources.setdefault(number_key(row), []).append(Source(row["line"], row["seed"], row["value"], row["run"]))
    return [
        Number(row["line"], {name: text for name in TOLD if (text := _text(row[name]))}, row["value"], _real(row["ci_low"]), _real(row["ci_high"]),
               _real(row["paper_value"]), row["erratum"], None if pd.isna(row["n_queries"]) else int(row["n_queries"]),
               tuple(sources.get(number_key(row), ())))
        for row in headline(rows).to_dict("records")
    ]  # fmt: skip


def number_key(row: dict[Any, Any]) -> tuple[str, ...]:
    """The texts of KEY of a row; "" where it does not apply."""
    return tuple(_text(row[name]) for name in KEY)


def distinguishing(found: Sequence[Number]) -> list[str]:
    """The columns of TOLD in which the numbers differ, and the metric."""
    return [name for name in TOLD if name == "metric" or len({number.what.get(name, "") for number in found}) > 1]


def find(found: Sequence[Number], headings: Sequence[str], printed: str) -> Number | None:
    """The number that a table's cell shows: of those that its headings name best, the single one whose value the cell prints; else None.

    Best is the most of its columns, of several such the most different words (a model trained elsewhere has a name more), then the longest ("a_200" also says
    "a", "SEP+COOP" below a heading "BE" both), and of several such the one with fewest columns that are not named (without distractors, say). Headings choose
    and the value confirms, so a table whose headings say too little has cells without a link, never with a wrong one.
    """
    digits = re.fullmatch(r"[+-]?[\d,]+(?:\.(\d+))?", printed)
    if not digits:
        return None
    said = _normal(" ".join(headings))
    scores = []
    for number in found:
        named = [shown if shown in said else text for shown, text in number.phrases if shown in said or text in said]
        scores.append((len(named), len(set(named)), sum(map(len, named)), -len(number.phrases)))
    unit = 10.0 ** -len(digits[1] or "")
    highest = max(scores, default=None)
    best = [number for number, score in zip(found, scores, strict=True) if score == highest]
    chosen = [number for number in best if abs(number.value - float(printed.replace(",", ""))) <= 0.5001 * unit]
    return chosen[0] if len(chosen) == 1 else None


def _heading(name: str, text: str) -> str:
    """The text of a column as tables say it: "mean without en", "250 train images", ..."""
    if name == "collection":
        return MERGED
    part, _, images = text.rpartition("_")
    if name == "trained_on" and part and images.isdecimal():  # what `Recipe.train_images` makes of it
        return f"{int(images):,} train images"
    return str({"language": LANGUAGE_NAMES, "metric": METRIC_NAMES}.get(name, {}).get(text, text))


def _normal(text: str) -> str:
    """Words between single blanks, so that "BE" is not found in "JOINT+BE" nor "R@1" in "R@10"."""
    return " " + re.sub(r"[\s_(),;:=]+", " ", text).strip() + " "


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _real(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
