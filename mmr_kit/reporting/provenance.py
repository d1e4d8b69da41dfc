"""Where a number comes from: what was computed, from what, with what, on what."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("mmr-kit", "torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy", "pandas", "matplotlib", "pillow", "faiss-cpu", "papermill")


def provenance(parameters: Mapping[str, Any], data_hashes: Mapping[str, str], durations: Mapping[str, float]) -> dict[str, Any]:
    """Everything a reader needs to judge or repeat a run, as JSON values. durations in seconds, peak memory in bytes (this process, and its largest child)."""
    import torch  # here and nowhere else in reporting: reading results must not wait for it

    cuda = torch.cuda.is_available()
    return {
        "parameters": dict(parameters),
        "data_hashes": dict(data_hashes),
        "git": git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "peak_memory": {"process": _peak()},  # of children the system tells no more than what they inherited
        "durations": {name: round(seconds, 3) for name, seconds in durations.items()},
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def git_state(folder: Path = CHECKOUT) -> dict[str, Any]:
    """{"commit", "dirty"} of the checkout in `folder`, results aside; both None where it is not the top of a git repository or has no commit."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != folder.resolve():  # installed into some other project's repository
        return {"commit": None, "dirty": None}
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    status = _git(folder, "status", "--porcelain", "--", ".", ":(exclude)results")
    return {"commit": commit, "dirty": None if commit is None or status is None else bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine())


def _peak() -> int:
    """Peak resident memory in bytes (Linux counts in KiB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
