"""Where a number of one of the paper's tables stands among its groups, lines and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmr_kit.reporting.paper import paper_table

DIRECTION_NAMES = {"image_retrieval": "image retrieval", "text_retrieval": "text retrieval"}
LANGUAGE_NAMES = {"avg_non_english": "mean without en"}
COMBINATION_NAMES = {"none": "CE's score alone"}
LATENCY = "ms a query"
METRIC_NAMES = {"latency_ms": LATENCY}
MERGED, ALONE = "The merged collection", "The data set alone"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """The places of a table. The functions read the paper's rows as well as ours, and where both come to the same place, they share a cell.

    group, name: of the line; headings: of the column, below the data set. Besides the result columns, rows have `group` (the paper's, by method) and
    `training` (both names of the data set of the training). order: of the lines of a group; lines of one order stay as they come, the paper's first.
    shown: which of our rows the table shows. printed: the paper's rows. about: a sentence of the caption.
    """

    group: Callable[[Row], str]
    name: Callable[[Row], str]
    headings: Callable[[Row], tuple[str, str]]
    printed: Callable[[], pd.DataFrame]
    shown: Callable[[pd.DataFrame], pd.DataFrame]
    order: Callable[[Row], float] = lambda row: 0
    about: str = "R@M in percent."


def number_of(value: Any) -> float | None:
    """A value of a result row or of the paper's as a number; None where it is empty."""
    return None if value == "" or pd.isna(value) else float(value)


def _by_direction(row: Row) -> tuple[str, str]:
    return DIRECTION_NAMES[row["direction"]], str(METRIC_NAMES.get(row["metric"], row["metric"]))


def _by_language(row: Row) -> tuple[str, str]:
    return row["metric"], str(LANGUAGE_NAMES.get(row["language"], row["language"]))


def _recalls(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["metric"].str.startswith("R@")]


def _mean_recalls(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["metric"] == "mR"]


def _recalls_and_latency(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["metric"].str.startswith("R@") | (rows["metric"] == "latency_ms")]


def _plain_and_largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The galleries alone and, of each, its largest merged collection, which stands beside the paper's; the smaller ones are for the curve."""
    rows = _recalls(rows)
    merged = rows["collection"] != ""
    largest = rows[merged].groupby(["dataset", "direction"])["n_items"].transform("max")
    return rows[~merged | (rows["n_items"] == largest.reindex(rows.index)).fillna(False)]


def _printed_lambdas(rows: pd.DataFrame) -> pd.DataFrame:
    """The lambdas of the paper; the finer grid is for the curve."""
    rows = _recalls(rows)
    return rows[rows["lambda"].isna() | rows["lambda"].round(6).isin([0.1, 0.5, 0.9])]


def _table5() -> pd.DataFrame:
    """Table 5 below the same galleries alone, which the paper prints in Table 1."""
    merged, alone = paper_table(5), paper_table(1).drop(columns="group")
    return pd.concat([alone[alone["method"].isin(merged["method"])].assign(collection=""), merged], ignore_index=True)


def _training(row: Row) -> str:
    if row["method"].endswith("(In-Domain)"):
        return "In-domain"
    return "Zero-shot, CLIP's own pretraining" if row["method"] == "CLIP" else f"Zero-shot, trained on {row['training']}"


def _combination(row: Row) -> str:
    weight = number_of(row["lambda"])
    name = str(COMBINATION_NAMES.get(row["combination"], row["combination"]))
    return name if weight is None else f"{name}, λ = {weight:g}"


def _candidates(row: Row) -> str:
    k = number_of(row["k"])
    return "not reranked" if k is None else f"k = {k:g}"


def _printed(number: int) -> Callable[[], pd.DataFrame]:
    return lambda: paper_table(number)


def _group(row: Row) -> str:
    return row["group"]


def _method(row: Row) -> str:
    return row["method"]


MEAN_RECALL = "mR: the mean of R@1, R@5 and R@10 over both directions, in percent."
LAYOUTS = {
    1: Layout(_group, _method, _by_direction, _printed(1), _recalls),
    2: Layout(_group, _method, _by_language, _printed(2), _mean_recalls, about=MEAN_RECALL),
    5: Layout(lambda row: MERGED if row["collection"] else ALONE, _method, _by_direction, _table5, _plain_and_largest,
              about="R@M in percent. The paper's numbers of the data sets alone are those of its Table 1."),
    6: Layout(_training, _method, _by_direction, _printed(6), _recalls),
    7: Layout(lambda row: "", _method, _by_language, _printed(7), _mean_recalls, about=MEAN_RECALL),
    8: Layout(_method, _candidates, _by_direction, _printed(8), _recalls_and_latency, order=lambda row: number_of(row["k"]) or 0),
    9: Layout(_method, _combination, _by_direction, _printed(9), _printed_lambdas),
}  # fmt: skip
