"""Which GPU a task takes where several tasks share a machine: each has a lock file, held while the task lives."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout

PAUSE = 0.5  # seconds between two rounds

_held: list[FileLock] = []  # until this process ends, however it does


def take_one(folder: Path) -> None:
    """Take a free GPU where this machine has several and none is chosen yet, as SLURM does; the locks lie in `folder`, which machines may share."""
    gpus = [str(number) for number in range(torch.cuda.device_count())]
    if len(gpus) > 1 and not os.environ.get("CUDA_VISIBLE_DEVICES"):
        take(gpus, folder / platform.node())


def take(gpus: Sequence[str], folder: Path) -> str:
    """Wait for a free one of these GPUs and hold it until this process ends; CUDA then shows it alone, to this process and its children."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"gpu-{gpu}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _held.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            return gpu
        time.sleep(PAUSE)
