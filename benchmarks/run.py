"""Speed of the kit against the published way of doing the same, side by side in one run: `make bench`. Writes `results/bench/<device>.json`
and, as a table of what was asked and what was reached, `<device>.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cooperating
import cross_encoding
import evaluating
import exploring
import searching
import torch
import training_step

from mmr_kit.cache import atomic_write
from mmr_kit.reporting import provenance

PARTS = (searching, cross_encoding, evaluating, training_step, cooperating, exploring)


def as_table(record: dict[str, Any], device: str) -> str:
    """Markdown: each result beside what was asked of it; what falls short is marked as missed."""
    lines = [f"# Speed on {'the GPU' if device == 'cuda' else 'the CPU'}", "",
             f"Written by `make bench` on {record['provenance']['cpu']}, {record['provenance']['threads']} threads. Ratios are of two medians measured in turn "
             "in one run: the published way (or the one named) to the kit's.", "", "| measured | result | asked | |", "|---|--:|--:|---|"]  # fmt: skip
    for result in record["results"]:
        if "ratio" in result:
            reached, asked, told = result["ratio"], result["at_least"], f"{result['ratio']:.1f} times"
            wanted, holds = f"at least {asked:g}" if asked else "", reached >= asked
        elif "tau" in result:
            told, wanted = f"{result['top_1']:.1%}, tau {result['tau']:.4f}", f"{result['asked'][0]:.1%}, {result['asked'][1]:g}"
            holds = result["top_1"] >= result["asked"][0] and result["tau"] >= result["asked"][1]
        else:
            value, unit, divisor = (result["bytes"], "GB", 1e9) if "bytes" in result else (result["p95"], "ms (95th percentile)", 1e-3)
            told, wanted, holds = f"{value / divisor:.3g} {unit}", f"at most {result['at_most'] / divisor:.3g}", value <= result["at_most"]
        lines.append(f"| {result['name']} | {told} | {wanted} | {'' if holds else '**missed**'} |")
    return "\n".join(lines) + "\n"


def write(record: dict[str, Any], path: Path) -> None:
    """The record as JSON, and as a table beside it."""
    atomic_write(path, json.dumps(record, indent=1, default=str) + "\n")
    atomic_write(path.with_suffix(".md"), as_table(json.loads(path.read_text()), path.stem))


def main() -> None:
    results = [result for part in PARTS for result in part.cases()]
    record = {"results": results, "provenance": provenance({}, {}, {})}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(__file__).parents[1] / "results" / "bench" / f"{device}.json"
    write(record, path)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
