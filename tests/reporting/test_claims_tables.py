"""The claims of Tables 2, 5 to 9, Figures 2 to 4 and the ablations, on worlds whose answer is known.

Each world is a list of cells (columns, shares of R@1, R@5, R@10) that behave as the paper says; a test changes the shares of a few and expects another verdict.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest

import mmr_kit.reporting as kit
from mmr_kit.reporting import Claims, Finding, Measured, Verdict

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE, NOT_MEASURED = Verdict
IMAGE, TEXT = DIRECTIONS = ("image_retrieval", "text_retrieval")
RELEASED = "NORM_ADD as released"
Cells = list[tuple[dict[str, Any], Any]]


def grid(shares: Mapping[str, Any], directions: Iterable[str] = DIRECTIONS, **columns: Any) -> Cells:
    """One cell a method and direction."""
    return [({"dataset": "a", "trained_on": "a", "direction": direction, "method": method} | columns, share)
            for direction, (method, share) in product(directions, shares.items())]  # fmt: skip


FOUR = {"CE": 0.78, "BE": 0.76, "SEP+COOP": 0.80, "JOINT+COOP": 0.78}
COOPS = ("SEP+COOP", "JOINT+COOP")
ALONE = dict.fromkeys(COOPS, 0.76)


def by_k(tenth: Mapping[int, float]) -> Cells:
    return [cell for k, share in tenth.items() for cell in grid(dict.fromkeys(COOPS, (0.75, 0.9, share)), k=k)]


def by_lambda(combination: str, *shares: float, directions: Sequence[str] = DIRECTIONS) -> Cells:
    return [
        cell for value, share in zip((0.1, 0.5, 0.9), shares, strict=True)
        for cell in grid(dict.fromkeys(COOPS, share), directions, combination=combination, **{"lambda": value})
    ]  # fmt: skip


WORLDS: dict[str, tuple[Callable[..., Claims], Cells]] = {
    "table2": (kit.judge_table2, [cell for language in ("en", "de", "fr", "cs") for cell in grid(FOUR, language=language)]),
    "table5": (
        kit.judge_table5,
        grid({"BE": 0.72, "SEP+COOP": 0.76, "JOINT+COOP": 0.78}, collection="", n_items=1000)
        + grid({"BE": 0.70, "SEP+COOP": 0.75, "JOINT+COOP": 0.74}, collection="a + few", n_items=2000)
        + grid({"BE": 0.46, "SEP+COOP": 0.58, "JOINT+COOP": 0.62}, collection="a + many", n_items=20000),
    ),
    "table6": (
        partial(kit.judge_table6, paper_datasets={"a": "MSCOCO 5k", "b_200": "Flickr30k 1k", "c": "CC 14k"}),
        grid({"CE": 0.50, "BE": 0.38, "SEP+COOP": 0.49, "JOINT+COOP": 0.49}, dataset="a", trained_on="b")
        + grid({"CE": 0.67, "BE": 0.60, "SEP+COOP": 0.67, "JOINT+COOP": 0.72}, dataset="b_200", trained_on="a")
        + grid({"JOINT+COOP (In-Domain)": 0.60}, dataset="a", trained_on="a")
        + grid({"JOINT+COOP (In-Domain)": 0.80}, dataset="b_200", trained_on="b")
        + grid({"BE": 0.13, "SEP+COOP": 0.17, "JOINT+COOP": 0.17}, dataset="c", trained_on="b")
        + grid({"CLIP": 0.3}, dataset="c", trained_on=""),
    ),
    "table7": (
        kit.judge_table7,
        grid({"CE": 0.84, "BE": 0.81, "SEP+COOP": 0.84, "JOINT+COOP": 0.83}, language="en")
        + [cell for language in ("de", "fr", "cs") for cell in grid({"CE": 0.45, "BE": 0.47, "SEP+COOP": 0.5, "JOINT+COOP": 0.47}, language=language)],
    ),
    "table8": (kit.judge_table8, by_k({5: 0.85, 10: 0.92, 20: 0.95, 50: 0.955})),
    "table9": (
        kit.judge_table9,
        grid(ALONE, combination="none") + by_lambda("ADD", 0.765, 0.755, 0.74) + by_lambda("NORM_ADD", 0.755, 0.73, 0.71)
        + by_lambda(RELEASED, 0.70, 0.698, 0.695, directions=[IMAGE]) + by_lambda(RELEASED, 0.76, 0.75, 0.74, directions=[TEXT]),
    ),
    "figure2": (kit.judge_figure2, grid({"BE": 0.6, "SEP+COOP": 0.7, "JOINT+COOP": 0.7}, [IMAGE])),
    "figure3": (
        partial(kit.judge_figure3, full={"a": 10_000}),
        grid({"CE": 0.80, "BE": 0.75, "SEP+COOP": 0.80, "JOINT+COOP": 0.82})
        + grid({"CE": 0.78, "BE": 0.70, "SEP+COOP": 0.79, "JOINT+COOP": 0.80}, trained_on="a_3000")
        + grid({"CE": 0.70, "BE": 0.40, "SEP+COOP": 0.65, "JOINT+COOP": 0.60}, trained_on="a_1000"),
    ),
    "figure4": (
        kit.judge_figure4,
        grid({"CE": 0.80, "BE": 0.75, "SEP+COOP": 0.80, "JOINT+COOP": 0.84}, backbone="oscar")
        + grid({"CE": 0.72, "BE": 0.66, "SEP+COOP": 0.72, "JOINT+COOP": 0.76}, backbone="oscar, half size"),
    ),
    "ablations": (
        kit.judge_ablations,
        grid({"BE, hardest in batch": 0.6, "BE, [CLS] pooling": 0.5, "BE, refreshed negatives (ANCE)": 0.6, "CE, random replacement": 0.7,
              "CE, hard negatives of BE": 0.6, "BE, N = 1": 0.3, "BE, N = 8": 0.4, "BE, N = 32": 0.5}),
    ),
    "object_tags": (
        kit.judge_object_tags,
        grid({"BE, without tags": 0.6, "BE, with object tags": 0.6, "CE, without tags": 0.7, "CE, with object tags": 0.6}),
    ),
}  # fmt: skip
Change = tuple[dict[str, Any], Any]  # columns that select cells, their shares instead
OTHERWISE: list[tuple[str, str, list[Change]]] = [
    ("table2", "T2-1", [({"method": "CE"}, 0.82)]),
    ("table2", "T2-1", [({"method": "CE", "language": "de"}, 0.92)]),
    ("table2", "T2-2", [({"method": "JOINT+COOP"}, 0.76)]),
    ("table2", "T2-2", [({"method": "JOINT+COOP"}, 0.82)]),  # then it is the best
    ("table5", "T5-1", [({"method": "BE", "collection": "a + many"}, 0.66)]),
    ("table5", "T5-1", [({"method": "JOINT+COOP", "collection": "a + many"}, 0.40)]),
    ("table5", "T5-2", [({"method": "SEP+COOP", "collection": "a + many"}, 0.65)]),
    ("table5", "T5-3", [({"method": "JOINT+COOP", "collection": "a + many"}, 0.75)]),
    ("table6", "T6-1", [({"method": "SEP+COOP", "dataset": "a"}, 0.55)]),
    ("table6", "T6-1", [({"method": "JOINT+COOP", "dataset": "a"}, 0.45)]),
    ("table6", "T6-2", [({"method": "CE", "dataset": "b_200"}, 0.715)]),  # ahead by half a point only
    ("table6", "T6-3", [({"method": "BE", "dataset": "a"}, 0.475)]),
    ("table6", "T6-4", [({"method": "JOINT+COOP (In-Domain)", "dataset": "a"}, 0.4)]),
    ("table6", "T6-5", [({"method": "CLIP"}, 0.15)]),
    ("table7", "T7-1", [({"language": "de"}, 0.8), ({"language": "fr"}, 0.8), ({"language": "cs"}, 0.8)]),
    ("table7", "T7-2", [({"method": "JOINT+COOP", "language": "cs"}, 0.7)]),
    ("table7", "T7-2", [({"method": "BE", "language": "de"}, 0.6)]),
    ("table7", "T7-3", [({"method": "CE", "language": "fr"}, 0.6)]),
    ("table8", "T8-1", [({"k": 10}, (0.75, 0.9, 0.97))]),  # nothing is lost
    ("table8", "T8-1", [({"k": 10}, (0.65, 0.9, 0.92))]),  # R@1 is lost
    ("table8", "T8-2", [({"k": 50}, (0.75, 0.9, 1.0)), ({"k": 20}, (0.75, 0.9, 0.93))]),
    ("table9", "T9-1", [({"combination": "ADD", "lambda": 0.5}, 0.80)]),
    ("table9", "T9-2", [({"combination": "ADD", "lambda": 0.9}, 0.76)]),
    ("table9", "T9-3", [({"combination": "NORM_ADD"}, 0.76)]),
    ("figure2", "F2-1", [({"method": "JOINT+COOP"}, 0.55)]),
    ("figure3", "F3-1", [({"method": "CE", "trained_on": "a_1000"}, 0.35)]),
    ("figure3", "F3-1", [({"method": "CE", "trained_on": "a_1000"}, 0.451)]),  # as many points, to a hair
    ("figure3", "F3-2", [({"method": "JOINT+COOP", "trained_on": "a_1000"}, 0.75)]),
    ("figure4", "F4-1", [({"method": "BE", "backbone": "oscar, half size"}, 0.5)]),
    ("figure4", "F4-1", [({"method": "BE", "backbone": "oscar, half size"}, 0.76)]),
    ("figure4", "F4-2", [({"method": "CE", "backbone": "oscar, half size"}, 0.78)]),
    ("object_tags", "X-4", [({"method": "CE, with object tags"}, 0.75)]),
    ("ablations", "X-1", [({"method": "BE, [CLS] pooling"}, 0.65)]),
    ("ablations", "X-2", [({"method": "BE, refreshed negatives (ANCE)"}, 0.65)]),
    ("ablations", "X-3", [({"method": "CE, hard negatives of BE"}, 0.75)]),
    ("ablations", "X-5", [({"method": "BE, N = 32"}, 0.7)]),
    ("ablations", "X-5", [({"method": "BE, N = 8"}, 0.7)]),
]
OTHER_LANGUAGES = [{"language": language} for language in ("de", "fr", "cs")]
ON_THE_EDGE: list[tuple[str, str, list[Change]]] = [  # the changed cells are right on other queries, so that the interval is wide
    ("table2", "T2-1", [({"method": "CE"}, 0.797)]),
    ("table2", "T2-2", [({"method": "JOINT+COOP"}, 0.77)]),
    ("table5", "T5-1", [({"method": "JOINT+COOP", "collection": "a + many"}, 0.52)]),
    ("table5", "T5-2", [({"method": "SEP+COOP", "collection": "a + many"}, 0.62)]),
    ("table5", "T5-3", [({"method": "JOINT+COOP", "collection": "a + many"}, 0.73)]),
    ("table6", "T6-1", [({"method": "SEP+COOP", "dataset": "a"}, 0.50)]),
    ("table6", "T6-2", [({"method": "CE", "dataset": "b_200"}, 0.70)]),
    ("table6", "T6-3", [({"method": "BE", "dataset": "a"}, 0.455)]),
    ("table6", "T6-4", [({"method": "JOINT+COOP (In-Domain)", "dataset": "a"}, 0.49)]),
    ("table6", "T6-5", [({"method": "CLIP"}, 0.17)]),
    ("table7", "T7-1", [({"method": "CE", **language}, 0.645) for language in OTHER_LANGUAGES]),
    ("table7", "T7-2", [({"method": "JOINT+COOP", **language}, 0.5) for language in OTHER_LANGUAGES]),
    ("table7", "T7-3", [({"method": "CE", **language}, 0.47) for language in OTHER_LANGUAGES]),
    ("table8", "T8-1", [({"k": 10}, (0.75, 0.9, 0.955))]),
    ("table8", "T8-2", [({"k": 20}, (0.75, 0.9, 0.93)), ({"k": 50}, (0.75, 0.9, 0.96))]),
    ("table9", "T9-1", [({"combination": "ADD", "lambda": 0.5}, 0.78)]),
    ("table9", "T9-2", [({"combination": "ADD", "lambda": 0.9}, 0.765)]),
    ("table9", "T9-3", [({"combination": "NORM_ADD"}, 0.753)]),
    ("figure2", "F2-1", [({"method": "JOINT+COOP"}, 0.6)]),
    ("figure3", "F3-1", [({"method": "CE", "trained_on": "a_1000"}, 0.47)]),
    ("figure3", "F3-2", [({"method": "JOINT+COOP", "trained_on": "a_1000"}, 0.70)]),
    ("figure4", "F4-1", [({"method": "BE", "backbone": "oscar, half size"}, 0.6)]),
    ("figure4", "F4-2", [({"method": "CE", "backbone": "oscar, half size"}, 0.76)]),
    ("object_tags", "X-4", [({"method": "BE, with object tags"}, 0.62)]),
    ("ablations", "X-1", [({"method": "BE, [CLS] pooling"}, 0.6)]),
    ("ablations", "X-2", [({"method": "BE, refreshed negatives (ANCE)"}, 0.62)]),
    ("ablations", "X-3", [({"method": "CE, hard negatives of BE"}, 0.7)]),
    ("ablations", "X-5", [({"method": f"BE, N = {n}"}, 0.6) for n in (1, 8, 32)]),
]


def build(measure: Any, cells: Cells, changes: Sequence[Change] = (), luck: int = 0) -> list[Measured]:
    made = []
    for columns, share in cells:
        changed = [new for where, new in changes if where.items() <= columns.items()]
        made.append(measure(changed[-1], luck=luck, **columns) if changed else measure(share, **columns))
    return made


def test_every_claim_of_these_tables_is_tried() -> None:
    judged = {(world, j.claim.id) for world, (judge, _) in WORLDS.items() for j in judge([]).judgements}
    assert judged == {(world, claim) for world, claim, _ in OTHERWISE} == {(world, claim) for world, claim, _ in ON_THE_EDGE}
    assert len({claim for _, claim in judged}) == 28


@pytest.mark.parametrize("world", WORLDS)
def test_a_world_that_behaves_as_the_paper_says(world: str, measure: Any) -> None:
    judge, cells = WORLDS[world]
    judged = judge(build(measure, cells))
    assert {j.claim.id: j.verdict for j in judged.judgements} == {j.claim.id: SUPPORTED for j in judged.judgements}, judged.frame["evidence"].tolist()


@pytest.mark.parametrize(
    ("world", "claim", "changes", "verdict"), [(*case, NOT_SUPPORTED) for case in OTHERWISE] + [(*case, INCONCLUSIVE) for case in ON_THE_EDGE]
)
def test_a_world_that_does_not(world: str, claim: str, changes: list[Change], verdict: Verdict, measure: Any) -> None:
    judge, cells = WORLDS[world]
    found = judge(build(measure, cells, changes, luck=verdict == INCONCLUSIVE))[claim]
    assert found.verdict == verdict, found.evidence


@pytest.mark.parametrize("world", WORLDS)
def test_what_was_not_measured_says_so(world: str) -> None:
    for judgement in WORLDS[world][0]([]).judgements:
        if judgement.basis == "measured":
            assert judgement.verdict == NOT_MEASURED
            assert judgement.parts
            assert all(finding.text.startswith("not measured") for _, finding in judgement.parts), judgement.evidence


def test_one_method_that_was_not_measured_is_named(measure: Any) -> None:
    judged = kit.judge_table2(build(measure, [cell for cell in WORLDS["table2"][1] if cell[0]["method"] != "CE"]))
    assert judged["T2-1"].evidence[0] == "a, SEP+COOP and CE: not measured (no CE) –"
    assert {finding.verdict for _, finding in judged["T2-2"].parts} == {NOT_MEASURED}


def printed(number: int, measure: Any, **more: Any) -> list[Measured]:
    """The paper's own numbers as cells."""
    rows = kit.paper_table(number)
    rows = rows[rows["source"].str.startswith("this paper")] if "source" in rows else rows
    made: dict[tuple[tuple[str, Any], ...], dict[str, float]] = {}
    for row in rows.drop(columns=["backbone", "source", "group", "erratum"], errors="ignore").to_dict("records"):
        row = {str(name): value for name, value in row.items()}
        metric, value = row.pop("metric"), row.pop("value")
        made.setdefault(tuple(row.items()), {})[metric] = value / 100
    return [measure(tuple(found.get(f"R@{m}", found.get("mR")) for m in (1, 5, 10)), **(dict(columns) | more)) for columns, found in made.items()]


