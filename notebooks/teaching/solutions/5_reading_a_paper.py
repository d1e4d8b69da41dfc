"""Solutions of the exercises of 5_reading_a_paper.ipynb. `make solutions` writes the whole notebook with them, executed, beside this file."""

import numpy as np


def image_above_text(methods, image_r1, text_r1):
    """The names of the methods whose R@1 in image retrieval is above their R@1 in text retrieval, in their order."""
    return [name for name, image, text in zip(methods, image_r1, text_r1, strict=True) if image > text]


def coop_latency(be_seconds, ce_seconds, images, k):
    """Seconds of a COOP query, from those of a BE query and of a CE query over a collection of so many images."""
    seconds_a_pair = ce_seconds / images
    return be_seconds + k * seconds_a_pair


def norm_add(cosines, matches, weight):
    """NORM_ADD of the candidates of one query: both scores (k,) to [0, 1], then weight * cosine + (1 - weight) * match."""
    cosines = (cosines - cosines.min()) / (cosines.max() - cosines.min())
    matches = (matches - matches.min()) / (matches.max() - matches.min())
    return weight * cosines + (1 - weight) * matches


def difference_interval(a, b):
    """95% interval (low, high), in points, of R@1 of a minus R@1 of b: hits (queries,) of two methods on the same queries."""
    difference = 100 * (a.astype(float) - b)
    half = 1.96 * difference.std() / np.sqrt(len(difference))
    return difference.mean() - half, difference.mean() + half


def judge(low, high, needed):
    """What an interval says of a claim that needs more than `needed`: "supported", "not supported" or "inconclusive"."""
    if low > needed:
        return "supported"
    if high < needed:
        return "not supported"
    return "inconclusive"
