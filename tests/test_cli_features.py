"""`mmr features extract` and `mmr data add`: from photographs and a csv to a data set that models train on."""

import csv
import inspect
import json
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmr_kit import cli, cli_features
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.regions import RegionStore
from mmr_kit.experiments import Evaluation, evaluate, train
from mmr_kit.models.extraction.store import Extraction
from mmr_kit.profiles import NOTEBOOKS, declared_parameters
from mmr_kit.recipes import Recipe
from mmr_kit.retrieval.metrics import recall

COLOURS = ("red", "green", "blue", "black", "white")
Mmr = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mmr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mmr:
    """Calls `mmr` in this process: status, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmr", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty pictures, one colour on another, and a csv with two captions of each in English and one in German; beside them what is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = [("image", "caption", "language")]
    for ground in COLOURS:
        for figure in COLOURS:
            if ground != figure:
                picture = Image.new("RGB", (40, 30), ground)
                ImageDraw.Draw(picture).rectangle((10, 10, 30, 20), fill=figure)
                picture.save(folder / f"{figure} on {ground}.png")
                rows += [(f"{figure} on {ground}.png", text, language) for text, language in (
                    (f"a {figure} box on {ground}", "en"), (f"{ground} around {figure}", "en"), (f"{figure}, dahinter {ground}", "de"))]  # fmt: skip
    (folder / "broken.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no picture, and not called one")
    rows += [("broken.jpg", "something", "en")]
    with open(tmp_path / "captions.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.mark.parametrize("command", ["features extract", "data add"])
def test_help_shows_how_to_call_it(mmr: Mmr, command: str) -> None:
    status, out, _ = mmr(*command.split(), "--help")
    assert status == 0
    assert f"Example: mmr {command}" in out
    assert f"Usage: mmr {command}" in out


def test_options_default_to_the_extraction() -> None:
    expected = asdict(Extraction())
    expected["boxes"] = expected.pop("most_boxes")
    for command in (cli_features.features_extract, cli_features.data_add):
        options = {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}
        assert {name: options[name] for name in expected} == expected


def test_extract(mmr: Mmr, photos: Path, tmp_path: Path) -> None:
    options = {"threshold": 0.5, "most_boxes": 7, "grid": 2, "size": 64, "batch_size": 3, "precision": "float32"}
    spelt = [word for name, value in options.items() for word in (f"--{name.removeprefix('most_').replace('_', '-')}", value)]
    status, out, err = mmr("features", "extract", photos, "--output", tmp_path / "store", *spelt)
    assert (status, err) == (0, "")
    assert json.loads((tmp_path / "store" / "extraction.json").read_text())["extraction"] == asdict(Extraction()) | options
    assert out.splitlines() == ["skipped broken.jpg: not a picture of a known kind", str(tmp_path / "store")]
    store = RegionStore(tmp_path / "store")
    assert len(store) == 20
    assert store["red_on_blue.png"].boxes.shape == (5, 4)
    assert np.allclose(store["red_on_blue.png"].features[1].reshape(3, -1)[:, 0], [0, 0, 1]), "the corner is blue"


def test_many_that_are_skipped_are_counted(mmr: Mmr, photos: Path, tmp_path: Path) -> None:
    for number in range(12):
        (photos / f"b{number:02d}.jpg").touch()
    _, out, _ = mmr("features", "extract", photos, "--output", tmp_path / "store", "--grid", 1)
    assert out.splitlines()[10] == f"and 3 more, see {tmp_path / 'store' / 'skipped.csv'}"
    assert len((tmp_path / "store" / "skipped.csv").read_text().splitlines()) == 14


def test_raw_patches(mmr: Mmr, photos: Path, tmp_path: Path) -> None:
    assert mmr("features", "extract", photos, "--output", tmp_path / "store", "--patches", 8, "--size", 16)[0] == 0
    assert RegionStore(tmp_path / "store")["red_on_blue.png"].features.shape == (4, 192)


def test_bad_input_gets_one_line(mmr: Mmr, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> str:
        status, _, err = mmr(*arguments)
        assert status == 2
        assert err.startswith("mmr: ")
        assert err.count("\n") == 1
        return err

    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    output, table = ("--output", tmp_path / "out"), ("--captions", tmp_path / "captions.csv")
    assert "none: missing" in refused("features", "extract", tmp_path / "none", *output)
    assert "do not tile" in refused("features", "extract", photos, *output, "--patches", 9, "--size", 16)
    assert "cannot be loaded as vision encoder" in refused("features", "extract", photos, *output, "--encoder", photos)
    assert "set MMR_DATA_DIR, or give --output" in refused("data", "add", "mine", "--pictures", photos, *table)
    assert "white space" in refused("data", "add", "mine", "--pictures", photos, *table, "--output", tmp_path / "my set")
    assert "cannot name a data set" in refused("data", "add", "my set", "--pictures", photos, *table, *output)
    assert "no.csv: missing" in refused("data", "add", "mine", "--pictures", photos, "--captions", tmp_path / "no.csv", *output)
    assert not (tmp_path / "out").exists()


def test_the_next_command_fits_the_size() -> None:
    large = {"train": 8000, "dev": 1000, "test": 1000}
    assert cli_features._next_step("mine", Path("made"), large, ("en",)) == [
        "next: mmr regenerate --only table1_main_results --results made/results -p datasets=mine -p start=captions"]  # fmt: skip
    small, = cli_features._next_step("mine", Path("made"), {"train": 8, "dev": 1, "test": 1}, ("de", "fr"))
    assert small.endswith(" -p 'languages=de fr' -p batch_size=8 -p match_batch_size=8 -p ce_images=0 -p k=1")
    assert cli_features._next_step("mine", Path("made"), large | {"train": 100}, ("en",))[0].endswith("-p start=captions -p batch_size=100")
    assert cli_features._next_step("mine", Path("made"), large | {"dev": 0}, ("en",)) == []
    assert cli_features._next_step("mine", Path("made"), large | {"train": 1}, ("en",)) == [], "a batch of one has nothing to compare"
    assert cli_features._next_step("mine", Path("made"), large, ())[0].startswith("next: give each image a caption in one and the same language")


def test_the_next_command_leaves_out_what_the_notebook_takes_anyway() -> None:
    declared = declared_parameters(NOTEBOOKS / "table1_main_results.ipynb")
    names = ("batch_size", "match_batch_size", "ce_images", "k", "languages")
    assert [declared[name] for name in names] == [cli_features.BATCH, cli_features.MATCH_BATCH, cli_features.GALLERY, cli_features.CANDIDATES, "en"]


def test_from_photographs_to_recall(mmr: Mmr, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set is made, told, loaded, trained on and searched, all by its manifest's path and without a data folder."""
    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    made = tmp_path / "made"
    status, out, err = mmr("data", "add", "mine", "--pictures", photos, "--captions", tmp_path / "captions.csv", "--output", made, "--grid", 2)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == ["skipped broken.jpg: not a picture of a known kind", "left out with their pictures: 1 captions",
                         f"{made / 'mine.yaml'}: 16 train, 2 dev, 2 test images, 60 captions"]  # fmt: skip
    following = shlex.split(lines[3].removeprefix("next: "))
    assert following[:2] == ["mmr", "regenerate"]
    manifest = next(word for word in following if word.startswith("datasets=")).removeprefix("datasets=")
    assert mmr(*following[1:], "--dry-run")[0] == 0
    assert re.search(r"^ready in", mmr("data", "status", manifest)[1], re.MULTILINE)
    german = load_dataset(manifest, "train", ["de"])
    assert (len(german.image_ids), len(german.captions)) == (16, 16)
    assert german.picture(german.image_ids[0]).size == (40, 30)  # type: ignore[union-attr]
    recipe = Recipe("JOINT", manifest, steps=2, batch_size=8, match_batch_size=4)
    assert (train([recipe], workers=0)[0] / "training.json").exists()
    (rankings,) = evaluate([Evaluation("JOINT+COOP", manifest, recipe, recipe, k=2)], workers=0)
    assert {direction: len(ranking.query_ids) for direction, ranking in rankings.items()} == {"image_retrieval": 4, "text_retrieval": 2}
    assert recall(rankings["image_retrieval"], load_dataset(manifest), [2]) == {"R@2": 100.0}, "both of two candidates"
