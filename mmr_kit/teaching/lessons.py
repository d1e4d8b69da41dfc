"""A lesson: the exercises of one teaching notebook, and how far its learner has come."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mmr_kit.errors import InputError
from mmr_kit.teaching.exercises import NOT_YET, SIGNS, Exercise, Verdict

LESSONS = ("bi_encoders", "cross_encoders", "retrieve_and_rerank", "joint_training", "reading_a_paper")  # each in the module of its name


@dataclass(frozen=True)
class Progress:
    """The last verdict on each exercise; true where all are solved."""

    verdicts: Mapping[str, Verdict]

    def __bool__(self) -> bool:
        return all(self.verdicts.values())

    def __repr__(self) -> str:
        solved = sum(map(bool, self.verdicts.values()))
        return "\n".join([f"{solved} of {len(self.verdicts)} exercises solved", *(f"{SIGNS[v.state]} {name}: {v.state}" for name, v in self.verdicts.items())])

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in repr(self).splitlines())


class Lesson:
    """The exercises of a notebook, by the name of the function that is to be written."""

    def __init__(self, name: str) -> None:
        if name not in LESSONS:
            raise InputError(f"no lesson {name!r}; there are {', '.join(LESSONS)}")
        self.exercises: Mapping[str, Exercise] = import_module(f"mmr_kit.teaching.{name}").EXERCISES
        self._verdicts = {exercise: Verdict(NOT_YET, "") for exercise in self.exercises}

    def check(self, answer: Callable[..., Any]) -> Verdict:
        """What is to be said of a learner's function; its name says which exercise it answers."""
        name = getattr(answer, "__name__", repr(answer))
        if name not in self.exercises:
            raise InputError(f"no exercise {name!r} in this lesson; there are {', '.join(self.exercises)}")
        self._verdicts[name] = self.exercises[name].judge(answer)
        return self._verdicts[name]

    def solved(self, name: str) -> bool:
        """Whether the last answer to an exercise was right; for cells that go on with the learner's function."""
        return bool(self._verdicts[name])

    def progress(self) -> Progress:
        """How far the learner has come."""
        return Progress(dict(self._verdicts))
