"""Work in child processes, one thread each, as many at once as there are cores; one process where there is a GPU.

A child is `python -m <module>`: it reads tasks, one JSON line each, from its standard input, and writes JSON lines: {"progress": {...}}, then {"done": true}
or {"error": message}. It ends when its standard input closes, so that no child outlives its parent, however that ended.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from mmr_kit.errors import InputError, wanted

SECONDS_BETWEEN_LINES = 5.0
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
Task = tuple[str, dict[str, Any]]  # label for people, JSON object for the child
Progress = Callable[[dict[str, Any]], None]
Events = queue.Queue[tuple[int, dict[str, Any]]]  # number of a child, and what it said


def worker_count() -> int:
    """Children at once: $MMR_WORKERS where that is set (0: none), else this one's share of the cores, as one of $MMR_JOBS programs that run beside one another
    (1), or 1 where a GPU does the work."""
    if os.environ.get("MMR_WORKERS", "").isdecimal():
        return int(os.environ["MMR_WORKERS"])
    if torch.cuda.is_available():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(cores / int(os.environ.get("MMR_JOBS", 1)))


def run_tasks(module: str, work: Callable[[dict[str, Any], Progress], None], tasks: list[Task], workers: int = 0) -> None:
    """Run every task on `workers` children of `module` (0: `worker_count`), or, where that is 0 too, by `work` in this process: for tasks too small to wait
    for a child. So also under `torchrun`, whose processes share each task."""
    if "TORCHELASTIC_RUN_ID" not in os.environ and (count := workers or worker_count()):
        run_children(module, tasks, count)
        return
    show = _bars() if _interactive() else _lines()
    for label, task in tasks:
        work(task, partial(show, label))


def run_children(module: str, tasks: list[Task], workers: int) -> None:
    """Run every task, in order, on `workers` children; raises InputError or RuntimeError with the child's message where one fails (the others are stopped).

    Children that have done their work wait for the next call: starting one takes as long as importing PyTorch.
    """
    waiting, busy = list(reversed(tasks)), dict[int, str]()
    events: Events = queue.Queue()
    show = _bars() if _interactive() else _lines()
    children = _take(module, min(workers, len(tasks)), events)

    def feed(number: int) -> None:
        if waiting:
            busy[number], task = waiting.pop()
            children[number].send(task)

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
                raise RuntimeError(f"{busy[number]}: its process ended with status {children[number].process.wait()}; "
                                   f"last words: {event['ended'] or 'none'}")
    except BaseException:
        for child in children:
            child.stop()
        raise
    with _lock:
        _idle.extend(children)


class _Child:
    """A child process; `report` says where its events go, and under which number."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        self.made_of = module, environment
        self.report: tuple[int, Events] = 0, queue.Queue()
        self.process = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=environment)
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, task: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the child is dead: the event "ended" says so
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        words = ""
        for line in self.process.stdout:
            if line.startswith('{"'):
                self._tell(json.loads(line))
            else:
                words = (words + line)[-2000:]
        self._tell({"ended": words.strip()})

    def _tell(self, event: dict[str, Any]) -> None:
        number, events = self.report
        events.put((number, event))


_idle: list[_Child] = []
_lock = threading.Lock()


def _take(module: str, count: int, events: Events) -> list[_Child]:
    """`count` children, waiting ones first; those that died, or were started for something else or in another environment, are stopped."""
    made_of = module, {**os.environ, **ENVIRONMENT}
    with _lock:
        waiting = [child for child in _idle if child.process.poll() is None and child.made_of == made_of]
        for child in _idle:
            if child not in waiting:
                child.stop()
        _idle[:] = waiting[count:]
    children = waiting[:count] + [_Child(*made_of) for _ in range(count - len(waiting))]
    for number, child in enumerate(children):
        child.report = number, events
    return children


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
        except Exception as error:
            told = error if isinstance(error, InputError) else wanted(error)
            if told is None:
                raise
            _say({"error": str(told), "kind": "InputError"})


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
