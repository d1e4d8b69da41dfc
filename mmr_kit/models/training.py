"""One training loop for CE, BE, JOINT and the pretraining."""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from mmr_kit.cache import atomic_write
from mmr_kit.models import distributed
from mmr_kit.models.objectives import Objective
from mmr_kit.models.retrieval_model import RetrievalModel

CHECKPOINT = "checkpoint.pt"


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


def train(objective: Objective, schedule: Schedule, dev_score: Callable[[RetrievalModel], float], work: Path,
          progress: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Train `objective.model` in place and leave it with the weights of the best dev score; returns the learning curve.

    Evaluates every `evaluate_every` steps and after the last, and then keeps a checkpoint in the folder `work`: a training that was interrupted there
    goes on from it, with the same result as without the interruption (batches and dropout depend on the seed and the step alone).
    """
    distributed.same_weights(objective.model)
    accelerator = Accelerator(mixed_precision=schedule.precision)
    model = objective.model.to(accelerator.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
    optimizer = accelerator.prepare(optimizer)
    first, curve, best = _resume(work, model, optimizer, scheduler, objective, accelerator.device)
    started, since = time.monotonic(), first
    model.train()
    for step in range(first, schedule.steps):
        torch.manual_seed(schedule.seed * 1_000_003 + step + distributed.number() * 10**12)  # dropout, of each process's own share
        losses: dict[str, float] = {}
        for part in objective.parts(step):
            with accelerator.autocast():
                values = part()
            accelerator.backward(sum(values.values()))
            losses |= {name: float(value.detach()) for name, value in values.items()}
        if not all(math.isfinite(value) for value in losses.values()):
            raise FloatingPointError(f"the loss is {losses} at step {step + 1}: lower the learning rate ({schedule.learning_rate})")
        distributed.sum_gradients(model.parameters())
        accelerator.clip_grad_norm_(model.parameters(), schedule.clip_norm)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        point: dict[str, Any] = {"step": step + 1, **losses, **objective.report()}
        if (step + 1) % schedule.evaluate_every == 0 or step + 1 == schedule.steps:
            with accelerator.autocast():
                point["dev score"] = dev_score(model)
            model.train()
            curve.append(point)
            if best is None or point["dev score"] > best["score"]:
                best = {"score": point["dev score"], "step": step + 1, "weights": {name: t.detach().clone() for name, t in model.state_dict().items()}}
            if distributed.number() == 0:
                _checkpoint(work, step + 1, model, optimizer, scheduler, objective, curve, best)
        elif (step + 1) % 10 == 0:
            curve.append(point)
        progress({**point, "steps": schedule.steps, "seconds left": (time.monotonic() - started) / (step + 1 - since) * (schedule.steps - step - 1)})
    assert best is not None
    model.load_state_dict(best["weights"])
    model.eval()
    return curve


def _checkpoint(work: Path, step: int, model: torch.nn.Module, optimizer: Any, scheduler: Any, objective: Objective, curve: list[dict[str, Any]],
                best: dict[str, Any]) -> None:
    """Everything a resumed training needs, in one file that appears whole, behind its SHA-256; tensors and plain values only, so that reading runs no code."""
    work.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
                "objective": objective.state(), "curve": json.dumps(curve), "best": best}, content)
    atomic_write(work / CHECKPOINT, hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def _resume(work: Path, model: torch.nn.Module, optimizer: Any, scheduler: Any, objective: Objective,
            device: torch.device) -> tuple[int, list[dict[str, Any]], dict[str, Any] | None]:
    """First step to take, learning curve so far and best so far: from the checkpoint where there is one that can be read, else from the start."""
    path = work / CHECKPOINT
    content = distributed.from_first(path.read_bytes() if path.is_file() else None)
    if content is None:
        return 0, [], None
    if hashlib.sha256(content[32:]).digest() != content[:32]:  # damaged: the training starts again
        return 0, [], None
    state = torch.load(io.BytesIO(content[32:]), map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    objective.load_state(state["objective"])
    return state["step"], json.loads(state["curve"]), state["best"]
