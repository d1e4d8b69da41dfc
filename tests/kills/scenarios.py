"""What is killed: programs of the kit on small data, and the files that must come out the same however often they were killed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.worlds import with_worlds

ROOT = Path(__file__).resolve().parents[2]
MMR = [sys.executable, "-m", "mmr_kit.cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2", "-m", "mmr_kit.cli", "--"]
SIZES = ["-p", "ce_steps=6", "-p", "be_steps=6", "-p", "joint_steps=6", "-p", "lambdas=0.5"]

ENCODE = """
import sys
from pathlib import Path
from mmr_kit.data.datasets import load_dataset
from mmr_kit.models.retrieval_model import load_model
from mmr_kit.models.starts import resolve
from mmr_kit.retrieval.collection import Collection
model, data, folder = load_model(resolve("pictograms")), load_dataset("smoke_a"), Path(sys.argv[1])
if not folder.exists():
    Collection.build(folder, (model.embed_images([data.regions[image] for image in data.image_ids]) for _ in range(40)))
"""


@dataclass(frozen=True)
class Scenario:
    """A program, and what it leaves. command and products are given the folder in which all happens; products: patterns of files below it."""

    name: str
    command: Callable[[Path], list[str]]
    products: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda folder: None

    def environment(self, folder: Path) -> dict[str, str]:
        """Of its processes, which are known by the folder in it."""
        return {**os.environ, "MMR_CACHE_DIR": str(folder / "cache"), "MMR_DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                "KILLED_IN": str(folder)}  # fmt: skip

    def lay_out(self, folder: Path) -> None:
        """A folder to begin in, with the generated worlds, which cost time and are not what is killed."""
        (folder / "data").mkdir(parents=True)
        self.prepare(with_worlds(folder))

    def digest(self, folder: Path) -> dict[str, str]:
        """File -> SHA-256 of what it left."""
        files = sorted(path for pattern in self.products for path in folder.glob(pattern) if path.is_file())
        assert files, f"{self.name}: nothing was left"
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _training(method: str, program: list[str] = MMR) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        start = [] if method == "PRETRAINING" else ["--start", "pictograms"]
        return [*program, "train", method, "--dataset", "smoke_a", *start, "--steps", "40", "--batch-size", "16", "--match-batch-size", "16"]

    return command


def _miniature(folder: Path) -> None:
    subprocess.run([*MMR, "data", "miniature", str(folder / "data")], check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def _photographs(folder: Path) -> None:
    (folder / "photographs").mkdir()
    for number in range(600):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((320, 240)).save(folder / "photographs" / f"{number}.jpg")


def _results(folder: Path) -> None:
    shutil.copytree(ROOT / "results" / "demo", folder / "results" / "demo", ignore=shutil.ignore_patterns("index.html", "REPORT.md"))


SCENARIOS = (  # the one that takes longest first
    Scenario("notebook", lambda folder: [*MMR, "regenerate", "--profile", "smoke", "--only", "table9_score_combination", *SIZES, "--results",
                                         str(folder / "results")], ("results/smoke/*.csv", "results/smoke/table9*.md", "results/smoke/runs/**/*.*")),
    Scenario("pretraining", _training("PRETRAINING"), ("cache/models/*/model.safetensors",)),
    Scenario("training", _training("JOINT"), ("cache/models/*/model.safetensors",)),
    Scenario("training by two processes", _training("CE", TORCHRUN), ("cache/models/*/model.safetensors",)),
    Scenario("encoding", lambda folder: [sys.executable, "-c", ENCODE, str(folder / "collection")], ("collection/*",)),
    Scenario("store conversion", lambda folder: [*MMR, "data", "prepare", "flickr30k"], ("data/flickr30k/**/*.npy", "data/flickr30k/**/images.json"),
             _miniature),
    Scenario("store of photographs", lambda folder: [*MMR, "features", "extract", str(folder / "photographs"), "--output", str(folder / "store")],
             ("store/*.npy", "store/images.json", "store/skipped.csv"), _photographs),
    Scenario("report", lambda folder: [*MMR, "report", "--profile", "demo", "--results", str(folder / "results")], ("results/demo/REPORT.md",), _results),
)  # fmt: skip