def test_the_papers_own_numbers(measure: Any) -> None:
    """What the printed numbers would give if they were measured on 2000 queries of one order of difficulty: the tests ask for no more than the paper shows.

    Not supported are claims to which the paper's own tables have an exception: JOINT+COOP at the ceiling in Table 8. Those of Table 6 are in text retrieval.
    """
    verdicts: dict[str, Verdict] = {}
    for number, judge in ((2, kit.judge_table2), (7, kit.judge_table7)):
        languages = [cell for cell in printed(number, measure, trained_on="") if len(cell["language"]) == 2]
        cells = [Measured({**cell.columns, "direction": direction}, cell.hits) for cell in languages for direction in DIRECTIONS]
        verdicts |= {j.claim.id: j.verdict for j in judge(cells).judgements}
    plain = [cell for cell in printed(1, measure, collection="") if cell["dataset"] != "MSCOCO 1k"]
    zero_shot = [Measured({**cell.columns, "dataset": cell["dataset"].split()[0]}, cell.hits) for cell in printed(6, measure)]
    beside = {"MSCOCO": "MSCOCO 5k", "Flickr30k": "Flickr30k 1k", "CC": "CC 14k"}
    k = [Measured({**cell.columns, "k": int(cell["k"])}, cell.hits) for cell in printed(8, measure)]
    combined = [Measured({**cell.columns, "lambda": float(cell["lambda"] or 0) or None}, cell.hits) for cell in printed(9, measure)]
    of_table1 = kit.judge_table1(plain, {"CE": 1, "BE": 1, "JOINT": 1})
    of_table6 = kit.judge_table6(zero_shot, beside)
    for judged in (of_table1, kit.judge_table5(plain + printed(5, measure)), of_table6, kit.judge_table8(k), kit.judge_table9(combined)):
        verdicts |= {j.claim.id: j.verdict for j in judged.judgements}
    assert {claim for claim, verdict in verdicts.items() if verdict == NOT_SUPPORTED} == {"T8-1", "T8-2"}
    near = {"T1-2": "1.9 points where half of 3.9 is the limit", "T1-7": "1.6 where 2 are allowed", "T5-3": "5.5 where 5 are needed",
            "T6-2": "2.4 where 2 are needed", "T6-3": "4.2 where 3.4 are needed"}  # fmt: skip
    assert {claim for claim, verdict in verdicts.items() if verdict == INCONCLUSIVE} <= near.keys()
    assert all("does not count: text retrieval" in str(of_table6[claim].evidence) for claim in ("T6-1", "T6-2"))


