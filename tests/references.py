"""What the notebooks of profile smoke gave in an earlier run, on processors of one kind."""

from pathlib import Path

import pandas as pd

from mmr_kit.reporting.checks import CheckFailed
from mmr_kit.reporting.rows import COLUMNS, FINDINGS, OF_MACHINE, read_results


def check_reference(rows: pd.DataFrame, reference: Path, tolerance: float) -> None:
    """Compare with the csv of an earlier run, number by number, in points; raises CheckFailed.

    Times and whatever else measures the machine (OF_MACHINE) are left out.
    """
    rows = rows[~rows["metric"].str.endswith(OF_MACHINE)]
    keys = [name for name in COLUMNS if name not in FINDINGS and name != "profile"]
    earlier = read_results(reference)
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
