"""The miniature: the paper's data sets in their own layouts, through their own manifests."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.data.manifests import Expected, load_manifest
from mmr_kit.data.miniature import FLICKR, SIZES, write_miniature
from mmr_kit.data.verifying import verify
from mmr_kit.errors import InputError

NAMES = ("mscoco", "mscoco_1k", "mscoco_karpathy", "flickr30k", "multi30k", "multi30k_task2", "multi30k_paper", "conceptual_captions")
LANGUAGES = {"multi30k": {"en": 1, "de": 1, "fr": 1, "cs": 1}, "multi30k_task2": {"en": 5, "de": 5}, "multi30k_paper": FLICKR.captions,
             "conceptual_captions": {"en": 1}}  # fmt: skip
converters = pytest.mark.skipif(importlib.util.find_spec("mmr_kit.data.feature_files") is None, reason="mmr_kit.data.feature_files is not there")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature") / "data"
    write_miniature(folder)
    return folder


@pytest.fixture(scope="module")
def prepared(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature with its region stores."""
    from mmr_kit.data.feature_files import prepare_region_store

    folder = tmp_path_factory.mktemp("prepared") / "data"
    shutil.copytree(written, folder)
    for name in NAMES:
        files = load_manifest(name).files
        assert files is not None
        assert files.regions_from is not None
        if not (folder / files.regions).exists():
            sources = [folder / path for path in files.regions_from.sources]
            prepare_region_store(files.regions_from.format, sources, folder / files.regions, precision=files.regions_from.precision)
    return folder


def test_it_is_there_whole_or_not_at_all(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {path.name for path in written.iterdir()} == {"mscoco", "flickr30k", "multi30k", "conceptual_captions"}
    assert [path.name for path in written.parent.iterdir()] == ["data"]
    monkeypatch.setattr("mmr_kit.data.miniature._write_conceptual_captions", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_miniature(tmp_path / "other")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_files_are_those_of_the_manifests(written: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(written))
    manifest = load_manifest(name)
    assert manifest.files is not None
    assert manifest.missing() == [manifest.files.regions]
    assert manifest.next_step() == f"mmr data prepare {name}"
    with pytest.raises(InputError, match=rf"regions\w*: missing; `mmr data status {name}` says"):
        load_dataset(name)


@converters
@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_loads(prepared: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(prepared))
    languages = LANGUAGES.get(name, {"en": 5})
    for split, images in SIZES.items() if name != "conceptual_captions" else [("test", 60)]:
        dataset = load_dataset(name, split, list(languages))
        assert len(dataset.image_ids) == (30 if (name, split) == ("mscoco_1k", "test") else images)
        assert len(dataset.captions) == len(dataset.image_ids) * sum(languages.values())
        regions = dataset.regions[dataset.image_ids[0]]
        assert regions.features.shape[1] == 2048
        assert (regions.boxes >= 0).all()
        assert (regions.boxes <= 1).all()
        assert np.count_nonzero(regions.features[:, :128]) > 0
        assert not regions.features[:, 128:].any()


@converters
def test_layouts_of_the_same_images_agree(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(prepared))

    def same(a: RetrievalDataset, b: RetrievalDataset) -> None:
        assert a.image_ids == b.image_ids
        for image_id in a.image_ids:
            assert np.allclose(a.regions[image_id].features, b.regions[image_id].features, atol=2e-3, rtol=2e-3)
            assert np.allclose(a.regions[image_id].boxes, b.regions[image_id].boxes, atol=1e-5)

    same(load_dataset("mscoco", "dev"), load_dataset("mscoco_karpathy", "dev"))
    same(load_dataset("flickr30k", "dev"), load_dataset("multi30k", "dev"))
    assert load_dataset("mscoco", "test").texts == load_dataset("mscoco_karpathy", "test").texts
    flickr = load_dataset("flickr30k", "test")
    assert flickr.texts == load_dataset("multi30k_task2", "test").texts == load_dataset("multi30k_paper", "test").texts
    assert flickr.texts[::5] == load_dataset("multi30k", "test").texts
    picture = flickr.picture(flickr.image_ids[0])
    assert picture is not None
    assert picture.size == (96, 96)
    assert load_dataset("mscoco").picture(load_dataset("mscoco").image_ids[0]) is None


@converters
def test_the_galleries_can_be_merged(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MSCOCO's and Conceptual Captions' images are numbers alike; their prefixes keep them apart."""
    monkeypatch.setenv("MMR_DATA_DIR", str(prepared))
    merged = load_dataset("flickr30k").merged(load_dataset("mscoco"), load_dataset("conceptual_captions"))
    assert len(merged.image_ids) == 180
    assert {image_id.split("-")[0] for image_id in merged.image_ids[60:]} == {"coco", "cc"}
    assert all(image_id in merged.regions for image_id in merged.image_ids)
    web = load_dataset("conceptual_captions")
    assert "1" not in web.regions
    assert list(web.regions) == [f"cc-{image_id.removeprefix('cc-')}" for image_id in web.regions]
    assert len(web.regions) == 60
    with pytest.raises(KeyError):
        web.regions["1"]


@converters
@pytest.mark.parametrize("name", NAMES)
def test_verify_finds_the_miniature_whole_but_for_the_counts(prepared: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(prepared))
    manifest = load_manifest(name)
    differing = [told for good, told in verify(manifest) if not good]
    assert manifest.expected is not None
    assert [told.split(":")[0] for told in differing] == list(manifest.expected.images)
    images = {} if name == "conceptual_captions" else {**SIZES, "test": 30 if name == "mscoco_1k" else 60}
    small = manifest.model_copy(update={"expected": Expected(images=images, captions=manifest.expected.captions)})
    assert all(good for good, _ in verify(small))


@converters
def test_verify_finds_what_is_wrong(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    manifest = load_manifest("flickr30k").model_copy(update={"expected": Expected(images=SIZES, captions={"en": (5, 5)})})
    assert all(good for good, _ in verify(manifest))
    folder = tmp_path / "data" / "flickr30k"
    listed = (folder / "test.txt").read_text().splitlines()
    (folder / "test.txt").write_text("\n".join([*listed[1:], "77"]))
    (folder / "Sentences" / "77.txt").write_text("a dog\n")
    differing = [told for good, told in verify(manifest) if not good]
    assert [told.split(":")[0] for told in differing] == ["flickr30k/Sentences", "flickr30k/test.txt", "en", "flickr30k/regions"]
    assert "NOT as at first sight" in differing[0]
    assert differing[2] == "en: 1046 captions, 1 to 5 an image, expected 5 to 5"
    assert "1 images have captions but no regions, '77' for one" in differing[3]
    shutil.rmtree(folder / "regions")
    assert "no region store yet" in [told for good, told in verify(manifest) if not good][-1]
    (folder / "test.txt").unlink()
    with pytest.raises(InputError, match=r"flickr30k/test\.txt: missing; `mmr data status flickr30k` says"):
        list(verify(manifest))


def test_generated_data_sets_need_no_verifying() -> None:
    assert [good for good, _ in verify(load_manifest("smoke_a"))] == [True]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError) as error:
        load_dataset(name)
    assert f"`mmr data status {name}` says what {name} needs and how to get it" in str(error.value)
    assert str(tmp_path) + os.sep in str(error.value)