def test_the_largest_merged_collection_counts(measure: Any) -> None:
    judged = kit.judge_table5(build(measure, WORLDS["table5"][1]))
    assert judged["T5-2"].evidence[0].startswith("a image retrieval, JOINT+COOP and BE: 62.0 - 46.0")
    assert judged["T5-3"].evidence[0].startswith("a, BE, plain against merged, mean of both directions: 72.0 - 46.0 = +26.0 [")


def test_clip_is_quoted_where_it_was_not_measured(measure: Any) -> None:
    judge, cells = WORLDS["table6"]
    measured = build(measure, cells)
    assert judge(measured)["T6-5"].basis == "measured"
    quoted = judge(kit.select(measured, method="BE"))["T6-5"]
    assert (quoted.basis, quoted.verdict) == ("as quoted", SUPPORTED)
    assert quoted.evidence[0] == "CC 14k image retrieval: CLIP 30.8 against SEP+COOP 16.8 ✓"
    elsewhere = [cell for cell in measured if (cell["method"], cell["dataset"]) != ("CLIP", "c")] + [measure(0.9, method="CLIP", dataset="a", direction=IMAGE)]
    assert judge(elsewhere)["T6-5"].basis == "as quoted", "CLIP on another data set is no evidence"


def test_transfers_are_told_by_their_data_sets(measure: Any) -> None:
    judged = WORLDS["table6"][0](build(measure, WORLDS["table6"][1]))
    assert judged["T6-2"].parts[0][0] == "a to b_200 image retrieval, JOINT+COOP and CE"
    assert judged["T6-4"].parts[-1][0] == "b_200 text retrieval, in-domain and zero-shot"


