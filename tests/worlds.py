"""The worlds of profile smoke for tests that start programs with a cache of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmr_kit.cache import cache_dir
from mmr_kit.data.datasets import load_dataset


def with_worlds(folder: Path) -> Path:
    """The folder, with the generated worlds in its `cache`; what another process is making just now stays out."""
    for name in ("smoke_a", "smoke_b"):
        load_dataset(name)
    shutil.copytree(cache_dir() / "datasets", folder / "cache" / "datasets", ignore=shutil.ignore_patterns("*.tmp", "*.lock"))
    return folder
