"""Lesson 5: what a table can be asked without running anything, score combination, intervals and verdicts (paper, sections 5 and 6)."""

from __future__ import annotations

import numpy as np

from mmr_kit.retrieval.rerank import add, norm_add, norm_add_as_released
from mmr_kit.teaching.exercises import Exercise


def _column(rng: np.random.Generator) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Methods with R@1 in both directions; one has the same in both."""
    names = [f"method {letter}" for letter in "ABCDEF"]
    image = rng.uniform(30, 70, size=6).round(1)
    text = (image + rng.uniform(-8, 20, size=6)).round(1)
    text[0] = image[0]
    order = rng.permutation(6)
    return [names[place] for place in order], image[order], text[order]


def _latencies(rng: np.random.Generator) -> tuple[float, float, int, int]:
    return float(rng.uniform(0.05, 2)), float(rng.integers(100, 10_000)), int(rng.integers(1000, 50_000)), int(rng.choice([10, 20, 50]))


def _candidates(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Cosines, of which some are negative, and match probabilities of five candidates; lambda."""
    return rng.uniform(-0.4, 0.8, size=5) - 0.1, rng.uniform(0.1, 0.9, size=5), float(rng.choice([0.1, 0.3, 0.9]))


def _scaled(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    return (scores - low) / (high - low)


def _together(cosines: np.ndarray, matches: np.ndarray, weight: float) -> np.ndarray:
    both = np.concatenate([cosines, matches])
    return add(_scaled(cosines, both.min(), both.max()), _scaled(matches, both.min(), both.max()), weight)


def _hits(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which of 20,000 queries two methods answered right; mostly the same ones."""
    first = rng.uniform(size=20_000) < rng.uniform(0.4, 0.8)
    return first, np.where(rng.uniform(size=20_000) < 0.85, first, rng.uniform(size=20_000) < 0.5)


def _interval(a: np.ndarray, b: np.ndarray, spread: float, unit: float = 100) -> tuple[float, float]:
    mean = np.mean(a.astype(float) - b)
    return unit * (mean - spread), unit * (mean + spread)


def _paired(a: np.ndarray, b: np.ndarray) -> float:
    return 1.96 * float(np.std(a.astype(float) - b) / np.sqrt(len(a)))


def _evidence(rng: np.random.Generator) -> tuple[float, float, float]:
    needed = float(rng.choice([0, 1, -2]))
    low = needed + float(rng.uniform(-3, 1))
    return low, low + float(rng.uniform(1, 3)), needed


EXERCISES = {
    "image_above_text": Exercise(
        truth=lambda methods, image_r1, text_r1: [name for name, image, text in zip(methods, image_r1, text_r1, strict=True) if image > text],
        draw=_column,
        mistakes={
            "these are the ones with the larger text retrieval": lambda methods, image_r1, text_r1: [
                name for name, image, text in zip(methods, image_r1, text_r1, strict=True) if image < text
            ],
            "equal numbers are no exception: use >, not >=": lambda methods, image_r1, text_r1: [
                name for name, image, text in zip(methods, image_r1, text_r1, strict=True) if image >= text
            ],
            "this says of each method whether it is one; give the names": lambda methods, image_r1, text_r1: image_r1 > text_r1,
            "these are places in the list; give the names": lambda methods, image_r1, text_r1: np.flatnonzero(image_r1 > text_r1),
        },
        remark="A rule that nearly all rows follow finds the row to look at.",
    ),
    "coop_latency": Exercise(
        truth=lambda be_seconds, ce_seconds, images, k: be_seconds + k * ce_seconds / images,
        draw=_latencies,
        mistakes={
            "COOP scores k pairs, not the whole collection": lambda be_seconds, ce_seconds, images, k: be_seconds + ce_seconds,
            "these are the seconds of a whole CE query for each candidate; a pair takes 1 / images of it": lambda be_seconds, ce_seconds, images, k: (
                be_seconds + k * ce_seconds
            ),
            "the retrieval by BE has to be paid for as well": lambda be_seconds, ce_seconds, images, k: k * ce_seconds / images,
            "that is the time of one pair; there are k": lambda be_seconds, ce_seconds, images, k: be_seconds + ce_seconds / images,
            "images / ce_seconds are pairs a second; we need seconds a pair": lambda be_seconds, ce_seconds, images, k: be_seconds + k * images / ce_seconds,
        },
        remark="Now compare it with what is printed.",
    ),
    "norm_add": Exercise(
        truth=norm_add,
        draw=_candidates,
        mistakes={
            "this is ADD: the scores are not brought to [0, 1] first": add,
            "the lower bound of the cosines is |min|, not min: that is what the authors' released code computes": norm_add_as_released,
            "lambda is the share of the cosine, 1 - lambda that of the match probability": lambda cosines, matches, weight: norm_add(
                cosines, matches, 1 - weight
            ),
            "both scores are brought to [0, 1] together; each has its own minimum and maximum": _together,
            "the scores are divided by their maximum, but the minimum is not taken off": lambda cosines, matches, weight: add(
                cosines / cosines.max(), matches / matches.max(), weight
            ),
            "the minimum is taken off, but the scores are not divided by max - min": lambda cosines, matches, weight: add(
                cosines - cosines.min(), matches - matches.min(), weight
            ),
            "the sum is normalised; normalise each score before it is added": lambda cosines, matches, weight: _scaled(
                total := add(cosines, matches, weight), total.min(), total.max()
            ),
        },
        remark="The best candidate of either score now counts 1, whatever its value was.",
    ),
    "difference_interval": Exercise(
        truth=lambda a, b: _interval(a, b, _paired(a, b)),
        draw=_hits,
        mistakes={
            "this treats the two methods as if they had answered different queries; take the spread of the differences": lambda a, b: _interval(
                a, b, 1.96 * float(np.sqrt((np.var(a) + np.var(b)) / len(a)))
            ),
            "this is the spread of single queries; the mean of n queries is known better, by the root of n": lambda a, b: _interval(
                a, b, _paired(a, b) * np.sqrt(len(a))
            ),
            "divided by n; the spread of a mean falls with the root of n": lambda a, b: _interval(a, b, _paired(a, b) / np.sqrt(len(a))),
            "these are shares; give points (percent)": lambda a, b: _interval(a, b, _paired(a, b), unit=1),
            "this is one standard error to either side, a 68% interval; 95% takes 1.96": lambda a, b: _interval(a, b, _paired(a, b) / 1.96),
            "this is b - a": lambda a, b: _interval(b, a, _paired(a, b)),
            "the upper end comes second": lambda a, b: _interval(a, b, _paired(a, b))[::-1],
        },
        remark="The kit resamples instead, which needs no normal distribution; and it draws images, each with all its captions, as five captions of one "
        "picture are no five independent questions: its interval is somewhat wider.",
    ),
    "judge": Exercise(
        truth=lambda low, high, needed: "supported" if low > needed else "not supported" if high < needed else "inconclusive",
        draw=_evidence,
        mistakes={
            "the middle of the interval decides here; where the interval holds the needed value, the data say neither": lambda low, high, needed: (
                "supported" if low + high > 2 * needed else "not supported"
            ),
            "an interval that reaches below the needed value does not speak against the claim yet": lambda low, high, needed: (
                "supported" if low > needed else "not supported"
            ),
            "the claim is judged against 0; it needs more, or less": lambda low, high, needed: (
                "supported" if low > 0 else "not supported" if high < 0 else "inconclusive"
            ),
            "one end above the needed value is not enough: the whole interval must lie there": lambda low, high, needed: (
                "supported" if high > needed else "not supported"
            ),
            "supported and not supported are exchanged": lambda low, high, needed: (
                "not supported" if low > needed else "supported" if high < needed else "inconclusive"
            ),
        },
        remark="That is how every claim of the kit's report is judged.",
    ),
}
