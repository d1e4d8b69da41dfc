"""Exact search of a collection of embeddings against the published way: the collection normalised at every query, one product, top-k."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timing import side_by_side

from mmr_kit.retrieval.search import search

COLLECTION, WIDTH, K = 200_000, 768, 20


def cases() -> Iterator[dict[str, Any]]:
    """Results of one query, and of a hundred."""
    generator = torch.Generator().manual_seed(0)
    collection = torch.randn(COLLECTION, WIDTH, generator=generator)
    unit = torch.nn.functional.normalize(collection).numpy()
    for queries in (1, 100):
        asked = torch.randn(queries, WIDTH, generator=generator)
        unit_asked = torch.nn.functional.normalize(asked).numpy()

        def published(asked: torch.Tensor = asked) -> object:
            return torch.topk(torch.nn.functional.normalize(asked) @ torch.nn.functional.normalize(collection).T, K)

        def fast(asked: Any = unit_asked) -> object:
            return search(asked, unit, K)

        yield side_by_side(f"search: {queries} queries, {COLLECTION} x {WIDTH}, k = {K}", published, fast)
