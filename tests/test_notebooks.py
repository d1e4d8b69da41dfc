"""The notebook runner on small notebooks of its own; then the kit's notebooks: their form, and nbval under the smoke profile."""

import ast
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import papermill.parameterize
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr_kit import notebooks
from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError
from mmr_kit.notebooks import NotebookError, regenerate, tasks
from mmr_kit.profiles import NOTEBOOKS, declared_parameters, find_profiles, load_profile
from mmr_kit.reporting import read_results
from mmr_kit.reporting.checks import CheckFailed
from mmr_kit.reporting.provenance import git_state
from tests.references import check_reference

Nbval = Callable[..., subprocess.CompletedProcess[str]]  # see conftest.py
PARAMETERS = 'results_dir = ""\nprofile = ""\nsteps = 3\nrate = 0.1\nname = "x"\nfast = True'
WRITE = """from pathlib import Path
folder = Path(results_dir)
assert not list(folder.glob("*.csv"))
(folder / "good.csv").write_text(f"{profile},{steps},{rate},{name},{fast}")
(folder / "runs").mkdir()
(folder / f"runs/{steps}.run").write_text("run")
(folder / "good.provenance.json").write_text('{"git": "abc"}')"""
SLOW = """import time
from pathlib import Path
from typing import Any
Path(results_dir, "slow.csv").write_text("half")
print("half", flush=True)
time.sleep(pause)"""


class Kit:
    """Notebooks and results of a test."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.notebooks, self.results, self.capsys = folder / "notebooks", folder / "results", capsys
        (self.notebooks / "profiles").mkdir(parents=True)
        self.profile("demo", "steps: 5\n")

    def profile(self, name: str, text: str) -> None:
        (self.notebooks / "profiles" / f"{name}.yaml").write_text(text)

    def add(self, name: str, *cells: str) -> Path:
        """A notebook of code cells, the first of which holds the parameters."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.notebooks / f"{name}.ipynb")
        return self.notebooks / f"{name}.ipynb"

    def run(self, *only: str, **settings: object) -> str:
        """What regenerating prints."""
        regenerate("demo", only, notebooks=self.notebooks, results=self.results, **settings)  # type: ignore[arg-type]
        return self.capsys.readouterr().out

    def start(self, *only: str, **settings: object) -> subprocess.Popen[str]:
        """Regenerate in another process."""
        program = (f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job's children ignore it
                   f"from pathlib import Path; from mmr_kit.notebooks import regenerate; "
                   f"regenerate('demo', {only!r}, notebooks=Path({str(self.notebooks)!r}), results=Path({str(self.results)!r}), **{settings!r})")  # fmt: skip
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def files(self) -> set[str]:
        """The result files one would see."""
        found = (path.relative_to(self.results / "demo") for path in self.results.rglob("*") if path.is_file())
        return {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}


@pytest.fixture
def kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kit:
    return Kit(tmp_path, capsys)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


# -- the runner ---------------------------------------------------------------------------------------------------------------------------


def test_results_appear_and_are_made_once(kit: Kit) -> None:
    kit.add("good", PARAMETERS, 'for i in range(2):\n    print("step", i, flush=True)', WRITE)
    out = kit.run(overrides={"rate": "1e-3", "fast": "false"})
    assert "step 0\nstep 1\n" in out, "what a notebook prints must be seen"
    table = kit.results / "demo" / "good.csv"
    assert table.read_text() == "demo,5,0.001,x,False"
    provenance = json.loads((kit.results / "demo" / "good.provenance.json").read_text())
    assert provenance["git"] == "abc"
    assert provenance["identity"]["parameters"] == {"steps": 5, "rate": 0.001, "name": "x", "fast": False}
    assert set(provenance["outputs"]) == {"good.csv", "runs/5.run", "notebooks/good.ipynb"}
    assert provenance["wall_time_s"] > 0
    assert kit.files() == {*provenance["outputs"], "good.provenance.json"}
    same = {"rate": "0.001", "fast": "False"}
    out = kit.run(overrides=same)
    assert "good: up to date" in out
    assert "nothing to do" in out
    # Why it would run again; the kernel is not needed to see that.
    assert "changed since: parameters" in kit.run(dry_run=True)
    assert "--force" in kit.run(dry_run=True, force=True, overrides=same)
    whole = table.read_text()
    table.write_text(whole[:-1])
    assert "good.csv was altered" in kit.run(dry_run=True, overrides=same)
    table.unlink()
    assert "good.csv is missing" in kit.run(dry_run=True, overrides=same)
    table.write_text(whole)
    assert "up to date" in kit.run(dry_run=True, overrides=same)
    (kit.results / "demo" / "notebooks" / "good.ipynb").unlink()
    assert "not computed on this machine yet" in kit.run(dry_run=True, overrides=same), "committed results do not stand for computed ones"
    # Results of earlier parameters do not stay behind.
    kit.run(overrides={"steps": "7"})
    assert {name for name in kit.files() if name.startswith("runs/")} == {"runs/7.run"}
    kit.add("good", PARAMETERS, "x = 1", WRITE)
    assert "changed since: notebook" in kit.run(dry_run=True, overrides={"steps": "7"})


