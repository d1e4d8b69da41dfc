"""The paper's numbers: all there, found by name, doubtful ones marked."""

from pathlib import Path

import pandas as pd
import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting import paper
from mmr_kit.reporting.paper import ERRATUM_CELLS, paper_table, paper_value


@pytest.mark.parametrize(("number", "rows"), [(1, 156), (2, 40), (3, 12), (4, 9), (5, 36), (6, 102), (7, 25), (8, 108), (9, 84)])
def test_every_table_is_there(number: int, rows: int) -> None:
    table = paper_table(number)
    assert len(table) == rows
    assert {"method", "value", "erratum"} <= set(table.columns)
    assert (table["value"] > 0).all()


@pytest.mark.parametrize(
    ("number", "where", "value"),
    [
        (1, {"method": "CE", "dataset": "MSCOCO 5k", "direction": "image_retrieval", "metric": "R@1"}, 52.6),  # the paper's own CE, not a quoted one
        (1, {"method": "JOINT+COOP", "dataset": "Flickr30k 1k", "direction": "text_retrieval", "metric": "R@1"}, 89.4),
        (2, {"method": "SEP+COOP", "language": "mean", "metric": "mR"}, 79.6),
        (5, {"method": "BE", "dataset": "Flickr30k 1k", "direction": "image_retrieval", "metric": "R@1"}, 45.8),
        (8, {"method": "SEP+COOP", "k": 50, "dataset": "Flickr30k 1k", "direction": "image_retrieval", "metric": "R@10"}, 96.3),
        (9, {"method": "JOINT+COOP", "combination": "ADD", "lambda": 0.1, "direction": "image_retrieval", "metric": "R@1"}, 76.7),
        (3, {"method": "CE", "device": "NVIDIA V100", "collection_images": 1_000_000}, 2160),
    ],
)
def test_a_printed_number_is_found(number: int, where: dict[str, object], value: float) -> None:
    found = paper_value(number, **where)
    assert found is not None
    assert found.value == value


def test_what_the_paper_does_not_have() -> None:
    assert paper_value(1, method="CE", dataset="pictograms_a") is None
    assert paper_value(1, method="VSE++", dataset="MSCOCO 5k") is None, "quoted, not the paper's own"


def test_an_imprecise_question() -> None:
    with pytest.raises(InputError, match=r"3 cells .* match .* name more columns"):
        paper_value(1, method="BE", dataset="MSCOCO 5k", direction="image_retrieval")
    with pytest.raises(InputError, match="no column 'k'"):
        paper_value(1, method="BE", k=20)


def test_empty_values_do_not_restrict() -> None:
    assert paper_value(1, method="BE", dataset="MSCOCO 5k", direction="image_retrieval", metric="R@1", backbone="", group=None) is not None


def test_every_erratum_marks_its_cells() -> None:
    errata = pd.read_csv(paper.paper_file("errata.csv"), keep_default_na=False)
    assert {(row.table, row.row, row.column) for row in errata.itertuples()} == set(ERRATUM_CELLS)
    for row in errata.itertuples():
        table = paper_table(int(str(row.table).removeprefix("table")))
        assert (table["erratum"] == row.note).any(), f"{row.table}, {row.row} is overwritten by another erratum or marks nothing"


def test_the_misprint_of_table_1() -> None:
    doubtful = paper_table(1).query("erratum != ''")
    assert doubtful[["method", "dataset", "direction", "metric", "value"]].to_numpy().tolist() == [["VSE++", "MSCOCO 5k", "image_retrieval", "R@1", 43.9]]


def test_tables_cannot_be_spoilt() -> None:
    table = paper_table(1)
    table["value"] = 0.0
    assert (paper_table(1)["value"] > 0).all()


def test_an_installation_without_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "PAPER", tmp_path)
    with pytest.raises(InputError, match=r"claims\.csv is not there: .* checkout"):
        paper.paper_file("claims.csv")
