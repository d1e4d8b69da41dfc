"""Measured numbers that README.md quotes are those of the committed result files (not of a run of one's own that lies over them)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting.reference import committed
from mmr_kit.reporting.rows import headline, read_results

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "results" / "bench"


@pytest.fixture(scope="module")
def demo() -> Iterator[Path]:
    yield from _results("demo")


@pytest.fixture(scope="module")
def flickr8k() -> Iterator[Path]:
    yield from _results("flickr8k")


def _results(profile: str) -> Iterator[Path]:
    try:
        with committed(profile) as folder:
            yield folder
    except InputError as error:
        pytest.skip(str(error))


def number(table: Path, **where: Any) -> float:
    """The one number of a result csv with these values."""
    rows = headline(read_results(table))
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, rows
    return float(rows["value"].iloc[0])


def test_the_times_of_table3(demo: Path) -> None:
    table = demo / "table3_latency.csv"
    published, fast = (number(table, metric="latency_s", method="SEP/JOINT+COOP", n_items=1_000_000, backbone=f"oscar, cpu, {way}")
                       for way in ("published", "fast"))  # fmt: skip
    assert_said(f"COOP takes {published:.1f} s in the published way and {fast:.1f} s in the kit's")


def test_the_sum_of_scores_on_photographs(flickr8k: Path) -> None:
    table = flickr8k / "table9_score_combination.csv"
    half, alone = ([number(table, metric="R@1", method="SEP+COOP", direction=direction, combination="ADD", **{"lambda": weight})
                    for direction in ("image_retrieval", "text_retrieval")] for weight in (0.5, 1.0))  # fmt: skip
    assert_said(f"(R@1 {half[0]:.1f} and {half[1]:.1f} in image and text retrieval, BE alone {alone[0]:.1f} and {alone[1]:.1f})")


def test_what_ce_reaches_on_photographs(flickr8k: Path) -> None:
    table = flickr8k / "table1_main_results.csv"
    ce, be = (number(table, metric="R@1", method=method, direction="image_retrieval", dataset="flickr8k_100") for method in ("CE", "BE"))
    assert_said(f"here {ce:.0f} and {be:.0f}.")


def test_other_languages_on_photographs(flickr8k: Path) -> None:
    table = flickr8k / "table7_multilingual_zero_shot.csv"
    be, both = (number(table, metric="mR", method=method, language="avg_non_english") for method in ("BE", "SEP+COOP"))
    assert_said(f"an mR of {be:.1f} by BE and {both:.1f} by SEP+COOP, among 100 photographs")


def test_few_photographs(flickr8k: Path) -> None:
    table = flickr8k / "figure3_sample_efficiency.csv"
    few, all_of_them = ({method: number(table, metric="R@1", method=method, direction="image_retrieval", trained_on=data) for method in ("BE", "CE")}
                        for data in ("flickr8k_1500", "flickr8k"))  # fmt: skip
    lost = {method: all_of_them[method] - few[method] for method in few}
    assert_said(f"BE loses {lost['BE']:.1f} points of R@1 in image retrieval and CE {lost['CE']:.1f}")


def test_the_agreement_of_precisions() -> None:
    results = json.loads((BENCH / "agreement_flickr8k.json").read_text())["results"]
    bf16, int8 = (next(result for result in results if result["name"].endswith(f", {precision}")) for precision in ("bf16", "int8"))
    assert_said(f"({bf16['top_1_unsettled']:.1%} without; {bf16['settled']:.1%} of the pairs are scored again; "
                f"Kendall's tau of the 20 candidates {bf16['tau']:.3f})")  # fmt: skip
    assert_said(f"int8 as well ({int8['top_1_unsettled']:.1%} without; {int8['tau']:.3f})")


def test_the_memory_of_a_search_from_disk() -> None:
    (found,) = json.loads((BENCH / "from_disk.json").read_text())["results"]
    assert_said(f"[{found['bytes'] / 1e9:.2f} GB of resident memory]")


def assert_said(text: str) -> None:
    assert text in (ROOT / "README.md").read_text(encoding="utf-8")
