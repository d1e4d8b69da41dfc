"""An exercise: a learner's function is compared with the right one on inputs that are drawn here, and typical mistakes are called by their names.

A verdict says what is wrong and where, on a small input also which value would be right, but never how the function is to be written.
"""

from __future__ import annotations

import copy
import html
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Function = Callable[..., Any]
TRIALS = 12  # inputs that are drawn for a check
NOT_YET, WRONG, RIGHT = "not yet", "not right", "right"
SIGNS = {NOT_YET: "…", WRONG: "✗", RIGHT: "✓"}
COLOURS = {NOT_YET: "#888888", WRONG: "#D55E00", RIGHT: "#009E73"}  # beside the sign and the words, never alone
SHOWN = 8  # values of an array that a message spells out


@dataclass(frozen=True)
class Verdict:
    """What a check says; true where the answer is right. It shows itself as the result of a notebook's cell."""

    state: str
    text: str

    def __bool__(self) -> bool:
        return self.state == RIGHT

    def __repr__(self) -> str:
        return f"{SIGNS[self.state]} {self.state}: {self.text}"

    def _repr_html_(self) -> str:
        words = f"<b>{SIGNS[self.state]} {self.state}</b>: {html.escape(self.text)}"
        return f'<div style="border-left: 4px solid {COLOURS[self.state]}; padding: .3em .8em; margin: .3em 0">{words}</div>'


@dataclass(frozen=True)
class Exercise:
    """A function that the learner writes.

    truth: the right one, whose parameters have the names that messages use. draw: makes its arguments from a generator. mistakes: {what to tell the learner: a
    function that makes this mistake}. remark: what a right answer has shown.
    """

    truth: Function
    draw: Callable[[np.random.Generator], tuple[Any, ...]]
    mistakes: Mapping[str, Function]
    remark: str = ""
    _inputs: list[tuple[Any, ...]] = field(default_factory=list, repr=False, compare=False)

    def inputs(self) -> list[tuple[Any, ...]]:
        """The arguments of each trial, the same at every check."""
        if not self._inputs:
            self._inputs.extend(self.draw(np.random.default_rng(trial)) for trial in range(TRIALS))
        return copy.deepcopy(self._inputs)  # a learner's function may change what it is given

    def judge(self, answer: Function) -> Verdict:
        """Compare a learner's function with the right one, then with the typical mistakes."""
        name, given = answer.__name__, []
        for arguments in self.inputs():
            try:
                given.append(_plain(answer(*arguments)))
            except NotImplementedError:
                given.append(None)
            except Exception as error:  # whatever a learner's code raises
                return Verdict(WRONG, f"{_call(self.truth, name, arguments)} raises {type(error).__name__}: {error}")
            if given[-1] is None:
                return Verdict(NOT_YET, f"write {name}, run its cell, then this one again")
        right = [_plain(self.truth(*arguments)) for arguments in self.inputs()]
        if all(map(_same, given, right)):
            return Verdict(RIGHT, f"{name} agrees with the right answer on {TRIALS} inputs. {self.remark}".strip())
        for told, mistake in self.mistakes.items():
            if all(map(_same, given, [_plain(mistake(*arguments)) for arguments in self.inputs()])):
                return Verdict(WRONG, told)
        cases = zip(self.inputs(), given, right, strict=True)
        return Verdict(WRONG, next(_difference(_call(self.truth, name, arguments), mine, truth) for arguments, mine, truth in cases if not _same(mine, truth)))


def _plain(result: Any) -> Any:
    """A result as an array, text or list of texts; None where a part of it is still to be written."""
    if result is None or result is ...:
        return None
    if isinstance(result, tuple | list):
        parts = [_plain(part) for part in result]
        if any(part is None for part in parts):
            return None
        result = parts
    if hasattr(result, "detach"):
        result = result.detach().numpy()
    try:
        return np.asarray(result)
    except ValueError:  # rows of different lengths
        return np.array(result, dtype=object)


def _same(mine: np.ndarray, right: np.ndarray) -> bool:
    """Whether two results are equal, numbers up to rounding."""
    if mine.shape != right.shape:
        return False
    if not (_is_number(mine) and _is_number(right)):
        return mine.dtype.kind == right.dtype.kind == "U" and bool((mine == right).all())
    return bool(np.allclose(mine, right, rtol=1e-4, atol=1e-5))


def _is_number(values: np.ndarray) -> bool:
    return bool(np.issubdtype(values.dtype, np.number) or values.dtype == bool)


def _difference(call: str, mine: np.ndarray, right: np.ndarray) -> str:
    """What is different, in words."""
    if not (_is_number(mine) and _is_number(right)):
        return f"{call} gives {_shown(mine)}, right is {_shown(right)}"
    if mine.shape != right.shape:
        return f"{call} gives {_shape(mine)}, it should be {_shape(right)}"
    if _is_number(mine) and not np.isfinite(mine).all():
        return f"{call} gives values that are not finite (NaN or infinite)"
    if right.size <= SHOWN:
        return f"{call} gives {_shown(mine)}, right is {_shown(right)}"
    worst = np.unravel_index(int(np.abs(mine - right).argmax()), mine.shape)
    place = ", ".join(map(str, worst))
    return f"{call}: the value at [{place}] is {mine[worst]:.4g}, right is {right[worst]:.4g}"


def _call(truth: Function, name: str, arguments: tuple[Any, ...]) -> str:
    """How the function was called: f(a=array of shape (3, 4), k=2)."""
    named = zip(inspect.signature(truth).parameters, arguments, strict=False)  # the right function may have parameters of its own behind
    return f"{name}({', '.join(f'{parameter}={_shown(_plain(value))}' for parameter, value in named)})"


def _shown(values: np.ndarray) -> str:
    """A value in a message: spelled out where it is short."""
    if values.size > SHOWN:
        return f"array of shape {values.shape}"
    digits = values.round(4) if np.issubdtype(values.dtype, np.floating) else values
    return str(digits.tolist())


def _shape(values: np.ndarray) -> str:
    return f"an array of shape {values.shape}" if values.ndim else "a single value"