def norm_add(measure: Any, definition: Sequence[float], released: Sequence[float]) -> kit.Finding:
    """Image retrieval as given for the three lambdas; text retrieval just below ADD."""
    cells = grid(ALONE, combination="none") + by_lambda("ADD", 0.76, 0.75, 0.74)
    for name, shares in (("NORM_ADD", definition), (RELEASED, released)):
        cells += by_lambda(name, *shares, directions=[IMAGE]) + by_lambda(name, 0.755, 0.745, 0.73, directions=[TEXT])
    return kit.norm_add_finding(build(measure, cells))


CLIFF, SLOPE = (0.71, 0.708, 0.705), (0.755, 0.73, 0.70)


@pytest.mark.parametrize(
    ("definition", "released", "verdict"),
    [
        (SLOPE, CLIFF, SUPPORTED),
        (CLIFF, SLOPE, NOT_SUPPORTED),
        (CLIFF, CLIFF, INCONCLUSIVE),
        (SLOPE, SLOPE, INCONCLUSIVE),
        (SLOPE, (0.71, 0.6, 0.5), INCONCLUSIVE),
    ],
)
def test_which_norm_add_was_printed(definition: Sequence[float], released: Sequence[float], verdict: Verdict, measure: Any) -> None:
    found = norm_add(measure, definition, released)
    assert found.verdict == verdict, found.text
    assert found.text.startswith("NORM_ADD has the printed shape" if definition == CLIFF else "NORM_ADD does not have the printed shape")
    assert (f"{RELEASED} has the printed shape" in found.text) == (released == CLIFF)


