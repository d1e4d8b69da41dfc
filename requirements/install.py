"""Build .venv from the pinned requirements: `python requirements/install.py [test] [docs] [fuzz] [audit] [minilm] [int8] [milvus] [cluster]`.

`make` calls it; the standard library is enough. A package is installed only as a file whose hash is in hashed/*.txt (`make lock` writes them), and brings
no other package along. torch alone goes by its version: its builds for CPU and CUDA share one, and come from several indexes.
What is installed is recorded by content, after it is complete: a changed pin, a moved checkout or an interrupted installation is installed again,
anything else costs nothing. Two at once wait for one another.
"""

import fcntl
import hashlib
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
RECORD = VENV / "installed.json"


def pip(*arguments: str, advice: str = "") -> None:
    """Run the environment's pip; where it fails, ends the program with pip's status and the advice."""
    status = subprocess.call([VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], cwd=ROOT)
    if status:
        if advice:
            print(advice, file=sys.stderr)
        sys.exit(status)


def pinned(file: str) -> set[str]:
    """The pins (name==version, names in lower case with hyphens) of a requirements file, with hashes or without; not those of the files it includes."""
    pairs = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}" for name, version in pairs}


def without_hash(pins: set[str]) -> set[str]:
    """Those that hashed/*.txt leave out: torch."""
    return {pin for pin in pins if pin.startswith("torch==")}


def hashed(name: str) -> None:
    """Install what requirements/<name>.txt pins, torch excepted: files of known hashes only. Source is built with what is installed, as pip would fetch
    build tools without asking for hashes."""
    file, locked = f"requirements/{name}.txt", f"requirements/hashed/{name}.txt"
    if (pins := pinned(file)) - without_hash(pins) != pinned(locked):
        sys.exit(f"{file} and {locked} name different versions: `make lock` writes the second from the first")
    pip(
        "--no-deps", "--no-build-isolation", "--require-hashes", "-r", locked,
        advice=f"{file} was not installed, pip says above why. Where hashes do not match, the index or mirror that pip names sent another file than PyPI had "
        "when the hashes were taken: damaged or forged. Install from another index, and tell the mirror's keepers; do not change the hash.",
    )  # fmt: skip


def digest(*files: str) -> str:
    """SHA-256 of the files' contents."""
    return hashlib.sha256(b"".join((ROOT / file).read_bytes() for file in files)).hexdigest()


def install(extras: list[str]) -> None:
    """Install run.txt, the kit itself, and the extras, each where it is not there yet as it should be."""
    contents = {name: digest(f"requirements/{name}.txt", f"requirements/hashed/{name}.txt") for name in ("run", *extras)}
    base = [str(ROOT), sys.version, contents.pop("run")]
    try:
        record = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        record = {}
    if record.get("base") != base:
        print(f"installing the kit's packages into {VENV} (Python {sys.version.split()[0]}; a few minutes, once)", flush=True)
        RECORD.unlink(missing_ok=True)
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
        torch = without_hash(pinned("requirements/run.txt"))
        pip("--no-deps", *torch)  # first, and by its exact version: nothing else may choose another build of it
        hashed("run")
        pip("-c", "requirements/run.txt", *torch)  # what is still to be had are the libraries of a CUDA build, in the versions that it pins
        record = {"base": base}
        RECORD.write_text(json.dumps(record))
    for name, content in {"kit": digest("pyproject.toml"), **contents}.items():
        if record.get(name) != content:
            if name == "kit":
                pip("--no-deps", "--no-build-isolation", "-e", ".")
            else:
                print(f"installing requirements/{name}.txt", flush=True)
                hashed(name)
            record[name] = content
            RECORD.write_text(json.dumps(record))


if __name__ == "__main__":
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python")
    with open(ROOT / ".venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(sys.argv[1:])
