"""Table 4: what an evaluation takes, encoding and both directions included, of BE, COOP and CE, in both ways on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mmr_kit.costs.growth import CAPTIONS_EACH, grid_seconds
from mmr_kit.costs.progress import teller
from mmr_kit.costs.queries import pair_throughputs, throughput_told
from mmr_kit.costs.ways import Contestants, finders
from mmr_kit.costs.workload import Sizes, captions, embeddings, images
from mmr_kit.reporting.timings import BE, CE, COOP, Part, Timing
from mmr_kit.retrieval.latency import ENCODING, RERANKING, SEARCH, Throughput, evaluation_times, throughputs

BLOCK = 5000  # queries, and items, of a search whose throughput is measured
TEXTS, IMAGES, PAIRS, PRODUCTS = "captions", "images", "pairs", "products"


def evaluations(pair: Contestants, sizes: Sizes, collections: Sequence[int], k: int, batch: int, budget: float, whole: float) -> list[Timing]:
    """A timing of each method, way and number of images (with five captions each).

    batch: inputs of a batch whose throughput is measured; budget: seconds for each throughput. An evaluation that should take up to `whole` seconds, by the
    throughputs, is really done once and timed; the others are extrapolated.
    """
    measured = _throughputs(pair, sizes, batch, budget)
    timings = []
    for count in collections:
        for way in pair.both:
            for method, needed in work(count, k).items():
                of_parts = _extrapolated(measured, way, needed)
                told = ", ".join(dict.fromkeys(throughput_told(measured[what][way], what) for names in needed.values() for what in names))
                timing = Timing(method, way, pair.device, count, of_parts, together=False, extrapolated=told, k=k if method == COOP else None)
                timings.append(_done(pair, way, sizes, timing, k) if timing.estimate().mean <= whole else timing)
    return timings


def _throughputs(pair: Contestants, sizes: Sizes, batch: int, budget: float) -> dict[str, dict[str, Throughput]]:
    """{what: {way: its throughput}}."""
    texts, pictures, find = captions(64 * batch, sizes, seed=2), images(batch, sizes, seed=2), finders(pair.device)
    queries, items = embeddings(BLOCK, sizes.width, 1), embeddings(BLOCK, sizes.width, 2)

    def own(number: int) -> list[str]:
        return texts[number % 64 * batch :][:batch]

    jobs: dict[str, Callable[[str], Callable[[int], int]]] = {
        TEXTS: lambda way: lambda number: len(pair.both[way].embed_texts(own(number))),
        IMAGES: lambda way: lambda number: len(pair.both[way].embed_images(pictures)),
        PRODUCTS: lambda way: lambda number: len(find[way](queries, items, 20)[0]) * BLOCK,
    }
    told = f"throughput, {pair.device}"
    found = {what: throughputs({way: job(way) for way in pair.both}, budget, tell=teller(f"{told}, {what}")) for what, job in jobs.items()}
    return {**found, PAIRS: pair_throughputs(pair, sizes, batch, budget)}


def work(count: int, k: int) -> dict[str, dict[str, dict[str, int]]]:
    """{method: {part: {what: how many}}} of an evaluation on so many images, both directions."""
    texts = CAPTIONS_EACH * count
    of_be = {ENCODING: {TEXTS: texts, IMAGES: count}, SEARCH: {PRODUCTS: 2 * texts * count}}
    return {BE: of_be, COOP: {**of_be, RERANKING: {PAIRS: texts * min(k, count) + count * min(k, texts)}}, CE: {RERANKING: {PAIRS: texts * count}}}


def _extrapolated(measured: dict[str, dict[str, Throughput]], way: str, needed: dict[str, dict[str, int]]) -> dict[str, Part]:
    """A part's repeats are those of its throughput; of two throughputs (captions and images) the repeats of the shorter series."""
    parts = {}
    for name, counts in needed.items():
        series = [measured[what][way].per_unit * count for what, count in counts.items()]
        least = min(map(len, series))
        parts[name] = Part(np.sum([one[:least] for one in series], axis=0))
    return parts


def _done(pair: Contestants, way: str, sizes: Sizes, timing: Timing, k: int) -> Timing:
    """The evaluation, really done."""
    texts, pictures = captions(CAPTIONS_EACH * timing.items, sizes, seed=3), images(timing.items, sizes, seed=3)
    teller(f"evaluation, {pair.device}")(f"{timing.method}, {way}, {timing.items:,} images")
    if timing.method == CE:
        seconds = {RERANKING: grid_seconds(pair.both[way], texts, pictures)}
    else:
        seconds = evaluation_times(pair.both[way], finders(pair.device)[way], texts, pictures, k, rerank=timing.method == COOP)
    return replace(timing, parts={name: Part(np.array([value])) for name, value in seconds.items()}, extrapolated="")
