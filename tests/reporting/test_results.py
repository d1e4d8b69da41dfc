"""Result rows: what is added is checked, what is written comes back."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.reporting.bootstrap import bootstrap_interval
from mmr_kit.reporting.measured import select
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.rows import COLUMNS, FORMULA, MEAN, headline, read_results
from mmr_kit.reporting.tables import Picture
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.ranking import Ranking

DESIGN = """table, profile, dataset, collection, trained_on, backbone, method, direction, language, k, combination, lambda, metric, value, ci_low, ci_high,
n_queries, n_items, seed, paper_value, erratum, run"""


@pytest.fixture
def results(gallery: Any, make_ranking: Any) -> Results:
    made = Results("table1", "smoke")
    for method, skill in (("CE", 2.0), ("BE", 1.0)):
        for direction in ("image_retrieval", "text_retrieval"):
            rankings = {seed: make_ranking(gallery, direction, skill, seed) for seed in (0, 1)}
            made.add_rankings(rankings, gallery, method=method, backbone="tiny", k=None if method == "CE" else 20)
    return made


def test_the_columns_are_stable(results: Results) -> None:
    assert tuple(name.strip() for name in DESIGN.split(",")) == COLUMNS
    assert tuple(results.frame.columns) == COLUMNS


def test_a_row_a_seed_and_their_mean(results: Results, gallery: Any, make_ranking: Any) -> None:
    rows = results.frame.query("method == 'BE' and direction == 'text_retrieval' and metric == 'R@5'").set_index("seed")
    assert list(rows.index) == ["0", "1", MEAN]
    for seed in (0, 1):
        assert rows.loc[str(seed), "value"] == recall(make_ranking(gallery, "text_retrieval", 1.0, seed), gallery)["R@5"]
    assert rows.loc[MEAN, "value"] == pytest.approx(rows["value"].iloc[:2].mean())
    assert rows.loc[MEAN, "run"] == ""
    assert rows.loc["1", "run"] == "runs/table1/pictograms_a.BE.text_retrieval.seed1.run.gz"
    assert (rows["ci_low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["ci_high"]).all()
    assert rows.loc["0", ["n_queries", "n_items", "k", "language", "backbone"]].tolist() == [24, 120, 20, "en", "tiny"]


def test_one_seed_has_no_mean(gallery: Any, make_ranking: Any) -> None:
    results = Results("table1")
    hits = results.add_rankings({3: make_ranking(gallery)}, gallery, method="BE")
    assert set(results.frame["seed"]) == {"3"}
    assert hits.shape == (1, 120, 3)
    assert headline(results.frame).equals(results.frame)


def test_the_papers_number_stands_beside(results: Results, gallery: Any, make_ranking: Any) -> None:
    rows = results.frame.query("method == 'CE' and direction == 'image_retrieval' and metric == 'R@1'")
    assert (rows["paper_value"] == 52.6).all()
    assert (rows["erratum"] == "").all()
    assert results.paper_datasets == {"pictograms_a": "MSCOCO 5k"}
    other = Results("table1")
    other.add_rankings({0: make_ranking(gallery)}, gallery, method="BE", paper_dataset="Flickr30k 1k")
    assert other.frame["paper_value"].tolist() == [72.0, 91.0, 94.7]
    alone = Results("table1")
    alone.add_rankings({0: make_ranking(gallery)}, gallery, method="BE", paper_dataset="")
    assert alone.frame["paper_value"].isna().all()
    assert alone.paper_datasets == {"pictograms_a": ""}
    alone.add_rankings({0: make_ranking(gallery)}, gallery, method="CE")
    alone.add_rankings({0: make_ranking(gallery)}, gallery, method="SEP+COOP", paper_dataset="")
    assert alone.paper_datasets == {"pictograms_a": "MSCOCO 5k"}, "where any of its rows stands beside one"
    unprinted = Results("a_table_of_my_own")
    unprinted.add_rankings({0: make_ranking(gallery)}, gallery, method="BE")
    assert unprinted.frame["paper_value"].isna().all()


def test_a_cell_of_another_table(gallery: Any, make_ranking: Any) -> None:
    results = Results("table8")
    for k in (10, 20):
        results.add_rankings({0: make_ranking(gallery)}, gallery, method="SEP+COOP", k=k, paper_cell={"k": k}, variant=f"k{k}")
    assert results.frame.query("metric == 'R@1'")["paper_value"].tolist() == [53.2, 52.8]
    assert results.frame["run"].iloc[0] == "runs/table8/pictograms_a.SEP+COOP-k10.image_retrieval.seed0.run.gz"


def test_what_was_measured_is_kept_for_the_claims(results: Results) -> None:
    (cell,) = select(results.measured, method="BE", direction="image_retrieval")
    assert len(results.measured) == 4
    assert (cell.hits.shape, cell.hits.dtype, cell.seeds) == ((2, 120, 3), np.dtype(bool), ("0", "1"))
    assert [cell[name] for name in ("dataset", "k", "language", "n_queries", "n_items", "lambda")] == ["pictograms_a", 20, "en", 120, 24, ""]
    assert select(results.measured, method="CE", k=None) == [cell for cell in results.measured if cell["method"] == "CE"]


LANGUAGES = ("en", "de", "fr", "cs")
BOTH = ("image_retrieval", "text_retrieval")


def multilingual(table: str, make_gallery: Any, make_ranking: Any, seeds: int = 1) -> Results:
    """BE in four languages, each with queries and a skill of its own."""
    results = Results(table)
    for skill, language in enumerate(LANGUAGES):
        gallery = make_gallery(f"m-{language}", 6 + skill)
        for direction in BOTH:
            rankings = {seed: make_ranking(gallery, direction, skill / 2, seed) for seed in range(seeds)}
            results.add_rankings(rankings, gallery, method="BE", dataset="m", language=language, paper_dataset="Multi30k 1k")
    assert results.paper_datasets == {"m": "Multi30k 1k"}
    return results


def test_mean_recall_over_directions_and_languages(make_gallery: Any, make_ranking: Any) -> None:
    results = multilingual("table2", make_gallery, make_ranking)
    single = {language: results.frame.query(f"language == '{language}'")["value"].mean() for language in LANGUAGES}  # 2 directions x 3 metrics
    results.add_mean_recall()
    rows = results.frame.query("metric == 'mR'").set_index("language")
    assert list(rows.index) == [*LANGUAGES, "mean"]
    for language in LANGUAGES:
        assert rows.loc[language, "value"] == pytest.approx(single[language])
    assert rows.loc["mean", "value"] == pytest.approx(sum(single.values()) / 4), "each language weighs the same, whatever its queries"
    assert rows["paper_value"].tolist() == [82.8, 78.0, 75.1, 73.6, 77.4]
    assert set(rows["direction"]) == {""}
    assert rows.loc["en", "n_queries"] == 30 + 6
    assert (rows["ci_low"] < rows["value"]).all()
    assert (rows["value"] < rows["ci_high"]).all()
    assert np.ptp(rows.loc["mean", ["ci_low", "ci_high"]]) < np.ptp(rows.loc["en", ["ci_low", "ci_high"]]), "more queries, more certainty"


def test_mean_recall_without_a_language(make_gallery: Any, make_ranking: Any) -> None:
    results = multilingual("table7", make_gallery, make_ranking, seeds=2)
    results.add_mean_recall("avg_non_english", without=["en"])
    rows = headline(results.frame.query("metric == 'mR'")).set_index("language")
    assert rows.loc["avg_non_english", "value"] == pytest.approx(rows.loc[["de", "fr", "cs"], "value"].mean())
    assert rows["paper_value"].tolist() == [81.3, 52.4, 49.7, 39.6, 47.2], "this paper's BE, not the literature's"
    by_seed = results.frame.query("metric == 'mR' and language == 'fr'").set_index("seed")["value"]
    assert list(by_seed.index) == ["0", "1", MEAN]
    assert by_seed[MEAN] == pytest.approx(by_seed.iloc[:2].mean())


def test_mean_recall_needs_both_directions_and_the_same_seeds(gallery: Any, make_ranking: Any) -> None:
    results = Results("table2")
    results.add_rankings({0: make_ranking(gallery)}, gallery, method="BE")
    with pytest.raises(InputError, match="mR needs each direction once"):
        results.add_mean_recall()
    results.add_rankings({1: make_ranking(gallery, "text_retrieval")}, gallery, method="BE")
    with pytest.raises(InputError, match="mR needs the same seeds"):
        results.add_mean_recall()


def test_headline_takes_the_mean(results: Results) -> None:
    rows = headline(results.frame)
    assert set(rows["seed"]) == {MEAN}
    assert len(rows) == 2 * 2 * 3
    with pytest.raises(InputError, match="without a row of seed 'mean'"):
        headline(results.frame.query("seed != 'mean'"))
    assert headline(results.frame.iloc[:0]).empty


def test_refusals(results: Results, gallery: Any, make_ranking: Any) -> None:
    rankings = {0: make_ranking(gallery), 1: make_ranking(gallery)}
    with pytest.raises(InputError, match=r"two runs of table1 would be written to pictograms_a\.CE"):
        results.add_rankings(rankings, gallery, method="CE")
    with pytest.raises(InputError, match=r"already there: .*'metric': 'R@1'"):
        results.add_rankings(rankings, gallery, method="CE", variant="again", backbone="tiny")
    with pytest.raises(InputError, match="at least one seed"):
        results.add_rankings({}, gallery, method="CE")
    fewer = Ranking("image_retrieval", rankings[0].query_ids[:-1], rankings[0].candidate_ids[:-1], rankings[0].scores[:-1])
    with pytest.raises(InputError, match="same queries"):
        results.add_rankings({0: rankings[0], 1: fewer}, gallery, method="JOINT+CE")
    with pytest.raises(InputError, match="do not answer the same queries"):
        results.add_rankings({0: fewer}, gallery, method="JOINT+BE")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"metric": "R@1", "value": 1, "methd": "CE"}, "unknown column 'methd'"),
        ({"metric": "R@1"}, "value is missing"),
        ({"value": 1.0}, "metric is missing"),
        ({"metric": "R@1", "value": "high"}, "value is 'high', not a number"),
        ({"metric": "R@1", "value": math.nan}, "value is not finite"),
        ({"metric": "R@1", "value": 1, "k": 2.5}, "k is 2.5, not a whole number"),
        ({"metric": "R@1", "value": 1, "ci_low": 2, "ci_high": 1}, "are not an interval"),
        ({"metric": "R@1", "value": 1, "erratum": "two\nlines"}, "erratum has a line break"),
        ({"metric": "R@1", "value": 1, "ci_low": 0.5}, "are not an interval"),
        ({"metric": "R@1", "value": 1, "n_items": 10**20}, "n_items is 100000000000000000000, not a whole number"),
        ({"metric": "R@1", "value": 1, "k": math.inf}, "k is inf, not a whole number"),
        *(({"metric": "R@1", "value": 1, "dataset": text}, "which a spreadsheet takes for a formula")
          for text in ("=cmd|' /C calc'!A1", "+1+1", "-1+1", "@SUM(1)", "\t=1+1")),
    ],
)
def test_a_row_is_checked(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Results("table3").add(**row)


def test_any_number_can_be_added() -> None:
    results = Results("table3", "demo")
    results.add(metric="latency", value=0.037, method="BE", collection="1000000", paper_value=0.037, **{"lambda": 0.1})
    with pytest.raises(InputError, match="already there"):
        results.add(metric="latency", value=0.04, method="BE", collection="1000000", **{"lambda": 0.1})
    assert results.frame[["table", "profile", "value", "lambda"]].iloc[0].tolist() == ["table3", "demo", 0.037, 0.1]
    assert pd.isna(results.frame["k"].iloc[0])


def test_what_is_written_comes_back(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path, "table1_main_results", {"parameters": {"seeds": 2}}, title="Table 1")
    back = read_results(tmp_path / "table1_main_results.csv")
    pd.testing.assert_frame_equal(back, results.frame, check_exact=True)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12).filter(lambda text: text[:1] not in FORMULA)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, FINITE, st.none() | FINITE, st.none() | st.integers(0, 10**12)), min_size=1, max_size=5))
def test_any_rows_come_back(tmp_path: Path, values: list[tuple[str, float, float | None, int | None]]) -> None:
    results = Results("table9")
    for i, (text, value, paper, queries) in enumerate(values):
        results.add(metric=f"m{i}", value=value, paper_value=paper, n_queries=queries, erratum=text, method=text)
    results.write(tmp_path, "any", {})
    pd.testing.assert_frame_equal(read_results(tmp_path / "any.csv"), results.frame, check_exact=True)


def test_the_files_of_a_table(results: Results, tmp_path: Path) -> None:
    (tmp_path / "runs" / "table1").mkdir(parents=True)
    (tmp_path / "runs" / "table1" / "pictograms_a.CE.image_retrieval.seed7.run.gz").write_bytes(b"of an earlier call with more seeds")
    written = results.write(tmp_path, "t1", {"parameters": {"seeds": 2}}, pictures=[Picture("t1.png", "the recalls")])
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    runs = {f"runs/table1/pictograms_a.{m}.{d}_retrieval.seed{s}.run.gz" for m in ("CE", "BE") for d in ("image", "text") for s in (0, 1)}
    qrels = {f"runs/table1/pictograms_a.{d}_retrieval.qrels.gz" for d in ("image", "text")}
    assert files == {"t1.csv", "t1.html", "t1.md", "t1.tex", "t1.provenance.json"} | runs | qrels
    assert {str(path.relative_to(tmp_path)) for path in written} == files
    assert set(results.frame["run"]) - {""} == runs
    assert json.loads((tmp_path / "t1.provenance.json").read_text()) == {"parameters": {"seeds": 2}}
    assert '<img src="t1.png" alt="the recalls">' in (tmp_path / "t1.html").read_text()


def test_equal_results_are_equal_bytes(results: Results, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        results.write(tmp_path / folder, "t1", {})
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "one")).read_bytes()


def test_an_unfinished_set_has_no_provenance(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results.write(tmp_path, "t1", {})

    def full(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("mmr_kit.reporting.results.write_run", full)
    with pytest.raises(OSError, match="no space"):
        results.write(tmp_path, "t1", {})
    assert not (tmp_path / "t1.provenance.json").exists()
    with pytest.raises(InputError, match="no result to write"):
        Results("table1").write(tmp_path, "t2", {})


def test_ids_of_a_merged_collection(make_gallery: Any, make_ranking: Any) -> None:
    merged = make_gallery("a + b", 6)
    results = Results("table5")
    results.add_rankings({0: make_ranking(merged)}, merged, method="BE", dataset="a", collection="a + b")
    assert results.frame["run"].iloc[0] == "runs/table5/a+b.BE.image_retrieval.seed0.run.gz"
    assert results.frame[["dataset", "collection"]].iloc[0].tolist() == ["a", "a + b"]


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda text: text.replace("ci_low", "low", 1), "line 1: not a result csv"),
        (lambda text: "", "line 1: not a result csv"),
        (lambda text: text + "table1,smoke\n", r"line 38: 22 columns expected, 2 found"),
        (lambda text: text[:-30], r"line 37: 22 columns expected"),
        (lambda text: text.replace("R@1,", "R@1,x", 1), r"line 2: value is 'x.*', not a number"),
        (lambda text: text.replace(",R@5,", ",,", 1), r"line 5: metric is missing"),
        (lambda text: text.replace("table1", '"table1', 1), "not a readable csv|columns expected"),
        (lambda text: text.replace("table1", "t\udcffble1", 1), "not a readable csv"),
    ],
)
def test_a_corrupt_csv_names_its_line(results: Results, tmp_path: Path, alter: Any, message: str) -> None:
    results.write(tmp_path, "t1", {})
    path = tmp_path / "t1.csv"
    path.write_bytes(alter(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=rf"t1\.csv.*({message})"):
        read_results(path)


def test_a_missing_csv(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv: not a readable csv"):
        read_results(tmp_path / "absent.csv")


def test_the_interval_is_over_images_and_seeds(results: Results) -> None:
    (cell,) = select(results.measured, method="BE", direction="image_retrieval")
    row = headline(results.frame).query("method == 'BE' and direction == 'image_retrieval' and metric == 'R@1'").iloc[0]
    np.testing.assert_allclose(row[["value", "ci_low", "ci_high"]].astype(float), 100 * np.array(bootstrap_interval(cell.by_image(cell.hits[:, :, 0]))))
    assert sorted(set(cell.images)) == sorted(cell.images)[:: len(cell.images) // len(set(cell.images))]


def test_numbers_below_zero_stay_numbers(tmp_path: Path) -> None:
    results = Results("table9")
    results.add(metric="difference", value=-1.5, ci_low=-2.0, ci_high=-1.0, **{"lambda": -0.5})
    results.write(tmp_path, "any", {})
    assert read_results(tmp_path / "any.csv")[["value", "ci_low", "ci_high", "lambda"]].iloc[0].tolist() == [-1.5, -2.0, -1.0, -0.5]


def test_a_csv_with_a_formula_is_refused(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path, "table1", {})
    text = (tmp_path / "table1.csv").read_text()
    (tmp_path / "table1.csv").write_text(text.replace("pictograms_a", '"=HYPERLINK(""http://x"")"', 1))
    with pytest.raises(InputError, match=r"table1\.csv, line 2: dataset is .*formula"):
        read_results(tmp_path / "table1.csv")


def test_runs_stay_in_their_folder(make_gallery: Any, make_ranking: Any, tmp_path: Path) -> None:
    gallery = make_gallery("x", 6)
    gallery.name = "../../x/"
    results = Results("table9")
    results.add_rankings({0: make_ranking(gallery)}, gallery, method="../CE", variant="/etc", language="../../de")
    written = results.write(tmp_path / "a" / "b", "any", {})
    assert all(path.resolve().is_relative_to(tmp_path / "a" / "b") for path in written)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
