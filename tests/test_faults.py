"""Bad input, end to end: one line with the place and the remedy on standard error, status 2, no traceback."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmr_kit import cache, cli

Refused = Callable[..., str]


@pytest.fixture
def model(make_model: Callable[..., Any], tmp_path: Path) -> Path:
    make_model().save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def refused(small_data: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """Calls `mmr` in this process and gives the one line that bad input gets."""
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["mmr", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        assert end.value.code == 2
        assert err.startswith("mmr: ")
        assert err.count("\n") == 1
        assert "Traceback" not in out + err
        return err

    return call


def alter(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """A change to an array of the region store; its mapped original stays as it is."""

    def damage(folder: Path) -> None:
        array = change(np.load(folder / "regions" / name).copy())
        (folder / "regions" / name).unlink()
        np.save(folder / "regions" / name, array)

    return damage


def cut(folder: Path) -> None:
    path = folder / "regions" / "features.npy"
    path.write_bytes(path.read_bytes()[:-7])


def nan(array: np.ndarray) -> np.ndarray:
    array[-1, 0] = np.nan
    return array


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {  # what is done to the data folder, and what the message says
    "missing captions": (lambda folder: (folder / "captions.jsonl").unlink(), "data/captions.jsonl: missing; `mmr data status "),
    "missing boxes": (lambda folder: (folder / "regions" / "boxes.npy").unlink(), "regions/boxes.npy: missing; prepare the region store again"),
    "truncated": (cut, "regions/features.npy: not a complete .npy file"),
    "boxes too wide": (alter("boxes.npy", lambda boxes: np.hstack([boxes, boxes])), "regions/boxes.npy: shape (88, 8), expected (88, 4)"),
    "NaN": (alter("features.npy", nan), "data/regions: image 'test-07' has NaN or infinite region values; prepare the region store again"),
    "pixels": (alter("boxes.npy", lambda boxes: boxes * 64), "has a box outside [0, 1] (in pixels?); divide x by the width and y by the height"),
    "other width": (alter("features.npy", lambda values: values[:, :7]), "region features are 7 wide, this model was made for 8: use the features"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_regions(refused: Refused, small_data: Any, model: Path, kind: str) -> None:
    damage, message = DAMAGES[kind]
    damage(small_data.folder)
    assert message in refused("search", "a cat", "--model", model, "--dataset", small_data.manifest)


def test_damaged_captions(refused: Refused, small_data: Any, model: Path) -> None:
    search = ("search", "a cat", "--model", model, "--dataset", small_data.manifest)
    whole = list(small_data.captions)
    without = [caption for caption in whole if not (caption["image_id"] == "test-03" and caption["language"] == "en")]
    stranger = [*whole, {**whole[-1], "caption_id": "new", "image_id": "test-99"}]
    for captions, message in ((without, "image 'test-03' of its test split has no caption in en; add captions or take the image out"),
                              (stranger, "is of image 'test-99', which has no regions in"),
                              ([*whole, {**whole[-1], "caption_id": "new", "text": ""}], "captions.jsonl, line 133: not a caption"),
                              ([*whole, whole[0]], "caption id 'train-00-en-0' occurs twice; name each caption once")):  # fmt: skip
        small_data.captions = captions
        small_data.write_captions()
        assert message in refused(*search)


@pytest.mark.parametrize("name", ["mmr_kit.json", "model.safetensors", "transformer/config.json", "transformer/tokenizer.json"])
def test_damaged_models(refused: Refused, small_data: Any, model: Path, name: str) -> None:
    for content in (b"", b"{", None):
        if content is None:
            (model / name).unlink()
        else:
            (model / name).write_bytes(content)
        assert str(model) in refused("search", "a cat", "--model", model, "--dataset", small_data.manifest)


def test_what_is_not_there(refused: Refused, small_data: Any, model: Path, tmp_path: Path) -> None:
    data = ("--dataset", small_data.manifest)
    assert "no captions in fr in its train split; there are de, en" in refused("train", "BE", *data, "--language", "fr")
    assert "no split 'val'; there are train, dev, test" in refused("search", "a cat", "--model", model, *data, "--split", "val")
    assert "the caption is empty" in refused("search", " ", "--model", model, *data)
    assert "k is 0" in refused("search", "a cat", "--model", model, *data, "-k", 0)
    assert "no data set 'smoke_z'; known: " in refused("search", "a cat", "--model", model, "--dataset", "smoke_z")
    assert "no such manifest" in refused("train", "BE", "--dataset", tmp_path / "nothing.yaml")
    small_data.manifest.write_text(small_data.manifest.read_text().replace("regions: regions", "regions: ../regions"))
    assert "files.regions: Value error, '../regions' leaves the data folder" in refused("train", "BE", *data)


def test_a_fault_that_a_child_finds(refused: Refused, small_data: Any, model: Path) -> None:
    """NaN comes up when the image is read, in the process that trains; nothing unfinished is left to be taken for a model."""
    alter("features.npy", lambda values: np.full_like(values, np.nan))(small_data.folder)
    told = refused("train", "CE", "--dataset", small_data.manifest, "--start", model, "--steps", 2, "--match-batch-size", 14)
    assert told.startswith("mmr: CE on ")
    assert "has NaN or infinite region values; prepare the region store again" in told
    assert [path.suffix for path in (cache.cache_dir() / "models").iterdir()] == [".lock"]
