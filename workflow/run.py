"""A profile on a workflow engine: python workflow/run.py --profile demo --on slurm [-- options of `mmr regenerate`, such as -p seeds=3].

Plans, lets Snakemake deal out the trainings, and plans again until none is missing; then the notebooks, then the report. Killed, the same command goes on: what
is finished is not planned again, and what still runs on the cluster is waited for by its lock in the cache. All machines need the checkout and the cache in a
shared folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from mmr_kit.cache import atomic_write, cache_dir

WORKFLOW = Path(__file__).resolve().parent


def main() -> int:
    """The exit status: that of Snakemake where it fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo", help="settings to run under, a name in notebooks/profiles/")
    parser.add_argument("--on", default="local", help="local, slurm, slurm-no-accounting, or the folder of a Snakemake profile of your own")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that a task asks for")
    parser.add_argument("--threads", type=int, default=2, help="threads that a notebook asks for")
    parser.add_argument("--minutes", type=int, default=240, help="time that a task asks for")
    parser.add_argument("--training-mb", type=int, default=2000, help="memory that a training asks for (the generated world takes 1 GB)")
    parser.add_argument("--notebook-mb", type=int, default=10000, help="memory that a notebook asks for (Table 3 takes most)")
    parser.add_argument("--results", default="", help="where results lie, one folder a profile; results/ of the checkout by default")
    asked, more = parser.parse_known_args()
    place = ["--profile", asked.profile, *(["--results", str(Path(asked.results).absolute())] if asked.results else [])]
    options = [*place, *(option for option in more if option != "--")]
    work = cache_dir() / "workflow" / asked.profile
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "driver.lock", timeout=0):
            return _drive(asked, place, options, work)
    except Timeout:
        print(f"another program drives this profile already ({work / 'driver.lock'}); wait for it to end", file=sys.stderr)
        return 2


def _drive(asked: argparse.Namespace, place: list[str], options: list[str], work: Path) -> int:
    before = None
    while True:
        said = subprocess.run([sys.executable, "-m", "mmr_kit.cli", "plan", *options], stdout=subprocess.PIPE, text=True, check=False)
        if said.returncode:
            return said.returncode
        plan = json.loads(said.stdout)
        trainings, notebooks = len(plan["trainings"]), len(plan["notebooks"])
        print(f"to do: {trainings} trainings, {notebooks} notebooks", flush=True)
        if not trainings and not notebooks:
            return subprocess.call([sys.executable, "-m", "mmr_kit.cli", "report", *place])
        planned = [work / "done" / f"{kind}-{task['id']}.done" for kind in ("training", "notebook") for task in plan[f"{kind}s"]]
        if planned == before:
            print("what was to be done is still to be done: its results or models are taken away again; look at the logs above", file=sys.stderr)
            return 1
        before = planned
        for mark in planned:  # of an earlier run, whose result or model was lost or altered since
            mark.unlink(missing_ok=True)
        atomic_write(work / "plan.json", said.stdout)
        if status := _snakemake(asked, options, work):
            return status


def _snakemake(asked: argparse.Namespace, options: list[str], work: Path) -> int:
    profile = WORKFLOW / "profiles" / asked.on if (WORKFLOW / "profiles" / asked.on).is_dir() else Path(asked.on)
    settings = {"plan": work / "plan.json", "done": work / "done", "options": shlex.join(options), "gpus": asked.gpus, "threads": asked.threads,
                "minutes": asked.minutes, "training_mb": asked.training_mb, "notebook_mb": asked.notebook_mb}  # fmt: skip
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(work), "--workflow-profile", str(profile)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(WORKFLOW.parent), os.environ.get("PYTHONPATH")]))}
    command += ["--config", *(f"{name}={value}" for name, value in settings.items())]
    subprocess.run([*command, "--unlock"], env=environment, capture_output=True, check=False)  # a killed driver's lock; ours says that there is no other
    return subprocess.call([*command, "--rerun-incomplete"], env=environment)


if __name__ == "__main__":
    sys.exit(main())