def test_the_provenance_of_a_notebook_that_writes_none_is_that_of_the_source_and_the_machine(kit: Kit) -> None:
    kit.add("plain", PARAMETERS, "from pathlib import Path\nPath(results_dir, 'a.csv').write_text('1')")
    kit.run()
    record = json.loads((kit.results / "demo" / "plain.provenance.json").read_text())
    assert record["git"] == git_state()
    assert {"cpu", "packages", "written", "identity", "outputs"} <= set(record)
    assert "peak_memory" not in record, "it would be the runner's"


def test_other_data_are_noticed(kit: Kit, small_data: Any) -> None:
    """Captions, region features and the manifest of a data set of one's own; what a run does not read does not matter."""
    kit.add("good", PARAMETERS + f'\ndatasets = "{small_data.manifest} smoke_a"\nclip = ""', WRITE)
    kit.run()
    assert "up to date" in kit.run(dry_run=True)
    small_data.captions[0]["text"] += " apple"
    small_data.write_captions()
    assert "good: would run (changed since: data)" in kit.run(dry_run=True)
    kit.run()
    assert "up to date" in kit.run(dry_run=True)
    boxes = np.load(small_data.folder / "regions" / "boxes.npy")
    np.save(small_data.folder / "regions" / "boxes.npy", boxes / 2)
    assert "changed since: data" in kit.run(dry_run=True)
    np.save(small_data.folder / "regions" / "boxes.npy", boxes)
    assert "up to date" in kit.run(dry_run=True), "the content counts, not the time"
    text = small_data.manifest.read_text()
    small_data.manifest.write_text(text.replace("Small", "Large"))
    assert "changed since: data" in kit.run(dry_run=True)
    small_data.manifest.write_text(text)
    (small_data.folder / "captions.jsonl").unlink()
    assert "changed since: data" in kit.run(dry_run=True)
    with pytest.raises(InputError, match="not here yet"):
        kit.run()


def test_a_failing_cell_leaves_no_results(kit: Kit) -> None:
    kit.add("good", PARAMETERS, 'x = 1\nif name == "bad":\n    1 / 0', WRITE)
    kit.run()
    before = {name: (kit.results / "demo" / name).read_bytes() for name in kit.files()}
    path = kit.add("good", PARAMETERS, WRITE, 'x = 1\nif name == "bad":\n    1 / 0')
    with pytest.raises(NotebookError) as failure:
        kit.run(overrides={"name": "bad"})
    message = str(failure.value)
    assert "good: cell [4], line 3 failed: 1 / 0\n  ZeroDivisionError: division by zero" in message
    failed = kit.results / "demo" / "notebooks" / "good.failed.ipynb"
    assert str(failed.name) in message
    assert failed.exists()
    assert {name: (kit.results / "demo" / name).read_bytes() for name in kit.files() - {"notebooks/good.failed.ipynb"}} == before
    kit.run()
    assert not failed.exists()
    assert path.exists()


def test_bad_input_in_a_notebook_is_the_message_alone(kit: Kit) -> None:
    kit.add("bad", PARAMETERS, "from mmr_kit.errors import InputError", 'raise InputError("regions.npy: 3 wide, 128 expected")')
    with pytest.raises(InputError, match=r"^regions\.npy: 3 wide, 128 expected$"):
        kit.run()
    assert kit.files() == set()


