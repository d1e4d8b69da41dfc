"""Checks in notebooks: silent floats, loud regressions."""

import gzip
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mmr_kit.reporting.checks import CheckFailed, check, check_runs
from mmr_kit.reporting.results import Results
from tests.references import check_reference


def test_check_prints_fixed_text_within_the_tolerance(capsys: pytest.CaptureFixture[str]) -> None:
    for value in (45.0, 45.5, 44.5):
        check("R@1 of BE", value, 45.0, 0.5)
    assert capsys.readouterr().out == "R@1 of BE: ok\n" * 3


@pytest.mark.parametrize("value", [45.51, 44.49, math.nan, math.inf, -math.inf])
def test_check_raises_outside_and_says_by_how_much(capsys: pytest.CaptureFixture[str], value: float) -> None:
    with pytest.raises(CheckFailed, match=r"R@1 of BE: .* is not within 0\.5 of 45"):
        check("R@1 of BE", value, 45.0, 0.5)
    assert capsys.readouterr().out == ""


@pytest.fixture
def written(gallery: object, make_ranking: Callable, tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    """Rows of two seeds and both directions, and the folder of their runs."""
    results = Results("table1")
    for direction in ("image_retrieval", "text_retrieval"):
        results.add_rankings({seed: make_ranking(gallery, direction, seed=seed) for seed in (0, 1)}, gallery, method="BE")
    results.write(tmp_path, "table1", {})
    return results.frame, tmp_path


def test_runs_give_the_numbers_of_the_table(written: tuple[pd.DataFrame, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows, folder = written
    assert (rows["run"] != "").sum() == 12
    check_runs(rows, folder)
    assert capsys.readouterr().out == "every number recomputed from its run file: ok\n"


def test_an_altered_run_is_found(written: tuple[pd.DataFrame, Path]) -> None:
    rows, folder = written
    path = folder / "runs" / "table1" / "pictograms_a.BE.image_retrieval.seed1.run.gz"
    whole = path.read_bytes()
    lines = [line.split() for line in gzip.decompress(whole).decode().splitlines()]
    hit = next(number for number, (query, _, item, rank, *_) in enumerate(lines) if int(rank) <= 10 and item[-3:] == query.split("-")[1])
    query = lines[hit][0]
    others = [["elsewhere" if number == hit and place == 2 else field for place, field in enumerate(line)] for number, line in enumerate(lines)]
    for altered in (others, [line for line in lines if line[0] != query]):  # its right image is another; the whole query is gone
        path.write_bytes(gzip.compress("\n".join(map(" ".join, altered)).encode()))
        with pytest.raises(CheckFailed, match=r"seed1\.run\.gz: "):
            check_runs(rows, folder)
    path.write_bytes(whole)
    check_runs(rows, folder)


def test_a_run_without_some_queries_is_found_even_where_the_mean_stays(written: tuple[pd.DataFrame, Path]) -> None:
    rows, folder = written
    with pytest.raises(CheckFailed, match=r"answers 120 queries, the table says 121"):
        check_runs(rows.assign(n_queries=rows["n_queries"].replace(120, 121)), folder)


def test_an_altered_number_is_found(written: tuple[pd.DataFrame, Path]) -> None:
    rows, folder = written
    for row in rows.index[rows["run"] != ""]:
        altered = rows.copy()
        altered.loc[row, "value"] += 1e-6
        with pytest.raises(CheckFailed, match="the table says"):
            check_runs(altered, folder)


def reference(rows: pd.DataFrame, folder: Path) -> Path:
    rows.to_csv(folder / "reference.csv", index=False)
    return folder / "reference.csv"


def test_reference_within_the_tolerance(written: tuple[pd.DataFrame, Path]) -> None:
    rows, folder = written
    check_reference(rows, folder / "table1.csv", 0.0)
    drifted = rows.assign(value=rows["value"] + 0.4, profile="demo", n_queries=7, run="").sample(frac=1, random_state=0)
    check_reference(rows, reference(drifted, folder), 0.5)


def test_reference_outside_the_tolerance_names_the_worst(written: tuple[pd.DataFrame, Path]) -> None:
    rows, folder = written
    other = rows.copy()
    other.loc[3, "value"] += 0.6
    other.loc[5, "value"] -= 0.7
    worst = rows.loc[5]
    with pytest.raises(CheckFailed) as error:
        check_reference(rows, reference(other, folder), 0.5)
    message = str(error.value)
    assert message.startswith(f"BE pictograms_a image_retrieval {worst['metric']}: {worst['value']:.2f}, the reference run has {worst['value'] - 0.7:.2f}")
    assert "(2 numbers differ by more)" in message


@pytest.mark.parametrize("change", [lambda rows: rows.drop(index=4), lambda rows: rows.assign(seed=rows["seed"].replace("1", "7")),
                                    lambda rows: rows.assign(k=20)])  # fmt: skip
def test_reference_of_other_numbers(written: tuple[pd.DataFrame, Path], change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    rows, folder = written
    with pytest.raises(CheckFailed, match=r"are in this run or in .*only, the first: .*'metric': 'R@"):
        check_reference(rows, reference(change(rows), folder), 50.0)
