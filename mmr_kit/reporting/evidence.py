"""Findings: what one comparison says. Two methods are compared on the same images by the paired bootstrap; the unit is points of R@M or mR (percent).

Values are shares (seeds, images), the queries of an image taken together, or a list of them, one a stratum (direction, language): then the mean over strata
is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from mmr_kit.reporting.bootstrap import RESAMPLES, Interval, bootstrap_means, differences, interval_of, stratified_interval

MARGIN = 2.0
"""Points of R@M within which two methods count as on a par.

The paper states no margin. The largest difference that it itself calls on a par is 1.9 points (Table 1, R@10 on Flickr30k, BE 94.7 and CE 96.6), and
two points are also about the noise of a gallery of a thousand images. The margin was fixed before the claims were judged, and is the same for all.
"""


class Verdict(StrEnum):
    """What the evidence says of a claim."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not measured"

    @property
    def symbol(self) -> str:
        return {"supported": "✓", "not supported": "✗", "inconclusive": "?", "not measured": "–"}[self.value]


@dataclass(frozen=True)
class Finding:
    """The outcome of one comparison: its verdict and the numbers in words."""

    verdict: Verdict
    text: str


Values = np.ndarray | Sequence[np.ndarray]
Test = Callable[..., Finding]


def by_far(*printed: float) -> float:
    """Points that "far", "harshly", "considerably" ask for: half of the smallest difference that the paper prints as their evidence, and more than a par."""
    return max(MARGIN, min(printed) / 2)


def greater(a: Values, b: Values, by: float = 0.0) -> Finding:
    """a > b + by: the interval of a - b lies above `by` points, or wholly below, or holds it."""
    difference = _points(a, b)
    verdict = verdict_of(difference.low > by, difference.high < by)
    return Finding(verdict, _told(a, b, difference) + (f", needed: above {by:g}" if by else ""))


def at_least(a: Values, b: Values, margin: float = MARGIN) -> Finding:
    """a >= b - margin ("on a par with or above"; non-inferiority): the interval of a - b lies above -margin, or below it, or holds it."""
    difference = _points(a, b)
    verdict = verdict_of(difference.low > -margin, difference.high < -margin)
    return Finding(verdict, f"{_told(a, b, difference)}, needed: above -{margin:g}")


def equivalent(a: Values, b: Values, margin: float = MARGIN) -> Finding:
    """|a - b| < margin: two one-sided tests by the 95% interval (so each at 2.5%), which lies inside the margin, or outside it, or across its edge."""
    difference = _points(a, b)
    verdict = verdict_of(-margin < difference.low and difference.high < margin, difference.low > margin or difference.high < -margin)
    return Finding(verdict, f"{_told(a, b, difference)}, needed: within ±{margin:g}")


def ratio_within(a: np.ndarray, b: np.ndarray, band: tuple[float, float]) -> Finding:
    """Mean of a over mean of b lies in the band: so does its interval, or it lies outside, or across an edge (or b is 0 and there is no ratio)."""
    ratio, low, high = ratio_interval(a, b)
    verdict = verdict_of(band[0] < low and high < band[1], high < band[0] or low > band[1])
    told = f"{_percent(a):.1f} / {_percent(b):.1f} = {ratio:.2f} [{low:.2f}, {high:.2f}]"
    return Finding(verdict, f"{told}, needed: {band[0]:.2f} to {band[1]:.2f}")


def ratio_interval(a: np.ndarray, b: np.ndarray) -> Interval:
    """Mean of a over mean of b with its 95% interval, the images and seeds of both being drawn alike; a, b: (seeds, images)."""
    ratio, draws = _ratio(a, b)
    return interval_of(draws, ratio)


def keeps_more(a: np.ndarray, full_a: np.ndarray, b: np.ndarray, full_b: np.ndarray) -> Finding:
    """a / full_a > b / full_b, the shares of their full values that two methods keep; the difference is in points of percent."""
    (kept_a, draws_a), (kept_b, draws_b) = _ratio(a, full_a), _ratio(b, full_b)
    difference, low, high = (round(100 * value, 4) for value in interval_of(draws_a - draws_b, kept_a - kept_b))
    told = f"{100 * kept_a:.1f}% - {100 * kept_b:.1f}% = {difference:+.1f} [{low:+.1f}, {high:+.1f}]"
    return Finding(verdict_of(low > 0, high < 0), told)


