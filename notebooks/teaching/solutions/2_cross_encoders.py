"""Solutions of the exercises of 2_cross_encoders.ipynb. `make solutions` writes the whole notebook with them, executed, beside this file."""

import numpy as np


def match_probability(logits):
    """Probability of "match" of each pair: logits (n, 2) of "no match" and "match" -> (n,)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))  # the subtraction changes nothing but keeps exp small
    return powers[:, 1] / powers.sum(axis=1)


def match_loss(p, y):
    """Mean of L_CE over pairs: match probabilities p (n,), y (n,) 1 for a matching pair and 0 for a replaced one."""
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def ranks(scores, own):
    """Rank, from 1, of each caption's own image: scores (captions, images), own (captions,) its column -> (captions,)."""
    right = scores[np.arange(len(scores)), own]
    return 1 + (scores > right[:, None]).sum(axis=1)


def evaluation_seconds(images, captions_per_image, pairs_per_second):
    """Seconds in which CE scores all that an evaluation in both directions needs."""
    pairs = images * (images * captions_per_image)
    return pairs / pairs_per_second
