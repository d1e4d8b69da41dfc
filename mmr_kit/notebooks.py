"""The notebooks, run headlessly: parameters from a profile, results in `results/<profile>/`, nothing run twice.

A notebook writes its results into the folder that its parameter `results_dir` names. The runner gives it an empty folder beside the final one and moves
the files into place only when the last cell has run, so a failed or killed run leaves the earlier results as they were. What the results were computed
from (sources, parameters, manifests, data) and the hash of each file go into `<name>.provenance.json`; while all of that still holds, there is nothing to do.
The executed notebook counts as a result but is not committed, so a fresh clone computes everything once, whatever results it came with.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmr_kit.cache import atomic_write, cache_dir, file_hash, identity_hash
from mmr_kit.data.fingerprints import data_identity
from mmr_kit.errors import InputError
from mmr_kit.executing import NotebookError as NotebookError
from mmr_kit.executing import execute, interrupt
from mmr_kit.needs import check_needs, datasets_of
from mmr_kit.profiles import NOTEBOOKS, SUPPLIED, Scalar, declared_parameters, effective_parameters, load_profile, near, read_notebook, runner_settings
from mmr_kit.reporting.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"

# One busy thread a process: two can be many times slower than one.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "MMR_HEADLESS": "1"}
OF_PROCESS = ("parameters", "data_hashes", "durations", "peak_memory", "threads")  # in a provenance: what this process cannot say for another
# modules and folders that no number depends on
NOT_COMPUTING = ("cli.py", "cli_data.py", "cli_features.py", "executing.py", "explorer.py", "needs.py", "notebooks.py", "planning.py", "slots.py", "teaching")


@dataclass(frozen=True)
class Task:
    """One notebook under one profile: what would be run, and where its results stand."""

    name: str
    path: Path
    profile: str
    parameters: dict[str, Scalar]
    results: Path
    identity: dict[str, Any] = field(repr=False)

    @property
    def provenance(self) -> Path:
        return self.results / f"{self.name}.provenance.json"

    @property
    def shown(self) -> str:
        """The result file to name in a message: the csv, or the executed notebook where there is none."""
        table = self.results / f"{self.name}.csv"
        return _short(table if table.exists() else self.results / "notebooks" / f"{self.name}.ipynb")

    def stale(self) -> str:
        """Why the results must be computed, in a few words; empty when they are up to date."""
        record = _read_json(self.provenance)
        outputs, identity = record.get("outputs"), record.get("identity")
        if not isinstance(outputs, dict) or not isinstance(identity, dict):
            return "no results yet"
        if changed := sorted(key for key in self.identity if identity.get(key) != self.identity[key]):
            return f"changed since: {', '.join(changed)}"
        for output, value in outputs.items():
            path = self.results / output
            if not path.is_file():
                return "not computed on this machine yet" if output.startswith("notebooks/") else f"{_short(path)} is missing"
            if file_hash(path) != value:
                return f"{_short(path)} was altered"
        return ""


def find_notebooks(folder: Path = NOTEBOOKS) -> dict[str, Path]:
    """Name -> file of the notebooks in `folder`, by name. Raises InputError where there are none (an installation without a checkout)."""
    found = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not found:
        raise InputError(f"{folder}: no notebooks here; the kit runs from a checkout of its repository (pip install -e .)")
    return found


def tasks(
    profile: str, only: Iterable[str] = (), overrides: Mapping[str, str] | None = None, notebooks: Path = NOTEBOOKS, results: Path = RESULTS
) -> list[Task]:
    """The notebooks to run under a profile, in the order of their names; where `only` is empty all but those that the profile's `leave_out` names.

    Raises InputError.
    """
    found, values = find_notebooks(notebooks), load_profile(profile, notebooks)
    settings = runner_settings(values, f"profile {profile}")
    left_out, alone = (str(settings[name]).split() for name in ("leave_out", "alone"))
    wanted = sorted({name.removesuffix(".ipynb") for name in only} or set(found) - set(left_out))
    for name in (*wanted, *left_out, *alone):
        if name not in found:
            raise InputError(f"unknown notebook {name!r}{near(name, found)}; notebooks: {', '.join(found)}")
    declared = {name: declared_parameters(path) for name, path in found.items()}
    parameters_of = effective_parameters(declared, values, overrides or {}, wanted, f"profile {profile}")
    shared = {"profile": profile, "package": _folder_hash(Path(__file__).parent, NOT_COMPUTING), "manifests": _folder_hash(ROOT / "data_manifests")}
    data = data_identity(list(dict.fromkeys(dataset for name in wanted for dataset in datasets_of(parameters_of[name]))))
    made = []
    for name in wanted:
        code = [cell.source for cell in read_notebook(found[name]).cells if cell.cell_type == "code"]
        parameters = {key: value for key, value in parameters_of[name].items() if key not in SUPPLIED}
        identity = {"notebook": identity_hash(code), "parameters": parameters, "data": {each: data[each] for each in datasets_of(parameters)}, **shared}
        supplied = {key: profile for key in ("profile",) if key in parameters_of[name]}
        made.append(Task(name, found[name], profile, {**parameters_of[name], **supplied}, results / profile, identity))
    return made


def regenerate(profile: str = "demo", only: Iterable[str] = (), overrides: Mapping[str, str] | None = None, force: bool = False, dry_run: bool = False,
               notebooks: Path = NOTEBOOKS, results: Path = RESULTS) -> int:
    """Bring the results of a profile up to date, notebook by notebook, and return how many had to be computed (with `dry_run`: would have to be).

    Raises InputError on bad input, also when a notebook raises it, and NotebookError when a notebook fails; the notebooks before it keep their results.
    """
    settings = runner_settings(load_profile(profile, notebooks), f"profile {profile}")
    planned = tasks(profile, only, overrides, notebooks, results)
    jobs, workers = int(settings["jobs"]), int(settings["workers"])
    environment = ENVIRONMENT | {"MMR_CACHE_DIR": str(cache_dir())} | ({"MMR_WORKERS": str(workers)} if workers >= 0 else {})

    def bring_up_to_date(task: Task) -> bool:
        with contextlib.nullcontext() if dry_run else _alone(task):
            reason = task.stale() or ("asked for with --force" if force else "")
            if not reason:
                _say(f"{task.name}: up to date ({task.shown})")
                return False
            _say(f"{task.name}: {'would run' if dry_run else 'running'} ({reason})")
            if not dry_run:
                seconds = _run(task)
                _say(f"{task.name}: done in {seconds:.0f} s ({task.shown})")
            return True

    if not dry_run:
        check_needs(task.parameters for task in planned if force or task.stale())
    beside = [] if jobs == 1 or dry_run else [task for task in planned if task.name not in str(settings["alone"]).split()]
    with _inherited(environment), ThreadPoolExecutor(jobs) as pool:
        try:
            with _inherited({"MMR_JOBS": str(jobs)}):  # they share cores and memory
                computed = sum(pool.map(bring_up_to_date, beside))
        except KeyboardInterrupt:  # which this thread alone gets; a notebook that fails lets those finish that run beside it
            interrupt()
            raise
        computed += sum(bring_up_to_date(task) for task in planned if task not in beside)
    if not computed:
        _say(f"nothing to do: profile {profile} is up to date (--force computes it again)")
    return computed


@contextlib.contextmanager
def _inherited(environment: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the kernels that start meanwhile."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _say(text: str) -> None:
    """A line of its own, whoever else prints."""
    print(text + "\n", end="", flush=True)


def _run(task: Task) -> float:
    """Execute a notebook in a folder of its own, then put its results in place; returns the seconds it took. The caller holds the task's lock."""
    stale = [*task.results.glob(f".{task.name}.*.partial"), task.results / "notebooks" / f"{task.name}.failed.ipynb"]
    for path in stale:  # left by a run that was killed or failed
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{task.name}.", suffix=".partial", dir=task.results, ignore_cleanup_errors=True) as folder:
        start = time.monotonic()
        _execute(task, Path(folder))
        seconds = time.monotonic() - start
        _publish(task, Path(folder), seconds)
    return seconds