def test_the_verdict_on_norm_add_is_on_its_definition(measure: Any) -> None:
    judge, cells = WORLDS["table9"]
    judged = judge(build(measure, cells, [({"combination": "NORM_ADD"}, 0.76)]))["T9-3"]
    assert judged.verdict == NOT_SUPPORTED, "though the released code loses"
    assert "ADD and NORM_ADD as released: 75.3 - 69.8 = +5.6 [" in judged.evidence[0]
    without = [cell for cell in build(measure, cells) if cell["combination"] != RELEASED]
    assert judge(without)["T9-3"].verdict == SUPPORTED
    assert RELEASED not in judge(without)["T9-3"].evidence[0]
    assert kit.norm_add_finding(without).text == f"not measured (no {RELEASED})"


def test_places_moved(measure: Any) -> None:
    cells = build(measure, WORLDS["figure2"][1])
    before, after = np.array([[3, 5, np.inf, 1, 2]] * 2), np.array([[1, 2, np.inf, 2, 2]] * 2)
    judged = kit.judge_figure2(cells, {"a, SEP+COOP": (np.tile(before, 50), np.tile(after, 50))})["F2-1"]
    assert judged.evidence[0].startswith("a image retrieval, BE reranked by SEP+COOP: up into first place 10.0%, down 0.0%: 10.0 - 0.0")
    assert judged.evidence[-1].startswith("a, SEP+COOP: up by any number of places 40.0%, down 20.0%")
    own = [*cells, *build(measure, grid({"JOINT+BE": 0.72}, [IMAGE]))]
    assert kit.judge_figure2(own)["F2-1"].parts[1][0] == "a image retrieval, JOINT+BE reranked by JOINT+COOP"
    assert kit.judge_figure2(own)["F2-1"].verdict == NOT_SUPPORTED


