"""The teaching notebooks with their exercises solved: `python -m mmr_kit.teaching.solutions` executes them and writes them beside the solutions.

A solution is a function in notebooks/teaching/solutions/<notebook>.py. It takes the place of the cell (tagged `exercise`) that defines a function of its name;
everything else is the learner's notebook, so that the two cannot drift apart.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from mmr_kit.errors import InputError
from mmr_kit.profiles import NOTEBOOKS, read_notebook

TEACHING = NOTEBOOKS / "teaching"
SOLUTIONS = TEACHING / "solutions"
EXERCISE, CHECK = "exercise", "check"  # tags of the cell that the learner fills, and of the one that judges it


def functions(source: str) -> dict[str, str]:
    """Name -> text of the functions that are defined at the top level of a cell or a file."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(source, node) or "" for node in found}


def solved(notebook: Path) -> NotebookNode:
    """The notebook with its exercises solved, not executed: the outputs of checks are left out, all others are the learner's.

    Raises InputError where an exercise has no solution, or a solution no exercise.
    """
    answers = SOLUTIONS / f"{notebook.stem}.py"
    left = functions(answers.read_text(encoding="utf-8"))
    made = read_notebook(notebook)
    for cell in made.cells:
        tags = cell.metadata.get("tags", [])
        if EXERCISE in tags:
            (name,) = functions(cell.source)
            if name not in left:
                raise InputError(f"{answers}: no solution of {name}; define a function of this name")
            cell.source = left.pop(name)
        elif CHECK in tags:
            cell.outputs, cell.metadata["tags"] = [], [CHECK]
    if left:
        raise InputError(f"{answers}: {', '.join(left)} answers no exercise of {notebook.name}; take it out or correct its name")
    return made


def main(names: Sequence[str]) -> None:
    """Execute the notebooks of these names, all where there are none, with their exercises solved."""
    for notebook in sorted(TEACHING.glob("*.ipynb")):
        if names and notebook.stem not in names:
            continue
        made = solved(notebook)
        print(f"{notebook.stem}: running", flush=True)
        NotebookClient(made, kernel_name="python3", timeout=None).execute()
        nbformat.write(made, SOLUTIONS / notebook.name)


if __name__ == "__main__":
    main(sys.argv[1:])
