"""The paper's numbers as printed (results/paper/), with a note on the cells that are probably misprints."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mmr_kit.errors import InputError

PAPER = Path(__file__).parents[2] / "results" / "paper"
RENAMED = {"model": "method", "task_dataset": "dataset", "value_percent": "value", "latency_seconds": "value", "time_seconds": "value"}
# Which cells each row of errata.csv speaks of: its (table, row, column) -> the columns of the table that select them.
ERRATUM_CELLS: dict[tuple[str, str, str], dict[str, object]] = {
    ("table1", "VSE++", "MSCOCO 5k image_retrieval R@1"): {"method": "VSE++", "dataset": "MSCOCO 5k", "direction": "image_retrieval", "metric": "R@1"},
    ("table3", "SEP/JOINT+COOP", "Intel Xeon Gold 6154 CPU 50k and 1M"): {"method": "SEP/JOINT+COOP", "device": "Intel Xeon Gold 6154 CPU"},
    ("table3", "CE", "all"): {"method": "CE"},
    ("table4", "SEP/JOINT+COOP", "all"): {"method": "SEP/JOINT+COOP"},
    ("table4", "CE", "100k"): {"method": "CE", "test_images": 100_000},
    ("table9", "NORM_ADD", "image_retrieval (all lambdas)"): {"combination": "NORM_ADD", "direction": "image_retrieval"},
    ("table9", "JOINT+COOP none", "all"): {"method": "JOINT+COOP", "combination": "none"},
}


class PaperValue(NamedTuple):
    """A printed number (percent or seconds) and the note on it, "" for none."""

    value: float
    erratum: str


def paper_file(name: str) -> Path:
    """A file of results/paper/, which lies in the repository and not in an installed package."""
    path = PAPER / name
    if not path.is_file():
        raise InputError(f"{path} is not there: the paper's numbers come with the repository, so run the kit from a checkout (pip install -e .)")
    return path


def paper_table(number: int) -> pd.DataFrame:
    """Table `number` (1 to 9), one printed number a row: the table's own columns, with `method`, `value` (percent or seconds) and `erratum` ("" for none)."""
    return _table(number).copy()


def paper_value(number: int, **where: object) -> PaperValue | None:
    """The paper's own (not quoted) number at method=, dataset=, direction=, metric=, ... (any columns of the table); None where the paper has none.

    An empty value ("" or None) does not restrict. Several matching cells are an InputError: the question was not precise.
    """
    columns, cells = _own_cells(number)
    asked = {column: str(wanted) for column, wanted in where.items() if wanted is not None and wanted != ""}  # numbers are compared as they are printed
    for column in asked:
        if column not in columns:
            raise InputError(f"Table {number} of the paper has no column {column!r}, only {', '.join(columns)}")
    found = [value for cell, value in cells if asked.items() <= cell.items()]
    if len(found) > 1:
        raise InputError(f"{len(found)} cells of the paper's Table {number} match {where}: name more columns of {', '.join(columns)}")
    return found[0] if found else None


@lru_cache
def _own_cells(number: int) -> tuple[list[str], list[tuple[dict[str, str], PaperValue]]]:
    """The columns of a table, and of each of the paper's own numbers in it the texts in all of them."""
    rows = _table(number)
    if "source" in rows:
        rows = rows[rows["source"].str.startswith("this paper")]
    texts = [dict(zip(rows.columns, texts, strict=True)) for texts in rows.astype(str).values.tolist()]
    values = [PaperValue(float(value), str(erratum)) for value, erratum in zip(rows["value"], rows["erratum"], strict=True)]
    return list(rows.columns), list(zip(texts, values, strict=True))


@lru_cache
def _table(number: int) -> pd.DataFrame:
    name = f"table{number}"
    rows = pd.read_csv(paper_file(f"{name}.csv"), keep_default_na=False).rename(columns=RENAMED)
    rows["value"] = pd.to_numeric(rows["value"])
    rows["erratum"] = ""
    errata = pd.read_csv(paper_file("errata.csv"), keep_default_na=False)
    for erratum in errata[errata["table"] == name].itertuples():
        here = pd.Series(True, index=rows.index)
        for column, wanted in ERRATUM_CELLS[(name, str(erratum.row), str(erratum.column))].items():
            here &= rows[column].astype(str) == str(wanted)
        rows.loc[here, "erratum"] = str(erratum.note)
    return rows
