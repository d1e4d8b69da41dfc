"""Result rows: one number a row, with its interval, its seed, the paper's number and the run it can be recomputed from.

Every seed has its own row (its interval: bootstrap over images). Where there are several seeds, one more row with seed "mean" holds their mean (its
interval: bootstrap over images and seeds) and no run. `headline` picks the one row a reader wants of each number: the mean, or the only seed.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mmr_kit.errors import InputError

COLUMNS = (
    "table", "profile", "dataset", "collection", "trained_on", "backbone", "method", "direction", "language", "k", "combination", "lambda",
    "metric", "value", "ci_low", "ci_high", "n_queries", "n_items", "seed", "paper_value", "erratum", "run",
)  # fmt: skip
WHOLE = ("k", "n_queries", "n_items")
REAL = ("lambda", "value", "ci_low", "ci_high", "paper_value")
FINDINGS = ("value", "ci_low", "ci_high", "n_queries", "n_items", "paper_value", "erratum", "run")  # all other columns say what was measured: the key
OF_MACHINE = ("_ms", "_s", "_between_ways")  # endings of metrics that measure the machine: times, speeds, how far two ways of computing agree
FORMULA = ("=", "+", "-", "@", "\t")  # how a text begins that a spreadsheet takes for a formula
MEAN = "mean"  # the seed column of a mean over seeds


def headline(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each number: the mean over seeds where there is one, else the only seed."""
    key = [name for name in COLUMNS if name not in FINDINGS and name != "seed"]
    is_mean = rows["seed"] == MEAN
    has_mean = is_mean.groupby([rows[name] for name in key], dropna=False, sort=False).transform("any") if len(rows) else is_mean
    chosen = rows[is_mean | ~has_mean]
    if chosen.duplicated(key).any():
        raise InputError(f"several seeds without a row of seed {MEAN!r}: {chosen[chosen.duplicated(key)].iloc[0][key].to_dict()}")
    return chosen.reset_index(drop=True)


def read_results(path: Path) -> pd.DataFrame:
    """The rows of a result csv, as `Results.frame` has them; InputError names the line of what is wrong."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                raise InputError(f"{path}, line 1: not a result csv of this kit; its columns must be {', '.join(COLUMNS)}")
            rows = []
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if len(fields) != len(COLUMNS):
                    raise InputError(f"{where}: {len(COLUMNS)} columns expected, {len(fields)} found; write the table again")
                rows.append(checked(dict(zip(COLUMNS, fields, strict=True)), where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable csv ({error}); write the table again") from None
    return frame(rows)


def checked(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The row with every column of COLUMNS, in its type; "" or None where it does not apply."""
    unknown = [name for name in row if name not in COLUMNS]
    if unknown:
        raise InputError(f"{where}: unknown column {unknown[0]!r}; the columns are {', '.join(COLUMNS)}")
    made: dict[str, Any] = {}
    for name in COLUMNS:
        value = row.get(name)
        empty = value is None or value == ""
        try:
            if name in WHOLE:
                made[name] = None if empty else _whole(value)
            elif name in REAL:
                made[name] = None if empty else float(value)  # type: ignore[arg-type]
            else:
                made[name] = "" if empty else str(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where}: {name} is {value!r:.60}, not a {'whole ' if name in WHOLE else ''}number") from None
        if name in REAL and made[name] is not None and not math.isfinite(made[name]):
            raise InputError(f"{where}: {name} is not finite")
        if isinstance(made[name], str) and ("\n" in made[name] or "\r" in made[name]):
            raise InputError(f"{where}: {name} has a line break; a result is one line")
        if isinstance(made[name], str) and made[name].startswith(FORMULA):
            raise InputError(f"{where}: {name} is {made[name][:40]!r}, which a spreadsheet takes for a formula; call it otherwise")
    missing = [name for name in ("table", "metric", "value") if made[name] in ("", None)]
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing")
    if (made["ci_low"] is None) != (made["ci_high"] is None) or (made["ci_low"] or 0) > (made["ci_high"] or 0):
        raise InputError(f"{where}: ci_low {made['ci_low']} and ci_high {made['ci_high']} are not an interval")
    return made


def _whole(value: Any) -> int:
    if (not isinstance(value, str) and value != int(value)) or abs(int(value)) >= 2**63:
        raise ValueError
    return int(value)


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Checked rows as a frame with the columns COLUMNS."""
    unread = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = {name: "Int64" if name in WHOLE else "float64" if name in REAL else "str" for name in COLUMNS}
    return unread.astype(kinds)


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Floats as Python writes them: read back, they are the same to the last bit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([["" if row[name] is None else row[name] for name in COLUMNS] for row in rows])
    return text.getvalue()