def test_the_smallest_training_is_told(measure: Any) -> None:
    judge, cells = WORLDS["figure3"]
    assert judge(build(measure, cells))["F3-1"].parts[0][0] == "a image retrieval, BE and CE, 1,000 of 10,000 training images"
    full = [cell for cell in build(measure, cells) if cell["trained_on"] == "a"]
    assert judge(full)["F3-2"].evidence == ["a: not measured (no training on fewer images) –"]


@pytest.mark.parametrize(("dev", "verdict"), [(0.9, SUPPORTED), (0.25, NOT_SUPPORTED), (0.3, INCONCLUSIVE)])
def test_overfitting(dev: float, verdict: Verdict, measure: Any) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal((3, 200))
    low, high, of_dev = (np.full((3, 200), loss) for loss in (0.2, 0.3, dev))
    losses = {"CE, random replacement": (low, high), "CE, hard negatives of BE": (low, of_dev + noise - noise.mean())}
    judged = kit.judge_ablations(build(measure, WORLDS["ablations"][1]), losses)["X-3"]
    assert judged.parts[-1][1].verdict == verdict
    assert judged.evidence[-1].startswith(f"loss on dev above train: CE, hard negatives of BE: train 0.200, dev {dev:.3f}; CE, random")


def test_a_training_that_failed_says_nothing_of_its_negatives(measure: Any) -> None:
    judged = kit.judge_ablations(build(measure, WORLDS["ablations"][1], [({"method": "BE, refreshed negatives (ANCE)"}, 0.2)]))["X-2"]
    assert judged.verdict == INCONCLUSIVE
    assert "ANCE's training failed" in judged.evidence[0]


