"""Profiles paper and paper-smoke: one is the other but for its size, nothing downloaded ends with checklists, and the miniature goes through every table."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mmr_kit import cli
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.manifests import MANIFESTS, load_manifest
from mmr_kit.data.regions import Regions, write_region_store
from mmr_kit.needs import datasets_of
from mmr_kit.notebooks import find_notebooks, regenerate
from mmr_kit.profiles import declared_parameters, load_profile
from mmr_kit.reporting import read_results

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"ce_steps", "be_steps", "joint_steps", "batch_size", "match_batch_size", "evaluate_every", "dev_images", "ce_images", "train_sizes", "batch", "whole"}
SMALLER = {"jobs", "workers", "test_images", "scored", "top_ks", "timed_queries", "curve_sizes"}  # what else a test has less of
SMALLER |= {"layers", "width", "region_width", "regions", "collections", "approximate_up_to", "roofline_images", "budget", "evaluated_images", "small_width",
            "small_regions", "small_collections", "small_images", "repeats"}  # of Tables 3 and 4 and the cost of search  # fmt: skip
DATASETS = ("mscoco", "mscoco_1k", "flickr30k", "multi30k_paper", "conceptual_captions")


def test_the_small_profile_differs_in_its_size_only() -> None:
    paper, small = load_profile("paper"), load_profile("paper-smoke")
    assert small.keys() - paper.keys() == SMALLER
    assert {name for name in paper if small.get(name) != paper[name]} == SIZES


def test_the_profile_has_the_papers_settings() -> None:
    """Section 4: steps, batches, learning rates of OSCAR's CE and JOINT, of BE, and of M3P."""
    paper = load_profile("paper")
    assert [paper[f"{model}_steps"] for model in ("ce", "be", "joint")] == [100_000, 30_000, 60_000]
    assert (paper["batch_size"], paper["match_batch_size"], paper["evaluate_every"], paper["k"]) == (128, 128, 5000, 20)
    assert [paper[f"{name}learning_rate"] for name in ("", "be_", "multilingual_")] == [2e-5, 5e-5, 5e-5]


