"""Plans hold what a profile still needs, and a plan that was carried out leaves nothing to do but the notebooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from mmr_kit import cache, experiments, planning
from mmr_kit.errors import InputError
from mmr_kit.notebooks import find_notebooks, tasks
from mmr_kit.profiles import read_notebook
from mmr_kit.recipes import Recipe

ONLY = ("ablations", "table1_main_results", "table3_latency", "table8_top_k")
SMALL = {"ce_steps": "2", "be_steps": "2", "joint_steps": "2"}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that has the generated worlds already, and no models."""
    worlds = cache.cache_dir() / "datasets"
    worlds.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "datasets").symlink_to(worlds)
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MMR_WORKERS", "0")
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_a_plan_holds_each_training_once_and_what_follows_from_it_next(tmp_path: Path) -> None:
    def make() -> dict[str, list[dict[str, object]]]:
        return planning.plan("smoke", ONLY, SMALL, results=tmp_path / "results")

    first = make()
    assert not list(cache.cache_dir().glob("models/*")), "planning trains nothing"
    assert [notebook["name"] for notebook in first["notebooks"]] == list(ONLY)
    labels = [str(training["label"]) for training in first["trainings"]]
    assert len({training["id"] for training in first["trainings"]}) == len(labels)
    shared = next(training for training in first["trainings"] if training["label"] == "BE on smoke_a, seed 0")
    assert shared["needed_by"] == ["ablations", "table1_main_results", "table8_top_k"]
    assert not any("mined" in label for label in labels), "mined negatives need the trained BE first"
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(first))
    for training in first["trainings"]:
        planning.carry_out(file, str(training["id"]))
    second = make()
    assert {str(training["label"]) for training in second["trainings"]} >= {"CE on smoke_a, mined negatives, seed 0"}
    assert all(training["needed_by"] == ["ablations"] for training in second["trainings"])
    experiments.train(Recipe(**training["recipe"]) for training in second["trainings"])  # type: ignore[arg-type]
    assert make()["trainings"] == []


@pytest.mark.usefixtures("own_cache")
def test_what_is_up_to_date_is_in_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, = tasks("smoke", ["table3_latency"], results=tmp_path)
    assert planning.missing_trainings(task) == []
    monkeypatch.setattr("mmr_kit.notebooks.Task.stale", lambda task: "")
    assert planning.plan("smoke", ONLY, results=tmp_path) == {"trainings": [], "notebooks": []}


@pytest.mark.usefixtures("own_cache")
def test_parameters_of_an_earlier_run_do_not_count(tmp_path: Path) -> None:
    """A saved notebook may hold papermill's cell with them."""
    kept = read_notebook(find_notebooks()["table8_top_k"])
    place = next(number for number, cell in enumerate(kept.cells) if "parameters" in cell.metadata.get("tags", []))
    kept.cells.insert(place + 1, nbformat.v4.new_code_cell("be_steps = 77", metadata={"tags": [planning.INJECTED]}))
    nbformat.write(kept, tmp_path / "table8_top_k.ipynb")
    task, = tasks("smoke", ["table8_top_k"], SMALL, results=tmp_path)
    assert {recipe.steps for recipe in planning.missing_trainings(replace(task, path=tmp_path / "table8_top_k.ipynb"))} == {2}


@pytest.mark.parametrize(("content", "training", "fault"), [
    ("{", "a", "no plan"), ("[]", "a", "no plan"), ('{"trainings": [{"id": "a"}]}', "a", "no plan"), ('{"trainings": []}', "a", "no training 'a'"),
    ('{"trainings": [{"id": "a", "recipe": {"method": "CE", "dataset": "x", "colour": 1}}]}', "a", "no plan"),
])  # fmt: skip
def test_what_is_no_plan(tmp_path: Path, content: str, training: str, fault: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(InputError, match=fault):
        planning.carry_out(tmp_path / "plan.json", training)
    with pytest.raises(InputError, match="no plan"):
        planning.carry_out(tmp_path / "missing.json", training)


HOLDER = """
import os, sys
from pathlib import Path
from mmr_kit import slots
print(slots.take(["0", "1"], Path(sys.argv[1])), os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


def test_tasks_on_one_machine_take_a_gpu_each(tmp_path: Path) -> None:
    """Two hold one each; a third waits until one of them ends, however it does."""
    started: list[subprocess.Popen[str]] = []

    def start() -> Callable[[], str]:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline

    try:
        held = [start()().split() for _ in range(2)]
        assert sorted(held) == [["0", "0"], ["1", "1"]]
        third = start()
        time.sleep(1)
        os.kill(started[0].pid, signal.SIGKILL)
        assert third().split() == held[0]
    finally:
        for process in started:
            process.kill()
            process.wait()
