"""The commands `mmr data`: the checklist, its next step, and what each command refuses."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmr_kit import cli
from mmr_kit.data.regions import Regions, write_region_store


class Mmr:
    """Calls `mmr data` in this process: status, standard output, standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["mmr", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = self.capsys.readouterr()
        return int(end.value.code or 0), out, err


@pytest.fixture
def mmr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mmr:
    return Mmr(monkeypatch, capsys)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


MANIFEST = """
{name: tiny, title: Tiny, licence: free, source: a test, by_hand: [sign the form], expected: {images: {test: 2}, captions: {en: [1, 1]}}, files: {captions: [
{path: tiny/test.en, format: lines, language: en, split: test, images: tiny/test.txt}], regions: tiny/regions,
regions_from: {format: npz, sources: [tiny/features], precision: float32}}}
"""


def tiny(data: Path) -> Path:
    """A manifest of two captions and two images, and its files."""
    (data / "tiny" / "features").mkdir(parents=True)
    (data / "tiny" / "test.txt").write_text("1.jpg\n2.jpg\n")
    (data / "tiny" / "test.en").write_text("a dog\na cat\n")
    (data.parent / "tiny.yaml").write_text(MANIFEST)
    return data.parent / "tiny.yaml"


def test_an_empty_folder_gets_the_checklist(mmr: Mmr, data: Path) -> None:
    status, out, err = mmr("status", "mscoco")
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert lines[0].startswith("mscoco: MSCOCO")
    assert "  [missing] mscoco/train_captions.pt (captions, en)" in lines
    assert "  [missing] mscoco/test_img_frcnn_feats.pt (region features, as published)" in lines
    assert "  [missing] mscoco/regions (region store)" in lines
    assert [line for line in lines if "[" in line and "[missing]" not in line] == []
    assert lines[-2].startswith("by hand: ")
    assert lines[-1] == "next: mmr data fetch mscoco"


def test_without_a_folder_the_first_step_is_to_name_one(mmr: Mmr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMR_DATA_DIR", raising=False)
    status, out, _ = mmr("status", "flickr30k")
    assert status == 1
    assert out.splitlines()[-1].startswith("next: set MMR_DATA_DIR to the folder that holds flickr30k/Sentences, flickr30k/train.txt")
    status, _, err = mmr("fetch", "flickr30k")
    assert status == 2
    assert "set MMR_DATA_DIR" in err


def test_one_line_a_data_set(mmr: Mmr, data: Path) -> None:
    status, out, _ = mmr("status")
    listed = mmr("list")[1].splitlines()
    assert status == 0
    assert len(out.splitlines()) == len(listed)
    assert [line.split()[0] for line in out.splitlines()] == [line.split()[0] for line in listed]
    assert "mmr data fetch conceptual_captions" in out
    assert f"put into {data} flickr8k/captions.json" in out
    assert mmr("status", "smoke_a")[0] == 0
    assert mmr("status", "smoke_a", "mscoco")[0] == 1


def test_from_nothing_to_verified(mmr: Mmr, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, called = tiny(data), []

    def prepare_region_store(format: str, sources: list[Path], folder: Path, precision: str, progress: Any) -> None:
        called.append((format, sources, folder, precision))
        progress(2, 64, 64)
        write_region_store(folder, [(name, (1, 1), Regions([[1.0, 2.0]], [[0, 0, 1, 1]])) for name in "12"])  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "mmr_kit.data.feature_files", types.SimpleNamespace(prepare_region_store=prepare_region_store))
    (data / "tiny" / "test.en").rename(data / "later")
    status, out, _ = mmr("status", manifest)
    assert status == 1
    assert out.splitlines()[-2:] == ["by hand: sign the form", f"next: put into {data} tiny/test.en"]
    assert mmr("fetch", manifest)[1].splitlines() == ["by hand: sign the form", f"next: put into {data} tiny/test.en"], "nothing to download"
    (data / "later").rename(data / "tiny" / "test.en")
    status, out, _ = mmr("status", manifest)
    assert (status, out.splitlines()[-1]) == (1, f"next: mmr data prepare {manifest}")
    status, out, _ = mmr("verify", manifest)
    assert status == 1
    assert "[DIFFERS] tiny/regions: no region store yet" in out
    status, out, _ = mmr("prepare", manifest)
    assert (status, out) == (0, f"{data / 'tiny' / 'regions'}\n")
    assert called == [("npz", [data / "tiny" / "features"], data / "tiny" / "regions", "float32")]
    assert "is there already" in mmr("prepare", manifest)[1]
    assert len(called) == 1
    status, out, _ = mmr("status", manifest)
    assert (status, out.splitlines()[-1]) == (0, f"ready in {data}; `mmr data verify {manifest}` checks it")
    status, out, _ = mmr("verify", manifest)
    assert status == 0
    assert "[OK]      test: 2 images, expected 2" in out
    (data / "tiny" / "features").rmdir()
    status, out, _ = mmr("status", manifest)
    assert status == 0
    assert "  [gone]    tiny/features (region features, as published)" in out.splitlines(), "no longer needed"
    (data / "tiny" / "test.en").write_text("a dog\na cow\n")
    status, out, _ = mmr("verify", manifest)
    assert status == 1
    assert "[DIFFERS] tiny/test.en: NOT as at first sight" in out


def test_what_is_refused(mmr: Mmr, data: Path) -> None:
    for arguments, message in (
        (("status", "mscco"), "no data set 'mscco'"),
        (("prepare", "smoke_a"), "smoke_a: names no feature files"),
        (("prepare", "flickr30k"), "train_flickr30k_resnet101_faster_rcnn_genome.tsv.1: missing; `mmr data status flickr30k` says"),
        (("verify", "flickr30k"), "flickr30k/Sentences: missing; `mmr data status flickr30k` says"),
        (("miniature", Path(__file__).parent), "is there already and not empty"),
    ):
        status, _, err = mmr(*arguments)
        assert status == 2
        assert err.startswith("mmr: ")
        assert message in err
        assert err.count("\n") == 1


ESCAPES = "\x1b]0;evil\x07\x1b[2J\x9b31m\u202e\r"


def test_no_text_of_a_file_commands_the_terminal(mmr: Mmr, data: Path) -> None:
    manifest = tiny(data)
    content = yaml.safe_load(manifest.read_text())
    manifest.write_text(yaml.safe_dump(content | {"title": f"Tiny {ESCAPES}", "by_hand": [f"do {ESCAPES}"]}))
    for arguments in (("list",), ("status",), ("status", manifest), ("fetch", manifest), ("verify", manifest), ("status", f"x{ESCAPES}")):
        _, out, err = mmr(*arguments)
        assert not set(ESCAPES) & set(out.replace("evil", "") + err.replace("evil", "")) - set("evil]0;[2J31m"), arguments
    assert r"Tiny \x1b]0;evil\x07" in mmr("status", manifest)[1]
