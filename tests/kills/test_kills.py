"""Two kills of a training at random moments; `make faults` kills every program, two hundred times in all."""

from __future__ import annotations

import pytest

from tests.kills.killing import kill_often
from tests.kills.scenarios import SCENARIOS


@pytest.mark.slow
def test_a_killed_training_is_run_again_to_the_same_files() -> None:
    told = kill_often(next(scenario for scenario in SCENARIOS if scenario.name == "training"), 2)
    assert told["kills"] == 2
    assert told["files_compared"] > 0
