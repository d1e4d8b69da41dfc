"""What every collection asks of the embeddings that it is built of and searched for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmr_kit.errors import InputError


def checked_queries(queries: np.ndarray, k: int, width: int) -> np.ndarray:
    """The queries as float32. Raises InputError for k below 1, what are no queries (some, width), NaN."""
    if k < 1:
        raise InputError(f"k is {k}; retrieve at least 1 candidate")
    queries = np.asarray(queries, dtype=np.float32)
    if queries.ndim != 2:
        raise InputError(f"queries are an array of shape {queries.shape}, not (queries, {width}); one query alone is query[None]")
    if queries.shape[1] != width:
        raise InputError(f"queries are {queries.shape[1]} wide, items {width}: both must come from the same model")
    if not np.isfinite(queries).all():
        raise InputError("embeddings hold NaN or infinite values; the model or the region features are broken")
    return queries


def longest_item(vectors: np.ndarray, width: int) -> float:
    """Length of the longest item (an upper bound). Raises InputError for what are no embeddings of this width."""
    if vectors.ndim != 2 or not vectors.shape[-1]:
        raise InputError(f"a collection is made of embeddings (items, width), not of an array of shape {vectors.shape}")
    if vectors.shape[1] != width:
        raise InputError(f"embeddings are {vectors.shape[1]} wide, those before them {width}: all must come from the same model")
    if not len(vectors):
        raise InputError("the collection is empty; there is nothing to retrieve")
    if not np.isfinite(vectors).all():
        raise InputError("embeddings hold NaN or infinite values; the model or the region features are broken")
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64).max())) * (1 + 1e-6)


def float32_chunks(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Each chunk, checked; empty ones are left out."""
    width: int | None = None
    for chunk in chunks:
        chunk = np.asarray(chunk, dtype=np.float32)
        if len(chunk):
            longest_item(chunk, chunk.shape[-1] if width is None else width)
            width = chunk.shape[1]
            yield chunk
