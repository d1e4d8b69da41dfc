"""`make fuzz`: coverage-guided fuzzing (atheris) of every reader of untrusted files, a fixed number of seconds each.

    python -m tests.fuzz.run [--seconds 60] [HARNESS ...]

Each harness runs in a process of its own, forked when the package has been imported with its bytecode instrumented. Inputs that found new code are kept in
.fuzz/<harness>/ and are where the next run begins; an input that made a reader do what it must not is .fuzz/findings/<harness>-*. Exit status 1 if there is
one.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["mmr_kit", "yaml"]):
    from mmr_kit.cache import atomic_write
    from tests.fuzz.harnesses import HARNESSES, Harness

WORK = Path(__file__).resolve().parents[2] / ".fuzz"
FINDINGS = WORK / "findings"
RECORD = Path(__file__).resolve().parents[2] / "results" / "reliability" / "fuzz.json"  # of a run of all harnesses
MEMORY_MB, SLOWEST, LONGEST = 4000, 20, 8192  # of a process; seconds of one input; bytes of one input


def fuzz(name: str, harness: Harness, seconds: int, folder: Path) -> None:
    """Fuzz in this process, in a folder of its own; never returns."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")
    logging.disable()
    corpus, place = WORK / name, folder / "files"
    for made in (corpus, FINDINGS, place):
        made.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(harness.seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    harness.prepare(place)
    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SLOWEST}", f"-artifact_prefix={FINDINGS}/{name}-", f"-max_len={LONGEST}",
               "-print_final_stats=1"]  # fmt: skip

    def one(content: bytes) -> None:
        harness.attempt(place, content)

    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def run(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz one harness in a child; prints a line, and the end of what it said where it found something. {"harness", "executions", "edges", "found"}."""
    memory = Path("/dev/shm")  # writing a file there costs no disk
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        child = os.fork()
        if not child:
            try:
                fuzz(name, HARNESSES[name], seconds, folder)
            finally:
                os._exit(3)  # no child comes back into the loop
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = (folder / "log").read_text(errors="replace")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    executions, edges = (re.findall(pattern, said) or ["0"] for pattern in (r"number_of_executed_units:\s*(\d+)", r"\bcov: (\d+)"))
    print(f"{name:<24} {int(executions[-1]):>10,} executions  {edges[-1]:>5} edges  {'FOUND SOMETHING' if status else 'nothing found'}", flush=True)
    if status:
        print("\n".join(said.splitlines()[-40:]), flush=True)
    return {"harness": name, "executions": int(executions[-1]), "edges": int(edges[-1]), "found": status != 0}


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the readers of untrusted files.")
    parser.add_argument("names", nargs="*", metavar="HARNESS", help=", ".join(HARNESSES))
    parser.add_argument("--seconds", type=int, default=60, help="of each harness")
    arguments = parser.parse_args()
    names = arguments.names or list(HARNESSES)
    if unknown := set(names) - set(HARNESSES):
        parser.error(f"no harness {', '.join(sorted(unknown))}; there are {', '.join(HARNESSES)}")
    print(f"{len(names)} harnesses, {arguments.seconds} s each", flush=True)
    told = [run(name, arguments.seconds) for name in names]
    if len(told) == len(HARNESSES):
        atomic_write(RECORD, json.dumps({"seconds_each": arguments.seconds, "harnesses": told}, indent=1) + "\n")
    found = [each["harness"] for each in told if each["found"]]
    sys.exit(f"found something: {', '.join(found)}; inputs in {FINDINGS}" if found else 0)


if __name__ == "__main__":
    main()
