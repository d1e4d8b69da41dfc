"""One training loop for CE, BE, JOINT and the pretraining."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.models import distributed, memory
from mmr_kit.models.objectives import Objective
from mmr_kit.models.packed import without_padding
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.watching import Watch

CHECKPOINT = "checkpoint.pt"
LARGE_TABLE = 2**22  # values of an embedding table; BERT's words have six times as many


@dataclass(frozen=True)
class Schedule:
    """AdamW with linear decay to zero, weight decay .05 and no warm-up (section 4); `warmup_steps` serves the kit's own pretraining."""

    steps: int
    learning_rate: float
    evaluate_every: int
    seed: int = 0
    warmup_steps: int = 0
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    precision: str = "no"  # Accelerate's mixed precision: "no", "bf16" or "fp16"

    def factor(self, step: int) -> float:
        """Share of the learning rate that holds at a step."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warm * (1 - step / self.steps)


@dataclass
class Training:
    """What became of a training. curve: points {"step", losses, ..., at some "dev score"}; incidents: what went wrong on the way, in words."""

    curve: list[dict[str, Any]] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)


def train(objective: Objective, schedule: Schedule, dev_score: Callable[[RetrievalModel], float], work: Path,
          progress: Callable[[dict[str, Any]], None]) -> Training:
    """Train `objective.model` in place and leave it with the weights of the best dev score (the last of equal ones).

    Evaluates every `evaluate_every` steps and after the last, and then keeps a checkpoint in the folder `work`: a training that was interrupted there
    goes on from it, with the same result as without the interruption (batches and dropout depend on the seed and the step alone). A training that will come
    to nothing (see `Watch`) ends with the best weights so far; raises InputError where there are none yet.
    """
    distributed.same_weights(objective.model)
    AcceleratorState._reset_state()  # else a second training of this process would have to take the precision of the first
    accelerator = Accelerator(mixed_precision=schedule.precision)
    model = objective.model.to(accelerator.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
    optimizer = accelerator.prepare(optimizer)
    watch = Watch(objective.levels())
    model.without_padding = without_padding(model.backbone)
    first, training, best = _resume(work, model, optimizer, scheduler, objective, watch, accelerator.device)
    started, since = time.monotonic(), first
    model.train()
    for step in range(first, schedule.steps):
        losses = _gradients(objective, step, schedule.seed, accelerator, training.incidents)
        distributed.sum_gradients(model.parameters())
        norm = accelerator.clip_grad_norm_(model.parameters(), schedule.clip_norm)
        if reason := watch.see(losses, 0.0 if accelerator.scaler else float(norm)):  # in fp16 steps of infinite gradients are part of finding the scale
            if best is None:
                raise InputError(f"step {step + 1}: {reason}; lower the learning rate ({schedule.learning_rate:g}), or choose another start")
            training.incidents.append(f"stopped at step {step + 1} of {schedule.steps}: {reason}; kept are the weights of step {best['step']}")
            break
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        point: dict[str, Any] = {"step": step + 1, **losses, **objective.report()}
        if (step + 1) % schedule.evaluate_every == 0 or step + 1 == schedule.steps:
            with accelerator.autocast():
                point["dev score"] = dev_score(model)
            model.train()
            training.curve.append(point)
            if best is None or point["dev score"] >= best["score"]:  # of equal ones the later: a small dev gallery is soon solved
                best = {"score": point["dev score"], "step": step + 1, "weights": {name: t.detach().clone() for name, t in model.state_dict().items()}}
            if distributed.number() == 0:
                _checkpoint(work, step + 1, model, optimizer, scheduler, objective, watch, training, best)
        elif (step + 1) % 10 == 0:
            training.curve.append(point)
        progress({**point, "steps": schedule.steps, "seconds left": (time.monotonic() - started) / (step + 1 - since) * (schedule.steps - step - 1)})
    assert best is not None
    model.without_padding = {}
    model.load_state_dict(best["weights"])
    model.eval()
    return training


def _gradients(objective: Objective, step: int, seed: int, accelerator: Accelerator, incidents: list[str]) -> dict[str, float]:
    """The losses of a step, whose gradients the parameters then hold. Where memory runs out, it is done again with less of it."""
    before = objective.state()
    while True:
        torch.manual_seed(seed * 1_000_003 + step + distributed.number() * 10**12)  # dropout, of each process's own share
        losses: dict[str, float] = {}
        try:
            with rows_of_tables(objective.model):
                for part in objective.parts(step):
                    with accelerator.autocast():
                        values = part()
                    with memory.alike():
                        accelerator.backward(sum(values.values()))
                    losses |= {name: float(value.detach()) for name, value in values.items()}
            return losses
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
            if not objective.model.spare_memory():
                raise InputError(f"out of memory at step {step + 1}: choose a smaller batch, or a machine with more memory") from None
        memory.count_split()
        incidents.append(f"out of memory at step {step + 1}: from there on batches pass in parts {objective.model.spared} times smaller, computed twice")
        objective.load_state(before)
        objective.model.zero_grad()


@contextmanager
def rows_of_tables(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts, a backward pass on a CPU gives a large embedding table's gradient for the rows read; then they are summed into a dense one.

    Otherwise each pass would write and add a table of zeros but for those rows: a tenth of a step of a BERT of six layers.
    """
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding) and module.weight.numel() >= LARGE_TABLE and module.weight.is_cpu]
    for table in tables:
        table.sparse = True
    try:
        yield
    finally:
        for table in tables:
            table.sparse = False
    for table in tables:
        if table.weight.grad is not None:
            table.weight.grad = table.weight.grad.to_dense()


def _checkpoint(work: Path, step: int, model: torch.nn.Module, optimizer: Any, scheduler: Any, objective: Objective, watch: Watch, training: Training,
                best: dict[str, Any]) -> None:
    """Everything a resumed training needs, in one file that appears whole, behind its SHA-256; tensors and plain values only, so that reading runs no code."""
    work.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
                "objective": objective.state(), "watch": json.dumps(watch.state()), "training": json.dumps(asdict(training)), "best": best}, content)
    atomic_write(work / CHECKPOINT, hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def _resume(work: Path, model: torch.nn.Module, optimizer: Any, scheduler: Any, objective: Objective, watch: Watch,
            device: torch.device) -> tuple[int, Training, dict[str, Any] | None]:
    """First step to take, what became of the training so far, and the best so far: from a checkpoint that can be read, else from the start."""
    path = work / CHECKPOINT
    content = distributed.from_first(path.read_bytes() if path.is_file() else None)
    if content is None:
        return 0, Training(), None
    if hashlib.sha256(content[32:]).digest() != content[:32]:  # damaged: the training starts again
        return 0, Training(), None
    state = torch.load(io.BytesIO(content[32:]), map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    objective.load_state(state["objective"])
    watch.load_state(json.loads(state["watch"]))
    return state["step"], Training(**json.loads(state["training"])), state["best"]