def test_what_the_reranking_never_saw_was_not_moved(measure: Any) -> None:
    """Behind k the place after the reranking is only that it was not found: 25th before and "21st" after is no way up."""
    cells = build(measure, WORLDS["figure2"][1])
    before, after = np.full((1, 2000), 25), np.full((1, 2000), 21)
    after[0, :100], before[0, 100:200] = 1, 3
    judged = kit.judge_figure2(cells, {"a": (before, after)}, k=20)["F2-1"]
    assert "up by any number of places 5.0%, down 5.0%" in judged.parts[-1][1].text


def test_captions_that_move_apart_count_each(measure: Any) -> None:
    """Of two captions of each image one moves up and one down: both are told, and the image as a whole says nothing."""
    images = [str(i // 2) for i in range(2000)]
    cells = [replace(cell, images=images) for cell in build(measure, WORLDS["figure2"][1])]
    before, after = np.tile([3, 1], (1, 1000)), np.tile([1, 3], (1, 1000))
    finding = kit.judge_figure2(cells, {"a": (before, after)})["F2-1"].parts[-1][1]
    assert finding == Finding(INCONCLUSIVE, "up by any number of places 50.0%, down 50.0%: 50.0 - 50.0 = +0.0 [+0.0, +0.0]")


def test_languages_with_more_or_fewer_captions_an_image(measure: Any) -> None:
    """As in Multi30k: five English captions, one in each other language; each image is drawn with all of them."""
    judge, cells = WORLDS["table7"]
    captions = {"en": 5}

    def spoken(columns: dict[str, Any], share: float) -> Measured:
        number = captions.get(columns["language"], 1) if columns["direction"] == IMAGE else 1
        return replace(measure(share, 400 * number, **columns), images=[str(i // number) for i in range(400 * number)])

    assert judge([spoken(*cell) for cell in cells])["T7-1"].verdict == SUPPORTED
