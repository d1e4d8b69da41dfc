"""Lesson 1: embeddings, cosines, the triplet loss and hard negatives (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import comb

import numpy as np
import torch

from mmr_kit.models.losses import triplet_loss
from mmr_kit.models.retrieval_model import unit_length
from mmr_kit.teaching.exercises import Exercise


def _vectors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two different numbers of vectors, of lengths far from 1."""
    return 3 * rng.normal(size=(2 + rng.integers(3), 4)), 0.5 * rng.normal(size=(6, 4))


def _states(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states of inputs padded to the longest, and which positions are real; what stands on padding is large, as it may be anything."""
    lengths = rng.permutation([2, 4, 7])
    mask = np.arange(7) < lengths[:, None]
    return rng.normal(size=(3, 7, 4)) + 5 * ~mask[..., None], mask


def _mean(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = mask[..., None].astype(float)
    return (states * weights).sum(1) / weights.sum(1)


def _pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Images and captions that lie near, but not always nearest, and a margin."""
    images = rng.normal(size=(5, 3))
    return images, images + 0.8 * rng.normal(size=(5, 3)), float(rng.choice([0.1, 0.2, 0.4]))


def _loss(images: np.ndarray, captions: np.ndarray, margin: float) -> float:
    own = torch.eye(len(images), dtype=torch.bool)
    loss, _ = triplet_loss(torch.from_numpy(images), torch.from_numpy(captions), own, len(images) - 1, margin, torch.Generator())
    return float(loss)


def _wrong_loss(images: np.ndarray, captions: np.ndarray, margin: float, *, pick: Callable[..., np.ndarray] = np.nanmax, axes: Sequence[int] = (0, 1),
                own: bool = False, clamp: bool = True, unit: bool = True, over: Callable[[np.ndarray], float] = np.mean) -> float:  # fmt: skip
    """The triplet loss with one thing changed."""
    similarity = (unit_length(captions) @ unit_length(images).T) if unit else captions @ images.T
    others = similarity if own else np.where(np.eye(len(images), dtype=bool), np.nan, similarity)
    terms = [pick(others, axis=axis) - similarity.diagonal() + margin for axis in axes]
    return float(over(np.sum([np.maximum(term, 0) if clamp else term for term in terms], axis=0)))


def _corpus(rng: np.random.Generator) -> tuple[int, int, int]:
    others = int(rng.integers(20, 200))
    return int(rng.integers(2, 6)), others, int(rng.integers(2, others // 2))


EXERCISES = {
    "mean_pool": Exercise(
        truth=_mean,
        draw=_states,
        mistakes={
            "this is the mean over padded positions too; only real ones count": lambda states, mask: states.mean(1),
            "padding was left out of the sum, but counted in the division": lambda states, mask: (states * mask[..., None]).mean(1),
            "this is the sum, not the mean: longer inputs get longer vectors": lambda states, mask: (states * mask[..., None]).sum(1),
            "this is the first position, [CLS], alone; the paper's footnote 7 found the mean to be better": lambda states, mask: states[:, 0],
            "the mean runs over the width; it should run over the positions": lambda states, mask: states.mean(2),
        },
        remark="Padding to the longest of a batch now changes nothing.",
    ),
    "cosine": Exercise(
        truth=lambda a, b: unit_length(a) @ unit_length(b).T,
        draw=_vectors,
        mistakes={
            "these are plain products: a long vector gets large values; divide by both lengths": lambda a, b: a @ b.T,
            "only the vectors of a were brought to length 1": lambda a, b: unit_length(a) @ b.T,
            "only the vectors of b were brought to length 1": lambda a, b: a @ unit_length(b).T,
            "the lengths were taken over the wrong axis: a vector is a row": lambda a, b: a / np.linalg.norm(a, axis=0) @ (b / np.linalg.norm(b, axis=0)).T,
            "rows and columns are exchanged: a row for each vector of a, a column for each vector of b": lambda a, b: unit_length(b) @ unit_length(a).T,
        },
        remark="This one product is all that a search computes.",
    ),
    "triplet_loss": Exercise(
        truth=_loss,
        draw=_pairs,
        mistakes={
            "the pair itself is among its own negatives: leave the diagonal out": partial(_wrong_loss, own=True),
            "only wrong captions are compared; equation 2 has a second term, for wrong images": partial(_wrong_loss, axes=(0,)),
            "only wrong images are compared; equation 2 has a second term, for wrong captions": partial(_wrong_loss, axes=(1,)),
            "these are the easiest negatives; take the closest": partial(_wrong_loss, pick=np.nanmin),
            "this is the mean over all negatives; take the hardest of each anchor": partial(_wrong_loss, pick=np.nanmean),
            "the [.]+ is missing: a triplet that is far enough apart must not count below 0": partial(_wrong_loss, clamp=False),
            "the [.]+ is taken of the sum of both terms; it belongs to each": lambda images, captions, margin: float(
                np.mean([max(0.0, term) for term in _both_terms(images, captions, margin)])
            ),
            "the margin has the wrong sign: a negative must stay behind by the margin": lambda images, captions, margin: _wrong_loss(images, captions, -margin),
            "these are plain products, not cosines": partial(_wrong_loss, unit=False),
            "this is the sum over the pairs; take the mean, so that the loss does not depend on the size of the batch": partial(_wrong_loss, over=np.sum),
        },
        remark="It is the loss that the kit trains with.",
    ),
    "chance_of_hard": Exercise(
        truth=lambda hard, others, n: 1 - comb(others - hard, n) / comb(others, n),
        draw=_corpus,
        mistakes={
            "this is drawing with putting back; a batch holds n different negatives": lambda hard, others, n: 1 - (1 - hard / others) ** n,
            "this is the chance that there is none; we want at least one": lambda hard, others, n: comb(others - hard, n) / comb(others, n),
            "this is how many hard ones to expect, which may be more than 1; we want the chance of at least one": lambda hard, others, n: hard * n / others,
            "this is the chance to have one certain hard negative; there are several, and any will do": lambda hard, others, n: n / others,
        },
        remark="Hence the paper's 'by scaling up N'.",
    ),
}


def _both_terms(images: np.ndarray, captions: np.ndarray, margin: float) -> np.ndarray:
    """The sum of both terms of equation 2 of each pair, before any [.]+."""
    similarity = unit_length(captions) @ unit_length(images).T
    others = np.where(np.eye(len(images), dtype=bool), np.nan, similarity)
    return np.nanmax(others, 0) + np.nanmax(others, 1) - 2 * similarity.diagonal() + 2 * margin
