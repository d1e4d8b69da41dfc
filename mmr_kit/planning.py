"""Which trainings and notebooks a profile still needs: what a workflow engine deals out over machines (see workflow/).

A notebook says what it wants trained by asking for it. To learn that without training, its cells are run in this process up to the first request that cannot be
answered from the cache; the models of that request are the plan. A notebook may ask more than once (a pretraining first, then what starts from it), so
`workflow/run.py` plans again when a plan has been carried out, until no training is missing.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmr_kit import experiments, slots
from mmr_kit.cache import cache_dir, identity_hash
from mmr_kit.errors import InputError
from mmr_kit.notebooks import NOTEBOOKS, RESULTS, Task, tasks
from mmr_kit.profiles import read_notebook
from mmr_kit.recipes import Recipe

INJECTED = "injected-parameters"  # papermill's tag of an earlier run's parameters, which it replaces


def plan(profile: str, only: Iterable[str] = (), overrides: Mapping[str, str] | None = None, notebooks: Path = NOTEBOOKS,
         results: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """{"trainings": [{"id", "label", "recipe", "needed_by"}], "notebooks": [{"id", "name", "why"}]}: what is neither in the cache nor up to date.

    An id changes with everything that the result depends on. Raises InputError as `tasks` does.
    """
    trainings: dict[str, dict[str, Any]] = {}
    stale = [(task, why) for task in tasks(profile, only, overrides, notebooks, results) if (why := task.stale())]
    for task, _ in stale:
        for recipe in missing_trainings(task):
            known = trainings.setdefault(recipe.folder().name, {"id": recipe.folder().name, "label": recipe.label, "recipe": asdict(recipe), "needed_by": []})
            known["needed_by"].append(task.name)
    return {"trainings": list(trainings.values()),
            "notebooks": [{"id": f"{task.name}-{identity_hash(task.identity)}", "name": task.name, "why": why} for task, why in stale]}  # fmt: skip


def missing_trainings(task: Task) -> list[Recipe]:
    """The models that a notebook asks for first of those that are not in the cache. One that makes no recipes trains nothing, and is not run."""
    cells = [cell for cell in read_notebook(task.path).cells if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])]
    if not any("make_recipes" in cell.source or "Recipe(" in cell.source for cell in cells):
        return []
    values: dict[str, Any] = {"__name__": "__main__"}
    with experiments.only_planning(), contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            try:
                exec(compile(cell.source, f"{task.name}.ipynb", "exec"), values)
            except experiments.Missing as missing:
                return missing.recipes
            if "parameters" in cell.metadata.get("tags", []):
                values |= task.parameters
    return []


def carry_out(file: Path, training: str) -> None:
    """Do one training of a plan, by its id. Raises InputError where the file is no plan or holds no such training."""
    try:
        recipes = {each["id"]: Recipe(**each["recipe"]) for each in json.loads(file.read_text())["trainings"]}
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise InputError(f"{file}: no plan ({' '.join(str(fault).split())}); write one with `mmr plan`") from None
    if training not in recipes:
        raise InputError(f"{file}: holds no training {training!r}; plan again")
    slots.take_one(cache_dir() / "slots")
    experiments.train([recipes[training]], workers=1)
