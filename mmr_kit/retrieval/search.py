"""Exact search: the k items of largest cosine (paper, section 3.2, 'Retrieval')."""

from __future__ import annotations

import numpy as np

from mmr_kit.errors import InputError

CHUNK_BYTES = 64 * 2**20  # of similarities held at once
TOGETHER = 256  # queries at once: so few that a chunk holds many items, and seldom has to be merged with another


def search(queries: np.ndarray, items: np.ndarray, k: int, chunk_bytes: int = CHUNK_BYTES) -> tuple[np.ndarray, np.ndarray]:
    """The k largest products of each query with the items; cosines where both are of unit length.

    queries (q, width), items (n, width) -> rows int64 (q, min(k, n)) and scores float32 (q, min(k, n)), best first; of equal scores the smaller row first.
    Never holds more than `chunk_bytes` of similarities: items are taken in chunks whose best k are merged.
    """
    if k < 1:
        raise InputError(f"k is {k}; retrieve at least 1 candidate")
    if not len(items):
        raise InputError("the collection is empty; there is nothing to retrieve")
    if queries.shape[1] != items.shape[1]:
        raise InputError(f"queries are {queries.shape[1]} wide, items {items.shape[1]}: both must come from the same model")
    if not (np.isfinite(queries).all() and np.isfinite(items).all()):
        raise InputError("embeddings hold NaN or infinite values; the model or the region features are broken")
    if not len(queries):
        return np.empty((0, min(k, len(items))), dtype=np.int64), np.empty((0, min(k, len(items))), dtype=np.float32)
    parts = [_search(queries[start : start + TOGETHER], items, k, chunk_bytes) for start in range(0, len(queries), TOGETHER)]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])


def _search(queries: np.ndarray, items: np.ndarray, k: int, chunk_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    step = max(k, chunk_bytes // (4 * len(queries)))
    rows = np.empty((len(queries), 0), dtype=np.int64)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(items), step):
        chunk = np.asarray(queries @ items[start : start + step].T, dtype=np.float32)
        best = _largest(chunk, k)
        rows = np.hstack([rows, best + start])
        scores = np.hstack([scores, np.take_along_axis(chunk, best, axis=1)])
        keep = _largest(scores, k)  # earlier chunks stand first, so equal scores stay in the order of their rows
        rows, scores = np.take_along_axis(rows, keep, axis=1), np.take_along_axis(scores, keep, axis=1)
    return rows, scores


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values of each row, best first, ties by the smaller column: (rows, min(k, columns))."""
    k = min(k, scores.shape[1])
    threshold = np.partition(scores, -k, axis=1)[:, -k, None]
    enough = scores >= threshold
    surplus = enough.sum(1) - k
    for row in np.flatnonzero(surplus):  # of the scores that equal the k-th the first stay
        enough[row, np.flatnonzero(scores[row] == threshold[row])[-surplus[row] :]] = False
    chosen = np.nonzero(enough)[1].reshape(len(scores), k)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)
