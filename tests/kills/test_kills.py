"""A kill at a random moment of two programs; `make faults` kills eight, two hundred times unless it is told another number."""

from __future__ import annotations

import sys

import pytest

from tests.kills.killing import kill_often
from tests.kills.scenarios import SCENARIOS, Scenario


@pytest.mark.slow
@pytest.mark.parametrize("name", ["training", "store conversion"])
def test_a_killed_program_is_run_again_to_the_same_files(name: str) -> None:
    told = kill_often(next(scenario for scenario in SCENARIOS if scenario.name == name), 1)
    assert told["kills"] == len(told["moments"]) == 1
    assert told["files_compared"] > 0


def test_a_kill_that_comes_too_late_does_not_count() -> None:
    """Once the first kill has passed, there is nothing left to do for this program."""
    program = "import sys, time; from pathlib import Path; mark = Path(sys.argv[1]) / 'left'; mark.exists() or (mark.touch(), time.sleep(3))"
    scenario = Scenario("soon done", lambda folder: [sys.executable, "-c", program, str(folder)], ("left",))
    told = kill_often(scenario, 3, seed=1)
    assert told["kills"] == 3
    assert told["ended_before"] > 0
