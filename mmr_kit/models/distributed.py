"""One training or encoding on several processes, as `torchrun` starts them: every process runs the same program on the same batches, and computes its share.

A process passes its share of the inputs through the Transformer; what comes out is gathered, so each has all embeddings or logits of the batch and computes the
same loss. Gradients flow back through the own share alone, and their sum over the processes is the gradient that one process would have: in-batch negatives are
those of the whole batch, however many processes share it. Without gradients the passes of a collection are dealt out instead, each as one process would do it,
so the results are the same to the bit. With one process nothing here does anything.

All processes must make the same calls in the same order, as they do when they run the same program; one that fails ends, and `torchrun` ends the others. They
end, too, when `torchrun` itself is gone, so that none is left behind.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate.state import PartialState
from torch import Tensor, nn
from torch import distributed as processes

from mmr_kit import cache
from mmr_kit.errors import InputError
from mmr_kit.started import STARTED_BY

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # with one another: for as long they wait where a machine has lost its power or its network, and then give up


def count() -> int:
    """How many processes share the work: those that `torchrun` started along with this one, which meet when this is first asked."""
    if not processes.is_torchelastic_launched():
        return 1
    if not processes.is_initialized():
        threading.Thread(target=_end_with, args=[STARTED_BY], daemon=True).start()
        PartialState(timeout=PATIENCE)
    return processes.get_world_size()


def _end_with(parent: int) -> None:
    """End when `torchrun` is gone: killed, it can no longer end what it started."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def number() -> int:
    """Which of them this is; 0 leads: it writes files and talks."""
    return processes.get_rank() if count() > 1 else 0


def share(inputs: int) -> slice:
    """Which rows of a batch with so many inputs this process computes. Raises InputError where there are not enough for all processes."""
    if inputs < count():
        raise InputError(f"a batch of {inputs} cannot be shared by {count()} processes; start fewer, or take a larger batch")
    return slice(number(), None, count())


def gathered(values: Tensor, inputs: int) -> Tensor:
    """The results (inputs, ...) of a whole batch from each process's `share`; gradients flow back into the own share alone."""
    if count() == 1:
        return values
    together = values.new_zeros((inputs, *values.shape[1:]))
    together[share(inputs)] = values.detach()
    processes.all_reduce(together)
    together[share(inputs)] = values
    return together


def any_says(said: bool) -> bool:
    """Whether this is so for any of the processes."""
    if count() == 1:
        return said
    told = torch.tensor([int(said)], device=PartialState().device)
    processes.all_reduce(told, processes.ReduceOp.MAX)
    return bool(told.item())


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make each gradient the sum of the processes' gradients."""
    if count() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    processes.all_reduce(flat)
    for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))


def dealt(passes: Iterable[T]) -> Iterator[T]:
    """Those of the passes that this process makes."""
    return islice(passes, number(), None, count())


def completed(results: np.ndarray) -> np.ndarray:
    """The results of all processes, float32, each of which filled in those of the passes it was `dealt` and left 0 elsewhere."""
    if count() > 1:
        device = PartialState().device
        bits = torch.from_numpy(results.view(np.int32)).to(device)  # as whole numbers: adding 0 changes no bit
        processes.all_reduce(bits)
        results[:] = bits.cpu().numpy().view(np.float32)
    return results


def same_weights(model: nn.Module) -> None:
    """Give every process the weights of the first: they may have been drawn, or read, elsewhere."""
    if count() > 1:
        for tensor in model.state_dict().values():
            sent = tensor.to(PartialState().device)  # the model may not be there yet, and GPUs talk to GPUs alone
            processes.broadcast(sent, 0)
            tensor.copy_(sent)


def from_first(content: bytes | None) -> bytes | None:
    """What the first process has read; the others' is not looked at."""
    if count() == 1:
        return content
    device = PartialState().device
    size = torch.tensor([-1 if content is None else len(content)], device=device)
    processes.broadcast(size, 0)
    if size.item() < 0:
        return None
    data = torch.frombuffer(bytearray(content or b""), dtype=torch.uint8) if number() == 0 else torch.empty(int(size), dtype=torch.uint8)
    data = data.to(device)
    processes.broadcast(data, 0)
    return data.cpu().numpy().tobytes()


def collected(content: bytes) -> list[bytes]:
    """What each process gives, in the order of their numbers, to the first; nothing to the others."""
    if count() == 1:
        return [content]
    device = PartialState().device
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(count())]
    processes.all_gather(sizes, torch.tensor([len(content)], device=device))
    padded = torch.zeros(max(int(size) for size in sizes), dtype=torch.uint8)
    padded[: len(content)] = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
    padded = padded.to(device)
    together = [torch.empty_like(padded) for _ in sizes] if number() == 0 else None
    processes.gather(padded, together)
    return [given[: int(size)].cpu().numpy().tobytes() for given, size in zip(together, sizes, strict=True)] if together else []


def cached(kind: str, identity: dict[str, Any], build: Callable[[Path], None]) -> Path:
    """As `cache.cached`, by all processes: the first looks, waits for whoever builds the entry already, and keeps what is built; the others only help."""
    if count() == 1:
        return cache.cached(kind, identity, build)
    if number() == 0:
        helped = False

        def lead(folder: Path) -> None:
            nonlocal helped
            helped = True
            from_first(b"build")
            build(folder)

        folder = cache.cached(kind, identity, lead, waiting=lambda: from_first(b"wait"))
        if not helped:
            from_first(b"there")
        return folder
    while (said := from_first(None)) == b"wait":
        pass
    if said == b"build":
        with tempfile.TemporaryDirectory() as discarded:
            build(Path(discarded))
    return cache.entry_folder(kind, identity)
