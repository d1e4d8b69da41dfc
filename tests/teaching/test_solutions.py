"""The teaching notebooks run with their stubs and with their solutions, and nothing else differs between the two."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from mmr_kit.errors import InputError
from mmr_kit.notebooks import find_notebooks
from mmr_kit.profiles import declared_parameters, load_profile
from mmr_kit.teaching import solutions
from mmr_kit.teaching.solutions import CHECK, EXERCISE, TEACHING, functions, solved

LESSONS = sorted(TEACHING.glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_solution_differs_in_the_exercises_alone(path: Path) -> None:
    learners, teachers = nbformat.read(path, as_version=4).cells, solved(path).cells
    assert len(learners) == len(teachers)
    for mine, other in zip(learners, teachers, strict=True):
        tags = mine.metadata.get("tags", [])
        if EXERCISE in tags:
            assert list(functions(mine.source)) == list(functions(other.source))
            (stub,), (answer,) = functions(mine.source).values(), functions(other.source).values()
            assert stub.partition('"""\n')[0] == answer.partition('"""\n')[0], "what is asked for must be what is answered"
            assert stub.endswith("    ...")
            assert len(answer.splitlines()) <= 15
        elif CHECK in tags:
            assert mine.source == other.source
        else:
            assert mine == other


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_table_of_contents_leads_to_the_headings(path: Path) -> None:
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    headings = [heading.replace(" ", "-") for heading in re.findall(r"^## (.+)$", text, flags=re.M)]  # as JupyterLab names them
    assert re.findall(r"^\d+\. \[.+\]\(#(.+?)\)", text, flags=re.M) == headings


def test_the_runner_of_tables_leaves_lessons_alone() -> None:
    assert not {path.stem for path in LESSONS} & set(find_notebooks())


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_passes_nbval_with_its_stubs_and_with_its_solutions(
    path: Path, tmp_path: Path, nbval: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """One after the other in one kernel, whose start takes longer than the lesson."""
    declared = declared_parameters(path)
    parameters = {name: value for name, value in load_profile("smoke").items() if name in declared}
    notebook = nbformat.read(path, as_version=4)
    again = [cell for cell in solved(path).cells if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(again):
        cell["id"] = f"solved-{number}"
    notebook.cells += [*again, nbformat.v4.new_code_cell("assert lesson.progress(), lesson.progress()")]
    done = nbval(notebook, parameters, tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lesson of one exercise, and its solution."""
    cells = [nbformat.v4.new_code_cell("def two():\n    ..."), nbformat.v4.new_code_cell("two()")]
    cells[0].metadata["tags"] = [EXERCISE]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "1_tiny.ipynb")
    (tmp_path / "solutions").mkdir()
    monkeypatch.setattr(solutions, "TEACHING", tmp_path)
    monkeypatch.setattr(solutions, "SOLUTIONS", tmp_path / "solutions")
    return tmp_path / "solutions" / "1_tiny.py"


def test_solved_notebooks_are_executed_and_written(tiny: Path) -> None:
    tiny.write_text('"""Solutions."""\n\n\ndef two():\n    return 2\n')
    solutions.main([])
    stub, use = nbformat.read(tiny.with_suffix(".ipynb"), as_version=4).cells
    assert stub.source == "def two():\n    return 2"
    assert use.outputs[0]["data"]["text/plain"] == "2"
    tiny.with_suffix(".ipynb").unlink()
    solutions.main(["2_other"])
    assert not tiny.with_suffix(".ipynb").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no solution of two"), ("def two():\n    return 2\n\n\ndef three():\n    return 3\n", "three answers no exercise of 1_tiny.ipynb")],
)
def test_solutions_fit_their_exercises(tiny: Path, text: str, message: str) -> None:
    tiny.write_text(text)
    with pytest.raises(InputError, match=message):
        solutions.main([])
