"""What this machine can do at best, as the kit's processes use it: how fast it reads memory, and how fast it multiplies matrices."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

from mmr_kit.models.packed import is_fast
from mmr_kit.reporting.search_costs import Machine

REPEATS = 7
LARGE = 2**26  # values of an array that no cache holds: 256 MiB
SIDE = 2048  # of the square matrices


def measure_machine(device: str = "cpu", large: int = LARGE, side: int = SIDE) -> Machine:
    """The best of REPEATS measurements each, with as many threads as PyTorch is set to; bfloat16 where the processor has instructions for it."""
    array = torch.ones(large, device=device)
    peaks = {}
    for name, precision in (("float32", "no"), ("bfloat16", "bf16")):
        if not is_fast(precision, torch.device(device)):
            continue  # without instructions for it a product takes a hundred times as long
        matrix = torch.ones(side, side, dtype=getattr(torch, name), device=device)
        peaks[name] = 2 * side**3 / _best(partial(torch.mm, matrix, matrix), device)
    readers = (lambda: torch.dot(array, array), array.max)
    return Machine(4 * large / min(_best(read, device) for read in readers), peaks)


def _best(job: Callable[[], object], device: str) -> float:
    """Seconds of the quickest run; the first one warms up."""
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        job()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
