"""Checks of numbers in notebooks: they raise outside a tolerance and print a fixed text inside it, so that a regression fails and float drift does not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mmr_kit.reporting.trec import read_qrels, read_run


class CheckFailed(AssertionError):
    """A number is not what it must be; the message says which, by how much, and what was allowed."""


def check(name: str, value: float, expected: float, tolerance: float) -> None:
    """Raise CheckFailed unless |value - expected| <= tolerance; else print "<name>: ok"."""
    if not abs(value - expected) <= tolerance:  # also catches NaN
        raise CheckFailed(f"{name}: {value:g} is not within {tolerance:g} of {expected:g}")
    print(f"{name}: ok")


def check_runs(rows: pd.DataFrame, folder: Path) -> None:
    """Recompute R@M of every row that names a run from the written TREC files, and compare; raises CheckFailed.

    It counts for itself instead of asking `retrieval.metrics`, so that a fault there cannot hide.
    """
    for (run, direction), group in rows[rows["run"] != ""].groupby(["run", "direction"]):
        path = folder / str(run)
        ranking = read_run(path, str(direction))
        relevance = read_qrels(path.parent / f"{path.name.split('.')[0]}.{direction}.qrels.gz")
        for row in group.to_dict("records"):
            if len(ranking.query_ids) != row["n_queries"]:
                raise CheckFailed(f"{run}: answers {len(ranking.query_ids)} queries, the table says {row['n_queries']}")
            first = int(row["metric"].removeprefix("R@"))
            answers = zip(ranking.query_ids, ranking.candidate_ids, strict=True)
            recomputed = 100 * sum(bool(relevance[query].intersection(items[:first])) for query, items in answers) / len(ranking.query_ids)
            if abs(recomputed - row["value"]) > 1e-9:
                raise CheckFailed(f"{run}: {row['metric']} recomputed from the run is {recomputed}, the table says {row['value']}")
    print("every number recomputed from its run file: ok")
