"""`make fuzz`: coverage-guided fuzzing (atheris) of every reader of untrusted files, a fixed number of seconds each.

    python -m tests.fuzz.run [--seconds 60] [HARNESS ...]

Each harness runs in a process of its own, with the package's bytecode instrumented. Inputs that found new code are kept in .fuzz/<harness>/ and are where the
next run begins; an input that made a reader do what it must not is .fuzz/findings/<harness>-*. Exit status 1 where there is one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".fuzz"
INSTRUMENTED = ["mmr_kit", "yaml", "json"]
MEMORY_MB, SLOWEST = 4000, 10  # of a process; seconds of one input


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one harness in this process; never returns."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.harnesses import HARNESSES
    harness, corpus, findings = HARNESSES[name], WORK / name, WORK / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(harness.seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    memory = Path("/dev/shm")  # writing a file there costs no disk
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    harness.prepare(folder)
    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SLOWEST}", f"-artifact_prefix={findings}/{name}-", "-max_len=8192",
               "-print_final_stats=1", "-verbosity=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda content: harness.attempt(folder, content) and None)
    atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    """Fuzz one harness in a child; prints a line, and what the child said where it found something. Whether it found nothing."""
    with tempfile.TemporaryDirectory() as temporary:  # which the child leaves behind: libFuzzer ends the process
        child = subprocess.run([sys.executable, "-m", "tests.fuzz.run", "--child", "--seconds", str(seconds), name], cwd=ROOT, capture_output=True, text=True,
                               errors="replace", check=False, env={**os.environ, "TMPDIR": temporary})  # fmt: skip
    done = re.findall(r"stat::number_of_executed_units:\s*(\d+)", child.stderr)
    covered = re.findall(r"\bcov: (\d+)", child.stderr)
    print(f"{name:<24} {int(done[-1]) if done else 0:>10,} executions  {covered[-1] if covered else '?':>5} edges  "
          f"{'nothing found' if child.returncode == 0 else 'FOUND SOMETHING'}", flush=True)  # fmt: skip
    if child.returncode:
        print("\n".join((child.stdout + child.stderr).splitlines()[-40:]), flush=True)
    return child.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the readers of untrusted files.")
    parser.add_argument("names", nargs="*", metavar="HARNESS")
    parser.add_argument("--seconds", type=int, default=60, help="of each harness")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        fuzz(arguments.names[0], arguments.seconds)
    from tests.fuzz.harnesses import HARNESSES

    unknown = set(arguments.names) - set(HARNESSES)
    if unknown:
        sys.exit(f"no harness {', '.join(sorted(unknown))}; there are {', '.join(HARNESSES)}")
    print(f"{len(arguments.names or HARNESSES)} harnesses, {arguments.seconds} s each", flush=True)
    if not all([run(name, arguments.seconds) for name in arguments.names or HARNESSES]):
        sys.exit(1)


if __name__ == "__main__":
    main()
