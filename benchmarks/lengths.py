"""Inputs as long as real ones, for models with random weights: time does not depend on values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from mmr_kit.costs.workload import Sizes, words
from mmr_kit.costs.workload import captions as captions_of_one_length
from mmr_kit.costs.workload import images as images_of_one_length
from mmr_kit.data.regions import Regions

THREADS = 2
MINILM = Sizes(layers=6, width=384)


def precisions() -> Iterator[str]:
    """Those of the engine that are timed; int8 where its runtime is installed."""
    yield from ("no", "bf16")
    if find_spec("openvino"):
        yield "int8"
    else:
        print("int8 is left out: OpenVINO is not installed", flush=True)


def captions(count: int, seed: int = 0) -> list[str]:
    """As long as those of Flickr8k in word pieces, `[CLS]` and `[SEP]` included: 14 at the median, 10 and 20 at the tenths, 4 to 42 in all."""
    rng, known = np.random.default_rng(seed), words()
    lengths = rng.lognormal(2.63, 0.28, count).round().clip(4, 42).astype(int) - 2
    return [" ".join(known[word] for word in rng.integers(len(known), size=length)) for length in lengths]


def images(count: int, sizes: Sizes, seed: int = 0) -> list[Regions]:
    """Images of 10 to 50 regions."""
    counts = np.random.default_rng(seed).integers(10, 51, size=count)
    full = images_of_one_length(count, replace(sizes, regions=50), seed)
    return [Regions(image.features[:regions], image.boxes[:regions]) for image, regions in zip(full, counts, strict=True)]


def padless(count: int, sizes: Sizes) -> tuple[list[str], list[Regions]]:
    """Pairs of 12 tokens and 50 regions each, where nothing is padded."""
    return captions_of_one_length(count, sizes), images_of_one_length(count, sizes)
