"""What regenerating a whole profile costs, from nothing: `python benchmarks/regenerating.py demo [FOLDER]`. Writes results/bench/regenerating_<profile>.*.

With no model and no result at hand it does what `make tables PROFILE=...` does after the installation. FOLDER, empty or new, keeps models and results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import recording

LIMITS = {"demo": {"time": {"at_most": 45 * 60}, "memory": {"at_most": 6e9}}, "smoke": {"time": {"at_most": 2 * 60}}}
EVERY = 2.0  # seconds between two readings of the memory


def regenerated(profile: str, folder: Path) -> list[dict[str, Any]]:
    """Run it, and say how long all took and each notebook, and the most memory that all its processes held at once."""
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder}: not empty, so it would not begin from nothing; give another folder")
    command = [str(Path(sys.executable).parent / "mmr"), "regenerate", "--profile", profile, "--results", str(folder / "results")]
    start, held = time.monotonic(), [0]
    running = subprocess.Popen(command, env=os.environ | {"MMR_CACHE_DIR": str(folder / "cache")})
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(psutil.Process(running.pid), held, done))
    watch.start()
    status, seconds = running.wait(), time.monotonic() - start
    done.set()
    watch.join()
    if status:
        raise SystemExit(status)
    records = {path.name.removesuffix(".provenance.json"): json.loads(path.read_text()) for path in (folder / "results" / profile).glob("*.provenance.json")}
    return [{"name": f"all {len(records)} notebooks of {profile}", "seconds": seconds} | LIMITS.get(profile, {}).get("time", {}),
            {"name": "most memory that all processes held at once", "bytes": max(held)} | LIMITS.get(profile, {}).get("memory", {}),
            *({"name": name, "seconds": record["wall_time_s"]} for name, record in sorted(records.items()))]  # fmt: skip


def _watch(process: psutil.Process, held: list[int], done: threading.Event) -> None:
    """Append the bytes that a process and its descendants hold, again and again; what several share counts once (Linux's proportional set size)."""
    while not done.wait(EVERY):
        total = 0
        for each in [process, *process.children(recursive=True)]:
            try:
                total += each.memory_full_info().pss
            except psutil.Error:  # has just ended
                continue
        held.append(total)


if __name__ == "__main__":
    profile = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        measured = regenerated(profile, Path(sys.argv[2] if len(sys.argv) > 2 else temporary).resolve())
    recording.write(measured, f"regenerating_{profile}", f"Regenerating profile {profile} from nothing", f"`python benchmarks/regenerating.py {profile}`")