def _execute(task: Task, folder: Path) -> None:
    """Run the notebook's cells; its results and the executed notebook appear in `folder`."""
    supplied = {"results_dir": str(folder.resolve())} if "results_dir" in task.parameters else {}
    executed = folder / "notebooks" / f"{task.name}.ipynb"
    executed.parent.mkdir()
    try:
        execute(task.path, {**task.parameters, **supplied}, executed)
    except NotebookError as error:
        raise NotebookError(f"{error}\n  executed so far: {_keep(task, executed)}") from None


def _publish(task: Task, folder: Path, seconds: float) -> None:
    """Move finished results into place, the provenance last: until it is there they do not count as finished."""
    earlier = _read_json(task.provenance).get("outputs", {})
    record = _read_json(folder / task.provenance.name) or _of_machine()
    (folder / task.provenance.name).unlink(missing_ok=True)
    outputs = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    record |= {"identity": task.identity, "outputs": {name: file_hash(path) for name, path in outputs.items()}, "wall_time_s": round(seconds, 1)}
    task.provenance.unlink(missing_ok=True)
    for name, path in outputs.items():
        (task.results / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, task.results / name)
    for name in set(earlier) - set(outputs):
        (task.results / name).unlink(missing_ok=True)
    atomic_write(task.provenance, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _of_machine() -> dict[str, Any]:
    """The provenance of a notebook that wrote none: the source and the machine, which are this process's, too."""
    return {name: value for name, value in provenance({}, {}, {}).items() if name not in OF_PROCESS}


@contextlib.contextmanager
def _alone(task: Task) -> Iterator[None]:
    """Hold the lock on one notebook's results; a second run of the same notebook waits here for the first."""
    task.results.mkdir(parents=True, exist_ok=True)
    lock = FileLock(task.results / f".{task.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say(f"{task.name}: waiting for another run of it to finish")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _keep(task: Task, executed: Path) -> str:
    """Keep a failed run's notebook beside the results, where it can be looked at but never taken for a result."""
    kept = task.results / "notebooks" / f"{task.name}.failed.ipynb"
    kept.parent.mkdir(exist_ok=True)
    if executed.exists():
        os.replace(executed, kept)
    return _short(kept)


def _folder_hash(folder: Path, without: Iterable[str] = ()) -> str:
    """A hash over the names and contents of a folder's files; without those that have, or lie in a folder that has, one of these names."""
    left_out = {"__pycache__", *without}
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return identity_hash([[name.as_posix(), file_hash(path)] for name, path in files.items() if not left_out.intersection(name.parts)])


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where it is absent or unreadable."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _short(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
