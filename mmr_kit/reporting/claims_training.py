"""The claims of Figures 3 and 4 and of the footnotes on training: fewer images, half the layers, other poolings and negatives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mmr_kit.reporting.bootstrap import paired_bootstrap
from mmr_kit.reporting.claims import POINTS_READING, Claims, judge
from mmr_kit.reporting.comparisons import Judge, Parts, above_each, at_r1, compare, methods
from mmr_kit.reporting.evidence import (
    MARGIN,
    Finding,
    Test,
    Verdict,
    all_of,
    at_least,
    greater,
    keeps_more,
    not_measured,
    ratio_within,
    rises,
    verdict_of,
)
from mmr_kit.reporting.measured import Measured, base_name, select, values_of

METHODS = ("CE", "BE", "SEP+COOP", "JOINT+COOP")
HALF_SIZE = ", half size"  # what follows the backbone's name
ABOUT_90_PERCENT = (0.8, 1.0)
"""F4-1: the band of ratios that counts as "around ~90%".

Figure 4 prints no numbers, and the paper hedges twice ("around", "~") because it speaks of several methods at once: so ten percent to either side. At 0.8
a fifth would be lost, at 1.0 nothing; neither is about a tenth. An interval that only touches an edge decides nothing.
"""
STANDARD = "BE, hardest in batch"  # the paper's: mean pooling, N = batch - 1
CLS_POOLING, ANCE, RANDOM_NEGATIVE = "BE, [CLS] pooling", "BE, refreshed negatives (ANCE)", "BE, N = 1"
UNTAGGED, TAGGED = "without tags", "with object tags"  # behind the method's name
RANDOM, HARD = "CE, random replacement", "CE, hard negatives of BE"
CANDIDATES = re.compile(r"BE, N = (\d+)")


@dataclass(frozen=True)
class Figure3:
    """What Figure 3 measures: its cells, and {data set: number of training images of the full set}."""

    measured: Sequence[Measured]
    full: Mapping[str, int]

    def compare_sizes(self, names: Sequence[str], test: Test, what: str) -> Parts:
        """`test(first method at the smallest size, at the full size, second at the smallest, ...)` at R@1, for each data set tested on its own kind."""
        parts: Parts = []
        for dataset in dict.fromkeys(base_name(cell["dataset"]) for cell in self.measured):
            cells = [cell for cell in self.measured if base_name(cell["dataset"]) == base_name(cell["trained_on"]) == dataset]
            sizes = [int(name.removeprefix(f"{dataset}_")) for name in values_of(cells, "trained_on") if name != dataset]
            if not sizes:
                parts.append((dataset, not_measured("no training on fewer images")))
                continue
            trainings = (f"{dataset}_{min(sizes)}", dataset)
            variants = [{"method": name, "trained_on": training} for name in names for training in trainings]
            full = f" of {self.full[dataset]:,}" if dataset in self.full else ""
            parts += compare(cells, variants, test, per=("dataset", "direction"), label=f"{what}, {min(sizes):,}{full} training images")
        return parts or [("", not_measured("no training on fewer images"))]


def bi_encoder_loses_most(figure: Figure3) -> Parts:
    """From the full set to the smallest BE loses more of its R@1 than CE, and considerably more points (no number is printed: more than a par)."""

    def test(be: np.ndarray, full_be: np.ndarray, ce: np.ndarray, full_ce: np.ndarray) -> Finding:
        lost = greater(full_be - be, full_ce - ce, by=MARGIN)
        return all_of({"points lost by BE and by CE": lost, "share kept by CE and by BE": keeps_more(ce, full_ce, be, full_be)})

    return figure.compare_sizes(("BE", "CE"), test, "BE and CE")


def joint_suffers(figure: Figure3) -> Parts:
    """At the smallest size CE is above JOINT+COOP."""
    return figure.compare_sizes(("CE", "JOINT+COOP"), lambda ce, _, joint, __: greater(ce, joint), "CE and JOINT+COOP")


def judge_figure3(measured: Sequence[Measured], full: Mapping[str, int]) -> Claims:
    """Judge F3-1 and F3-2 on CE, BE and JOINT+COOP, each trained on fewer images (trained_on "<data set>_<images>") and on all (the data set's name).

    full: {data set: its number of training images}, told beside the smallest size.
    """
    reading = f"{POINTS_READING} A share kept is R@1 of the training on few images in percent of R@1 of the training on all."
    return judge({"F3-1": bi_encoder_loses_most, "F3-2": joint_suffers}, Figure3(measured, full), reading=reading)


def keeps_about_90_percent(measured: Sequence[Measured]) -> Parts:
    """R@1 of the half-size model over that of the full one, for each method."""
    halves = [name for name in values_of(measured, "backbone") if name.endswith(HALF_SIZE)]
    parts: Parts = []
    for half in halves or [HALF_SIZE]:
        for method in METHODS:
            sides = [{"method": method, "backbone": half}, {"method": method, "backbone": half.removesuffix(HALF_SIZE)}]
            parts += compare(measured, sides, partial(ratio_within, band=ABOUT_90_PERCENT), label=method)
    return parts


def best_at_half_size(measured: Sequence[Measured]) -> Parts:
    """JOINT+COOP is above all others at half size."""
    return above_each([cell for cell in measured if cell["backbone"].endswith(HALF_SIZE)], "JOINT+COOP", METHODS[:-1])


def judge_figure4(measured: Sequence[Measured]) -> Claims:
    """Judge F4-1 and F4-2 on CE, BE, SEP+COOP and JOINT+COOP with backbone "oscar" and "oscar, half size" (or any other name and the same suffix)."""
    low, high = ABOUT_90_PERCENT
    reading = f"{POINTS_READING} A ratio is R@1 of the half-size model over that of the full one; around 90%, as the paper says of a plot without numbers, "
    return judge({"F4-1": keeps_about_90_percent, "F4-2": best_at_half_size}, measured, reading=f"{reading}is read as {low:.2f} to {high:.2f}.")


@dataclass(frozen=True)
class Ablations:
    """What the ablations measure: their cells, and {method: losses on batches of the training and of the dev split, float (seeds, batches) each}."""

    measured: Sequence[Measured]
    losses: Mapping[str, tuple[np.ndarray, np.ndarray]]


def of_cells(judged: Judge) -> Callable[[Ablations], Parts]:
    return lambda ablations: judged(ablations.measured)


def ance_brings_nothing(measured: Sequence[Measured]) -> Parts:
    """BE with the hardest negatives of the batch is at least as good as with ANCE's. Where ANCE's is below a random negative, its training failed and says
    nothing of its negatives."""

    def test(in_batch: np.ndarray, ance: np.ndarray, *at_random: np.ndarray) -> Finding:
        finding, failed = at_least(in_batch, ance), [greater(values, ance) for values in at_random]
        if not failed or failed[0].verdict != Verdict.SUPPORTED:
            return finding
        return Finding(Verdict.INCONCLUSIVE, f"{finding.text}, but ANCE's training failed: it is below a random negative, {failed[0].text}")

    at_random = [RANDOM_NEGATIVE] if select(measured, method=RANDOM_NEGATIVE) else []
    return compare(measured, methods(STANDARD, ANCE, *at_random), test)


def hard_negatives_overfit(ablations: Ablations) -> Parts:
    """CE with random replacements is above CE with BE's hard negatives, whose dev loss exceeds its train loss by more (where the losses are known)."""
    parts = at_r1(RANDOM, greater, HARD)(ablations.measured)
    if RANDOM in ablations.losses and HARD in ablations.losses:
        losses = {method: ablations.losses[method] for method in (HARD, RANDOM)}
        more, low, high = paired_bootstrap(*(dev - train for train, dev in losses.values()))
        told = "; ".join(f"{method}: train {train.mean():.3f}, dev {dev.mean():.3f}" for method, (train, dev) in losses.items())
        parts.append(("loss on dev above train", Finding(verdict_of(low > 0, high < 0), f"{told}; by {more:+.3f} [{low:+.3f}, {high:+.3f}] more")))
    return parts


def more_candidates_help(measured: Sequence[Measured]) -> Parts:
    """R@1 of BE rises with the number N of negatives among which the hardest is sought, up to the whole batch."""
    numbers = sorted(int(found[1]) for name in values_of(measured, "method") if (found := CANDIDATES.fullmatch(name)))
    if not numbers:
        return [("", not_measured("BE with an N below the batch is needed"))]
    names = [*(f"N = {number}" for number in numbers), STANDARD.removeprefix("BE, ")]

    def test(*values: np.ndarray) -> Finding:
        return rises(list(zip(names, values, strict=True)))

    return compare(measured, methods(*(f"BE, {name}" for name in names)), test)


def judge_ablations(measured: Sequence[Measured], losses: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None) -> Claims:
    """Judge X-1, X-2, X-3 and X-5 on the methods named at the head of this module.

    losses: {method: (on training batches, on dev batches)}, float (seeds, batches) each, of the two CE trainings (see `study.match_losses`), for X-3's
    overfitting; without it only R@1 is judged.
    """
    specs: dict[str, Callable[[Ablations], Parts]] = {
        "X-1": of_cells(at_r1(STANDARD, greater, CLS_POOLING)),
        "X-2": of_cells(ance_brings_nothing),
        "X-3": hard_negatives_overfit,
        "X-5": of_cells(more_candidates_help),
    }
    reading = f"{POINTS_READING} Differences between losses are in the unit of the match loss (nats)."
    return judge(specs, Ablations(measured, losses or {}), reading=reading)


def tags_do_not_help(measured: Sequence[Measured]) -> Parts:
    """Without tags each method is at least as good as with them."""
    names = dict.fromkeys(name.removesuffix(f", {TAGGED}") for name in values_of(measured, "method") if name.endswith(f", {TAGGED}"))
    found = [part for name in names for part in at_r1(f"{name}, {UNTAGGED}", at_least, f"{name}, {TAGGED}")(measured)]
    return found or [("", not_measured("a method with object tags is needed"))]


def judge_object_tags(measured: Sequence[Measured]) -> Claims:
    """Judge X-4 on "BE, without tags" and "BE, with object tags", and any other method named so."""
    return judge({"X-4": tags_do_not_help}, measured)