def rises(series: Sequence[tuple[str, Values]]) -> Finding:
    """The values rise from the first to the last, and no step falls by more than noise; each with the name of its place."""
    if len(series) < 2:
        return not_measured("at least two settings are needed")
    (first, lowest), (last, highest) = series[0], series[-1]
    whole = greater(highest, lowest)
    told = [" to ".join(f"{name}: {_percent(values):.1f}" for name, values in series), f"{last} against {first}: {whole.text}"]
    broken = False
    for (before, a), (after, b) in pairwise(series):
        step = greater(a, b)
        if step.verdict == Verdict.SUPPORTED:
            broken = True
            told.append(f"but {before} is above {after}: {step.text}")
    return Finding(Verdict.NOT_SUPPORTED if broken else whole.verdict, "; ".join(told))


def all_of(findings: Mapping[str, Finding]) -> Finding:
    """Findings that must all hold, each told under its name."""
    return Finding(worst(list(findings.values())), "; ".join(f"{name}: {finding.text}" for name, finding in findings.items()))


def beside(finding: Finding, others: Mapping[str, Finding]) -> Finding:
    """A finding with others told beside it that do not count."""
    told = (f"[does not count: {name}: {other.text} {other.verdict.symbol}]" for name, other in others.items())
    return Finding(finding.verdict, " ".join([finding.text, *told]))


def worst(findings: Sequence[Finding]) -> Verdict:
    """Not supported if any is not, supported if all are, not measured if none was, inconclusive otherwise."""
    verdicts = {finding.verdict for finding in findings} or {Verdict.NOT_MEASURED}
    if Verdict.NOT_SUPPORTED in verdicts:
        return Verdict.NOT_SUPPORTED
    return verdicts.pop() if len(verdicts) == 1 else Verdict.INCONCLUSIVE


def not_measured(what: str) -> Finding:
    """The evidence is not there, and what is missing."""
    return Finding(Verdict.NOT_MEASURED, f"not measured ({what})")


def apart(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two sides with other strata each (languages), as strata for `greater`: the means of both stay what they are."""
    strata = len(a) + len(b)
    left = [values * (strata / len(a)) for values in a] + [np.zeros_like(values) for values in b]
    right = [np.zeros_like(values) for values in a] + [values * (strata / len(b)) for values in b]
    return left, right


def verdict_of(holds: bool, fails: bool) -> Verdict:
    """Inconclusive where the evidence neither holds nor fails."""
    return Verdict.SUPPORTED if holds else Verdict.NOT_SUPPORTED if fails else Verdict.INCONCLUSIVE


def _ratio(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of a over that of b and its resampled values, the images and seeds of both being drawn alike; not a number where b is 0."""
    differences([a], [b])  # refuses other queries
    above, below, nothing = bootstrap_means([a]), bootstrap_means([b]), np.full(RESAMPLES, np.nan)
    mean = float(np.mean(a) / np.mean(b)) if np.any(b) else np.nan
    return mean, np.divide(above, below, out=nothing, where=below > 0)


def _strata(values: Values) -> list[np.ndarray]:
    return [values] if isinstance(values, np.ndarray) else list(values)


def _points(a: Values, b: Values) -> Interval:
    """The difference in points, to four decimals: thirds of a hit (mR) are not exact, and no verdict shall hang on the last bit."""
    return Interval(*(round(100 * value, 4) for value in stratified_interval(differences(_strata(a), _strata(b)))))


def _percent(values: Values) -> float:
    return 100 * float(np.mean([np.mean(each) for each in _strata(values)]))


def _told(a: Values, b: Values, difference: Interval) -> str:
    of_a, of_b, mean, low, high = (round(value, 1) + 0.0 for value in (_percent(a), _percent(b), *difference))  # + 0.0: no "-0.0"
    return f"{of_a:.1f} - {of_b:.1f} = {mean:+.1f} [{low:+.1f}, {high:+.1f}]"
