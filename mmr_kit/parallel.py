"""Work in child processes, one thread each, as many at once as there are cores; one process where there is a GPU.

A child is `python -m <module>`: it reads tasks, one JSON line each, from its standard input, and writes JSON lines: {"progress": {...}}, then {"done": true}
or {"error": message}. It ends when its standard input closes, so that no child outlives its parent, however that ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from mmr_kit.errors import InputError

SECONDS_BETWEEN_LINES = 5.0
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
Task = tuple[str, dict[str, Any]]  # label for people, JSON object for the child
Progress = Callable[[dict[str, Any]], None]


def worker_count() -> int:
    """Children at once: the cores this process may use, or 1 where a GPU does the work."""
    if torch.cuda.is_available():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_children(module: str, tasks: list[Task], workers: int) -> None:
    """Run every task, in order, on `workers` children; raises InputError or RuntimeError with the child's message where one fails (the others are stopped)."""
    waiting, busy = list(reversed(tasks)), dict[int, str]()
    events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    show = _bars() if _interactive() else _lines()
    children = [_start(module, number, events) for number in range(min(workers, len(tasks)))]

    def feed(number: int) -> None:
        if waiting:
            label, task = waiting.pop()
            busy[number] = label
            stdin = children[number].stdin
            assert stdin is not None
            with contextlib.suppress(BrokenPipeError):  # the child is dead: the event "ended" says so
                stdin.write(json.dumps(task) + "\n")
                stdin.flush()

    try:
        for number in range(len(children)):
            feed(number)
        while busy:
            number, event = events.get()
            if number not in busy:
                continue  # an idle child ended: nothing is lost
            if "progress" in event:
                show(busy[number], event["progress"])
            elif "done" in event:
                del busy[number]
                feed(number)
            elif "error" in event:
                raise (InputError if event.get("kind") == "InputError" else RuntimeError)(f"{busy[number]}: {event['error']}")
            else:
                raise RuntimeError(f"{busy[number]}: its process ended with status {children[number].wait()}; last words: {event['ended'] or 'none'}")
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(module: str, number: int, events: queue.Queue[tuple[int, dict[str, Any]]]) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             env={**os.environ, **ENVIRONMENT})
    stdout = child.stdout
    assert stdout is not None

    def read() -> None:
        words = ""
        for line in stdout:
            if line.startswith('{"'):
                events.put((number, json.loads(line)))
            else:
                words = (words + line)[-2000:]
        events.put((number, {"ended": words.strip()}))

    threading.Thread(target=read, daemon=True).start()
    return child


def child_main(work: Callable[[dict[str, Any], Progress], None]) -> None:
    """What a child module calls: do the tasks that come in, report on each."""
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        os._exit(1)  # the parent is gone

    threading.Thread(target=read, daemon=True).start()
    torch.set_num_threads(1)
    last = 0.0

    def progress(point: dict[str, Any]) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5 or "dev score" in point or point["step"] == point["steps"]:
            last = time.monotonic()
            _say({"progress": point})

    while True:
        task = tasks.get()
        try:
            work(task, progress)
            _say({"done": True})
        except InputError as error:
            _say({"error": str(error), "kind": "InputError"})


def _say(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _interactive() -> bool:
    """Whether someone watches a notebook live; the runner and the tests set MMR_HEADLESS."""
    return not os.environ.get("MMR_HEADLESS") and "ipykernel" in sys.modules


def describe(point: dict[str, Any]) -> str:
    """A progress point in words: triplet loss 0.175, N 12, dev score 34."""
    return ", ".join(f"{name} {value:.3g}" for name, value in point.items() if name not in ("step", "steps", "seconds left"))


def _lines() -> Callable[[str, dict[str, Any]], None]:
    """A line every few seconds a task; always one for a dev score and for the last step."""
    last: dict[str, float] = {}

    def show(label: str, point: dict[str, Any]) -> None:
        if "dev score" in point or point["step"] == point["steps"] or time.monotonic() - last.get(label, 0.0) > SECONDS_BETWEEN_LINES:
            last[label] = time.monotonic()
            minutes, seconds = divmod(int(point["seconds left"]), 60)
            print(f"  {label}: {point['step']}/{point['steps']}, {describe(point)}, {minutes}:{seconds:02d} left", flush=True)

    return show


def _bars() -> Callable[[str, dict[str, Any]], None]:
    from tqdm.auto import tqdm

    bars: dict[str, Any] = {}

    def show(label: str, point: dict[str, Any]) -> None:
        if label not in bars:
            bars[label] = tqdm(total=point["steps"], desc=label)
        bar = bars[label]
        bar.n = point["step"]
        bar.set_postfix_str(describe(point))
        if bar.n == bar.total:
            bar.close()

    return show
