"""Verdicts: how parts make a claim, how claims are shown, and the claims of Table 1 on worlds whose answer is known."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from mmr_kit.errors import InputError
from mmr_kit.reporting import claims as module
from mmr_kit.reporting.claims import Claims, Judgement, judge, load_claims
from mmr_kit.reporting.claims_table1 import METHODS, SPECS, judge_table1
from mmr_kit.reporting.evidence import MARGIN, Finding, Verdict
from mmr_kit.reporting.measured import Measured

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE, NOT_MEASURED = Verdict
PAPER_LIKE = {  # R@1, R@5, R@10 of a world that behaves as the paper says
    "CE": (0.70, 0.90, 0.95), "BE": (0.60, 0.88, 0.94), "SEP+COOP": (0.71, 0.90, 0.95),
    "JOINT+COOP": (0.75, 0.92, 0.96), "JOINT+CE": (0.75, 0.92, 0.96), "JOINT+BE": (0.60, 0.88, 0.94),
}  # fmt: skip
PARAMETERS = {"CE": 1000, "BE": 990, "JOINT": 1000}


Shares = dict[str, tuple[float, float, float]]
World = Callable[..., list[Measured]]


@pytest.fixture
def world(measure: Any) -> World:
    def make(shares: Shares, queries: int = 2000, datasets: tuple[str, ...] = ("a", "b"), **columns: Any) -> list[Measured]:
        return [
            measure(share, queries, dataset=dataset, direction=direction, method=method, **columns)
            for dataset in datasets
            for direction in ("image_retrieval", "text_retrieval")
            for method, share in shares.items()
        ]

    return make


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([SUPPORTED, INCONCLUSIVE], INCONCLUSIVE),
        ([SUPPORTED, INCONCLUSIVE, NOT_SUPPORTED], NOT_SUPPORTED),
        ([], NOT_MEASURED),
        ([NOT_MEASURED, NOT_MEASURED], NOT_MEASURED),
        ([SUPPORTED, NOT_MEASURED], INCONCLUSIVE),
    ],
)
def test_parts_make_a_claim(parts: list[Verdict], verdict: Verdict) -> None:
    claim = next(iter(load_claims().values()))
    assert Judgement(claim, tuple((str(i), Finding(part, "")) for i, part in enumerate(parts))).verdict == verdict


def test_all_claims_load() -> None:
    claims = load_claims()
    assert len(claims) == 42
    assert [id_ for id_ in claims if id_.startswith("T1-")] == [f"T1-{i}" for i in range(1, 10)] == list(SPECS)
    assert all(claim.claim and claim.how_to_judge for claim in claims.values())


def test_a_world_that_behaves_as_the_paper_says(world: World) -> None:
    judged = judge_table1(world(PAPER_LIKE), PARAMETERS)
    assert {j.claim.id: j.verdict for j in judged.judgements} == dict.fromkeys(SPECS, SUPPORTED)
    assert {j.claim.id: len(j.parts) for j in judged.judgements} == {**dict.fromkeys(SPECS, 4), "T1-5": 4 * 5, "T1-8": 1}


@pytest.mark.parametrize(
    ("claim", "changed"),
    [
        ("T1-1", {"BE": (0.75, 0.95, 0.99)}),
        ("T1-2", {"BE": (0.60, 0.70, 0.80)}),
        ("T1-3", {"SEP+COOP": (0.60, 0.90, 0.95)}),
        ("T1-4", {"JOINT+COOP": (0.60, 0.90, 0.95)}),
        ("T1-5", {"SEP+COOP": (0.85, 0.92, 0.96)}),
        ("T1-5", {"JOINT+CE": (0.85, 0.92, 0.96)}),
        ("T1-6", {"JOINT+CE": (0.85, 0.92, 0.96)}),
        ("T1-7", {"JOINT+BE": (0.50, 0.80, 0.90)}),
        ("T1-7", {"JOINT+BE": (0.69, 0.88, 0.94)}),
    ],
)
def test_a_world_that_does_not(claim: str, changed: dict[str, tuple[float, float, float]], world: World) -> None:
    assert judge_table1(world(PAPER_LIKE | changed), PARAMETERS)[claim].verdict == NOT_SUPPORTED


def test_without_a_lead_at_the_first_place_none_can_shrink(world: World) -> None:
    judged = judge_table1(world(PAPER_LIKE | {"BE": (0.75, 0.95, 0.99)}), PARAMETERS)["T1-2"]
    assert judged.verdict == INCONCLUSIVE
    assert judged.evidence[0].startswith("a image retrieval: no lead of CE over BE at R@1 that could shrink: -5.0")
    judged = judge_table1(world(PAPER_LIKE | {"BE": (0.70, 0.95, 0.99)}), PARAMETERS)["T1-2"]
    assert judged.verdict == INCONCLUSIVE, "nor where both are alike"


def test_the_highest_is_told_against_each_other_method(world: World) -> None:
    evidence = judge_table1(world(PAPER_LIKE), PARAMETERS)["T1-5"].evidence
    assert evidence[0].startswith("a image retrieval, JOINT+COOP and CE: 75.0 - 70.0 = +5.0 [")
    assert any("JOINT+COOP and JOINT+CE: 75.0 - 75.0 = +0.0 [+0.0, +0.0], needed: above -2" in each for each in evidence)


def test_the_highest_is_compared_on_the_largest_gallery_that_both_were_measured_on(world: World, measure: Any) -> None:
    """CE alone was measured on a small gallery only: the others are not to be judged on that one."""
    large = [replace(cell, columns={**cell.columns, "n_items": 1000}) for cell in world(PAPER_LIKE) if cell["method"] not in ("CE", "JOINT+CE")]
    small = [replace(cell, columns={**cell.columns, "dataset": f"{cell['dataset']}_200", "n_items": 200}) for cell in world(PAPER_LIKE)]
    parts = [part for part, _ in judge_table1([*large, *small], PARAMETERS)["T1-5"].parts]
    assert {part.split()[0] for part in parts if part.endswith(" and CE") or part.endswith(" and JOINT+CE")} == {"a_200", "b_200"}
    assert {part.split()[0] for part in parts if part.endswith((" and BE", " and SEP+COOP", " and JOINT+BE"))} == {"a", "b"}


def test_one_bad_part_is_enough(world: World, measure: Any) -> None:
    best = PAPER_LIKE["JOINT+COOP"]
    measured = [replace(cell, hits=measure(best).hits) if cell["dataset"] == "b" and cell["direction"] == "text_retrieval" and cell["method"] == "BE" else cell
                for cell in world(PAPER_LIKE)]  # fmt: skip
    judged = judge_table1(measured, PARAMETERS)["T1-1"]
    assert [finding.verdict for _, finding in judged.parts] == [SUPPORTED] * 3 + [NOT_SUPPORTED]
    assert judged.verdict == NOT_SUPPORTED
    assert judged.evidence[3].startswith("b text retrieval: 70.0 - 75.0 = -5.0 [")


def test_seeds_are_paired(world: World) -> None:
    judged = judge_table1(world(PAPER_LIKE, 1000, seeds=3), PARAMETERS)
    assert judged["T1-1"].verdict == SUPPORTED
    uneven = [*world({"BE": PAPER_LIKE["BE"]}, 1000), *world({"CE": PAPER_LIKE["CE"]}, 1000, seeds=3)]
    with pytest.raises(InputError, match="same seeds and images"):
        judge_table1(uneven, PARAMETERS)


@pytest.mark.parametrize(("joint", "verdict"), [(995, SUPPORTED), (1090, SUPPORTED), (1990, NOT_SUPPORTED), (500, NOT_SUPPORTED)])
def test_half_the_parameters(joint: int, verdict: Verdict) -> None:
    judged = judge_table1([], {**PARAMETERS, "JOINT": joint})["T1-8"]
    assert judged.verdict == verdict
    assert f"JOINT {joint:,} / (CE + BE) 1,990 = " in judged.evidence[0]


def test_what_was_not_measured_says_so(world: World) -> None:
    judged = judge_table1(world({"CE": PAPER_LIKE["CE"]}), {})
    assert judged["T1-1"].verdict == NOT_MEASURED
    assert judged["T1-1"].evidence[0] == "a image retrieval: not measured (no BE) –"
    assert judged["T1-8"].verdict == NOT_MEASURED
    assert judge_table1([], {})["T1-1"].verdict == NOT_MEASURED


def test_quoted_claims_are_labelled() -> None:
    judged = judge_table1([], {})
    assert [j.claim.id for j in judged.judgements if j.basis == "as quoted"] == ["T1-9"]
    assert judged["T1-9"].verdict == SUPPORTED
    assert "VSE++ 43.9 (probably a misprint)" in judged["T1-9"].evidence[0]
    assert "as quoted" in judged.to_html()
    assert "as quoted" in judged.to_markdown()
    assert "as quoted" in judged.to_latex()


def test_each_claim_is_judged_on_the_largest_gallery_that_has_its_methods(world: World) -> None:
    """On all test images there is no CE; on the subset there is, and there BE is as good as CE."""
    without_ce = {method: shares for method, shares in PAPER_LIKE.items() if method not in ("CE", "JOINT+CE")}
    small = world(PAPER_LIKE | {"BE": PAPER_LIKE["CE"]}, 200, ("a_200",), trained_on="a", n_items=200)
    judged = judge_table1([*small, *world(without_ce, 1000, ("a",), trained_on="a", n_items=1000)], PARAMETERS)
    assert judged["T1-1"].evidence[0].startswith("a_200 image retrieval: 70.0 - 70.0")
    assert judged["T1-7"].evidence[0].startswith("a image retrieval: 60.0 - 60.0")
    assert [len(judged[claim].parts) for claim in ("T1-1", "T1-7")] == [2, 2], "one part a direction, not one a gallery"


class Cells(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture
def judged(world: World) -> Claims:
    return judge_table1(world(PAPER_LIKE | {"BE": (0.75, 0.95, 0.99)}, 500), PARAMETERS)


def test_the_verdict_is_a_word_and_a_symbol(judged: Claims) -> None:
    rows = {row[0]: row for row in Cells(judged.to_html()).rows}
    assert rows["T1-1"][2] == "✗ not supported"
    assert rows["T1-9"][2] == "✓ supportedas quoted"
    assert "| T1-1 | BE is slightly below CE at R@1 | ✗ not supported |" in judged.to_markdown()
    assert r"T1-1 & BE is slightly below CE at R@1 & not supported &" in judged.to_latex()
    assert f"within {MARGIN:g} points" in judged.to_html()


def test_the_frame_and_the_csv(judged: Claims) -> None:
    assert judged.frame["id"].tolist() == list(SPECS)
    assert judged.frame["verdict"].isin([str(v) for v in Verdict]).all()
    parts = list(csv.DictReader(io.StringIO(judged.to_csv())))
    assert len(parts) == 7 * 4 + 5 * 4 + 1
    assert parts[0]["part"] == "a image retrieval"
    assert parts[0]["part_verdict"] == "not supported"


def test_other_tables_bring_their_own_claims() -> None:
    """What a later table needs: claim id -> function from whatever it measured to the parts."""
    specs = {"T3-3": lambda slope: [("latency", Finding(SUPPORTED if 0.9 < slope < 1.1 else NOT_SUPPORTED, f"slope {slope:.2f}"))]}
    assert judge(specs, 1.02)["T3-3"].verdict == SUPPORTED
    assert judge(specs, 1.5)["T3-3"].evidence == ["latency: slope 1.50 ✗"]


def test_nothing_in_a_claim_is_markup() -> None:
    claim = module.Claim("T1-1", "<i>here</i>", "a | b & <script>", "5% of $x_1$", "")
    claims = Claims((Judgement(claim, (("a_b", Finding(SUPPORTED, "1 < 2")),)),))
    html, markdown, latex = claims.to_html(), claims.to_markdown(), claims.to_latex()
    assert "<script>" not in html
    assert "1 &lt; 2" in html
    assert r"a \| b & \<script\>" in markdown
    assert r"a \textbar{} b \& \textless{}script\textgreater{}" in latex
    assert r"a\_b" in latex


def test_a_broken_claims_file(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "claims.csv"  # type: ignore[operator]
    broken.write_text("id,where,claim\nT1-1,here,something\n")
    monkeypatch.setattr(module, "paper_file", lambda name: broken)
    with pytest.raises(InputError, match=r"claims\.csv: a claim has the columns"):
        load_claims()


def test_all_methods_are_compared() -> None:
    assert set(METHODS) == set(PAPER_LIKE)
