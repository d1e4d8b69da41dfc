"""`make faults`: many kills of each program, several programs at a time; writes results/reliability/faults.json, from which RELIABILITY.md is made."""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmr_kit.cache import atomic_write, cache_dir
from mmr_kit.data.datasets import load_dataset
from mmr_kit.reporting import provenance
from tests.kills.killing import kill_often
from tests.kills.scenarios import ROOT, SCENARIOS

RECORD = ROOT / "results" / "reliability" / "faults.json"


def main() -> None:
    """Shares the kills among the scenarios; ends with the error of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ["MMR_CACHE_DIR"] = str(cache_dir())
    for name in ("smoke_a", "smoke_b"):
        load_dataset(name)  # generated once
    shares = [asked.kills // len(SCENARIOS) + (number < asked.kills % len(SCENARIOS)) for number in range(len(SCENARIOS))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(kill_often, SCENARIOS, shares, [asked.seed] * len(SCENARIOS)))
    atomic_write(Path(RECORD), json.dumps({"programs": told, "seed": asked.seed, "provenance": provenance({}, {}, {})}, indent=1) + "\n")
    for each in told:
        print(f"{each['scenario']:<18} {each['kills']} kills, {each['runs_to_the_end']} runs to the end, {each['files_compared']} files compared: all the same")


if __name__ == "__main__":
    main()
