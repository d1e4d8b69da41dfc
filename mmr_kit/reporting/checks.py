"""Checks of numbers in notebooks: they raise outside a tolerance and print a fixed text inside it, so that a regression fails and float drift does not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mmr_kit.reporting.rows import COLUMNS, FINDINGS, OF_MACHINE, read_results
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


def check_reference(rows: pd.DataFrame, reference: str, tolerance: float) -> None:
    """Compare with the csv of an earlier run, number by number, in points; raises CheckFailed. Without a reference there is nothing to compare.

    Times and whatever else measures the machine (OF_MACHINE) are left out.
    """
    if reference:
        rows = rows[~rows["metric"].str.endswith(OF_MACHINE)]
        keys = [name for name in COLUMNS if name not in FINDINGS and name != "profile"]
        earlier = read_results(Path(reference))
        both = rows.merge(earlier[~earlier["metric"].str.endswith(OF_MACHINE)], on=keys, how="outer", suffixes=("", "_reference"), indicator=True)
        lonely = both[both["_merge"] != "both"]
        if len(lonely):
            raise CheckFailed(f"{len(lonely)} numbers are in this run or in {reference} only, the first: {lonely.iloc[0][keys].to_dict()}")
        apart = (both["value"] - both["value_reference"]).abs().to_numpy()
        if not (apart <= tolerance).all():
            worst = both.iloc[int(apart.argmax())]
            raise CheckFailed(
                f"{worst['method']} {worst['dataset']} {worst['direction']} {worst['metric']}: {worst['value']:.2f}, the reference run has "
                f"{worst['value_reference']:.2f}; {tolerance:g} points are allowed ({(apart > tolerance).sum()} numbers differ by more)"
            )
    print("the reference run, where one was given: ok")
