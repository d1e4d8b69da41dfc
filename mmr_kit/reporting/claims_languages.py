"""The claims of Tables 2 and 7 on mR in several languages: trained on all of them, and trained on English alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from mmr_kit.reporting.claims import Claims, judge
from mmr_kit.reporting.comparisons import Judge, Parts, above_each, mean_recalls, methods
from mmr_kit.reporting.evidence import Finding, Verdict, apart, at_least, by_far, greater, not_measured, verdict_of
from mmr_kit.reporting.measured import Measured, values_of

METHODS = ("CE", "BE", "SEP+COOP", "JOINT+COOP")
COMPETITIVE = 1.0  # T2-2: "about 1 point" (claims.csv); the paper prints 78.0 for JOINT+COOP and 78.6 for CE
FAR_BEHIND = by_far(84.2 - 45.2)  # T7-1: CE 84.2 in English, 45.2 on average in the others


def best_mean(method: str) -> Judge:
    """A method has the highest mR, averaged over the languages."""
    others = tuple(other for other in METHODS if other != method)
    return lambda measured: above_each(measured, method, others, how=mean_recalls)


def competitive(measured: Sequence[Measured]) -> Parts:
    """JOINT+COOP is near CE or above it, and some other method is above JOINT+COOP (printed: SEP+COOP and CE)."""

    def surpassed(of_joint: Sequence[np.ndarray], *of_others: Sequence[np.ndarray]) -> Finding:
        findings = {name: greater(values, of_joint) for name, values in zip(others, of_others, strict=True)}
        above = any(finding.verdict == Verdict.SUPPORTED for finding in findings.values())
        told = "; ".join(f"{name} {finding.text}" for name, finding in findings.items())
        return Finding(verdict_of(above, all(finding.verdict == Verdict.NOT_SUPPORTED for finding in findings.values())), told)

    others = METHODS[:-1]
    near = mean_recalls(measured, methods("JOINT+COOP", "CE"), partial(at_least, margin=COMPETITIVE), "JOINT+COOP beside CE")
    return [*near, *mean_recalls(measured, methods("JOINT+COOP", *others), surpassed, "not the best: one of the others above JOINT+COOP")]


def english_ahead(measured: Sequence[Measured]) -> Parts:
    """mR in English minus its mean over the other languages, for each method; each image is drawn with its queries in all languages."""
    others = [language for language in values_of(measured, "language") if language != "en"]
    if not others:
        return [("", not_measured("no language beside English"))]

    def test(english: Sequence[np.ndarray], *foreign: Sequence[np.ndarray]) -> Finding:
        return greater(*apart(english, [values for language in foreign for values in language]), by=FAR_BEHIND)

    sides = {method: [{"method": method, "language": language} for language in ("en", *others)] for method in METHODS}
    return [part for method, languages in sides.items() for part in mean_recalls(measured, languages, test, method, strata=("direction",))]


def elsewhere(judged: Judge) -> Judge:
    """A claim on the languages beside English."""
    return lambda measured: judged([cell for cell in measured if cell["language"] != "en"])


TABLE2: dict[str, Judge] = {"T2-1": best_mean("SEP+COOP"), "T2-2": competitive}
TABLE7: dict[str, Judge] = {
    "T7-1": english_ahead,
    "T7-2": elsewhere(best_mean("SEP+COOP")),
    "T7-3": elsewhere(lambda measured: mean_recalls(measured, methods("BE", "CE"), greater)),
}


def judge_table2(measured: Sequence[Measured]) -> Claims:
    """Judge T2-1 and T2-2 on cells with columns method (CE, BE, SEP+COOP, JOINT+COOP), language and direction, trained on all languages."""
    return judge(TABLE2, measured)


def judge_table7(measured: Sequence[Measured]) -> Claims:
    """Judge T7-1 to T7-3 on cells as for Table 2, trained on English alone."""
    return judge(TABLE7, measured)
