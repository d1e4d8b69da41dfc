"""Solutions of the exercises of 1_bi_encoders.ipynb. `make solutions` writes the whole notebook with them, executed, beside this file."""

import numpy as np


def cosine(a, b):
    """Cosine of each row of a (n, width) with each row of b (m, width): (n, m)."""
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return a @ b.T


def mean_pool(states, mask):
    """Mean of the states (n, positions, width) over the positions where mask (n, positions) is True: (n, width)."""
    total = (states * mask[:, :, None]).sum(axis=1)
    return total / mask.sum(axis=1, keepdims=True)


def triplet_loss(images, captions, margin):
    """Equation 2 with the hardest negatives of the batch: embeddings (n, width) of n pairs -> the mean loss of a pair."""
    similarity = cosine(captions, images)
    positive = similarity.diagonal()
    negatives = np.where(np.eye(len(images), dtype=bool), -np.inf, similarity)
    wrong_image = negatives.max(axis=1)  # of each caption (a row), the closest other image
    wrong_caption = negatives.max(axis=0)  # of each image (a column), the closest other caption
    terms = np.maximum(0, wrong_image - positive + margin) + np.maximum(0, wrong_caption - positive + margin)
    return terms.mean()


def chance_of_hard(hard, others, n):
    """Chance that n different negatives, drawn from others, hold at least one of the hard ones."""
    from math import comb

    none_of_them = comb(others - hard, n) / comb(others, n)
    return 1 - none_of_them
