"""A billion images on paper: `python benchmarks/billion.py` writes docs/billion_images.md from what was measured with a million (results/)."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from mmr_kit.cache import atomic_write

ROOT = Path(__file__).resolve().parents[1]
IMAGES, MILLION, WIDTH, K = 10**9, 10**6, 768, 20
BYTES = {"float32": 4 * WIDTH, "codes": WIDTH + 8}  # of an item: its values; a byte a value, and two bounds
MACHINES_GB = (16, 64, 256)  # memory of a machine
USED = 0.9  # share of it that codes may take
PRICE = 0.01  # assumed, of a GB of memory for an hour, whatever currency; prices of machines go with their memory
QUERIES = 100  # at once


def main() -> None:
    """Read the measurements, compute, write."""
    record = json.loads((ROOT / "results" / "bench" / "cpu.json").read_text())
    medians = {result["name"]: result["medians"]["fast"] for result in record["results"] if "medians" in result and "fast" in result["medians"]}
    exact = medians[f"search: 1 query, independent, {MILLION} x {WIDTH}, k = {K}"]
    batch = medians[f"search: {QUERIES} queries, independent, {MILLION} x {WIDTH}, k = {K}"]
    with open(ROOT / "results" / "demo" / "search_costs.csv", newline="") as file:
        rows = {(row["method"], row["metric"]): float(row["value"]) for row in csv.DictReader(file) if row["n_items"] == str(MILLION)}
    method = "approximate, 64 probes"
    near, found = rows[method, "search_s"], rows[method, "found_of_exact"]
    machine = record["provenance"]
    lines = [
        "# A billion images, on paper", "",
        "*Written by `python benchmarks/billion.py` from `results/bench/cpu.json` and `results/demo/search_costs.csv`.*", "",
        f"Measured on {machine['cpu_count']} cores of one machine ({machine['cpu']}, {machine['cpu_capability']}), over a million embeddings of {WIDTH} "
        "values:", "",
        f"- one query, exact: {1000 * exact:.0f} ms, or {MILLION * WIDTH / exact / 1e9:.0f} GB of codes a second;",
        f"- {QUERIES} queries at once, exact: {1000 * batch / QUERIES:.1f} ms each;",
        f"- one query, approximate ({method.partition(', ')[2]}): {1000 * near:.1f} ms, {found:.1f}% of the exact {K} found.", "",
        "Exact search ran on two threads over independent embeddings (among which an approximate index would find little), approximate search on one thread "
        "over embeddings with a falling spectrum: their times are no race.", "",
        "## Bytes", "",
        f"A billion embeddings take {IMAGES * BYTES['float32'] / 1e12:.2f} TB in float32, which stay on disks: a query reads a few hundred of "
        f"them. The codes that the first pass reads, a byte a value, take {IMAGES * BYTES['codes'] / 1e12:.2f} TB, which should lie in memory.", "",
        "## Machines, latency and cost", "",
        f"Shards of a million (`Sharded`, or a cluster of Milvus), dealt out over as many machines as are needed to hold codes in {USED:.0%} of their memory. "
        "A machine searches its shards one after another on two cores, all machines at once; merging the answers of dozens of machines is no work. Latency is "
        "the number of shards a machine times what a shard takes. Machines with more cores divide it further, as far as their memory can be read faster.", "",
        f"| memory of a machine | machines | shards a machine | exact, one query | exact, {QUERIES} at once | approximate, one query | cost an hour |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for gigabytes in MACHINES_GB:
        machines = math.ceil(IMAGES * BYTES["codes"] / (USED * gigabytes * 1e9))
        shards = math.ceil(IMAGES / MILLION / machines)
        lines.append(f"| {gigabytes} GB | {machines} | {shards} | {shards * exact:.2f} s | {QUERIES / (shards * batch):.1f} a second "
                     f"| {1000 * shards * near:.0f} ms | {machines * gigabytes * PRICE:.2f} |")  # fmt: skip
    lines += [
        "", f"Cost: machines times memory times {PRICE} for a GB and hour, an assumption that stands in the script; put in your own. It hardly depends on "
        "the size of machines, latency does: more and smaller machines read the same bytes with more cores.", "",
        f"Reranking {K} candidates comes on top, the same for any collection: see Table 3.", "",
        "## What this leaves out", "",
        "Replicas, the network between machines (milliseconds within a data centre), and that trained embeddings may lie otherwise than those measured: "
        "the share that approximate search finds depends on it. Nothing here was run with a billion.", "",
    ]  # fmt: skip
    atomic_write(ROOT / "docs" / "billion_images.md", "\n".join(lines))


if __name__ == "__main__":
    main()
