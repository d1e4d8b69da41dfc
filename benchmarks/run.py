"""Speed of the kit against the published way of doing the same, side by side in one run: `make bench`. Writes `results/bench/<device>.json`."""

from __future__ import annotations

import json
from pathlib import Path

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


def main() -> None:
    results = [result for part in PARTS for result in part.cases()]
    record = {"results": results, "provenance": provenance({}, {}, {})}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(__file__).parents[1] / "results" / "bench" / f"{device}.json"
    atomic_write(path, json.dumps(record, indent=1, default=str) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
