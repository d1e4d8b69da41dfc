"""A kill of two programs at a random moment; `make faults` does it two hundred times, and to all of them."""

from __future__ import annotations

import pytest

from tests.kills.killing import kill_often
from tests.kills.scenarios import SCENARIOS, Scenario

SHORT = [scenario for scenario in SCENARIOS if scenario.name in ("training", "notebook")]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_a_killed_program_is_run_again_to_the_same_files(scenario: Scenario) -> None:
    told = kill_often(scenario, 1)
    assert told["kills"] == 1
    assert told["files_compared"] > 0
