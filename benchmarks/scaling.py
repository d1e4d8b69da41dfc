"""How much faster two processes train than one: `python benchmarks/scaling.py`; each process has one thread. Writes results/reliability/scaling.json.

Started by `torchrun` (as it starts itself), it times steps in this process and the first process prints them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mmr_kit.cache import atomic_write
from mmr_kit.data.datasets import load_dataset
from mmr_kit.models import distributed
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.losses import NegativeSchedule
from mmr_kit.models.objectives import BiEncoding, CrossEncoding, Joint
from mmr_kit.models.retrieval_model import load_model
from mmr_kit.models.starts import resolve
from mmr_kit.models.training import Schedule, train
from mmr_kit.reporting import provenance

RECORD = Path(__file__).resolve().parents[1] / "results" / "reliability" / "scaling.json"
STEPS, WARM_UP, PROCESSES, ROUNDS = 24, 4, (1, 2), 3


def main() -> None:
    """Time both in turn, several times."""
    seconds: dict[str, dict[int, list[float]]] = {}
    for _ in range(ROUNDS):
        for processes in PROCESSES:
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes), __file__]
            said = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout
            for method, step in json.loads(said.splitlines()[-1]).items():
                seconds.setdefault(method, {}).setdefault(processes, []).append(step)
    told: list[dict[str, Any]] = []
    for method, by_processes in seconds.items():
        medians = {processes: statistics.median(steps) for processes, steps in by_processes.items()}
        speedup = medians[1] / medians[2]
        told.append({"method": method, "seconds_a_step": medians, "all": by_processes, "speedup": speedup})
        print(f"{method:<6} {1000 * medians[1]:7.1f} ms a step by one process, {1000 * medians[2]:7.1f} ms by two: {speedup:.2f} times as fast", flush=True)
    atomic_write(RECORD, json.dumps({"methods": told, "provenance": provenance({}, {}, {})}, indent=1) + "\n")


def measure() -> dict[str, float]:
    """Median seconds of a step of each method, on the generated world's training pairs."""
    torch.set_num_threads(1)
    dataset, found = load_dataset("pictograms_a", "train"), {}
    for method in ("BE", "CE", "JOINT"):
        model = load_model(resolve("pictograms"))
        cross_encoding = CrossEncoding(model, TrainingPairs(dataset, 64, 0))
        bi_encoding = BiEncoding(model, TrainingPairs(dataset, 128, 1), 0.1, NegativeSchedule(adaptive=False))
        objective = {"BE": bi_encoding, "CE": cross_encoding, "JOINT": Joint(bi_encoding, cross_encoding)}[method]
        ends: list[float] = []
        with tempfile.TemporaryDirectory() as work:
            train(objective, Schedule(STEPS, 1e-4, STEPS), lambda model: 0.0, Path(work), lambda point: ends.append(time.perf_counter()))  # noqa: B023
        found[method] = statistics.median(after - before for before, after in zip(ends[WARM_UP:-2], ends[WARM_UP + 1 : -1], strict=True))
    return found


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:
        measured = measure()
        if distributed.number() == 0:
            print(json.dumps(measured))
    else:
        main()