def test_a_cache_that_is_none_is_told_before_a_kernel_starts(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.add("good", PARAMETERS, WRITE)
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    kit.run(dry_run=True)
    with pytest.raises(InputError, match=rf"^{tmp_path}/cache: File exists; name a folder that may be written to"):
        kit.run()
    assert kit.files() == set()


def test_a_kernel_that_dies_is_told(kit: Kit) -> None:
    kit.add("dies", PARAMETERS, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotebookError, match="process died"):
        kit.run()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing_half_written(kit: Kit, stop: signal.Signals, jobs: int) -> None:
    kit.profile("demo", f"jobs: {jobs}\n")
    kit.add("slow", PARAMETERS + "\npause = 600.0", "import os\nprint('kernel', os.getpid(), flush=True)", SLOW)
    process = kit.start("slow")
    assert process.stdout is not None
    seen = ""
    while "half" not in seen:
        seen += (line := process.stdout.readline())
        assert line, seen
    found = re.search(r"kernel (\d+)", seen)
    assert found is not None
    kernel = int(found[1])
    assert list(kit.results.rglob("slow.csv")), "the notebook has written something"
    process.send_signal(stop)
    assert process.wait(timeout=60) != 0
    assert kit.files() == set()
    assert until(lambda: not alive(kernel)), "the kernel outlived its runner"
    assert "slow: done" in kit.run(overrides={"pause": "0"})
    assert kit.files() == {"slow.csv", "slow.provenance.json", "notebooks/slow.ipynb"}
    assert [path.name for path in (kit.results / "demo").glob(".*")] == [".slow.lock"], "what was left behind is cleared away"


def alive(process: int) -> bool:
    """Whether a process runs (one that ended but was not waited for does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_two_at_once_do_not_disturb_one_another(kit: Kit) -> None:
    kit.add("slow", PARAMETERS + "\npause = 1.0", SLOW)
    kit.add("other", PARAMETERS, WRITE)
    same, again, other = kit.start("slow"), kit.start("slow"), kit.start("other")
    outputs = [process.communicate(timeout=60)[0] for process in (same, again, other)]
    assert [process.returncode for process in (same, again, other)] == [0, 0, 0], outputs
    assert sorted("slow: up to date" in text for text in outputs[:2]) == [False, True], "the second waits, then finds it done"
    assert "other: done" in outputs[2]


def test_a_profile_may_leave_notebooks_out_and_run_several_at_once(kit: Kit) -> None:
    kit.profile("demo", "steps: 5\nleave_out: third\njobs: 2\nworkers: 0\n")
    for name in ("first", "second", "third"):
        kit.add(name, PARAMETERS, f"""import os, time
from pathlib import Path
from typing import Any
assert os.environ["MMR_WORKERS"] == "0"
Path(r"{kit.results.parent}", "{name}.here").touch()
while "{name}" != "third" and not all(Path(r"{kit.results.parent}", other + ".here").exists() for other in ("first", "second")):
    time.sleep(0.05)""")
    out = kit.run()  # the first two wait for one another
    assert ("first: done" in out, "second: done" in out, "third" in out) == (True, True, False)
    assert "third: done" in kit.run("third")
    for setting in ("leave_out", "alone"):
        kit.profile("demo", f"{setting}: fourth\n")
        with pytest.raises(InputError, match="unknown notebook 'fourth'"):
            kit.run()
    kit.profile("demo", "jobs: two\n")
    with pytest.raises(InputError, match="profile demo: jobs: must be a whole number"):
        kit.run()


def test_what_measures_times_runs_after_the_others_and_alone(kit: Kit) -> None:
    kit.profile("demo", "jobs: 2\nalone: first second\n")
    for name in ("first", "second", "third"):
        here = kit.results.parent / f"{name}.here"
        others = f"sorted(path.name for path in Path(r'{kit.results.parent}').glob('*.here'))"
        check = f"assert {others} == ['{name}.here'], {others}" if name != "third" else ""
        done = f"assert Path(r'{kit.results}', 'demo', 'third.provenance.json').exists()" if name != "third" else ""
        kit.add(name, PARAMETERS, f"""import os, time
from pathlib import Path
assert os.environ.get("MMR_JOBS", "1") == "{1 if name != "third" else 2}"
Path(r"{here}").touch()
time.sleep(0.5)
{check}
{done}
Path(r"{here}").unlink()""")
    assert kit.run().count(": done") == 3


# -- parameters and profiles --------------------------------------------------------------------------------------------------------------


def test_parameters_are_checked(kit: Kit) -> None:
    kit.add("one", PARAMETERS, "")
    kit.add("two", "beta = 2\nsteps = 1", "")
    kit.profile("demo", "beta: 3\nrate: 1\n")

    def parameters(only: str, **overrides: str) -> dict[str, object]:
        return {**tasks("demo", [only], overrides, kit.notebooks, kit.results)[0].parameters}

    assert parameters("two", steps="-4") == {"beta": 3, "steps": -4}
    assert parameters("one", name="5")["name"] == "5"
    assert parameters("one")["rate"] == 1.0
    assert parameters("one")["profile"] == "demo"
    for only, overrides, message in [
        ("one", {"step": "1"}, r"unknown parameter 'step' \(did you mean steps"),
        ("one", {"beta": "1"}, "unknown parameter 'beta'"),
        ("one", {"results_dir": "/tmp"}, "unknown parameter 'results_dir'"),
        ("one", {"steps": "1.5"}, "must be a whole number, not '1.5'"),
        ("one", {"rate": "nan"}, "must be a number, not 'nan'"),
        ("one", {"fast": "1"}, "must be true or false"),
        ("one", {"name": "\udc80"}, "must be text"),
        ("on", {}, "unknown notebook 'on'.*one, two"),
    ]:
        with pytest.raises(InputError, match=message):
            parameters(only, **overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha: 1\n", "profile demo: unknown parameter 'alpha'"),
        ("steps: 1.0\n", "profile demo: steps: must be a whole number, not 1.0"),
        ("steps: true\n", "must be a whole number, not True"),
        ("rate: 1e-3\n", "write 0.001 or 1.0e-3"),
        ("profile: other\n", "unknown parameter 'profile'"),
        ("steps: [1]\n", r"steps: \[1\] is no plain value"),
        ("steps:\n", "steps: None is no plain value"),
        ("name: 2020-01-01\n", "quote it"),
        ("- steps\n", "lines of `name: value`"),
        ('name: "\\udc80"\n', "name: must be text"),
        ("steps: {\n", "not readable as YAML"),
        ("name: !!python/object/apply:os.system [exit]\n", "not readable as YAML"),
        ("name: !!int x\n", "not readable as YAML"),
        ("name: &a x\nsteps: *a\n", r"not readable as YAML: it has an alias"),
    ],
)
def test_profiles_are_checked(kit: Kit, text: str, message: str) -> None:
    kit.add("one", PARAMETERS, "")
    kit.profile("demo", text)
    with pytest.raises(InputError, match=message):
        kit.run(dry_run=True)


@pytest.mark.parametrize("cell", ["steps = [1]", "steps = None", "a = b = 1", "import os", "steps = 1 + n", "steps: int", "steps = __import__('os')"])
def test_parameters_must_be_plain_assignments(kit: Kit, cell: str) -> None:
    kit.add("one", cell, "")
    with pytest.raises(InputError, match="parameters cell, line 1"):
        kit.run(dry_run=True)


def test_a_broken_notebook_is_named(kit: Kit) -> None:
    kit.add("one", PARAMETERS).write_text("{")
    with pytest.raises(InputError, match=r"one\.ipynb: not readable as a notebook"):
        kit.run(dry_run=True)


@pytest.mark.parametrize("content", ["[]", "{}", '{"nbformat": 4, "nbformat_minor": 5, "cells": []}', "[" * 3000])
def test_what_is_no_notebook(kit: Kit, content: str) -> None:
    kit.add("one", PARAMETERS).write_text(content)
    with pytest.raises(InputError, match=r"one\.ipynb: not readable as a notebook") as error:
        kit.run(dry_run=True)
    assert "\n" not in str(error.value)


def test_a_cell_of_parameters_that_is_no_python(kit: Kit) -> None:
    kit.add("one", "steps = (", "")
    with pytest.raises(InputError, match=r"one\.ipynb: the parameters cell is no Python"):
        kit.run(dry_run=True)


CODE = ['__import__("os").mkdir("ran")', '"; __import__("os").mkdir("ran"); "', "'''\n__import__('os').mkdir('ran')\n'''",
        '\\"\n__import__("os").mkdir("ran")#', "x\n%mkdir ran", "!mkdir ran", "{name}", "\\", '"""', "\r\n\u2028\u2029\x00\x1b\x85", "ü狗",
        "$(mkdir ran)`mkdir ran`", ""]  # fmt: skip


