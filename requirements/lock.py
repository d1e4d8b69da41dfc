"""`make lock`: write hashed/*.txt, the pins of requirements/*.txt with the hashes of every file that PyPI has of that version, for all platforms.

uv asks the index and writes; it comes into an environment of its own by the hashes of the last time, as .venv cannot be made while a pin has none.
torch is left out, see install.py.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from install import ROOT, pinned, without_hash

HERE = Path(__file__).resolve().parent
OPTIONS = ["--no-deps", "--generate-hashes", "--universal", "--python-version", "3.11", "--no-annotate", "--no-header", "--no-cache", "--quiet"]


def lock(uv: Path, path: Path) -> str:
    """The text of hashed/<name>.txt; the files that are included are those beside it."""
    pins = pinned(str(path.relative_to(ROOT)))
    done = subprocess.run([uv, "--no-config", "pip", "compile", *OPTIONS, "-"], input="\n".join(pins - without_hash(pins)), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"no hashes for {path.name}, uv says above why; nothing was written")
    included = "".join(f"{line}\n" for line in path.read_text().splitlines() if line.startswith("-r"))
    return f"# Written by `make lock` from {path.name}, not by hand.\n{included}{done.stdout}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True, with_pip=True)
        programs = Path(folder) / "bin"
        subprocess.run(
            [programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", HERE / "hashed" / "lock.txt"], check=True
        )
        texts = {path.name: lock(programs / "uv", path) for path in sorted(HERE.glob("*.txt"))}
    for name, text in texts.items():
        (HERE / "hashed" / name).write_text(text)


if __name__ == "__main__":
    main()
