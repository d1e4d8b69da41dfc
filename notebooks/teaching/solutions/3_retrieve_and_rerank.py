"""Solutions of the exercises of 3_retrieve_and_rerank.ipynb. `make solutions` writes the whole notebook with them, executed, beside this file."""

import numpy as np


def retrieve_and_rerank(cosines, matches, k):
    """Numbers of the k images that BE finds, in the order of CE: cosines and matches (images,) of one caption -> (k,)."""
    candidates = np.argsort(-cosines)[:k]
    return candidates[np.argsort(-matches[candidates])]


def recall(ranks, m):
    """R@M in percent: ranks (queries,) of the right item, from 1."""
    return 100 * np.mean(ranks <= m)


def perfect_reranker(be_ranks, k, m):
    """R@M in percent if the first k of BE are put in the best possible order, and the others keep theirs."""
    return 100 * np.mean(be_ranks <= max(k, m))


def largest_k(budget, embedding, search, pair):
    """The largest k, 0 or more, with which a query stays within the budget; all in seconds, `pair` of one pair."""
    left = budget - embedding - search
    return max(0, int(left // pair))