def test_parameters_arrive_as_plain_texts(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line through papermill's cell to the variable of the notebook: no text becomes code."""
    names = [f"text{number}" for number in range(len(CODE))]
    kit.add("one", "\n".join(['results_dir = ""', *(f'{name} = "x"' for name in names)]),
            f"from pathlib import Path\nPath(results_dir, 'said.txt').write_text(ascii([{', '.join(names)}]))")  # fmt: skip
    monkeypatch.chdir(kit.results.parent)
    kit.profile("demo", "")
    kit.run("one", overrides=dict(zip(names, CODE, strict=True)))
    assert ast.literal_eval((kit.results / "demo" / "said.txt").read_text()) == CODE
    assert not list(kit.results.parent.rglob("ran"))


@given(st.text() | st.text(st.characters(categories=["Cc", "Po", "Zl", "Zp"])), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_parameters_arrive_as_they_are(text: str, whole: int, real: float) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("text = whole = real = 0", metadata={"tags": ["parameters"]})])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["papermill"] = {}
    injected = papermill.parameterize.parameterize_notebook(notebook, {"text": text, "whole": whole, "real": real}).cells[1].source
    assert [type(line) for line in ast.parse(injected).body] == [ast.Assign] * 3
    assert {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(injected).body} == {"text": text, "whole": whole, "real": real}  # type: ignore[attr-defined]


