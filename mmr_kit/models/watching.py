"""Notices within 50 steps that a training will come to nothing, so that it ends there and says why."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 50  # steps
NEAR = 0.01  # of a plateau: embeddings that are not all alike leave it by more (the hardest negative of any batch of some size is nearer than the right one)


@dataclass(frozen=True)
class Level:
    """What a loss is for a model that knows nothing. plateau: it stays at that very value when all embeddings have become alike, and cannot leave it."""

    value: float
    plateau: bool = False


@dataclass
class Watch:
    """Sees each step's losses. levels: {name of a loss: its level}; a loss without one is only watched for being finite."""

    levels: Mapping[str, Level]
    _last: dict[str, deque[float]] = field(default_factory=dict)
    _learnt: set[str] = field(default_factory=set)  # losses that have been below half their level for ten steps

    def state(self) -> dict[str, list[Any]]:
        """What a resumed training needs to go on watching as if there had been no interruption, as JSON values."""
        return {"last": [[name, list(values)] for name, values in self._last.items()], "learnt": sorted(self._learnt)}

    def load_state(self, state: Mapping[str, list[Any]]) -> None:
        """Take in what `state` gave."""
        self._last = {name: deque(values, maxlen=PATIENCE) for name, values in state["last"]}
        self._learnt = set(state["learnt"])

    def see(self, losses: Mapping[str, float], gradient: float) -> str:
        """Why to stop, in words; empty where there is no reason. gradient: the norm of all gradients, before they were clipped."""
        for name, value in {**losses, "gradient": gradient}.items():
            if not math.isfinite(value):
                return f"the {name} is {value}"
        for name in losses.keys() & self.levels.keys():
            last = self._last.setdefault(name, deque(maxlen=PATIENCE))
            last.append(losses[name])
            if reason := self._reason(name, list(last), self.levels[name]):
                return reason
        return ""

    def _reason(self, name: str, last: list[float], level: Level) -> str:
        if len(last) >= 10 and sum(last[-10:]) / 10 < level.value / 2:
            self._learnt.add(name)
        if len(last) < PATIENCE:
            return ""
        if level.plateau:
            stuck = all(abs(value / level.value - 1) < NEAR for value in last)
            return f"the {name} has stayed at {level.value:g}, twice the margin, for {PATIENCE} steps: all embeddings have become alike" if stuck else ""
        mean = sum(last) / PATIENCE
        lowest = min(mean, sum(last[-10:]) / 10) / level.value  # of the last ten steps, too: it may be over already
        if lowest > 1.5 or (name in self._learnt and lowest > 0.95):
            return f"the training diverges: the mean {name} of {PATIENCE} steps is {mean:.3g}, that of a model that knows nothing {level.value:.3g}"
        return ""
