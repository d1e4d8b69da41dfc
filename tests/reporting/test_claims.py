"""Verdicts: what each test of a comparison says, how parts make a claim, and the claims of Table 1 on worlds whose answer is known."""

import csv
import io
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.errors import InputError
from mmr_kit.reporting import claims as module
from mmr_kit.reporting.claims import MARGIN, Claims, Finding, Judgement, Verdict, at_least, equivalent, greater, judge, load_claims
from mmr_kit.reporting.claims_table1 import METHODS, SPECS, judge_table1

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = Verdict
PAPER_LIKE = {  # R@1, R@5, R@10 of a world that behaves as the paper says
    "CE": (0.70, 0.90, 0.95), "BE": (0.60, 0.88, 0.94), "SEP+COOP": (0.71, 0.90, 0.95),
    "JOINT+COOP": (0.75, 0.92, 0.96), "JOINT+CE": (0.75, 0.92, 0.96), "JOINT+BE": (0.60, 0.88, 0.94),
}  # fmt: skip
PARAMETERS = {"CE": 1000, "BE": 990, "JOINT": 1000}


def world(shares: dict[str, tuple[float, float, float]], queries: int = 4000, seeds: int = 1) -> dict[tuple[str, str, str], np.ndarray]:
    """Successes with exactly these shares; the queries have one order of difficulty, so that differences are as sharp as they can be."""
    difficulty = (np.random.default_rng(0).permutation(queries) + 0.5) / queries
    return {
        (dataset, direction, method): np.stack([difficulty[:, None] < np.array(share)] * seeds)
        for dataset in ("a", "b")
        for direction in ("image_retrieval", "text_retrieval")
        for method, share in shares.items()
    }


def values(share: float, queries: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, queries)) < share


@pytest.mark.parametrize(
    ("test", "a", "b", "verdict"),
    [
        (greater, 0.70, 0.50, SUPPORTED),
        (greater, 0.50, 0.70, NOT_SUPPORTED),
        (greater, 0.505, 0.50, INCONCLUSIVE),
        (at_least, 0.60, 0.50, SUPPORTED),
        (at_least, 0.40, 0.50, NOT_SUPPORTED),
        (at_least, 0.48, 0.50, INCONCLUSIVE),
        (equivalent, 0.60, 0.50, NOT_SUPPORTED),
        (equivalent, 0.50, 0.60, NOT_SUPPORTED),
        (equivalent, 0.50, 0.485, INCONCLUSIVE),
    ],
)
def test_verdicts_of_independent_methods(test: Callable[..., Finding], a: float, b: float, verdict: Verdict) -> None:
    finding = test(values(a, seed=1), values(b, seed=2))
    assert finding.verdict == verdict, finding.text


def test_equal_methods() -> None:
    same = values(0.5)
    assert equivalent(same, same).verdict == SUPPORTED
    assert at_least(same, same).verdict == SUPPORTED
    assert greater(same, same).verdict == NOT_SUPPORTED, "no difference is not a difference"


def test_a_wider_margin_is_easier() -> None:
    a, b = values(0.48, seed=1), values(0.5, seed=2)
    assert equivalent(a, b, margin=10).verdict == SUPPORTED
    assert at_least(a, b, margin=10).verdict == SUPPORTED
    assert at_least(a, b, margin=0.1).verdict != SUPPORTED


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.sampled_from([30, 400]))
def test_the_tests_agree_with_one_another(seed: int, share_a: float, share_b: float, queries: int) -> None:
    a, b = values(share_a, queries, seed), values(share_b, queries, seed + 1)
    if greater(a, b).verdict == SUPPORTED:
        assert at_least(a, b).verdict == SUPPORTED
        assert greater(b, a).verdict == NOT_SUPPORTED
    if equivalent(a, b).verdict == SUPPORTED:
        assert at_least(a, b).verdict == at_least(b, a).verdict == SUPPORTED
    if at_least(a, b).verdict == NOT_SUPPORTED:
        assert equivalent(a, b).verdict == NOT_SUPPORTED
        assert greater(a, b).verdict == NOT_SUPPORTED


