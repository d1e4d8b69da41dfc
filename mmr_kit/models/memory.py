"""What is done when a batch does not fit in memory: it is split, the work goes on, and `splits` tells that it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from mmr_kit.errors import InputError
from mmr_kit.models import distributed

splits = 0  # batches that this process has split


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted: the GPU's, or that of the CPU (which PyTorch reports as a RuntimeError)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def count_split() -> None:
    """Note that a batch was split, and let go of what it had taken."""
    global splits
    splits += 1
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def alike() -> Iterator[None]:
    """For what each of several processes computes for itself: where one runs out of memory, all raise MemoryError, so that none waits for another."""
    failed = False
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        failed = True
    if distributed.any_says(failed):
        raise MemoryError("memory ran out")


def fill(results: np.ndarray, rows: np.ndarray, compute: Callable[[np.ndarray], Tensor]) -> None:
    """results[rows] = compute(rows), in halves where that does not fit in memory. Raises InputError where not even one row does."""
    try:
        results[rows] = compute(rows).cpu().numpy()
        return
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        if len(rows) == 1:
            raise InputError("out of memory on a single input: close other programs, or use a machine with more memory") from None
    count_split()  # here, where the error no longer holds on to the failed attempt
    for half in np.array_split(rows, 2):
        fill(results, half, compute)
