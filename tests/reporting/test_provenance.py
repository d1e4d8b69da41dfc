"""Provenance: what it tells, and that it tells nothing wrong where git cannot say."""

import json
import subprocess
from pathlib import Path

import pytest

from mmr_kit.reporting.provenance import git_state, provenance


@pytest.fixture(scope="module")
def record() -> dict[str, object]:
    return provenance({"seeds": 3}, {"pictograms_a": "abc"}, {"training": 12.34567})


def test_what_it_tells(record: dict[str, object]) -> None:
    assert record["parameters"] == {"seeds": 3}
    assert record["data_hashes"] == {"pictograms_a": "abc"}
    assert record["durations"] == {"training": 12.346}
    assert set(record) == {
        "parameters", "data_hashes", "durations", "git", "python", "platform", "packages", "device", "cuda", "cpu", "cpu_capability", "cpu_count",
        "threads", "peak_memory", "written",
    }  # fmt: skip
    assert {"torch", "transformers", "numpy", "pandas"} <= set(record["packages"])  # type: ignore[call-overload]
    assert record["peak_memory"]["process"] > 10_000_000  # type: ignore[index]
    assert record["cpu"]
    assert json.loads(json.dumps(record)) == record


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_git(tmp_path: Path) -> None:
    nothing = {"commit": None, "dirty": None}
    assert git_state(tmp_path) == nothing
    git(tmp_path, "init")
    assert git_state(tmp_path) == nothing, "no commit yet"
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == {**clean, "dirty": True}
    (tmp_path / "file").write_text("one")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.csv").write_text("what a run leaves behind does not make the code another")
    assert git_state(tmp_path) == clean


def test_installed_inside_another_repository(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    (tmp_path / "inside").mkdir()
    assert git_state(tmp_path / "inside") == {"commit": None, "dirty": None}


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}
