"""What a search costs over the size of the collection, exact and approximate, and how near it comes to what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import psutil
import torch

from mmr_kit.costs.progress import teller
from mmr_kit.costs.queries import fitting, pair_throughputs
from mmr_kit.costs.ways import Contestants, plain_search, published_search
from mmr_kit.costs.workload import Sizes, build_collection, embeddings, temporary_folder
from mmr_kit.errors import InputError
from mmr_kit.models.packed import beside_int8
from mmr_kit.reporting.search_costs import APPROXIMATE, FLOAT, INT8, PUBLISHED_SEARCH, Achieved, SearchCost
from mmr_kit.reporting.timings import FAST, PUBLISHED
from mmr_kit.retrieval.approximate import ApproximateIndex, recall_of
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.latency import Search, search_times

WARM_UP = 2  # queries
OFTEN = 10  # times as many queries of approximate search, which is quick, and apart from the others: they read the whole collection and leave cold caches
MANY = 100  # queries of a search that is limited by arithmetic rather than by memory
BOX = 6  # values of a region beside its features
BYTES = {"no": 4, "bf16": 2, "fp16": 2, "int8": 1}  # of a weight
KINDS = {"bf16": "bfloat16"}  # of the peaks of a `Machine`; of int8 there is none


def search_costs(collections: Sequence[int], width: int, k: int, queries: int, probes: Sequence[int],
                 approximate_up_to: int) -> tuple[list[SearchCost], list[str]]:  # fmt: skip
    """The cost of each search in collections of these sizes, and a note for each that was not measured.

    probes: lists that the approximate search looks into; its index is in memory, so collections above `approximate_up_to` have none. The published search
    needs the collection in memory, and is not measured where it has no room. Collections lie on the disk, mapped into memory.
    """
    costs, notes = [], []
    asked = embeddings(WARM_UP + OFTEN * queries, width, 0)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    for count in collections:
        tell = teller(f"search, {count:,} images")
        with temporary_folder() as folder:
            collection = build_collection(folder, count, width, tell)
            searches: dict[str, Search] = {INT8: collection.search}
            if fitting(count, width, psutil.virtual_memory().available) == count:
                searches |= {PUBLISHED_SEARCH: published_search(collection.vectors), FLOAT: plain_search(collection.vectors)}
            else:
                notes.append(f"{PUBLISHED_SEARCH} and {FLOAT}: not measured on {count:,} images, for which memory has no room.")
            exact = collection.search(asked, k)[0][WARM_UP:]
            found = search_times(searches, asked[: WARM_UP + queries], k, WARM_UP, tell)
            costs += [SearchCost(name, count, seconds, found_of(rows, exact), k) for name, (seconds, rows) in found.items()]
            del searches
            collection.release()  # its float32 values leave the memory before the index comes
            index, why = _index(collection, count, approximate_up_to)
            if index is None:
                notes.append(f"{APPROXIMATE}: not measured on {count:,} images ({why}).")
            else:
                approximate = {str(number): _probing(index, number) for number in probes if number <= index.lists}
                found = search_times(approximate, asked, k, WARM_UP, tell)
                costs += [SearchCost(APPROXIMATE, count, seconds, found_of(rows, exact), k, int(number)) for number, (seconds, rows) in found.items()]
                del approximate
            del index, collection
    return costs, notes


def found_of(rows: np.ndarray, exact: np.ndarray) -> float:
    """Percent of the exact results, rows (queries or more, k), that were found."""
    return 100 * recall_of(rows, exact[: len(rows)])


def achieved(pair: Contestants, sizes: Sizes, items: int, k: int, batch: int, budget: float) -> list[Achieved]:
    """Operations in a second and per byte read, of one query's search, of MANY at once, and of the cross-encoder in both ways.

    Both are what the way in question cannot do without: its operations, and the collection once, or the weights and the inputs once a batch, in the precision
    in which it holds them. items: of the collection, in memory.
    """
    vectors = embeddings(items, sizes.width, 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = embeddings(MANY, sizes.width, 0)
    collection, plain = Collection.of(vectors), plain_search(vectors)
    found = []
    for count in (1, MANY):
        for name, search in {"float32": plain, "int8": collection.search}.items():
            seconds = _median_seconds(search, asked[:count], k)
            bytes_a_value = 4 if name == "float32" or collection.plain else 1  # a small collection is searched without codes
            found.append(Achieved(f"search, {name}, {count} at once", 2 * count * items * sizes.width / seconds, 2 * count / bytes_a_value))
    inputs, precision = 4 * sizes.regions * (sizes.region_width + BOX), pair.fast.precision
    ways = {PUBLISHED: (pair_operations(sizes), weight_bytes(sizes), "float32"),
            FAST: (pair_operations(sizes, first_only=True), weight_bytes(sizes, precision), KINDS.get(precision, "float32"))}  # fmt: skip
    for name, measured in pair_throughputs(pair, sizes, batch, budget).items():
        operations, weights, kind = ways[name]
        found.append(Achieved(f"cross-encoder, {name}", operations / measured.per_unit.mean(), batch * operations / (weights + batch * inputs), kind))
    return found


def pair_operations(sizes: Sizes, first_only: bool = False) -> int:
    """Products and sums of the cross-encoder for one pair: the linear layers and the attention of every layer, and the projection of the regions.

    first_only: as the engine does it. The match head reads the first position alone, so in the last layer only that one attends to the others and passes
    what follows (the projection of queries, keys and values is one product, of all positions).
    """
    positions = sizes.tokens + sizes.regions
    asking = positions * sizes.layers - (positions - 1) * first_only  # positions that attend, of all layers
    linear = sizes.width**2 * (3 * positions * sizes.layers + 9 * asking)  # queries, keys, values; output, up and down
    return 2 * linear + 4 * positions * asking * sizes.width + 2 * sizes.regions * (sizes.region_width + BOX) * sizes.width


def weight_bytes(sizes: Sizes, precision: str = "no") -> int:
    """Bytes of the weights that a batch of pairs reads: those of `pair_operations`, as the engine holds them in this precision (see `packed.Layer`)."""
    wide, narrow = BYTES[precision], BYTES[beside_int8(precision, torch.device("cpu"), "int8")]
    return sizes.layers * sizes.width**2 * ((3 + 4) * wide + (1 + 4) * narrow) + 4 * (sizes.region_width + BOX) * sizes.width


def _index(collection: Collection, count: int, up_to: int) -> tuple[ApproximateIndex | None, str]:
    """An index of the collection; None, and why, where there is none."""
    if count > up_to:
        return None, f"asked for up to {up_to:,}"
    print(f"search, {count:,} images: building the index of approximate search", flush=True)
    try:
        return ApproximateIndex.build(collection), ""
    except InputError as error:
        return None, str(error)


def _probing(index: ApproximateIndex, probes: int) -> Search:
    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        index.probes = probes
        return index.search(queries, k)

    return search


def _median_seconds(search: Search, queries: np.ndarray, k: int, repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        search(queries, k)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))
