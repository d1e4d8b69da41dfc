"""Build .venv from the pinned requirements: `python requirements/install.py [test] [docs] [fuzz] [audit] [minilm] [int8] [milvus] [cluster]`.

`make` calls it; the standard library is enough.
What is installed is recorded by content, after it is complete: a changed pin, a moved checkout or an interrupted installation is installed again,
anything else costs nothing. Two at once wait for one another.
"""

import fcntl
import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
RECORD = VENV / "installed.json"


def pip(*arguments: str) -> None:
    """Run the environment's pip; ends the program with pip's status where it fails."""
    status = subprocess.call([VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], cwd=ROOT)
    if status:
        sys.exit(status)


def install(extras: list[str]) -> None:
    """Install run.txt, the kit itself, and the extras, each where it is not there yet as it should be."""
    pins = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in ("requirements/run.txt", "pyproject.toml")}
    base = [str(ROOT), sys.version, pins["requirements/run.txt"]]
    try:
        record = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        record = {}
    if record.get("base") != base:
        print(f"installing the kit's packages into {VENV} (Python {sys.version.split()[0]}; a few minutes, once)", flush=True)
        RECORD.unlink(missing_ok=True)
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
        pip("-r", "requirements/run.txt")
        record = {"base": base}
        RECORD.write_text(json.dumps(record))
    wanted = {"kit": (pins["pyproject.toml"], ["--no-deps", "--no-build-isolation", "-e", "."])}
    for extra in extras:
        file = f"requirements/{extra}.txt"
        digest = hashlib.sha256((ROOT / file).read_bytes()).hexdigest()
        wanted[extra] = (digest, ["--no-deps"] * (extra in ("minilm", "int8", "cluster")) + ["-r", file])
    for name, (digest, arguments) in wanted.items():
        if record.get(name) != digest:
            if name != "kit":
                print(f"installing requirements/{name}.txt", flush=True)
            pip(*arguments)
            record[name] = digest
            RECORD.write_text(json.dumps(record))


if __name__ == "__main__":
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python")
    with open(ROOT / ".venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(sys.argv[1:])
