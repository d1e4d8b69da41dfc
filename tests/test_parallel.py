"""Child processes: tasks in order, faults by name, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmr_kit import parallel
from mmr_kit.errors import InputError

# A child, and a stand-in for torch: importing the real one takes each child seconds.
CHILD = """
import json, os, signal, sys, time
from mmr_kit.errors import InputError
from mmr_kit.parallel import child_main

def work(task, progress):
    with open(task["log"], "a") as file:
        file.write(f"{task['name']} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\\n")
    for step in range(1, task.get("steps", 0) + 1):
        progress({"step": step, "steps": task["steps"], "loss": 0.5, "seconds left": 61.0, **({"dev score": 12.5} if step == 2 else {})})
    print("words of a library")
    time.sleep(task.get("sleep", 0))
    fault = task.get("fault")
    if fault == "input":
        raise InputError("regions.npy: truncated")
    if fault == "bug":
        raise ZeroDivisionError("a bug")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "dies later":
        import threading
        threading.Timer(0.1, os._exit, [3]).start()

if __name__ == "__main__":
    child_main(work)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the children write who they are."""
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "torch.py").write_text("def set_num_threads(count): pass\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(parallel.__file__).parents[1])]))
    yield tmp_path / "log"
    while parallel._idle:
        parallel._idle.pop().stop()


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_child_does_all_tasks_in_order_and_shows_progress(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tasks = [(f"task {name}", {"log": str(log), "name": name, "steps": 4}) for name in "abc"]
    parallel.run_children("child", tasks, workers=1)
    assert [line[0] for line in lines(log)] == ["a", "b", "c"]
    assert len({line[1] for line in lines(log)}) == 1
    assert {line[2] for line in lines(log)} == {"1"}, "one thread a child"
    shown = capfd.readouterr().out.splitlines()
    for name in "abc":  # the first point, the dev score, the last step
        assert f"  task {name}: 2/4, loss 0.5, dev score 12.5, 1:01 left" in shown
        assert f"  task {name}: 4/4, loss 0.5, 1:01 left" in shown
    assert is_alive(int(lines(log)[0][1])), "it waits for more"


def test_a_waiting_child_takes_the_next_tasks_unless_the_environment_has_changed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        parallel.run_children("child", [(name, {"log": str(log), "name": name})], workers=1)
    monkeypatch.setenv("SOMETHING", "else")
    parallel.run_children("child", [("c", {"log": str(log), "name": "c"})], workers=1)
    first, second, third = (int(process) for _, process, _ in lines(log))
    assert first == second != third
    assert not is_alive(first)
    os.kill(third, signal.SIGKILL)
    parallel._idle[0].process.wait()  # until all its threads are gone
    parallel.run_children("child", [("d", {"log": str(log), "name": "d"})], workers=1)
    assert lines(log)[3][0] == "d"


def test_several_children_share_the_tasks(log: Path) -> None:
    tasks = [(name, {"log": str(log), "name": name, "sleep": 0.5 if name == "a" else 0}) for name in "abcd"]
    parallel.run_children("child", tasks, workers=9)
    by_name = {name: process for name, process, _ in lines(log)}
    assert sorted(by_name) == list("abcd")
    assert len(set(by_name.values())) > 1


def test_nothing_to_do_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    parallel.run_children("child", [], workers=2)


def test_bad_input_in_a_child_is_bad_input_here_and_stops_the_others(log: Path) -> None:
    tasks = [("sleeper", {"log": str(log), "name": "sleeper", "sleep": 60}), ("CE on x", {"log": str(log), "name": "bad", "sleep": 0.5, "fault": "input"})]
    started = time.monotonic()
    with pytest.raises(InputError, match=r"^CE on x: regions.npy: truncated$"):
        parallel.run_children("child", tasks, workers=2)
    assert time.monotonic() - started < 20
    assert not any(is_alive(int(process)) for _, process, _ in lines(log))


@pytest.mark.parametrize(("fault", "message"), [
    ("bug", r"(?s)^t: its process ended with status 1; last words: .*words of a library.*ZeroDivisionError: a bug$"),
    ("killed", r"(?s)^t: its process ended with status -9"),
])  # fmt: skip
def test_a_child_that_dies_is_reported_with_its_last_words(log: Path, fault: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        parallel.run_children("child", [("t", {"log": str(log), "name": "t", "fault": fault})], workers=1)


def test_a_module_that_cannot_start_is_reported(log: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)t: its process ended with status 1; last words: .*No module named no_such_child"):
        parallel.run_children("no_such_child", [("t", {"text": "x" * 200_000})], workers=1)


def test_an_idle_child_that_dies_does_not_matter(log: Path) -> None:
    tasks = [("a", {"log": str(log), "name": "a", "fault": "dies later"}), ("b", {"log": str(log), "name": "b", "sleep": 1.0})]
    parallel.run_children("child", tasks, workers=2)


def test_no_child_outlives_its_parent(log: Path) -> None:
    task = ("t", {"log": str(log), "name": "t", "sleep": 60})
    program = f"from mmr_kit.parallel import run_children; run_children('child', {[task]!r}, 1)"
    parent = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (log.exists() and lines(log)) and time.monotonic() < deadline:
            time.sleep(0.05)
        child = int(lines(log)[0][1])
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(child)
    finally:
        parent.kill()


def test_progress_bars_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm.auto

    made = []

    class Bar:
        def __init__(self, total: int, desc: str) -> None:
            self.total, self.desc, self.n, self.closed = total, desc, 0, False
            made.append(self)

        def set_postfix_str(self, text: str) -> None:
            self.text = text

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    show = parallel._bars()
    for step in (5, 10):
        show("CE", {"step": step, "steps": 10, "match loss": 0.123456, "seconds left": 3.0})
    bar, = made
    assert (bar.total, bar.desc, bar.n, bar.text, bar.closed) == (10, "CE", 10, "match loss 0.123", True)


def test_without_workers_the_tasks_are_done_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MMR_WORKERS", "0")
    done = []

    def work(task: dict[str, int], progress: parallel.Progress) -> None:
        progress({"step": 1, "steps": 1, "seconds left": 0.0})
        done.append((task["number"], os.getpid()))

    parallel.run_tasks("no_such_child", work, [("one", {"number": 1}), ("two", {"number": 2})])
    assert done == [(1, os.getpid()), (2, os.getpid())]
    assert "  two: 1/1, , 0:00 left" in capfd.readouterr().out


def test_workers_are_the_cores_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5})
    assert parallel.worker_count() == 3
    monkeypatch.setenv("MMR_JOBS", "2")
    assert parallel.worker_count() == 2, "two notebooks at once share the cores"
    monkeypatch.setattr(parallel.torch.cuda, "is_available", lambda: True)
    assert parallel.worker_count() == 1
