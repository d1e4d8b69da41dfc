"""A billion images on paper: `python benchmarks/billion.py` writes docs/billion_images.md from what was measured with a million (results/)."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from mmr_kit.cache import atomic_write
from mmr_kit.retrieval.approximate import SPARE

ROOT = Path(__file__).resolve().parents[1]
IMAGES, MILLION, WIDTH, K = 10**9, 10**6, 768, 20
BYTES = {"float32": 4 * WIDTH, "codes": WIDTH + 8}  # of an item: its values; a byte a value, and two bounds
MACHINES_GB = (16, 64, 256)  # memory of a machine
USED = 0.9  # share of it that codes may take
PRICE = 0.01  # assumed, of a GB of memory for an hour, whatever currency; prices of machines go with their memory
READ = 100e-6  # assumed, seconds of a read from a disk at a random place; a search does one after another
QUERIES = 100  # at once


def main() -> None:
    """Read the measurements, compute, write."""
    record = json.loads((ROOT / "results" / "bench" / "cpu.json").read_text())
    medians = {result["name"]: result["medians"]["fast"] for result in record["results"] if "medians" in result and "fast" in result["medians"]}
    one_query = f"search: 1 query, independent, {MILLION} x {WIDTH}, k = {K}"
    exact, batch = medians[one_query], medians[f"search: {QUERIES} queries, independent, {MILLION} x {WIDTH}, k = {K}"]
    scored = next(result["items_scored_per_query"] for result in record["results"] if result["name"] == one_query)
    whole = json.loads((ROOT / "results" / "bench" / "from_disk.json").read_text())["results"][0]
    *ones, many = whole["seconds"]  # of single queries, then of QUERIES at once
    scored_of_whole = whole["items_scored"] / (len(ones) + QUERIES)
    with open(ROOT / "results" / "demo" / "search_costs.csv", newline="") as file:
        rows = {(row["method"], row["metric"]): float(row["value"]) for row in csv.DictReader(file) if row["n_items"] == str(MILLION)}
    method = "approximate, 64 probes"
    near, found = rows[method, "search_s"], rows[method, "found_of_exact"]
    machine, other = record["provenance"], json.loads((ROOT / "results" / "demo" / "search_costs.provenance.json").read_text())
    lines = [
        "# A billion images, on paper", "",
        "*Written by `python benchmarks/billion.py` from `cpu.json` and `from_disk.json` in `results/bench/` and `results/demo/search_costs.csv`.*", "",
        f"Measured on {machine['cpu_count']} cores ({machine['cpu']}, {machine['cpu_capability']}), over a million embeddings of {WIDTH} "
        "values:", "",
        f"- one query, exact: {1000 * exact:.0f} ms, or {MILLION * WIDTH / exact / 1e9:.0f} GB of codes a second;",
        f"- {QUERIES} queries at once, exact: {1000 * batch / QUERIES:.1f} ms each;",
        f"- one query, approximate ({method.partition(', ')[2]}): {1000 * near:.1f} ms, {found:.1f}% of the exact {K} found.", "",
        "Exact search ran on two threads over independent embeddings (among which an approximate index would find little), approximate search on one thread "
        f"of a machine of its own ({other['cpu']}, {other['cpu_capability']}) over embeddings with a falling spectrum: their times are no race.", "",
        "## Bytes", "",
        f"A billion embeddings take {IMAGES * BYTES['float32'] / 1e12:.2f} TB in float32, which stay on disks. The codes that the first pass reads, a byte a "
        f"value and two bounds of each item, take {IMAGES * BYTES['codes'] / 1e12:.2f} TB, which should lie in memory; so much takes the index of approximate "
        "search in their place.", "",
        f"What the first pass does not rule out is scored from float32: of a million on average {scored:.0f} embeddings a query, and so of a thousand shards "
        f"{IMAGES / MILLION * scored:,.0f}, {IMAGES / MILLION * scored * BYTES['float32'] / 1e9:.2f} GB, each read from a place of its own. Approximate search "
        f"scores {SPARE * K} of each shard, {IMAGES // MILLION * SPARE * K:,} in all.", "",
        f"Fewer and larger shards read less: one collection of ten million, {scored_of_whole:.0f} a query. It was measured with the default `resident` of "
        f"1 GiB, so that its codes were given back block by block to the operating system and mapped again: {ones[0]:.1f} s the first query, "
        f"{' and '.join(f'{each:.2f}' for each in ones[1:])} s the next, {many:.0f} s for {QUERIES} at once, where ten times a million would be "
        f"{10 * exact:.2f} and {10 * batch:.1f} s. The table takes a `resident` as large as the codes.", "",
        "## Machines, latency and cost", "",
        f"Shards of a million (`Sharded`, or a cluster of Milvus), dealt out over as many machines as are needed to hold whole shards of codes in {USED:.0%} "
        "of their memory. A machine searches its shards one after another on two cores, all machines at once; merging the answers of dozens of machines is no "
        "work. Latency is the number of shards a machine times what a shard takes: the time measured, in which the float32 values that were read lay in memory "
        f"(the operating system's cache), plus {1e6 * READ:.0f} µs for each of them that comes from a disk, an assumption that stands in the script. Machines "
        "with more cores divide the first further, as far as their memory can be read faster; several disks, or reads side by side (which the kit does not "
        "do), the second.", "",
        f"| memory of a machine | machines | shards a machine | exact, one query: codes + disk | exact, {QUERIES} at once "
        "| approximate, one query: index + disk | cost an hour |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for gigabytes in MACHINES_GB:
        machines = math.ceil(IMAGES / MILLION / (USED * gigabytes * 1e9 // (MILLION * BYTES["codes"])))
        shards = math.ceil(IMAGES / MILLION / machines)
        disk, of_near = shards * scored * READ, shards * SPARE * K * READ
        lines.append(f"| {gigabytes} GB | {machines} | {shards} | {shards * exact:.2f} + {disk:.2f} s "
                     f"| {QUERIES / (shards * batch + QUERIES * disk):.2f} a second | {1000 * shards * near:.0f} + {1000 * of_near:.0f} ms "
                     f"| {machines * gigabytes * PRICE:.2f} |")  # fmt: skip
    lines += [
        "", f"Cost: machines times memory times {PRICE} for a GB and hour, an assumption that stands in the script; put in your own. It hardly depends on "
        "the size of machines, latency does: more and smaller machines read the same bytes with more cores and disks.", "",
        f"Reranking {K} candidates comes on top, the same for any collection: see Table 3.", "",
        "## What this leaves out", "",
        "Replicas, the network between machines (milliseconds within a data centre), and that trained embeddings may lie otherwise than those measured: "
        "the share that approximate search finds depends on it. Nothing here was run with a billion.", "",
    ]  # fmt: skip
    atomic_write(ROOT / "docs" / "billion_images.md", "\n".join(lines))


if __name__ == "__main__":
    main()
