"""How times grow with the collection, measured whole: a small model manages sizes at which the paper's would need hours, and growth is the same for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mmr_kit.costs.progress import teller
from mmr_kit.costs.ways import Contestants, finders
from mmr_kit.costs.workload import Sizes, captions, images
from mmr_kit.reporting.timings import BE, CE, COOP, Part, Timing
from mmr_kit.retrieval.contracts import Model
from mmr_kit.retrieval.latency import RERANKING, Clock, evaluation_times

SMALL = "oscar small"  # the backbone column of what was measured on the small model
CAPTIONS_EACH = 5  # of an image, as in MSCOCO and Flickr30k
BE_TIMES = 10
PAIRS_AT_ONCE = 4096
Seconds = dict[str, dict[str, float]]  # {method: {part: seconds}}


def query_growth(pair: Contestants, sizes: Sizes, collections: Sequence[int], repeats: int) -> list[Timing]:
    """CE's query over whole collections: a caption scored with every image."""
    pictures = images(max(collections), sizes)

    def once(way: str, count: int, repeat: int) -> Seconds:
        caption = captions(1, sizes, seed=repeat)[0]
        return {CE: {RERANKING: grid_seconds(pair.both[way], [caption], pictures[:count])}}

    return _in_turn(once, pair, collections, repeats, "growth of CE's query")


def evaluation_growth(pair: Contestants, sizes: Sizes, collections: Sequence[int], k: int, repeats: int) -> list[Timing]:
    """Whole evaluations of COOP and CE on so many images with five captions each, and of BE on BE_TIMES as many, as it is so much quicker."""
    most = BE_TIMES * max(collections)
    texts, pictures, find = captions(CAPTIONS_EACH * most, sizes), images(most, sizes), finders(pair.device)

    def once(way: str, count: int, repeat: int) -> Seconds:
        model, own = pair.both[way], texts[: CAPTIONS_EACH * count]
        return {BE: evaluation_times(model, find[way], texts[: CAPTIONS_EACH * BE_TIMES * count], pictures[: BE_TIMES * count], k, rerank=False),
                COOP: evaluation_times(model, find[way], own, pictures[:count], k), CE: {RERANKING: grid_seconds(model, own, pictures[:count])}}

    return [replace(timing, items=BE_TIMES * timing.items) if timing.method == BE else timing
            for timing in _in_turn(once, pair, collections, repeats, "growth of an evaluation")]  # fmt: skip


def grid_seconds(model: Model, texts: Sequence[str], pictures: Sequence[object], clock: Clock = time.perf_counter) -> float:
    """Seconds in which every caption is scored with every image."""
    started = clock()
    total = len(texts) * len(pictures)
    for start in range(0, total, PAIRS_AT_ONCE):
        pairs = [divmod(number, len(pictures)) for number in range(start, min(start + PAIRS_AT_ONCE, total))]
        model.score_pairs([texts[text] for text, _ in pairs], [pictures[picture] for _, picture in pairs])
    return clock() - started


def _in_turn(once: Callable[[str, int, int], Seconds], pair: Contestants, collections: Sequence[int], repeats: int, about: str) -> list[Timing]:
    """Measure each size in each way, one after the other, `repeats` times after a warm-up."""
    tell = teller(f"{about}, {pair.device}")
    found: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    for repeat in range(repeats + 1):
        for count in collections:
            for way in pair.both:
                tell(f"{count:,} images, {way}, repeat {repeat} of {repeats}")
                for method, seconds in once(way, count, repeat).items():
                    if repeat:
                        found.setdefault((way, count, method), []).append(seconds)
    return [Timing(method, way, pair.device, count, {name: Part(np.array([each[name] for each in measured])) for name in measured[0]}, model=SMALL)
            for (way, count, method), measured in found.items()]  # fmt: skip
