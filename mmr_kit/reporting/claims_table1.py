"""The claims of Table 1, each as what is compared with what and by which test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmr_kit.reporting.claims import Claims, judge
from mmr_kit.reporting.comparisons import Judge, Parts, above_each, at_r1, compare, methods
from mmr_kit.reporting.evidence import Finding, Verdict, at_least, equivalent, greater, not_measured
from mmr_kit.reporting.measured import Measured
from mmr_kit.reporting.paper import paper_table
from mmr_kit.retrieval.metrics import AT

METHODS = ("CE", "BE", "SEP+COOP", "JOINT+COOP", "JOINT+CE", "JOINT+BE")
R1, R10 = AT.index(1), AT.index(10)
MUCH_SMALLER = 0.5  # T1-2: a gap is much smaller than another if it is less than half of it
HALF = (0.45, 0.55)  # T1-8: shares that count as half; the heads of a model are shared or not, but small


@dataclass(frozen=True)
class Table1:
    """What Table 1 measures: its cells (`Results.measured`) and the parameters, {"CE": count, "BE": count, "JOINT": count}."""

    measured: Sequence[Measured]
    parameters: Mapping[str, int]


Spec = Callable[[Table1], Parts]


def of_cells(judged: Judge) -> Spec:
    """A claim that the parameters do not touch."""
    return lambda table: judged(table.measured)


def gap_shrinks(a: str, b: str) -> Judge:
    """The lead of a over b at R@10 is less than half of its lead at R@1 (image by image: half the lead at R@1 minus the lead at R@10 is above 0).

    Without a lead at R@1 there is nothing to shrink, and nothing follows.
    """

    def test(of_a: np.ndarray, of_b: np.ndarray) -> Finding:
        at_1, at_10 = (np.asarray(of_a, dtype=float)[..., m] - of_b[..., m] for m in (R1, R10))
        finding = greater(MUCH_SMALLER * at_1, at_10)
        told = f"{a} leads {b} by {100 * at_1.mean():.1f} at R@1 and {100 * at_10.mean():.1f} at R@10; half of the one minus the other: {finding.text}"
        if at_1.mean() <= 0:
            return Finding(Verdict.INCONCLUSIVE, f"no lead of {a} over {b} at R@1 that could shrink: {100 * at_1.mean():.1f}")
        return Finding(finding.verdict, told)

    return lambda measured: compare(measured, methods(a, b), test, value=np.asarray)


def highest(a: str) -> Judge:
    """a is above every other method at R@1; only beside JOINT+CE, the same network without the retrieval step (T1-6), it is enough to be on a par."""
    others = tuple(method for method in METHODS if method != a)
    return lambda measured: above_each(measured, a, others, on_a_par=("JOINT+CE",))


def half_the_parameters(table: Table1) -> Parts:
    """The joint model against the two separate ones together."""
    if not {"CE", "BE", "JOINT"} <= set(table.parameters):
        return [("", not_measured("parameter counts of CE, BE and JOINT are needed"))]
    joint, separate = table.parameters["JOINT"], table.parameters["CE"] + table.parameters["BE"]
    share = joint / separate
    verdict = Verdict.SUPPORTED if HALF[0] <= share <= HALF[1] else Verdict.NOT_SUPPORTED
    return [("", Finding(verdict, f"JOINT {joint:,} / (CE + BE) {separate:,} = {share:.3f}"))]


def transformers_ahead(table: Table1) -> Parts:
    """The lowest of the paper's G2 and G3 rows against the highest of G1 at R@1, as printed."""
    rows = paper_table(1)
    rows = rows[rows["metric"] == "R@1"]
    parts = []
    for dataset, direction in dict.fromkeys(zip(rows["dataset"], rows["direction"], strict=True)):
        cell = rows[(rows["dataset"] == dataset) & (rows["direction"] == direction)]
        before = cell["group"].str.startswith("G1")
        low, high = cell[~before].nsmallest(1, "value").iloc[0], cell[before].nlargest(1, "value").iloc[0]
        verdict = Verdict.SUPPORTED if low["value"] > high["value"] else Verdict.NOT_SUPPORTED
        doubt = " (probably a misprint)" if high["erratum"] else ""
        name = f"{low['method']} with {low['backbone']}" if low["backbone"] else low["method"]
        text = f"lowest Transformer {name} {low['value']} against highest pre-Transformer {high['method']} {high['value']}{doubt}"
        parts.append((f"{dataset} {direction.replace('_', ' ')}", Finding(verdict, text)))
    return parts


SPECS: dict[str, Spec] = {
    "T1-1": of_cells(at_r1("CE", greater, "BE")),
    "T1-2": of_cells(gap_shrinks("CE", "BE")),
    "T1-3": of_cells(at_r1("SEP+COOP", at_least, "CE")),
    "T1-4": of_cells(at_r1("JOINT+COOP", at_least, "CE")),
    "T1-5": of_cells(highest("JOINT+COOP")),
    "T1-6": of_cells(at_r1("JOINT+COOP", equivalent, "JOINT+CE")),
    "T1-7": of_cells(at_r1("JOINT+BE", equivalent, "BE")),
    "T1-8": half_the_parameters,
    "T1-9": transformers_ahead,
}
QUOTED = ("T1-9",)


def judge_table1(measured: Sequence[Measured], parameters: Mapping[str, int]) -> Claims:
    """Judge T1-1 to T1-9 on `Results.measured` and the parameter counts {"CE": .., "BE": .., "JOINT": ..}.

    Each comparison is made on the largest gallery of a data set on which the methods compared were measured (see `comparisons`).
    """
    return judge(SPECS, Table1(measured, parameters), QUOTED)
