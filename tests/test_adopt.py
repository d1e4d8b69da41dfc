"""What a reference run printed and drew goes into the committed notebooks, and nothing else."""

import importlib.util
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mmr_kit.errors import InputError

SCRIPT = Path(__file__).parents[1] / "workflow" / "adopt.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("adopt", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """An executed notebook, as papermill leaves it, and the one it was made of."""
    old = new_output("stream", text="old")
    ours = [new_markdown_cell("# a table"), new_code_cell("seeds = 1", metadata={"tags": ["parameters"]}, execution_count=1, outputs=[]),
            new_code_cell("seeds", execution_count=2, outputs=[old])]  # fmt: skip
    run = [*ours[:2], new_code_cell("seeds = 3", metadata={"tags": ["injected-parameters"]}, execution_count=2, outputs=[]),
           new_code_cell("seeds", metadata={"papermill": {"duration": 1.0}}, execution_count=3,
                         outputs=[new_output("execute_result", {"text/plain": "3"}, execution_count=3)])]  # fmt: skip
    for name, cells in (("run", run), ("ours", ours)):
        nbformat.write(new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    return tmp_path / "run.ipynb", tmp_path / "ours.ipynb"


def test_outputs_are_taken_over_and_the_parameters_of_the_run_are_not(script: ModuleType, pair: tuple[Path, Path]) -> None:
    executed, notebook = pair
    script.adopt(executed, notebook)
    _, parameters, cell = nbformat.read(notebook, 4).cells
    assert (parameters.source, parameters.outputs) == ("seeds = 1", [])
    assert (cell.execution_count, cell.outputs[0].execution_count, cell.outputs[0].data) == (2, 2, {"text/plain": "3"})
    assert "papermill" not in cell.metadata
    before = notebook.read_bytes()
    script.adopt(executed, notebook)
    assert notebook.read_bytes() == before


@pytest.mark.parametrize(("source", "count", "message"), [("seeds + 1", 3, "has other code than"), ("seeds", None, "code cell 2 was not executed to its end")])
def test_another_or_an_unfinished_run_is_refused(script: ModuleType, pair: tuple[Path, Path], source: str, count: int | None, message: str) -> None:
    executed, notebook = pair
    run, before = nbformat.read(executed, 4), notebook.read_bytes()
    run.cells[3].source, run.cells[3].execution_count = source, count
    nbformat.write(run, executed)
    with pytest.raises(InputError, match=message):
        script.adopt(executed, notebook)
    assert notebook.read_bytes() == before
