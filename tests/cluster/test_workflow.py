"""A profile on Snakemake, and on a real SLURM of two nodes; the driver dies in the middle, and the same command goes on without doing anything twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import loopback
from tests.worlds import with_worlds

pytest.importorskip("snakemake", reason="Snakemake is not installed: make install-cluster, or pip install 'mmr-kit[cluster]'")
ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "results" / "reliability" / "slurm.json"
SMALL = ["--only", "table8_top_k", "--only", "figure2_examples", "-p", "ce_steps=6", "-p", "be_steps=6", "-p", "joint_steps=6"]


def driver(folder: Path, on: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MMR_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "workflow" / "run.py"), "--profile", "smoke", "--on", on, "--results", str(folder / "results"), "--threads", "1",
               "--training-mb", "500", "--notebook-mb", "900", *SMALL]  # fmt: skip
    with open(folder / "driver.log", "a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def finished(folder: Path) -> set[str]:
    """Models in the cache."""
    return {path.parent.name for path in (folder / "cache").glob("models/*/entry.json")}


def killed_and_taken_up(folder: Path, on: str, limit: float) -> dict[str, Any]:
    """Run the profile; SIGKILL the driver when the first model is there; run it again to the end. What was repeated of what had been finished?"""
    first, end = driver(folder, on), time.monotonic() + limit
    while not finished(folder):
        assert first.poll() is None, (folder / "driver.log").read_text()[-3000:]
        assert time.monotonic() < end, (folder / "driver.log").read_text()[-3000:]
        time.sleep(0.2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = finished(folder)
    changed = {name: (folder / "cache" / "models" / name / "entry.json").stat().st_mtime_ns for name in done}
    second = driver(folder, on)
    assert second.wait(limit) == 0, (folder / "driver.log").read_text()[-5000:]
    repeated = [name for name in done if (folder / "cache" / "models" / name / "entry.json").stat().st_mtime_ns != changed[name]]
    assert (folder / "results" / "smoke" / "table8_top_k.csv").is_file()
    assert (folder / "results" / "smoke" / "REPORT.md").is_file()
    planned = int(re.search(r"to do: (\d+) trainings", (folder / "driver.log").read_text())[1])  # type: ignore[index]
    assert len(finished(folder)) == planned > len(done)
    return {"planned": planned, "finished_before": len(done), "repeated": repeated}


def test_on_this_machine(tmp_path: Path) -> None:
    told = killed_and_taken_up(with_worlds(tmp_path), "local", 400)
    assert told["repeated"] == []
    third = driver(tmp_path, "local")
    assert third.wait(120) == 0
    assert "to do: 0 trainings, 0 notebooks" in (tmp_path / "driver.log").read_text()
    (tmp_path / "results" / "smoke" / "table8_top_k.csv").unlink()
    assert driver(tmp_path, "local").wait(120) == 0
    assert (tmp_path / "results" / "smoke" / "table8_top_k.csv").is_file()  # lost after it was done, and done again


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[loopback.Cluster]:
    if reason := loopback.missing():
        pytest.skip(reason)
    cluster = loopback.Cluster(tmp_path / "slurm")
    yield cluster
    cluster.stop()


def test_on_slurm(slurm: loopback.Cluster, tmp_path: Path) -> None:
    with_worlds(tmp_path)
    started = time.monotonic()
    told = killed_and_taken_up(tmp_path, "slurm-no-accounting", 500)
    assert told["repeated"] == []
    jobs = slurm.jobs()
    assert {job["state"] for job in jobs} == {"COMPLETED"}, jobs
    assert len(Counter(job["node"] for job in jobs)) == 2, "both nodes work"
    if os.environ.get("MMR_RECORD"):
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        record = {"nodes": 2, "seconds": round(time.monotonic() - started), "slurm": loopback.version(), "jobs": jobs, **told}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
