"""Commit a reference run: what it printed and drew into the notebooks in `notebooks/`, which are committed as executed.

    make tables ARGS="-p seeds=3"
    make adopt                        # of the profile demo; ARGS="table1_main_results ..." for some

`make tables` leaves its executed notebooks in results/<profile>/notebooks/. Their outputs are taken over, without papermill's cell of the run's parameters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

from mmr_kit.cache import atomic_write
from mmr_kit.errors import InputError
from mmr_kit.notebooks import NOTEBOOKS, RESULTS
from mmr_kit.planning import INJECTED
from mmr_kit.profiles import read_notebook


def adopt(executed: Path, notebook: Path) -> None:
    """Give the code cells of `notebook` the outputs of `executed`. Raises InputError where the two do not have the same code, or a cell was not executed."""
    run, ours = read_notebook(executed), read_notebook(notebook)
    of_run = [cell for cell in run.cells if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])]
    cells = [cell for cell in ours.cells if cell.cell_type == "code"]
    if [cell.source for cell in of_run] != [cell.source for cell in cells]:
        raise InputError(f"{executed}: has other code than {notebook}; run it again")
    for number, (cell, run_cell) in enumerate(zip(cells, of_run, strict=True), start=1):
        if run_cell.execution_count is None or any(output.output_type == "error" for output in run_cell.outputs):
            raise InputError(f"{executed}: code cell {number} was not executed to its end; run it again")
        cell.execution_count, cell.outputs = number, run_cell.outputs
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = number
    atomic_write(notebook, nbformat.writes(ours) + "\n")


def main(profile: str, names: list[str]) -> None:
    folder = RESULTS / profile / "notebooks"
    for name in names or sorted(path.stem for path in folder.glob("*.ipynb") if not path.stem.endswith(".failed")):
        adopt(folder / f"{name}.ipynb", NOTEBOOKS / f"{name}.ipynb")
        print(f"notebooks/{name}.ipynb: as executed by the run of profile {profile}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except InputError as error:
        sys.exit(str(error))
