"""Exact search of a million embeddings, against the published way and against FAISS, and the memory it takes.

Published: the collection normalised at every query, one product, top-k. `python benchmarks/searching.py ITEMS` instead builds a collection of ITEMS
embeddings on the disk, searches it, and writes the memory that it took to `results/bench/from_disk.json` and `.md` (10,000,000 need 40 GB of disk).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import recording
import torch
from timing import side_by_side

from mmr_kit.cache import cache_dir
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.search import search

ITEMS, WIDTH, K, QUERIES = 1_000_000, 768, 20, 100
THREADS = 2  # of one search; trainings, which run side by side, have one each
MEMORY = 1.7e9  # bytes that a process may take which opens a million embeddings and searches them
MEMORY_FROM_DISK = 1e9  # and however many more there are
KINDS = ("independent", "trained-like")
ROWS = 20_000


def embeddings(kind: str, count: int, seed: int) -> Iterator[np.ndarray]:
    """Unit vectors, some at a time: of independent normal values, or as trained ones are: in a narrow cone (two random ones have a cosine of about 0.4), in
    groups of near ones, their variance falling from direction to direction, with a few columns of large values."""
    fixed, rng = np.random.default_rng(7), np.random.default_rng(seed)
    scale = np.arange(1, WIDTH + 1) ** -0.5
    scale[fixed.choice(WIDTH, 4, replace=False)] *= 10
    groups, shared = fixed.standard_normal((5000, WIDTH), np.float32), fixed.standard_normal(WIDTH, np.float32)
    for start in range(0, count, ROWS):
        size = min(ROWS, count - start)
        vectors = rng.standard_normal((size, WIDTH), np.float32)
        if kind == "trained-like":
            vectors = ((0.7 * vectors + groups[rng.integers(len(groups), size=size)] + shared) * scale).astype(np.float32)
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cases() -> Iterator[dict[str, Any]]:
    """Results for each kind of embeddings: one query, many at once, memory."""
    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    cache_dir().mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        with tempfile.TemporaryDirectory(dir=cache_dir()) as temporary:
            folder = Path(temporary) / "collection"
            collection = Collection.build(folder, embeddings(kind, ITEMS, seed=0))
            asked = np.concatenate(list(embeddings(kind, QUERIES, seed=1)))
            facts = check(collection, asked)
            yield one_query(kind, collection, asked, facts)
            yield many_queries(kind, collection, asked, facts)
            yield memory(f"resident memory: {kind}, {ITEMS} x {WIDTH}", folder, MEMORY)


def check(collection: Collection, asked: np.ndarray) -> dict[str, Any]:
    """The exact top k of all queries against the plain float32 search; they may differ only where two scores are as near as float32 products are wrong."""
    collection.scored = collection.plain = 0
    rows, scores = collection.search(asked, K)
    plain_rows, plain_scores = search(asked, collection.vectors, K)
    differ = rows != plain_rows
    if differ.any() and np.abs(scores - plain_scores)[differ].max() > 1e-6:
        raise SystemExit("the two searches found different items; this is an error of the kit")
    collection.release()
    other = sum(set(some) != set(plain) for some, plain in zip(rows.tolist(), plain_rows.tolist(), strict=True))
    return {
        "queries_checked": len(asked), "places_swapped_in_a_near_tie": int(differ.sum()), "queries_of_another_top_k": other,
        "items_scored_per_query": collection.scored / len(asked), "queries_that_needed_a_plain_pass": collection.plain,
    }  # fmt: skip


def one_query(kind: str, collection: Collection, asked: np.ndarray, facts: dict[str, Any]) -> dict[str, Any]:
    """Published against the kit."""
    vectors, query = torch.from_numpy(np.array(collection.vectors)), torch.from_numpy(asked[:1])
    normalize = torch.nn.functional.normalize

    def published() -> object:
        return torch.topk(normalize(query) @ normalize(vectors).T, K)

    return side_by_side(f"search: 1 query, {kind}, {ITEMS} x {WIDTH}, k = {K}", published, lambda: collection.search(asked[:1], K), at_least=20, **facts)


def many_queries(kind: str, collection: Collection, asked: np.ndarray, facts: dict[str, Any]) -> dict[str, Any]:
    """FAISS's exact index against the kit."""
    flat = faiss.IndexFlatIP(WIDTH)
    for start in range(0, ITEMS, ROWS):
        flat.add(np.array(collection.vectors[start : start + ROWS]))
        collection.release()
    return side_by_side(f"search: {QUERIES} queries, {kind}, {ITEMS} x {WIDTH}, k = {K}", lambda: flat.search(asked, K), lambda: collection.search(asked, K),
                        repeats=3, at_least=5, names=("FAISS flat", "fast"), **facts)  # fmt: skip


CHILD = """
import json, re, sys, time
import numpy as np, torch
from mmr_kit.retrieval.collection import Collection
torch.set_num_threads(int(sys.argv[2]))
collection, rng, seconds = Collection.open(sys.argv[1]), np.random.default_rng(2), []
for count in (1, 1, 1, int(sys.argv[3])):
    noise = rng.standard_normal((count, collection.width), np.float32)
    queries = collection.vectors[rng.integers(len(collection), size=count)] + 0.7 * noise / collection.width**0.5
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    start = time.perf_counter()
    collection.search(queries, int(sys.argv[4]))
    seconds.append(time.perf_counter() - start)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)) * 1024
print(json.dumps({"bytes": peak, "seconds": seconds, "items_scored": collection.scored, "queries_that_needed_a_plain_pass": collection.plain}))
"""


def memory(name: str, folder: Path, at_most: float) -> dict[str, Any]:
    """Of a fresh process that opens the collection and searches it three times for one query and once for many: the most that was resident (Linux says it)."""
    command = [sys.executable, "-c", CHILD, str(folder), str(THREADS), str(QUERIES), str(K)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    missed = "" if said["bytes"] <= at_most else ", MISSED"
    print(f"{name:<64} {said['bytes'] / 1e9:.2f} GB (asked: at most {at_most / 1e9:.1f}{missed})   "
          f"seconds of 1, 1, 1 and {QUERIES} queries: {', '.join(f'{each:.2f}' for each in said['seconds'])}", flush=True)  # fmt: skip
    return {"name": name, "at_most": at_most, **said}


def from_disk(items: int) -> dict[str, Any]:
    """Build and search a collection of any size; the result of `memory`."""
    torch.set_num_threads(THREADS)
    cache_dir().mkdir(parents=True, exist_ok=True)
    needed = items * (5 * WIDTH + 8)
    if shutil.disk_usage(cache_dir()).free < needed + 2**30:
        raise SystemExit(f"{cache_dir()}: {items} embeddings need {needed / 1e9:.0f} GB of disk; set MMR_CACHE_DIR to a folder with more room")
    with tempfile.TemporaryDirectory(dir=cache_dir()) as temporary:
        start = time.perf_counter()
        Collection.build(Path(temporary) / "collection", embeddings("independent", items, seed=0))
        print(f"built in {time.perf_counter() - start:.0f} s", flush=True)
        return memory(f"resident memory: independent, {items} x {WIDTH}", Path(temporary) / "collection", MEMORY_FROM_DISK)


if __name__ == "__main__":
    recording.write([from_disk(int(sys.argv[1]))], "from_disk", "A collection searched from disk", f"`python benchmarks/searching.py {int(sys.argv[1])}`")