def test_without_notebooks_it_says_where_they_should_be(kit: Kit) -> None:
    with pytest.raises(InputError, match="checkout"):
        kit.run()


# -- the kit's own notebooks and profiles -------------------------------------------------------------------------------------------------

COMMITTED = sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
TABLES = [path for path in COMMITTED if path.parent == NOTEBOOKS]
POINTS = 5.1  # R@M of the smoke profile may differ by two of its 40 text queries: training repeats exactly on one kind of CPU, and drifts between kinds
REFERENCES = Path(__file__).parent / "reference"  # <features>/<notebook>.csv, see `features`


def by_name(path: Path) -> str:
    return path.relative_to(NOTEBOOKS).with_suffix("").as_posix()


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    """The cells with code in them."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code" and cell.source.strip()]


@pytest.mark.parametrize("profile", find_profiles())
def test_profiles_fit_the_notebooks(profile: str) -> None:
    assert load_profile(profile) or profile == "demo"
    assert tasks(profile)


@pytest.mark.parametrize("path", COMMITTED, ids=by_name)
def test_notebook_was_executed(path: Path) -> None:
    """nbval passes cells that were never executed, and checks nothing where there is no output to compare with."""
    for cell in code_cells(path):
        assert cell.execution_count is not None, f"never executed:\n{cell.source}"
        assert not [output for output in cell.outputs if output.output_type == "error"], f"holds an error:\n{cell.source}"
        if "nbval-check-output" in cell.metadata.get("tags", []):
            assert cell.outputs, f"checked, but without output:\n{cell.source}"


@pytest.mark.parametrize("path", COMMITTED, ids=by_name)
def test_notebook_names_no_folder_of_the_machine_that_ran_it(path: Path) -> None:
    """Papermill writes the parameters of a run into the copy it executes, the results folder among them."""
    for cell in code_cells(path):
        assert not re.search(r"""results_dir = ["'][^"']""", cell.source), f"names a folder:\n{cell.source}"


@pytest.mark.parametrize("path", COMMITTED, ids=by_name)
def test_notebook_is_short(path: Path) -> None:
    cells = code_cells(path)
    teaching = "teaching" in path.relative_to(NOTEBOOKS).parts
    assert len(cells) <= 15 or teaching
    for cell in cells:
        most = 25 if any("parameters" in tag for tag in cell.metadata.get("tags", [])) else 15  # parameters are a list to look things up in
        assert len(cell.source.splitlines()) <= most, f"longer than {most} lines:\n{cell.source}"
        code = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
        functions = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        assert not functions or teaching, f"belongs into the package:\n{cell.source}"


@pytest.mark.parametrize("path", TABLES, ids=by_name)
def test_notebook_has_parameters_and_opens_with_words(path: Path) -> None:
    assert "results_dir" in declared_parameters(path)
    assert nbformat.read(path, as_version=4).cells[0].cell_type == "markdown", "first: what the table shows and what the paper claims"


def run_nbval(nbval: Nbval, path: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run nbval on a copy of a notebook with the smoke profile's parameters, on MMR_NBVAL_THREADS threads (1); results go to folder/results."""
    (task,) = tasks("smoke", [path.stem])
    results = folder / "results"
    results.mkdir()
    environment = {"OMP_NUM_THREADS": os.environ.get("MMR_NBVAL_THREADS", "1"), **environment}
    return nbval(nbformat.read(path, as_version=4), {**task.parameters, "results_dir": str(results)}, folder, **environment)


@pytest.fixture(scope="module")
def features() -> str:
    """A name for the region features of the smoke world. Their detector is trained on the spot: processors on which its bits are the same agree in what is
    trained on them, too; others give other numbers, and are compared where a reference of their kind was added."""
    world, digest = load_dataset("smoke_a"), hashlib.sha256()
    for image_id in world.image_ids:
        digest.update(np.ascontiguousarray(world.regions[image_id].features))
    return digest.hexdigest()[:12]


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES, ids=by_name)
def test_notebook_passes_nbval_under_the_smoke_profile(path: Path, tmp_path: Path, nbval: Nbval, features: str) -> None:
    done = run_nbval(nbval, path, tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    results = tmp_path / "results"
    assert list(results.iterdir()), "the notebook wrote no results"
    reference = REFERENCES / features / f"{path.stem}.csv"
    assert any(REFERENCES.glob(f"*/{reference.name}")) == (results / reference.name).exists(), "a reference of one kind of processor at least"
    if reference.exists():
        check_reference(read_results(results / reference.name), reference, POINTS)
    elif (results / reference.name).exists():
        warnings.warn(f"not compared: no {reference}; add this run's csv, so that numbers that move on processors of this kind are noticed", stacklevel=1)


@pytest.mark.slow
def test_nbval_passes_with_two_threads(tmp_path: Path, nbval: Nbval) -> None:
    done = run_nbval(nbval, NOTEBOOKS / "00_quickstart.ipynb", tmp_path, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


BROKEN = """import mmr_kit.retrieval.metrics as metrics
right = metrics.success
metrics.success = lambda ranking, relevance, at=(1, 5, 10): right(ranking, relevance, [m + 1 for m in at])
"""


@pytest.mark.slow
def test_nbval_fails_on_a_broken_metric(tmp_path: Path, nbval: Nbval) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)
    done = run_nbval(nbval, NOTEBOOKS / "figure2_examples.ipynb", tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path / "broken"), str(NOTEBOOKS.parent)]))
    assert done.returncode == 1
    assert "CheckFailed" in done.stdout, done.stdout[-3000:]


def test_a_number_that_moved_is_noticed(tmp_path: Path) -> None:
    reference = next(REFERENCES.glob("*/table1_main_results.csv"))
    rows = read_results(reference)
    check_reference(rows, reference, POINTS)
    rows.loc[3, "value"] = rows.loc[3, "value"] - POINTS - 0.1
    with pytest.raises(CheckFailed, match="the reference run has"):
        check_reference(rows, reference, POINTS)


def test_the_runner_and_the_command_line_are_not_part_of_an_identity() -> None:
    """No number depends on them, so a change in them must not ask for hours of computation; names checked here so that they stay real."""
    assert all((Path(notebooks.__file__).parent / name).exists() for name in notebooks.NOT_COMPUTING)
