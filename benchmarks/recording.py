"""The records of the benchmarks: `results/bench/<name>.json`, and as a table of what was asked and what was reached, `<name>.md`."""

from __future__ import annotations

import json
from math import inf, isfinite
from pathlib import Path
from typing import Any

from mmr_kit.cache import atomic_write
from mmr_kit.reporting import provenance

BENCH = Path(__file__).parents[1] / "results" / "bench"
UNITS = {"bytes": ("GB", 1e9), "p95": ("ms (95th percentile)", 1e-3), "seconds": ("min", 60)}  # of what is to be at most so much: as written, and what one is


def as_table(record: dict[str, Any], title: str, command: str) -> str:
    """Markdown: each result beside what was asked of it; what falls short is marked as missed."""
    results = record["results"]
    written = f"Written by {command} on {record['provenance']['cpu']}, {record['provenance']['threads']} threads."
    notes = {"ratio": " Ratios are of two medians measured in turn in one run: the published way (or the one named) to the kit's.",
             "tau": " Agreement: how often the first candidate is float32's, and Kendall's tau of the order of all."}  # fmt: skip
    remarks = "".join(note for name, note in notes.items() if any(name in result for result in results))
    lines = [f"# {title}", "", f"{written}{remarks}", "", "| measured | result | asked | |", "|---|--:|--:|---|"]
    for result in results:
        if "ratio" in result:
            reached, asked, told = result["ratio"], result["at_least"], f"{result['ratio']:.1f} times"
            wanted, holds = f"at least {asked:g}" if asked else "", reached >= asked
        elif "tau" in result:
            told, wanted = f"{result['top_1']:.1%}, tau {result['tau']:.4f}", f"{result['asked'][0]:.1%}, {result['asked'][1]:g}"
            if result.get("settled"):
                told += f" ({result['top_1_unsettled']:.1%} before {result['settled']:.1%} of the pairs were scored again in float32)"
            holds = result["top_1"] >= result["asked"][0] and result["tau"] >= result["asked"][1]
        else:
            value, unit, divisor = next((result[kind], unit, divisor) for kind, (unit, divisor) in UNITS.items() if kind in result)
            told, asked = f"{value / divisor:.3g} {unit}", result.get("at_most", inf)
            wanted, holds = f"at most {asked / divisor:.3g}" if isfinite(asked) else "", value <= asked
        lines.append(f"| {result['name']} | {told} | {wanted} | {'' if holds else '**missed**'} |")
    return "\n".join(lines) + "\n"


def write(results: list[dict[str, Any]], name: str, title: str, command: str) -> Path:
    """Write results/bench/<name>.json, and the same as a table to <name>.md; returns the first."""
    record = json.loads(json.dumps({"results": results, "provenance": provenance({}, {}, {})}, default=str))
    path = BENCH / f"{name}.json"
    atomic_write(path, json.dumps(record, indent=1) + "\n")
    atomic_write(path.with_suffix(".md"), as_table(record, title, command))
    return path
