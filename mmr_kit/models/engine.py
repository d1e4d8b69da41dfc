"""Embeddings and match scores as `RetrievalModel` defines them, computed fast: for search, reranking and evaluation.

What differs from the definition is the way only. The regions of an image are prepared and embedded once a call, however many captions they are paired with;
nothing is computed for padding (see `packed`); only the states that are read leave the last layer; weights are made ready once, in the precision that is asked
for. Results are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models import distributed, memory
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.packed import PRODUCTS, PackedLayers, beside_int8, is_fast, same_states, through
from mmr_kit.models.passes import Finish, passing, positions_at_once, rows_of_like_length
from mmr_kit.models.retrieval_model import Embedder, RetrievalModel, check_pairs, mixed_precision, unit_length

HELD_VALUES = 2**26  # values of embedded regions that are held at once: 256 MiB
PAYS_FROM = 256  # width of a model from which products in lower precision are faster on a CPU; at 96 they gain nothing, and rankings lose
PAYS_WITH_TILES = 96  # the same of bf16 on a CPU that multiplies whole tiles of it (AMX)


class Engine(Embedder):
    """Does what its model does (`embed_texts`, `embed_images`, `score_pairs`), so it goes wherever a model goes: `cooperate(Engine(be), Engine(ce), dataset)`.

    precision: "no" (float32: the definition's results but for rounding), "bf16" or "fp16" (half-precision products; float32 on a processor that has no
    instructions for them), or "int8" (see `int8`; for a CPU without such instructions: where it has them, bf16 is faster and nearer to float32). On a CPU a
    narrow model is computed in float32 where that is as fast. The weights are taken when the engine is made: make a new one after training. `packed` is False
    where the backbone is no Transformer of the usual kind (CLIP, or one of a user's own that computes in another way): then the model itself computes.
    """

    def __init__(self, model: RetrievalModel, precision: str = "no") -> None:
        if precision not in PRODUCTS:
            raise InputError(f"precision {precision!r}: choose {', '.join(PRODUCTS)}")
        self.model, backbone = model, model.backbone
        tiles = precision == "bf16" and torch.cpu.get_capabilities().get("amx_bf16")
        pays = backbone.device.type != "cpu" or backbone.width >= (PAYS_WITH_TILES if tiles else PAYS_FROM)
        self.precision = precision if pays and is_fast(precision, backbone.device) else "no"
        self.packed = same_states(backbone, lambda images: _shortened(backbone, PackedLayers(backbone.transformer.encoder.layer), images))
        if self.packed:
            self._layers = PackedLayers(backbone.transformer.encoder.layer, self.precision)
            self._of_regions = beside_int8(self.precision, backbone.device, "no")
        elif precision == "int8":
            raise InputError(f"a {backbone.kind} model cannot be computed in int8; choose another precision")

    @cached_property
    def exact(self) -> Engine | None:
        """The same in float32, with weights of its own, made when it is first asked for; None for one that computes in float32.

        It settles near ties wherever match probabilities are ranked (see `retrieval.settling`); beyond the first of all that were scored, for a smaller k or a
        combination of scores, the order is that of low precision.
        """
        return Engine(self.model) if self.precision != "no" else None

    def score_pairs(self, captions: Sequence[str], images: Sequence[Regions], batch_size: int = 512) -> np.ndarray:
        """As `RetrievalModel.score_pairs`."""
        check_pairs(captions, images)
        if not self.packed:
            with mixed_precision(self.precision):
                return self.model.score_pairs(captions, images, batch_size)
        return self._compute(captions, images, batch_size, (), self.model.matches_by_first, self.model.match_probability)

    def _embed(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, normalize: bool, batch_size: int) -> np.ndarray:
        model = self.model
        if not self.packed:
            with mixed_precision(self.precision):
                return model._embed(captions, images, normalize, batch_size)
        vectors = self._compute(captions, images, batch_size, (model.backbone.width,), model.pooling == "cls", model.pool)
        return unit_length(vectors) if normalize else vectors

    @torch.inference_mode()
    def _compute(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, most: int, shape: tuple[int, ...], first_only: bool,
                 finish: Finish) -> np.ndarray:
        count = len(captions) if captions is not None else len(images or ())
        results = np.zeros((count, *shape), dtype=np.float32)
        was_training = self.model.training
        self.model.eval()
        for chunk, different in _chunks(images, count, HELD_VALUES // self.model.backbone.width, self.model.backbone.max_regions):
            backbone = _shortened(self.model.backbone, self._layers.reading(first_only), different, self._of_regions)
            texts, regions = ([values[row] for row in chunk] if values is not None else None for values in (captions, images))
            passes = distributed.dealt(rows_of_like_length(backbone.lengths(texts, regions), positions_at_once(backbone), most))
            self._each(partial(_fill, results, passing(backbone, captions, images, finish)), [chunk[rows] for rows in passes])
        self.model.train(was_training)
        return distributed.completed(results)

    def _each(self, work: Callable[[np.ndarray], None], passes: list[np.ndarray]) -> None:
        """Do the passes; on a CPU each thread takes whole ones, since a pass is too small to gain much from being shared. OpenVINO has threads of its own."""
        threads = torch.get_num_threads() if self.model.backbone.device.type == "cpu" and self.precision != "int8" else 1
        if threads == 1 or len(passes) == 1:
            list(map(work, passes))
            return
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(work, passes))
        finally:
            torch.set_num_threads(threads)  # what was said in a thread holds for those that begin later


@torch.inference_mode()
def _fill(results: np.ndarray, compute: Callable[[np.ndarray], Tensor], rows: np.ndarray) -> None:
    memory.fill(results, rows, compute)


def _chunks(images: Sequence[Regions] | None, count: int, most: int, longest: int) -> Iterator[tuple[np.ndarray, list[Regions]]]:
    """Row numbers in parts with at most `most` regions of different images (one image always), and these images."""
    if images is None or not count:
        yield np.arange(count), []
        return
    different = {id(image): image for image in images}
    regions = np.array([min(len(image.features), longest) for image in different.values()])
    chunk_of = dict(zip(different, (np.cumsum(regions) - regions) // most, strict=True))
    chunks = np.array([chunk_of[id(image)] for image in images])
    for chunk in range(chunks.max() + 1):
        yield np.flatnonzero(chunks == chunk), [image for key, image in different.items() if chunk_of[key] == chunk]


def _shortened(backbone: Backbone, layers: PackedLayers, images: Sequence[Regions], precision: str = "no") -> Backbone:
    """The backbone with a shorter way through the layers, for which the regions of these images are embedded already, in this precision."""
    shortened = through(backbone, layers)
    if images:
        replaced: dict[str, Any] = {"padded_regions": _EmbeddedRegions(backbone, images, precision), "embed_regions": lambda states: states}
        for name, method in replaced.items():
            setattr(shortened, name, method)
    return shortened


class _EmbeddedRegions:
    """What the encoder receives for the regions of images, computed once an image; in the place of `Backbone.padded_regions`."""

    def __init__(self, backbone: Backbone, images: Sequence[Regions], precision: str) -> None:
        counts = np.array([min(len(image.features), backbone.max_regions) for image in images])
        rows_of_parts, parts = [], []
        for rows in rows_of_like_length(counts, positions_at_once(backbone), len(images)):
            padded = {name: tensor.to(backbone.device) for name, tensor in backbone.padded_regions([images[row] for row in rows]).items()}
            with mixed_precision(precision):
                states, mask = backbone.embed_regions(padded["regions"]).float(), padded["region_mask"]
            self._before = states.shape[1] - mask.shape[1]  # states that stand before those of the regions, such as an image's class token
            rows_of_parts.append(rows)
            parts.append(states[torch.cat([mask.new_ones(len(mask), self._before), mask], dim=1)])
        order = np.concatenate(rows_of_parts)
        lengths, starts = counts[order] + self._before, np.empty(len(order), dtype=np.int64)
        starts[order] = np.cumsum(lengths) - lengths
        self._states, self._starts, self._counts = torch.cat(parts), torch.from_numpy(starts), torch.from_numpy(counts)
        self._row = {id(image): row for row, image in enumerate(images)}

    def __call__(self, images: Sequence[Regions]) -> dict[str, Tensor]:
        """As `Backbone.padded_regions`, but "regions" are embedded; what stands in place of padding means nothing."""
        rows = [self._row[id(image)] for image in images]
        starts, counts = self._starts[rows], self._counts[rows]
        places = torch.arange(self._before + int(counts.max()))
        taken = (starts[:, None] + places).clamp_max(len(self._states) - 1)
        return {"regions": self._states[taken.to(self._states.device)], "region_mask": places[: int(counts.max())] < counts[:, None]}
