"""The two ways that are compared: as the paper's authors published it, and the kit's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmr_kit.costs.workload import Sizes, random_model
from mmr_kit.data.regions import Regions
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.reporting.timings import FAST, PUBLISHED
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.contracts import Model
from mmr_kit.retrieval.latency import Search
from mmr_kit.retrieval.search import search

Find = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
BATCH = 512  # of the published code
ROWS = 2**16  # of the collection, normalised at a time: all the same work, without a second collection in memory


class PublishedModel:
    """A model used as the published code does: float32, inputs in the order they come, padded to the longest of their batch."""

    def __init__(self, model: RetrievalModel, batch_size: int = BATCH) -> None:
        self.model, self.batch_size = model, batch_size

    def embed_texts(self, captions: Sequence[str]) -> np.ndarray:
        """Embeddings float32 (n, width), not normalised: the published search does that."""
        return self._in_batches(len(captions), lambda part: self._pooled(captions[part], None))

    def embed_images(self, images: Sequence[Regions]) -> np.ndarray:
        """Embeddings float32 (n, width), not normalised."""
        return self._in_batches(len(images), lambda part: self._pooled(None, images[part]))

    def score_pairs(self, captions: Sequence[str], images: Sequence[Regions]) -> np.ndarray:
        """Match probabilities float32 (n,) of captions[i] with images[i]."""
        return self._in_batches(len(captions), lambda part: self._matches(captions[part], images[part]))

    def _pooled(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> Tensor:
        return self.model.pool(*self._states(captions, images))

    def _matches(self, captions: Sequence[str], images: Sequence[Regions]) -> Tensor:
        return self.model.match_probability(*self._states(captions, images))

    def _states(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> tuple[Tensor, Tensor]:
        """Hidden states and mask."""
        return self.model.backbone(self.model.backbone.inputs(captions, images))

    @torch.inference_mode()
    def _in_batches(self, count: int, compute: Callable[[slice], Tensor]) -> np.ndarray:
        return np.concatenate([compute(slice(start, start + self.batch_size)).cpu().numpy() for start in range(0, count, self.batch_size)])


def published_search(collection: np.ndarray, device: str = "cpu") -> Search:
    """The published search of a collection, float32 (n, width), which lies on the device: all of it normalised anew at each query, one product, top-k."""
    held = _tensor(collection).to(device)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        unit = normalize(torch.from_numpy(queries).to(device))
        scores, rows = torch.topk(torch.cat([unit @ normalize(part).T for part in held.split(ROWS)], dim=1), min(k, len(held)))
        return rows.cpu().numpy(), scores.cpu().numpy()

    return search


def plain_search(unit: np.ndarray, device: str = "cpu") -> Search:
    """One float32 product with a collection (n, width) on the device that is of unit length already, and top-k; queries are of unit length, too."""
    held = _tensor(unit).to(device)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, rows = torch.topk(torch.from_numpy(queries).to(device) @ held.T, min(k, len(held)))
        return rows.cpu().numpy(), scores.cpu().numpy()

    return search


def fast_search(collection: Collection, device: str = "cpu") -> Search:
    """The kit's search of a collection; on a GPU a plain product, which is limited by nothing but the GPU's memory."""
    return collection.search if device == "cpu" else plain_search(collection.vectors, device)


def finders(device: str) -> dict[str, Find]:
    """{way: its search of an evaluation}: queries, items, k -> rows and scores; embeddings of the published way are not yet of unit length."""
    fast = search if device == "cpu" else lambda queries, items, k: plain_search(items, device)(queries, k)
    return {PUBLISHED: lambda queries, items, k: published_search(items, device)(queries, k), FAST: fast}


def present(names: str) -> list[str]:
    """The devices of a parameter: "cpu", "cuda" or both; "auto" is the CPU and the GPU where there is one; a GPU that is not there is left out."""
    wanted = ["cpu", "cuda"] if names == "auto" else names.split()
    return [name for name in wanted if name != "cuda" or torch.cuda.is_available()]


@dataclass(frozen=True)
class Contestants:
    """The same random weights used in both ways; of one device."""

    device: str
    published: PublishedModel
    fast: Engine

    @property
    def both(self) -> dict[str, Model]:
        return {PUBLISHED: self.published, FAST: self.fast}


def contestants(sizes: Sizes, device: str, precision: str = "no", batch_size: int = BATCH) -> Contestants:
    """A random model of these sizes on the device, to be used in both ways. precision: of the kit's engine; batch_size: of the published way."""
    first, second = random_model(sizes).to(device), random_model(sizes).to(device)  # apart, since a backbone remembers the tokens of captions
    second.load_state_dict(first.state_dict(), assign=True)  # the same weights in memory
    return Contestants(device, PublishedModel(first, batch_size), Engine(second, precision))


def _tensor(array: np.ndarray) -> Tensor:
    """The same memory as a tensor, which is read only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
