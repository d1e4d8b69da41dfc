"""What retrieval asks of a model and of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

Progress = Callable[[int, int], None]  # pairs scored so far, pairs in all


class Model(Protocol):
    """See `RetrievalModel`."""

    def embed_texts(self, captions: Sequence[str]) -> np.ndarray: ...
    def embed_images(self, images: Sequence[Any]) -> np.ndarray: ...
    def score_pairs(self, captions: Sequence[str], images: Sequence[Any]) -> np.ndarray: ...


class Dataset(Protocol):
    """See `RetrievalDataset`."""

    @property
    def image_ids(self) -> list[str]: ...
    @property
    def caption_ids(self) -> list[str]: ...
    @property
    def texts(self) -> list[str]: ...
    @property
    def regions(self) -> Mapping[str, Any]: ...
    def query_ids(self, direction: str) -> list[str]: ...
    def item_ids(self, direction: str) -> list[str]: ...
    def galleries(self) -> Sequence[Dataset]: ...
