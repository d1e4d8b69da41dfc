"""The exercises of the teaching notebooks: each check accepts the solution, and rejects the untouched stub and wrong answers, typical ones by name."""

import inspect
import re
import runpy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nbformat
import numpy as np
import pytest

from mmr_kit.errors import InputError
from mmr_kit.teaching import Exercise, Lesson
from mmr_kit.teaching.exercises import NOT_YET, RIGHT, WRONG
from mmr_kit.teaching.lessons import LESSONS
from mmr_kit.teaching.solutions import CHECK, EXERCISE, SOLUTIONS, TEACHING, functions

NOTEBOOK = {lesson: TEACHING / f"{number}_{lesson}.ipynb" for number, lesson in enumerate(LESSONS, start=1)}
EXERCISES = [(lesson, name) for lesson in LESSONS for name in Lesson(lesson).exercises]
SOLVED = {lesson: runpy.run_path(str(SOLUTIONS / f"{path.stem}.py")) for lesson, path in NOTEBOOK.items()}


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a learner would write it, under the exercise's name."""

    def answer(*arguments: Any) -> Any:
        return function(*arguments)

    answer.__name__ = name
    return answer


def stub(lesson: str, name: str) -> Callable[..., Any]:
    """The function as the notebook has it."""
    cells = nbformat.read(NOTEBOOK[lesson], as_version=4).cells
    (source,) = (cell.source for cell in cells if EXERCISE in cell.metadata.get("tags", []) and name in functions(cell.source))
    space: dict[str, Any] = {}
    exec(source, space)
    return space[name]


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_the_untouched_stub_is_not_yet_an_answer(lesson: str, name: str) -> None:
    asked = stub(lesson, name)
    assert Lesson(lesson).check(asked).state == NOT_YET
    parameters = list(inspect.signature(asked).parameters)
    assert parameters == list(inspect.signature(Lesson(lesson).exercises[name].truth).parameters)[: len(parameters)], "messages use these names"


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_the_solution_is_right(lesson: str, name: str) -> None:
    verdict = Lesson(lesson).check(SOLVED[lesson][name])
    assert verdict.state == RIGHT, verdict


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_typical_mistakes_are_called_by_name(lesson: str, name: str) -> None:
    mistakes = Lesson(lesson).exercises[name].mistakes
    assert len(mistakes) >= 2
    for told, mistake in mistakes.items():
        verdict = Lesson(lesson).check(named(name, mistake))
        assert (verdict.state, verdict.text) == (WRONG, told)


ODD: list[Any] = ["text", [], {}, object(), float("nan"), np.zeros((3, 1, 2)), [[1], [1, 2]], 1j, True, -1.5]


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_other_answers_are_wrong_and_told_so(lesson: str, name: str) -> None:
    for result in ODD:
        verdict = Lesson(lesson).check(named(name, lambda *arguments, result=result: result))
        assert verdict.state == WRONG, (result, verdict)
        assert name in verdict.text or verdict.text in Lesson(lesson).exercises[name].mistakes
    assert Lesson(lesson).check(named(name, lambda *arguments: (1, ...))).state == NOT_YET
    raising = Lesson(lesson).check(named(name, lambda *arguments: {}["absent"]))
    assert "raises KeyError: 'absent'" in raising.text
    assert raising.state == WRONG


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_an_answer_may_change_what_it_is_given(lesson: str, name: str) -> None:
    def greedy(*arguments: Any) -> Any:
        result = np.copy(SOLVED[lesson][name](*arguments))
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                argument[...] = 0
        return result

    exercise = Lesson(lesson).exercises[name]
    assert exercise.judge(named(name, greedy))
    assert exercise.judge(SOLVED[lesson][name]), "the next check has its inputs unchanged"


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_notebook_asks_for_its_exercises_in_order_and_checks_each(lesson: str) -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK[lesson], as_version=4).cells if cell.cell_type == "code"]
    asked = []
    for cell, following in pairwise(cells):
        if EXERCISE in cell.metadata.get("tags", []):
            (name,) = functions(cell.source)
            asked.append(name)
            assert following.source == f"lesson.check({name})"
            assert CHECK in following.metadata["tags"]
    assert asked == list(Lesson(lesson).exercises)
    assert len(asked) >= 3
    assert cells[-1].source == "lesson.progress()"
    assert sorted(NOTEBOOK.values()) == sorted(TEACHING.glob("*.ipynb"))


def double(x: np.ndarray, plus: int) -> np.ndarray:
    return 2 * x + plus


DOUBLE = Exercise(double, lambda rng: (rng.normal(size=(4, 3)), int(rng.integers(1, 9))), {"plus is missing": lambda x, plus: 2 * x})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda x, plus: 2 * x, r"^plus is missing$"),
        (lambda x, plus: 2 * x + plus + np.eye(4, 3), r"double\(x=array of shape \(4, 3\), plus=\d\): the value at \[\d, \d\] is .*, right is "),
        (lambda x, plus: (2 * x + plus).T, r"an array of shape \(3, 4\), it should be an array of shape \(4, 3\)"),
        (lambda x, plus: plus, r"gives a single value, it should be an array"),
        (lambda x, plus: x * np.nan, "not finite"),
        (lambda x, plus: "two", r"gives two, right is array of shape \(4, 3\)"),
        (lambda x: x, "raises TypeError"),
    ],
)
def test_a_verdict_says_what_is_wrong(answer: Callable[..., Any], told: str) -> None:
    answer.__name__ = "double"
    verdict = DOUBLE.judge(answer)
    assert not verdict
    assert re.search(told, verdict.text), verdict


def test_verdicts_show_themselves_in_words_and_escape_them() -> None:
    def double(x: np.ndarray, plus: int) -> None:
        raise ValueError("<b>1 & 2</b>")

    verdict = DOUBLE.judge(double)
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in verdict._repr_html_()
    assert repr(verdict).startswith("✗ not right: double(")
    assert "✓ right" in DOUBLE.judge(DOUBLE.truth)._repr_html_()


def test_progress_counts_the_last_answers() -> None:
    lesson = Lesson("joint_training")
    assert not lesson.progress()
    for name in lesson.exercises:
        assert not lesson.solved(name)
        lesson.check(SOLVED["joint_training"][name])
        assert lesson.solved(name)
    assert lesson.progress()
    lesson.check(named("joint_step", lambda *arguments: arguments[0]))
    assert not lesson.progress()
    assert repr(lesson.progress()).splitlines()[:2] == ["2 of 3 exercises solved", "✗ joint_step: not right"]


def test_unknown_names_are_told() -> None:
    with pytest.raises(InputError, match="no lesson 'bi'; there are bi_encoders"):
        Lesson("bi")
    with pytest.raises(InputError, match="no exercise 'double' in this lesson; there are mean_pool"):
        Lesson("bi_encoders").check(double)
