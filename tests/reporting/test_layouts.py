"""The layouts of the paper's tables: our numbers and the paper's meet in the right cells."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting.cells import Cell
from mmr_kit.reporting.layouts import LAYOUTS
from mmr_kit.reporting.paper import paper_table
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.rows import headline
from mmr_kit.reporting.tables import pivot_table, side_by_side, training_images

IMAGE, TEXT = "image retrieval", "text retrieval"


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    results = Results("table1")
    for row in rows:
        interval = {"ci_low": row["value"] - 1, "ci_high": row["value"] + 1}
        results.add(**{"dataset": "b", "direction": "image_retrieval", "metric": "R@1", "seed": 0} | interval | row)
    return headline(results.frame)


def numbers(cell: Cell) -> tuple[float | None, float | None]:
    return cell.ours, cell.paper


@pytest.mark.parametrize("number", LAYOUTS)
def test_every_number_of_the_paper_has_a_cell(number: int) -> None:
    printed = paper_table(number)
    names = {name.lower().split()[0]: name for name in dict.fromkeys(printed["dataset"])}
    row = {"method": "another", "value": 1.0, "k": 7, "language": "en"}
    rows = frame(*({**row, "dataset": name, "metric": "mR" if number in (2, 7) else "R@1"} for name in names))
    table = side_by_side(number, rows, names)
    cells = table.frame.to_numpy().ravel()
    wanted = printed[printed["dataset"].isin(list(names.values()))]["value"].to_list()
    shown = [cell.paper for cell in cells if cell.paper is not None]
    if number == 5:
        shown = [cell.paper for cell in table.frame.loc["The merged collection"].to_numpy().ravel() if cell.paper is not None]
    assert sorted(shown) == sorted(wanted)
    assert sum(cell.ours is not None for cell in cells) == len(names)
    assert table.to_html().count("<i>") == sum(cell.paper is not None for cell in cells)


def test_table2_has_a_column_a_language() -> None:
    rows = frame(*({"direction": "", "metric": "mR", "method": method, "language": language, "value": value}
                   for method, value in (("SEP+COOP", 90), ("CE", 91)) for language in ("en", "mean")),
                 {"method": "CE", "value": 12, "language": "en"})  # fmt: skip
    table = side_by_side(2, rows, {"b": "Multi30k 1k"})
    assert list(table.frame.columns.get_level_values(2)) == ["en", "de", "fr", "cs", "mean"]
    assert numbers(table.frame.loc[("G3. BE", "SEP+COOP"), ("b (paper: Multi30k 1k)", "mR", "mean")]) == (90, 79.6)
    assert numbers(table.frame.loc[("G2. CE", "CE"), ("b (paper: Multi30k 1k)", "mR", "en")]) == (91, 83.7), "the paper's own CE, R@1 is not mR"
    assert {"MULE (literature)", "CE M3P (Ni et al., 2021)"} < {name for _, name in table.frame.index}
    assert "mean of R@1, R@5 and R@10 over both directions" in table.caption
    assert "Rows with a citation are quoted" in table.caption


def test_table7_names_its_mean() -> None:
    rows = frame({"direction": "", "metric": "mR", "method": "BE", "language": "avg_non_english", "value": 40})
    table = side_by_side(7, rows, {"b": "Multi30k 1k"})
    assert numbers(table.frame.loc[("", "BE"), ("b (paper: Multi30k 1k)", "mR", "mean without en")]) == (40, 47.2)


def test_table5_shows_the_largest_collection_beside_the_papers() -> None:
    sizes = (("", 200, 80), ("b + 1", 400, 70), ("b + a + c", 900, 60))
    rows = frame(*({"method": "BE", "collection": name, "n_items": size, "value": value} for name, size, value in sizes))
    frame5 = side_by_side(5, rows, {"b": "Flickr30k 1k"}).frame
    column = ("b (paper: Flickr30k 1k)", IMAGE, "R@1")
    assert numbers(frame5.loc[("The data set alone", "BE"), column]) == (80, 72.0)
    assert numbers(frame5.loc[("The merged collection", "BE"), column]) == (60, 45.8)
    assert {name for _, name in frame5.index} == {"BE", "SEP+COOP", "JOINT+COOP"}


def test_table6_groups_by_training() -> None:
    rows = frame({"dataset": "a_200", "trained_on": "b", "method": "CE", "value": 50},
                 {"trained_on": "b", "method": "JOINT+COOP (In-Domain)", "value": 90},
                 *({"dataset": "c", "trained_on": name, "method": "BE", "value": value} for name, value in (("a", 30), ("b", 20))))  # fmt: skip
    table = side_by_side(6, rows, {"a_200": "MSCOCO 5k", "b": "Flickr30k 1k", "c": "CC 14k"})
    from_a, from_b = (f"Zero-shot, trained on {name}" for name in ("a (paper: MSCOCO)", "b (paper: Flickr30k)"))
    a, b, c = ((f"{ours} (paper: {paper})", IMAGE, "R@1") for ours, paper in (("a_200", "MSCOCO 5k"), ("b", "Flickr30k 1k"), ("c", "CC 14k")))
    assert numbers(table.frame.loc[(from_b, "CE"), a]) == (50, 47.8)
    assert numbers(table.frame.loc[("In-domain", "JOINT+COOP (In-Domain)"), b]) == (90, 76.4)
    assert numbers(table.frame.loc[(from_a, "BE"), c]) == (30, None), "the paper's BE on CC was trained on Flickr30k"
    assert numbers(table.frame.loc[(from_b, "BE"), c]) == (20, 13.8)
    assert numbers(table.frame.loc[(from_a, "CE UNITER (Chen et al., 2020)"), b]) == (None, 66.2)
    assert numbers(table.frame.loc[("Zero-shot, CLIP's own pretraining", "CLIP"), c]) == (None, 30.8)
    assert from_a not in table.to_markdown().split("**b ")[0], "no group without a number"


def test_table8_orders_k_and_has_latencies_beside_their_direction() -> None:
    rows = frame(*({"method": "SEP+COOP", "k": k, "value": 90 + k / 10, "direction": direction}
                   for k in (100, 20, 5) for direction in ("image_retrieval", "text_retrieval")),
                 {"method": "SEP+COOP", "k": 20, "metric": "latency_ms", "value": 12.34})  # fmt: skip
    table = side_by_side(8, rows, {"b": "Flickr30k 1k"})
    assert [name for _, name in table.frame.index][:5] == [f"k = {k}" for k in (5, 10, 20, 50, 100)]
    assert [column[1:] for column in table.frame.columns][:5] == [(IMAGE, "R@1"), (IMAGE, "R@5"), (IMAGE, "R@10"), (IMAGE, "ms a query"), (TEXT, "R@1")]
    cells = table.frame.loc[("SEP+COOP", "k = 20"), ("b (paper: Flickr30k 1k)", IMAGE)]
    assert numbers(cells["R@1"]) == (92, 76.0)
    assert str(cells["ms a query"]) == "12.3 ±1.0"
    assert not cells["ms a query"].best


def test_table9_has_the_papers_lambdas_its_doubts_and_ours_beyond_it() -> None:
    weights = (("none", None), ("ADD", 0.1), ("ADD", 0.3), ("NORM_ADD", 0.1), ("NORM_ADD as released", 0.1))
    rows = frame(*({"method": "SEP+COOP", "combination": name, "lambda": weight, "k": 20, "value": 90 + i} for i, (name, weight) in enumerate(weights)))
    table = side_by_side(9, rows, {"b": "Flickr30k 1k"}, ["a departure"])
    of_sep = table.frame.loc["SEP+COOP"][("b (paper: Flickr30k 1k)", IMAGE, "R@1")]
    assert list(of_sep.index) == ["CE's score alone", *(f"{name}, λ = {weight}" for name in ("ADD", "NORM_ADD") for weight in (0.1, 0.5, 0.9)),
                                  "NORM_ADD as released, λ = 0.1"]  # fmt: skip
    assert str(of_sep["NORM_ADD, λ = 0.1"]) == "93.0 ±1.0 (70.8†)"
    assert numbers(of_sep["CE's score alone"]) == (90, 76.0)
    assert numbers(of_sep["ADD, λ = 0.1"]) == (91, 76.0)
    assert numbers(of_sep["NORM_ADD as released, λ = 0.1"]) == (94, None)
    assert [note[:12] for note in table.notes] == ["† Suspicious", "‡ The first ", "a departure"], "one note each, not one a number"


def test_a_method_that_the_paper_does_not_have() -> None:
    frame1 = side_by_side(1, frame({"method": "CLIP", "value": 50}), {"b": "Flickr30k 1k"}).frame
    assert frame1.index[-1] == ("Measured here only", "CLIP")


def test_a_data_set_without_one_of_the_papers() -> None:
    rows = frame({"method": "BE", "value": 50}, {"dataset": "mine", "method": "BE", "value": 60})
    frame1 = side_by_side(1, rows, {"b": "Flickr30k 1k", "mine": ""}).frame
    assert numbers(frame1.loc["G3. Bi-Encoders (Efficient for retrieval)", "BE"]["mine", IMAGE, "R@1"]) == (60, None)


def test_what_a_table_refuses() -> None:
    with pytest.raises(InputError, match="no layout for Table 3"):
        side_by_side(3, frame({"method": "BE", "value": 1}), {"b": "Flickr30k 1k"})
    twice = frame({"method": "BE", "value": 1}, {"method": "BE", "value": 2, "k": 20})
    with pytest.raises(InputError, match="Table 1: two rows for G3"):
        side_by_side(1, twice, {"b": "Flickr30k 1k"})
    with pytest.raises(InputError, match="two rows for BE"):
        pivot_table(twice)


def test_a_pivot() -> None:
    rows = frame(*({"method": method, "trained_on": name, "value": value, "backbone": "oscar"}
                   for method, value in (("CE", 70), ("BE", 60)) for name in ("b_1000", "b")))  # fmt: skip
    rows = rows.assign(train_images=training_images(rows, {"b": 4000}))
    assert list(rows["train_images"]) == [1000, 4000] * 2
    table = pivot_table(rows, columns=("dataset", "direction", "train_images"), group="backbone", notes=["a note"])
    assert list(table.frame.columns) == [("b", IMAGE, "1,000 train images"), ("b", IMAGE, "4,000 train images")]
    assert list(table.frame.index) == [("oscar", "CE"), ("oscar", "BE")]
    assert str(table.frame.loc[("oscar", "CE"), ("b", IMAGE, "4,000 train images")]) == "70.0 ±1.0"
    assert np.all([[cell.best for cell in row] == [method == "CE"] * 2 for (_, method), row in zip(table.frame.index, table.frame.to_numpy(), strict=True)])
    assert list(pivot_table(rows, columns=("trained_on",)).frame.columns) == [("", "", "b_1000"), ("", "", "b")]
    assert table.notes == ("a note",)
