"""The quickstart and every table on three folders of drawn photographs with a csv each: no pretrained model, nothing of the paper's beside."""

from __future__ import annotations

import csv
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmr_kit import cli
from mmr_kit.needs import datasets_of
from mmr_kit.notebooks import find_notebooks, regenerate
from mmr_kit.profiles import declared_parameters
from mmr_kit.reporting import read_results

IMAGES = {"train": 40, "dev": 12, "test": 12}
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 40), "blue": (40, 40, 220), "white": (240, 240, 240)}
GERMAN = {"red": "rot", "green": "gruen", "blue": "blau", "white": "weiss"}
PARAMETERS = {
    "start": "captions", "multilingual_start": "captions:en+de", "languages": "en de", "batch_size": "16", "match_batch_size": "8", "steps": "4",
    "ce_steps": "4", "be_steps": "4", "joint_steps": "4", "curve_sizes": "5", "test_images": "10", "ce_images": "8", "k": "6",
    "scored": "8", "top_ks": "4 6 8",
}  # fmt: skip


def photographs(folder: Path, seed: int) -> Path:
    """Photographs in four fields of colour, and the csv that describes them."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir()
    for split, count in IMAGES.items():
        for number in range(count):
            names = rng.choice(list(COLOURS), 2)
            pixels = np.hstack([np.full((32, 24, 3), COLOURS[name]) for name in names]) + rng.integers(-15, 15, (32, 48, 3))
            file = f"{folder.name} {split} {number}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / file)
            for text in (f"{names[0]} beside {names[1]} {number}", f"{number} {names[1]} after {names[0]}"):
                rows.append((file, text, "en", split))
            rows.append((file, f"{GERMAN[names[0]]} neben {GERMAN[names[1]]} {number}", "de", split))
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file_of_rows:
        csv.writer(file_of_rows).writerows([("image", "caption", "language", "split"), *rows])
    return folder / "captions.csv"


@pytest.mark.slow
def test_every_table_comes_out_of_data_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    for seed, name in enumerate(("holidays", "garden", "attic")):
        table = photographs(tmp_path / name, seed)
        monkeypatch.setattr(sys, "argv", ["mmr", "data", "add", name, "--pictures", str(tmp_path / name), "--captions", str(table)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
    named = {"dataset": "holidays", "datasets": "holidays garden", "multilingual_dataset": "garden", "combined_dataset": "garden", "distractors": "attic",
             "third_dataset": "attic"}  # fmt: skip
    names = ["00_quickstart", *(name for name, path in find_notebooks().items() if name.startswith("table") and datasets_of(declared_parameters(path)))]
    assert len(names) > 7
    assert regenerate("smoke", names, named | PARAMETERS, results=tmp_path / "results") == len(names)
    results = tmp_path / "results" / "smoke"
    for path in results.glob("*.csv"):
        if ".claims" not in path.name:
            rows = read_results(path)
            assert rows["paper_value"].isna().all(), path.name
            told = path.with_suffix(".md").read_text()
            assert "(paper:" not in told, path.name
            if path.name.startswith("table"):
                assert "none of the data sets stands beside one of the paper's Table" in told, path.name
    assert regenerate("smoke", names, named | PARAMETERS, results=tmp_path / "results") == 0


@pytest.mark.slow
def test_the_command_that_data_add_prints_computes_table_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of five photographs with German captions, some of which have English ones, too; the trainings cut short."""
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MMR_WORKERS", "0")
    table = photographs(tmp_path / "urlaub", 0)
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    kept = list(dict.fromkeys(row[0] for row in rows[1:]))[:5]
    rows = [row[:3] for row in rows if row[0] in ("image", *kept) and not (row[0] == kept[2] and row[2] == "en")]
    with open(table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", list(arguments))
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr().out

    told = call("mmr", "data", "add", "urlaub", "--pictures", str(tmp_path / "urlaub"), "--captions", str(table)).splitlines()
    assert "3 train, 1 dev, 1 test images" in told[-2]
    call(*shlex.split(told[-1].removeprefix("next: ")), *(word for name in ("ce", "be", "joint") for word in ("-p", f"{name}_steps=2")))
    rows_of = read_results(tmp_path / "data" / "urlaub" / "results" / "demo" / "table1_main_results.csv")
    assert set(rows_of["language"]) == {"de"}
    assert {"CE", "BE", "SEP+COOP", "JOINT+COOP", "floor"} <= set(rows_of["method"])