def test_the_evidence_is_in_numbers() -> None:
    shares = world({"x": (0.721, 0, 0), "y": (0.505, 0, 0)})
    a, b = (shares["a", "image_retrieval", method][..., 0] for method in "xy")
    assert greater(a, b).text.startswith("72.1 - 50.5 = +21.6 [+20.")
    assert f"needed: within ±{MARGIN:g}" in equivalent(a, b).text
    assert f"needed: above -{MARGIN:g}" in at_least(a, b).text


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([SUPPORTED, INCONCLUSIVE], INCONCLUSIVE),
        ([SUPPORTED, INCONCLUSIVE, NOT_SUPPORTED], NOT_SUPPORTED),
        ([], INCONCLUSIVE),
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


def test_a_world_that_behaves_as_the_paper_says() -> None:
    judged = judge_table1(world(PAPER_LIKE), PARAMETERS)
    assert {j.claim.id: j.verdict for j in judged.judgements} == dict.fromkeys(SPECS, SUPPORTED)
    assert {j.claim.id: len(j.parts) for j in judged.judgements} == {**dict.fromkeys(SPECS, 4), "T1-8": 1}


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
def test_a_world_that_does_not(claim: str, changed: dict[str, tuple[float, float, float]]) -> None:
    assert judge_table1(world(PAPER_LIKE | changed), PARAMETERS)[claim].verdict == NOT_SUPPORTED


def test_the_highest_is_told_against_each_other_method() -> None:
    text = judge_table1(world(PAPER_LIKE), PARAMETERS)["T1-5"].evidence[0]
    assert text.startswith("a image retrieval: 75.0 - CE 70.0 = +5.0 [")
    assert "; - JOINT+CE 75.0 = +0.0 [+0.0, +0.0], needed: above -2; - JOINT+BE 60.0 = +15.0 [" in text


def test_one_bad_part_is_enough() -> None:
    successes = world(PAPER_LIKE)
    successes["b", "text_retrieval", "BE"] = successes["b", "text_retrieval", "JOINT+COOP"]
    judged = judge_table1(successes, PARAMETERS)["T1-1"]
    assert [finding.verdict for _, finding in judged.parts] == [SUPPORTED] * 3 + [NOT_SUPPORTED]
    assert judged.verdict == NOT_SUPPORTED
    assert judged.evidence[3].startswith("b text retrieval: 70.0 - 75.0 = -5.0 [")


def test_seeds_are_paired() -> None:
    judged = judge_table1(world(PAPER_LIKE, 1000, seeds=3), PARAMETERS)
    assert judged["T1-1"].verdict == SUPPORTED
    uneven = world(PAPER_LIKE, 1000) | world({"CE": PAPER_LIKE["CE"]}, 1000, seeds=3)
    with pytest.raises(InputError, match="same seeds and queries"):
        judge_table1(uneven, PARAMETERS)


@pytest.mark.parametrize(("joint", "verdict"), [(995, SUPPORTED), (1090, SUPPORTED), (1990, NOT_SUPPORTED), (500, NOT_SUPPORTED)])
def test_half_the_parameters(joint: int, verdict: Verdict) -> None:
    judged = judge_table1({}, {**PARAMETERS, "JOINT": joint})["T1-8"]
    assert judged.verdict == verdict
    assert f"JOINT {joint:,} / (CE + BE) 1,990 = " in judged.evidence[0]


def test_what_was_not_measured_is_inconclusive_and_says_so() -> None:
    judged = judge_table1(world({"CE": PAPER_LIKE["CE"]}), {})
    assert judged["T1-1"].verdict == INCONCLUSIVE
    assert judged["T1-1"].evidence[0] == "a image retrieval: not measured (no BE) ?"
    assert judged["T1-8"].verdict == INCONCLUSIVE
    assert judge_table1({}, {})["T1-1"].verdict == INCONCLUSIVE


def test_quoted_claims_are_labelled() -> None:
    judged = judge_table1({}, {})
    assert [j.claim.id for j in judged.judgements if j.basis == "as quoted"] == ["T1-9"]
    assert judged["T1-9"].verdict == SUPPORTED
    assert "VSE++ 43.9 (probably a misprint)" in judged["T1-9"].evidence[0]
    assert "as quoted" in judged.to_html()
    assert "as quoted" in judged.to_markdown()
    assert "as quoted" in judged.to_latex()


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match=r"\('a', 'image_retrieval', 'CE'\) have shape \(4, 3\)"):
        judge_table1({("a", "image_retrieval", "CE"): np.zeros((4, 3))}, {})


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
def judged() -> Claims:
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
    assert len(parts) == 8 * 4 + 1
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
