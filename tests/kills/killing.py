"""SIGKILL at random moments: a program is killed, once or several times, then run to its end, and must leave what it leaves when nobody disturbs it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.kills.scenarios import Scenario

PATIENCE = 60.0  # seconds in which children must notice that their parent is gone; one that is importing PyTorch, on a busy machine, does so afterwards
LONGEST = 600.0
IN_A_ROW = 4  # kills at most before it may run to its end


def kill_often(scenario: Scenario, kills: int, seed: int = 0) -> dict[str, Any]:
    """{"scenario", "kills", "runs_to_the_end", "files_compared", "children_killed", "seconds_undisturbed", "moments": share of that time at which each kill
    came, "ended_before": programs that had ended when a kill should have come, which do not count}. AssertionError where a process outlives its parent, a run
    hangs or fails, or a file differs."""
    rng = random.Random(f"{scenario.name}/{seed}")
    with tempfile.TemporaryDirectory() as temporary:
        undisturbed = Path(temporary) / "undisturbed"
        scenario.lay_out(undisturbed)
        started = time.monotonic()
        _to_the_end(scenario, undisturbed)
        seconds, expected = time.monotonic() - started, scenario.digest(undisturbed)
        told: dict[str, Any] = {"scenario": scenario.name, "kills": 0, "runs_to_the_end": 0, "files_compared": 0, "children_killed": 0,
                                "ended_before": 0, "seconds_undisturbed": round(seconds, 1), "moments": []}  # fmt: skip
        while told["kills"] < kills:
            folder = Path(temporary) / f"killed-{told['runs_to_the_end']}"
            scenario.lay_out(folder)
            for _ in range(min(rng.randint(1, IN_A_ROW), kills - told["kills"])):
                moment = rng.random()
                hit = _kill(scenario, folder, moment * seconds, rng)
                if not hit:  # what an earlier kill left was soon done, and the program had ended
                    told["ended_before"] += 1
                    break
                told["kills"] += 1
                told["children_killed"] += hit == "child"
                told["moments"].append(round(moment, 3))
            _to_the_end(scenario, folder)
            found = scenario.digest(folder)
            assert found == expected, f"{scenario.name}: {[name for name in expected | found if expected.get(name) != found.get(name)]} differ"
            left = [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".partial", ".work"))]
            assert not left, f"{scenario.name}: {left} left behind"
            told["runs_to_the_end"] += 1
            told["files_compared"] += len(found)
    return told


def _kill(scenario: Scenario, folder: Path, after: float, rng: random.Random) -> str:
    """Kill the program, or every third time one of its children where it has some; returns which, "" where it had ended already."""
    process = subprocess.Popen(scenario.command(folder), env=scenario.environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    of_a_child = bool(children) and rng.random() < 1 / 3
    if of_a_child:
        try:
            os.kill(rng.choice(children).pid, signal.SIGKILL)
        except ProcessLookupError:  # it has ended just now
            of_a_child = False
    if of_a_child:
        process.wait(LONGEST)  # the program reports the death, or does without the child
    else:
        process.kill()
        process.wait()
    end = time.monotonic() + PATIENCE
    while orphans := _processes_of(folder):
        assert time.monotonic() < end, f"{scenario.name}: {orphans} outlived the program by {PATIENCE:.0f} s"
        time.sleep(0.1)
    return "child" if of_a_child else "program" if process.returncode == -signal.SIGKILL else ""


def _to_the_end(scenario: Scenario, folder: Path) -> None:
    done = subprocess.run(scenario.command(folder), env=scenario.environment(folder), capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, f"{scenario.name}: {done.stdout[-1500:]}{done.stderr[-1500:]}"


def _processes_of(folder: Path) -> list[str]:
    """Living processes that were started in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KILLED_IN") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:120])
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
