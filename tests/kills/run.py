"""`make faults`: many kills of each program, several programs at a time, then the tests of what a machine may lack; writes results/reliability/faults.json and
wants.json, and RELIABILITY.md from them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmr_kit.cache import atomic_write, cache_dir
from mmr_kit.reporting import provenance
from tests.kills.killing import kill_often
from tests.kills.reliability import write
from tests.kills.scenarios import ROOT, SCENARIOS, Scenario

RECORD = ROOT / "results" / "reliability" / "faults.json"


WANTS = ("test_want", "test_faults", "test_security", "test_parallel", "models/test_watching", "models/test_distributed", "fuzz",
         *(f"data/test_{name}" for name in ("archives", "caption_formats", "captions", "downloading", "feature_files", "feature_fuzz", "manifests", "regions")))


def _wants() -> None:
    """Run the tests that put something in the way; count them."""
    told = []
    for name in WANTS:
        place = ROOT / "tests" / (name if (ROOT / "tests" / name).is_dir() else f"{name}.py")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={folder}/told.xml", str(place)], cwd=ROOT, check=True)
            suite = ElementTree.parse(f"{folder}/told.xml").getroot()[0].attrib
        tests, skipped, failed = int(suite["tests"]), int(suite["skipped"]), int(suite["failures"]) + int(suite["errors"])
        told.append({"tests": str(place.relative_to(ROOT)), "passed": tests - skipped - failed, "skipped": skipped, "failed": failed})
    atomic_write(RECORD.with_name("wants.json"), json.dumps({"files": told}, indent=1) + "\n")


def _killed(scenario: Scenario, kills: int, seed: int) -> dict[str, Any]:
    told = kill_often(scenario, kills, seed)
    print(f"{scenario.name:<26} {kills} kills, {told['runs_to_the_end']} runs to the end, {told['files_compared']} files compared: all the same", flush=True)
    return told


def main() -> None:
    """Shares the kills among the scenarios; ends with the error of the first that fails, when the others have been through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ["MMR_CACHE_DIR"] = str(cache_dir())
    shares = [asked.kills // len(SCENARIOS) + (number < asked.kills % len(SCENARIOS)) for number in range(len(SCENARIOS))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(_killed, SCENARIOS, shares, [asked.seed] * len(SCENARIOS)))
    atomic_write(Path(RECORD), json.dumps({"programs": told, "seed": asked.seed, "provenance": provenance({}, {}, {})}, indent=1) + "\n")
    _wants()
    write()


if __name__ == "__main__":
    main()
