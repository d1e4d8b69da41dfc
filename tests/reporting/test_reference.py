"""The comparison with a reference run: what is the same, what is noise, what differs."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmr_kit.errors import InputError
from mmr_kit.reporting import Results
from mmr_kit.reporting.reference import Outcome, committed, compare, compare_folders, summary
from mmr_kit.reporting.student import t_quantile

METHODS = ("CE", "BE", "SEP+COOP", "JOINT+COOP")


def frame(values: dict[str, dict[str, float]], metric: str = "R@1", queries: int = 1000) -> pd.DataFrame:
    """Result rows from {method: {seed: value}}, with means over several seeds."""
    results = Results("table1", "demo")
    for method, seeds in values.items():
        means = {"mean": float(np.mean(list(seeds.values())))} if len(seeds) > 1 else {}
        for seed, value in (seeds | means).items():
            results.add(dataset="a", method=method, direction="image_retrieval", metric=metric, value=value, seed=seed, n_queries=queries)
    return results.frame


REFERENCE = frame({method: {"0": 49.0, "1": 50.0, "2": 51.0} for method in METHODS})  # a spread of 1 with 8 degrees of freedom


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 24, 121])
@pytest.mark.parametrize("outside", [0.5, 0.05, 0.01 / 72, 1e-6])
def test_t_agrees_with_scipy(df: int, outside: float) -> None:
    quantile = stats.t.ppf(1 - outside / 2, df)
    assert t_quantile(outside, df) == pytest.approx(quantile, rel=1e-6)


def test_the_same_numbers_are_ok() -> None:
    found = compare("table1", REFERENCE, REFERENCE)
    assert found.outcome == Outcome.OK
    assert found.lines() == ["[OK] table1: 4 the same, 0 within noise, 0 differ"]
    rounded = REFERENCE.assign(value=REFERENCE["value"] + 0.05)
    assert compare("table1", rounded, REFERENCE).outcome == Outcome.OK


def test_one_seed_is_compared_with_the_same_seed() -> None:
    found = compare("table1", frame({method: {"0": 49.0} for method in METHODS}), REFERENCE)
    assert found.outcome == Outcome.OK


def test_noise_is_what_the_seeds_of_the_reference_allow() -> None:
    allowed = stats.t.ppf(1 - 0.01 / 4 / 2, 8) * 1.0 * np.sqrt(1 / 2 + 1 / 3)  # two seeds here, three there, four numbers
    for factor, outcome in ((0.99, Outcome.WITHIN_NOISE), (1.01, Outcome.DIFFERS)):
        fresh = frame({method: {"7": 50 + factor * allowed - 0.3, "8": 50 + factor * allowed + 0.3} for method in METHODS})
        found = compare("table1", fresh, REFERENCE)
        assert {number.outcome for number in found.numbers} == {outcome}
    assert found.lines()[1].startswith("[DIFFERS] table1: a CE image_retrieval R@1: ")
    assert "(2 against 3 seeds, spread 1)" in found.lines()[1]


def test_false_alarms_are_as_rare_as_said() -> None:
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(150):
        fresh, earlier = (frame({str(m): {str(s): value for s, value in enumerate(generator.normal(50, 2, 3), first)} for m in range(10)}) for first in (0, 3))
        alarms += compare("table1", fresh, earlier).outcome == Outcome.DIFFERS
    assert alarms <= 6  # 1.5 expected; more than 6 has a chance of 1 in 1,000


def test_one_query_more_is_noise_where_all_seeds_are_at_the_ceiling() -> None:
    full = frame({method: {"0": 100.0, "1": 100.0, "2": 100.0} for method in METHODS}, queries=200)
    nearly = frame({method: {"3": 99.5} for method in METHODS}, queries=200)
    far = frame({method: {"3": 97.0} for method in METHODS}, queries=200)
    assert compare("table1", nearly, full).outcome == Outcome.WITHIN_NOISE
    assert compare("table1", far, full).outcome == Outcome.DIFFERS


def test_without_a_spread_a_number_is_the_same_or_differs() -> None:
    single = frame({"BE": {"0": 50.0}})
    assert compare("table1", frame({"BE": {"1": 50.0}}), single).outcome == Outcome.OK
    found = compare("table1", frame({"BE": {"1": 50.2}}), single)
    assert found.outcome == Outcome.DIFFERS
    assert found.numbers[0].text == "50.2, reference 50 [no spread over seeds in the reference]"
    counts = frame({"BE": {"": 825_796.0}}, metric="parameters")
    assert compare("table1", counts, counts).outcome == Outcome.OK
    assert compare("table1", frame({"BE": {"": 825_900.0}}, metric="parameters"), counts).outcome == Outcome.DIFFERS


def test_a_number_without_seeds_is_not_excused_by_those_of_others() -> None:
    reference = frame({"BE": {"0": 50.0, "1": 60.0}, "CLIP": {"": 50.0}})
    found = compare("table1", frame({"BE": {"0": 50.0, "1": 60.0}, "CLIP": {"": 51.0}}), reference)
    assert [number.outcome for number in found.numbers] == [Outcome.OK, Outcome.DIFFERS]


def test_numbers_of_one_side_only_differ() -> None:
    found = compare("table1", frame({"BE": {"0": 1.0}, "new": {"0": 2.0}}), frame({"BE": {"0": 1.0}, "old": {"0": 3.0}}))
    assert sorted(number.text for number in found.numbers if number.outcome == Outcome.DIFFERS) == [
        "missing: only in the reference (3)", "new: not in the reference (2)"]  # fmt: skip


def test_times_are_not_compared() -> None:
    for metric in ("latency_ms", "evaluation_s"):
        found = compare("table3", frame({"BE": {"": 1.0}}, metric), frame({"BE": {"": 9.0}}, metric))
        assert found.lines() == ["[OK] table3: 0 the same, 0 within noise, 0 differ; 1 times not compared"]


def write(folder: Path, name: str, value: float) -> Path:
    results = Results("table1", "demo")
    results.add(dataset="a", method="BE", metric="R@1", value=value)
    results.write(folder, name, {})
    return folder


def test_folders_are_compared_table_by_table(tmp_path: Path) -> None:
    fresh, reference = write(tmp_path / "fresh", "table1_main", 50.0), write(tmp_path / "reference", "table1_main", 50.0)
    (fresh / "table1_main.claims.csv").write_text("not a result table\n")
    assert [table.outcome for table in compare_folders(fresh, reference)] == [Outcome.OK]
    write(fresh, "table2_new", 50.0)
    write(reference, "table3_old", 50.0)
    found = compare_folders(fresh, reference)
    assert [(table.name, table.numbers[0].text.split(":")[0]) for table in found[1:]] == [("table2_new", "new"), ("table3_old", "missing")]
    assert summary(found).startswith("1 [OK], 0 [within noise], 2 [DIFFERS].")


def test_bad_folders_and_tables_are_named(tmp_path: Path) -> None:
    fresh = write(tmp_path / "fresh", "table1_main", 50.0)
    with pytest.raises(InputError, match="none: no result tables"):
        compare_folders(fresh, tmp_path / "none")
    (fresh / "table1_main.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"table1_main\.csv, line 1"):
        compare_folders(fresh, fresh)


def test_the_reference_is_the_committed_version(tmp_path: Path) -> None:
    folder = write(tmp_path / "results" / "demo", "table1_main", 50.0)

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", *arguments], check=True, capture_output=True)

    git("init")
    with pytest.raises(InputError, match="no committed results to compare with; name a folder: --reference FOLDER"), committed("demo", tmp_path):
        pass
    git("add", ".")
    git("commit", "-m", "reference run")
    write(folder, "table1_main", 60.0)
    with committed("demo", tmp_path) as reference:
        assert [path.name for path in reference.iterdir()] == ["table1_main.csv"]
        text = compare_folders(folder, reference)[0].numbers[0].text
    assert text.startswith("60, reference 50")
    assert not reference.exists()
    with pytest.raises(InputError, match="no committed results"), committed("smoke", tmp_path):
        pass
