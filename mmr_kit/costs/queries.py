"""Table 3: what a query takes, of BE, COOP and CE, in both ways on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psutil

from mmr_kit.costs.progress import teller
from mmr_kit.costs.ways import Contestants, fast_search, published_search
from mmr_kit.costs.workload import Sizes, build_collection, captions, images, temporary_folder
from mmr_kit.errors import InputError
from mmr_kit.reporting.timings import BE, CE, COOP, FAST, PUBLISHED, Part, Timing
from mmr_kit.retrieval.agreement import Agreement, agreement
from mmr_kit.retrieval.latency import ENCODING, RERANKING, SEARCH, QueryTimes, Throughput, Way, query_times, throughputs

WARM_UP = 2  # queries
COPIES = 2  # of the collection that memory must have room for: as published, and the kit's codes with what is made on the way
SPARE = 2**30  # bytes for everything else


@dataclass(frozen=True)
class Latencies:
    """What was measured on one device: timings of both ways, how far their rankings agree for each collection ({images: Agreement} of the search, and of
    the reranked order), and bytes an embedding takes in its file."""

    timings: list[Timing]
    searched: dict[int, Agreement]
    reranked: dict[int, Agreement]
    bytes_each: float


def fitting(count: int, width: int, available: int) -> int:
    """So many embeddings of the collection fit into memory with all copies that are needed at once; at most `count`."""
    room = (available - SPARE) // (COPIES * 4 * width)
    if room < 1:
        raise InputError(f"{available / 1e9:.1f} GB of memory are available; a collection takes at least {SPARE / 1e9:.1f} GB to measure")
    return min(count, room)


def latencies(pair: Contestants, sizes: Sizes, collections: Sequence[int], k: int, queries: int, pairs: int, budget: float) -> Latencies:
    """Time BE and COOP on each collection, and the cross-encoder's throughput, from which CE's time is extrapolated.

    pairs: of a batch of the cross-encoder; budget: seconds for its throughput. A collection that does not fit into memory is measured at the size that
    does, and the search extrapolated.
    """
    asked, pictures = captions(WARM_UP + queries, sizes), images(min(max(collections), 4096), sizes)
    timings: list[Timing] = []
    found: dict[int, tuple[Agreement, Agreement]] = {}
    tell = teller(f"latency, {pair.device}")
    with temporary_folder() as folder:
        largest = fitting(max(collections), sizes.width, psutil.virtual_memory().available)
        held = {count: min(count, largest) for count in collections}
        built = {size: build_collection(folder, size, sizes.width, tell) for size in set(held.values())}
        bytes_each = sum(path.stat().st_size for path in folder.rglob("vectors.npy")) / sum(built)
        for count, size in held.items():
            ways = {PUBLISHED: Way(pair.published, published_search(built[size].vectors, pair.device)),
                    FAST: Way(pair.fast, fast_search(built[size], pair.device))}  # fmt: skip
            told = teller(f"latency, {pair.device}, {count:,} images")
            times = query_times(ways, asked, lambda row: pictures[row % len(pictures)], k, WARM_UP, told)
            timings += [timing for name in ways for timing in _of_queries(name, pair.device, times[name], count, size, k)]
            one, other = times[PUBLISHED], times[FAST]
            found[count] = agreement(one.rows, one.scores, other.rows, other.scores), agreement(*_reranked(one), *_reranked(other))
    measured = pair_throughputs(pair, sizes, pairs, budget)
    timings += [Timing(CE, name, pair.device, count, {RERANKING: Part(one.per_unit, count)}, together=False, extrapolated=throughput_told(one))
                for count in collections for name, one in measured.items()]  # fmt: skip
    searched, reranked = ({count: both[which] for count, both in found.items()} for which in (0, 1))
    return Latencies(timings, searched, reranked, bytes_each)


def pair_throughputs(pair: Contestants, sizes: Sizes, pairs: int, budget: float) -> dict[str, Throughput]:
    """Batches of the cross-encoder in both ways, every one with pairs of its own."""
    texts, pictures = captions(64 * pairs, sizes, seed=1), images(pairs, sizes, seed=1)

    def batch_of(name: str, batch: int) -> int:
        start = batch % 64 * pairs
        return len(pair.both[name].score_pairs(texts[start : start + pairs], pictures))

    jobs = {name: (lambda batch, name=name: batch_of(name, batch)) for name in pair.both}
    return throughputs(jobs, budget, tell=teller(f"cross-encoder, {pair.device}"))


def throughput_told(measured: Throughput, what: str = "pairs") -> str:
    """ "512 pairs (±3.0% at 95% confidence)"."""
    share = measured.half_width
    told = f"±{share:.1%} at 95% confidence" if np.isfinite(share) else "too few batches for an interval"
    return f"{measured.units * len(measured.seconds):,} {what} ({told})"


def _of_queries(way: str, device: str, times: QueryTimes, count: int, held: int, k: int) -> list[Timing]:
    """BE and COOP of the same queries: BE's is what comes before the reranking."""
    told = f"a search of {held:,} images, which memory has room for" if held < count else ""
    parts = {name: Part(seconds, count / held if name == SEARCH else 1) for name, seconds in times.seconds.items()}
    return [Timing(BE, way, device, count, {name: parts[name] for name in (ENCODING, SEARCH)}, extrapolated=told),
            Timing(COOP, way, device, count, parts, extrapolated=told, k=k)]


def _reranked(times: QueryTimes) -> tuple[np.ndarray, np.ndarray]:
    """The found rows in the order of their match probabilities, and these."""
    order = np.argsort(-times.matches, axis=1, kind="stable")
    return np.take_along_axis(times.rows, order, axis=1), np.take_along_axis(times.matches, order, axis=1)