@pytest.mark.parametrize("folder", [None, "empty", "half"])
def test_with_nothing_downloaded_it_says_what_to_do(folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """Before any notebook runs: the checklist of each data set, what belongs where for each checkpoint, one line on stderr, status 2."""
    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    here = tmp_path / (folder or "none")
    if folder:
        (here / ("backbones/m3p" if folder == "half" else "")).mkdir(parents=True)
        monkeypatch.setenv("MMR_DATA_DIR", str(here))
    monkeypatch.setattr(sys, "argv", ["mmr", "regenerate", "--profile", "paper", "--results", str(tmp_path / "results")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert end.value.code == 2
    for name in DATASETS:
        assert "\n".join(load_manifest(name).checklist()) in out
    starts = {"data:backbones/oscar_base", "data:backbones/m3p"} - ({"data:backbones/m3p"} if folder == "half" else set())
    told = [line for line in out.splitlines() if line.startswith("[missing] data:")]
    assert {line.split()[1].rstrip(":") for line in told} == starts
    assert all((str(here) if folder else "set MMR_DATA_DIR") in line and "pytorch_model.bin, config.json and vocab.txt" in line for line in told)
    assert err.startswith("mmr: not here yet: mscoco, flickr30k, ")
    assert err.count("\n") == 1
    assert all(name in err for name in (*DATASETS, *starts))
    assert "running" not in out
    assert not list(tmp_path.rglob("*.csv"))


def test_what_is_not_about_to_run_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    assert regenerate("paper", dry_run=True, results=tmp_path) > 5
    monkeypatch.setattr(sys, "argv", ["mmr", "regenerate", "--profile", "paper", "--results", str(tmp_path), "--only", "table2_multilingual"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith("mmr: not here yet: multi30k_paper, data:backbones/m3p; ")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_makes_the_miniature_first(tmp_path: Path) -> None:
    def planned(profile: str) -> list[str]:
        done = subprocess.run(["make", "-n", "tables", f"PROFILE={profile}", f"MMR_CACHE_DIR={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if ".venv/bin/mmr" in line]

    assert planned("paper-smoke") == [f".venv/bin/mmr data miniature --prepared {tmp_path}/miniature", ".venv/bin/mmr regenerate --profile paper-smoke "]
    assert planned("paper") == [".venv/bin/mmr regenerate --profile paper "]


def with_patches(folder: Path, manifests: Path, name: str) -> str:
    """A manifest of the same images and captions whose regions are the patches of random pictures, as the miniature's CLIP reads them."""
    manifest, rng = yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text()), np.random.default_rng(0)
    corners = np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]])
    prefix = manifest["files"].get("image_prefix", "")
    ids = [image_id.removeprefix(prefix) for image_id in load_dataset(name).regions]
    write_region_store(folder / f"patches_{name}", ((image_id, (8, 8), Regions(rng.random((4, 48)), np.hstack([corners, corners + 0.5]))) for image_id in ids))
    manifest["files"] |= {"regions": f"patches_{name}"}
    path = manifests / f"{name}_patches.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return str(path)


@pytest.mark.slow
def test_every_table_comes_out_of_the_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["mmr", "data", "miniature", "--prepared", str(tmp_path / "data")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    reading = {name for name, path in find_notebooks().items() if datasets_of(declared_parameters(path))}  # the others are as in profile smoke
    wanted = reading - set(str(load_profile("paper-smoke")["leave_out"]).split())
    assert regenerate("paper-smoke", wanted, results=tmp_path / "results") == len(wanted)
    rows = {path.stem: read_results(path) for path in (tmp_path / "results" / "paper-smoke").glob("*.csv") if "claims" not in path.name}
    assert set(rows) == wanted
    assert all(path.with_suffix(".claims.csv").is_file() for path in (tmp_path / "results" / "paper-smoke").glob("*[0-9]_*.csv") if "claims" not in path.name)
    kinds = {name: set(table["backbone"]) - {""} for name, table in rows.items()}
    assert kinds.pop("figure4_half_size") == {"oscar", "oscar, half size"}
    assert {name for name, kind in kinds.items() if kind == {"m3p"}} == {"table2_multilingual", "table7_multilingual_zero_shot"}
    assert set(rows["table8_top_k"]["dataset"]) == {"mscoco_1k_30", "flickr30k_30"}
    assert any("conceptual_captions" in collection for collection in rows["table5_larger_benchmarks"]["collection"])
    assert "conceptual_captions_30" in set(rows["table6_zero_shot"]["dataset"])
    for table in ("table1_main_results", "table6_zero_shot", "table8_top_k", "table9_score_combination"):
        told = (tmp_path / "results" / "paper-smoke" / f"{table}.md").read_text()
        assert "Released, not trained here: JOINT on flickr30k." in told
        assert ("Models of mscoco are measured on mscoco_1k." in told.replace("\\", "")) == (table == "table8_top_k")
    assert "nothing to do" not in capfd.readouterr().out
    assert regenerate("paper-smoke", wanted, results=tmp_path / "results") == 0

    patches = " ".join(with_patches(tmp_path / "data", tmp_path, name) for name in ("mscoco", "flickr30k", "conceptual_captions"))
    regenerate("paper-smoke", ["table6_zero_shot"], {"clip": f"data:backbones/clip {patches}"}, results=tmp_path / "with_clip")
    table = read_results(tmp_path / "with_clip" / "paper-smoke" / "table6_zero_shot.csv")
    clip = table[table["method"] == "CLIP"]
    assert set(clip["dataset"]) == {"mscoco_30", "flickr30k_30", "conceptual_captions_30"}
    assert clip["paper_value"].notna().all()
    assert (set(clip["backbone"]), set(clip["trained_on"])) == ({"clip"}, {""})
    claims = (tmp_path / "with_clip" / "paper-smoke" / "table6_zero_shot.claims.csv").read_text()
    assert "30.8" not in next(line for line in claims.splitlines() if line.startswith("T6-5")), "measured, not quoted"
