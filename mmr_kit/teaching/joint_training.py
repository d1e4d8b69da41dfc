"""Lesson 4: two objectives, one set of weights (paper, section 3.4)."""

from __future__ import annotations

import numpy as np

from mmr_kit.teaching.exercises import Exercise


def _step(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    weights, of_be, of_ce = rng.normal(size=(3, 4))
    return weights, of_be, of_ce, float(rng.choice([0.1, 0.3]))


def _gradients(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    own, other = rng.normal(size=(2, 6))
    return own, other, float(rng.choice([0.1, 0.3]))


def _sizes(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(100_000, 1_000_000)), int(rng.integers(100, 2000))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


EXERCISES = {
    "joint_step": Exercise(
        truth=lambda weights, be_gradient, ce_gradient, learning_rate: weights - learning_rate * (be_gradient + ce_gradient),
        draw=_step,
        mistakes={
            "the sign is wrong: this step climbs, a loss is to fall": lambda weights, be_gradient, ce_gradient, learning_rate: (
                weights + learning_rate * (be_gradient + ce_gradient)
            ),
            "only the triplet loss has moved the weights; the match loss shares them": lambda weights, be_gradient, ce_gradient, learning_rate: (
                weights - learning_rate * be_gradient
            ),
            "only the match loss has moved the weights; the triplet loss shares them": lambda weights, be_gradient, ce_gradient, learning_rate: (
                weights - learning_rate * ce_gradient
            ),
            "this follows the mean of both gradients; the gradient of a sum is the sum": lambda weights, be_gradient, ce_gradient, learning_rate: (
                weights - learning_rate * (be_gradient + ce_gradient) / 2
            ),
            "the learning rate is missing": lambda weights, be_gradient, ce_gradient, learning_rate: weights - be_gradient - ce_gradient,
            "this is the change of the weights; give the weights after it": lambda weights, be_gradient, ce_gradient, learning_rate: (
                -learning_rate * (be_gradient + ce_gradient)
            ),
        },
        remark="The kit's training loop does the same, through AdamW.",
    ),
    "change_of_other": Exercise(
        truth=lambda own_gradient, other_gradient, learning_rate: -learning_rate * own_gradient @ other_gradient,
        draw=_gradients,
        mistakes={
            "the sign is wrong: the step goes against its own gradient": lambda own_gradient, other_gradient, learning_rate: (
                learning_rate * own_gradient @ other_gradient
            ),
            "the learning rate is missing: half the step, half the change": lambda own_gradient, other_gradient, learning_rate: (
                -own_gradient @ other_gradient
            ),
            "this is the change of the own loss; the other one is asked for": lambda own_gradient, other_gradient, learning_rate: (
                -learning_rate * own_gradient @ own_gradient
            ),
            "this is the cosine; the lengths of the gradients count as well": lambda own_gradient, other_gradient, learning_rate: (
                -learning_rate * _cosine(own_gradient, other_gradient)
            ),
            "these are products, one a weight; a change of the loss is their sum": lambda own_gradient, other_gradient, learning_rate: (
                -learning_rate * own_gradient * other_gradient
            ),
        },
        remark="Gradients with a positive cosine help one another.",
    ),
    "parameters_to_store": Exercise(
        truth=lambda transformer, head: (2 * transformer + head, transformer + head),
        draw=_sizes,
        mistakes={
            "a bi-encoder needs no match head: SEP has one, too": lambda transformer, head: (2 * (transformer + head), transformer + head),
            "SEP is two models, each with a Transformer of its own": lambda transformer, head: (transformer + head, transformer + head),
            "JOINT is one Transformer, used in two ways": lambda transformer, head: (2 * transformer + head, 2 * transformer + head),
            "first SEP, then JOINT": lambda transformer, head: (transformer + head, 2 * transformer + head),
            "JOINT needs a match head as well": lambda transformer, head: (2 * transformer + head, transformer),
        },
        remark="Claim T1-8: half the parameters, but for the head.",
    ),
}
