"""Lesson 2: the match probability, its loss, the grid of pairs and its cost (paper, section 3.1)."""

from __future__ import annotations

from functools import partial

import numpy as np

from mmr_kit.teaching.exercises import Exercise


def _logits(rng: np.random.Generator) -> tuple[np.ndarray]:
    return (3 * rng.normal(size=(4, 2)),)


def _softmax(logits: np.ndarray, axis: int = 1) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _answers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(0.05, 0.95, size=6), rng.permutation(np.array([0, 0, 1, 1, 1, rng.integers(2)]))


def _entropy(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _grid(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 6 captions with 4 images, and the column of each caption's own image."""
    own = rng.integers(4, size=6)
    return rng.uniform(size=(6, 4)) + 0.3 * np.eye(4)[own], own


def _at(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.take_along_axis(scores, own[:, None], axis=1)


def _ranks(scores: np.ndarray, own: np.ndarray, first: int = 1) -> np.ndarray:
    return first + (scores > _at(scores, own)).sum(1)


def _collection(rng: np.random.Generator) -> tuple[int, int, float]:
    return int(rng.integers(100, 5000)), int(rng.integers(2, 8)), float(rng.integers(3, 700))


EXERCISES = {
    "match_probability": Exercise(
        truth=lambda logits: _softmax(logits)[:, 1],
        draw=_logits,
        mistakes={
            "this is the sigmoid of the match logit alone; the logit of 'no match' counts as well": lambda logits: 1 / (1 + np.exp(-logits[:, 1])),
            "this is the probability of 'no match'; column 1 is 'match'": lambda logits: _softmax(logits)[:, 0],
            "these are the probabilities of both labels; only the one of 'match' is asked for": _softmax,
            "the softmax runs over the pairs; it should run over the two labels of each pair": lambda logits: _softmax(logits, axis=0)[:, 1],
            "powers of the logits are not divided by their sum, so they are no probabilities": lambda logits: np.exp(logits)[:, 1],
        },
        remark="Only the difference of the two logits matters.",
    ),
    "match_loss": Exercise(
        truth=lambda p, y: _entropy(p, y).mean(),
        draw=_answers,
        mistakes={
            "the sign is missing: logarithms of probabilities are negative, a loss is not": lambda p, y: -_entropy(p, y).mean(),
            "only matching pairs count here; a confident match of a replaced pair must cost, too": lambda p, y: -(y * np.log(p)).mean(),
            "the labels are exchanged: y = 1 is a matching pair": lambda p, y: _entropy(p, 1 - y).mean(),
            "this is the sum over the pairs; take the mean": lambda p, y: _entropy(p, y).sum(),
            "this is one value a pair; take their mean": _entropy,
            "this is the logarithm to the base 2; take the natural one": lambda p, y: _entropy(p, y).mean() / np.log(2),
            "this is the squared error; the paper takes the cross entropy": lambda p, y: ((p - y) ** 2).mean(),
        },
        remark="A model that always says 0.5 has the loss log 2 = 0.69.",
    ),
    "ranks": Exercise(
        truth=_ranks,
        draw=_grid,
        mistakes={
            "you sorted ascending: the best score must come first": lambda scores, own: 1 + (scores < _at(scores, own)).sum(1),
            "these ranks count from 0; the best has rank 1": partial(_ranks, first=0),
            "this is the image at some place; we want the place of an image (argsort gives the one, argsort of argsort the other)": lambda scores, own: 1
            + _at(np.argsort(-scores, axis=1), own)[:, 0],
            "scores are compared along a column (other captions of the same image); go along the row": lambda scores, own: 1
            + (_at(scores, own) < scores[:, own].T).sum(1),
            "the right image counts itself: use >, not >=": partial(_ranks, first=2),
        },
        remark="With it every R@M can be computed.",
    ),
    "evaluation_seconds": Exercise(
        truth=lambda images, captions_per_image, pairs_per_second: images * images * captions_per_image / pairs_per_second,
        draw=_collection,
        mistakes={
            "the grid is counted twice; both directions read the same scores": lambda images, captions_per_image, pairs_per_second: (
                2 * images**2 * captions_per_image / pairs_per_second
            ),
            "an image has several captions, and each is a query": lambda images, captions_per_image, pairs_per_second: images**2 / pairs_per_second,
            "only the matching pairs are counted; CE has to score the wrong ones as well": lambda images, captions_per_image, pairs_per_second: (
                images * captions_per_image / pairs_per_second
            ),
            "multiplied by the pairs a second; divide": lambda images, captions_per_image, pairs_per_second: (
                images**2 * captions_per_image * pairs_per_second
            ),
        },
        remark="The images stand there squared.",
    ),
}
