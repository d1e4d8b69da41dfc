"""Data sets: what is read, what is relevant, subsets and merged collections, and every fault of the parts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmr_kit import cache
from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.errors import InputError

DIRECTIONS = ("image_retrieval", "text_retrieval")


@pytest.fixture(scope="module")
def smoke() -> RetrievalDataset:
    return load_dataset("smoke_a", "test")


def test_smoke_world_is_as_its_manifest_says(smoke: RetrievalDataset) -> None:
    assert (smoke.name, smoke.split, smoke.paper_dataset) == ("smoke_a", "test", "MSCOCO 5k")
    assert (len(smoke.image_ids), len(smoke.captions), smoke.regions[smoke.image_ids[0]].features.shape[1]) == (60, 300, 128)
    assert len(load_dataset("smoke_a", "train").image_ids) == 600
    every = load_dataset("smoke_a", "test", ("fr", "en", "de", "cs"))
    assert len(every.captions) == 60 * 8
    assert {caption.language for caption in load_dataset("smoke_a", "test", ["cs"]).captions} == {"cs"}
    picture = smoke.picture(smoke.image_ids[0])
    assert picture is not None
    assert picture.mode == "RGB"


def test_a_world_is_looked_at_again_only_where_its_files_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path))
    looked, is_complete = [], cache.is_complete

    def looking(folder: Path) -> bool:
        looked.append(folder.parent.name)
        return is_complete(folder)

    monkeypatch.setattr(cache, "is_complete", looking)
    dataset = load_dataset("smoke_c")
    assert load_dataset("smoke_c") is dataset
    assert looked.count("datasets") == 1
    captions = next(tmp_path.glob("datasets/*/captions.jsonl"))
    whole = captions.read_bytes()
    captions.write_bytes(whole[:-1])
    assert load_dataset("smoke_c").texts == dataset.texts
    assert looked.count("datasets") == 2
    assert captions.read_bytes() == whole, "what a hand has altered is made again"


def test_relevance_in_both_directions(small_data: Any) -> None:
    dataset = load_dataset(small_data.manifest, "test", ("en", "de"))
    written = [caption for caption in small_data.captions if caption["split"] == "test"]
    assert dataset.query_ids("image_retrieval") == dataset.item_ids("text_retrieval") == dataset.caption_ids == [c["caption_id"] for c in written]
    assert dataset.query_ids("text_retrieval") == dataset.item_ids("image_retrieval") == dataset.image_ids == [f"test-{n:02d}" for n in range(8)]
    assert dataset.texts == [caption["text"] for caption in written]
    assert dataset.relevance("image_retrieval") == {c["caption_id"]: {c["image_id"]} for c in written}
    assert dataset.relevance("text_retrieval")["test-03"] == {"test-03-en-0", "test-03-en-1", "test-03-de-0"}
    assert [dataset.image_ids[row] for row in dataset.caption_image] == [caption["image_id"] for caption in written]


def test_captions_stand_in_the_order_of_their_images(small_data: Any) -> None:
    """However the file mixes them: what cuts a collection in two relies on it."""
    expected = load_dataset(small_data.manifest, "test").caption_ids
    small_data.captions.sort(key=lambda caption: caption["caption_id"][-1])
    small_data.write_captions()
    dataset = load_dataset(small_data.manifest, "test")
    assert dataset.caption_ids == expected
    assert (np.diff(dataset.caption_image) >= 0).all()


def test_subsets_are_nested_and_the_same_each_time(small_data: Any) -> None:
    train = load_dataset(small_data.manifest, "train")
    previous: set[str] = set()
    for images in (1, 5, 12, 28):
        subset = train.subset(images, seed=3)
        assert len(subset.image_ids) == images
        assert previous <= set(subset.image_ids)
        assert subset.image_ids == sorted(subset.image_ids), "in the order of the whole"
        assert subset.caption_ids == [c.caption_id for c in train.captions if c.image_id in set(subset.image_ids)]
        assert subset.query_ids("image_retrieval") == subset.caption_ids
        assert subset.name == f"small_{images}"
        assert subset == train.subset(images, seed=3)
        previous = set(subset.image_ids)
    assert train.subset(12, seed=3).image_ids != train.subset(12, seed=4).image_ids
    for images in (0, -1, 29):
        with pytest.raises(InputError, match="there are 28"):
            train.subset(images)


def test_merging_changes_collections_only(smoke: RetrievalDataset) -> None:
    dev, other = load_dataset("smoke_a", "dev"), load_dataset("smoke_b", "test").subset(7)
    merged = smoke.merged(dev, other)
    for direction in DIRECTIONS:
        assert merged.query_ids(direction) == smoke.query_ids(direction)
        assert merged.relevance(direction) == smoke.relevance(direction)
        assert merged.item_ids(direction) == smoke.item_ids(direction) + dev.item_ids(direction) + other.item_ids(direction)
    assert merged.name == "smoke_a + smoke_a + smoke_b_7"
    for part in (smoke, dev, other):
        image_id = part.image_ids[-1]
        assert np.array_equal(merged.regions[image_id].features, part.regions[image_id].features)
        assert merged.picture(image_id).tobytes() == part.picture(image_id).tobytes()  # type: ignore[union-attr]
    assert len({merged.fingerprint, smoke.fingerprint, smoke.merged(other).fingerprint}) == 3
    assert np.array_equal(merged.fits(range(3), range(3)), np.eye(3, dtype=bool)[[0, 0, 0]])
    again = merged.merged(load_dataset("smoke_b", "dev"))
    assert again.relevance("text_retrieval") == smoke.relevance("text_retrieval")
    with pytest.raises(InputError, match=r"image '\w.*' occurs in two of the merged data sets; where it is another one, give .* an image_prefix"):
        smoke.merged(smoke)


def test_captions_of_the_same_id_are_not_merged(small_data: Any, tmp_path: Path) -> None:
    """Where each image has another name, and captions are numbered alike: one would be taken for the other."""
    dataset = load_dataset(small_data.manifest)
    captions = [replace(caption, image_id=f"b-{caption.image_id}") for caption in dataset.captions]
    renamed = replace(dataset, image_ids=[f"b-{name}" for name in dataset.image_ids], captions=captions)
    with pytest.raises(InputError, match=r"small \+ small: caption 'test-00-en-0' occurs in two of the merged data sets; .* an image_prefix"):
        dataset.merged(renamed)


@pytest.fixture
def in_folds(small_data: Any) -> RetrievalDataset:
    """Eight test images in three folds."""
    small_data.manifest.write_text(small_data.manifest.read_text().replace("files: {", "files: {folds: 3, "))
    return load_dataset(small_data.manifest, "test", ("en", "de"))


def test_folds_are_consecutive_and_whole(in_folds: RetrievalDataset, small_data: Any) -> None:
    parts = in_folds.galleries()
    assert [len(part.image_ids) for part in parts] == [3, 3, 2]
    assert [image_id for part in parts for image_id in part.image_ids] == in_folds.image_ids
    assert [caption for part in parts for caption in part.captions] == in_folds.captions
    for direction in ("image_retrieval", "text_retrieval"):
        assert [query for part in parts for query in part.query_ids(direction)] == in_folds.query_ids(direction)
        together = {query: items for part in parts for query, items in part.relevance(direction).items()}
        assert together == in_folds.relevance(direction), "what is right lies in the fold of its query"
    assert all(part.galleries() == [part] for part in parts)
    assert [load_dataset(small_data.manifest, split).folds for split in ("train", "dev")] == [0, 0]


def test_folds_are_another_gallery(in_folds: RetrievalDataset, small_data: Any) -> None:
    small_data.manifest.write_text(small_data.manifest.read_text().replace("folds: 3, ", ""))
    plain = load_dataset(small_data.manifest, "test", ("en", "de"))
    assert plain.galleries() == [plain]
    assert plain.fingerprint != in_folds.fingerprint, "so no ranking of the one is taken for one of the other"
    assert in_folds.subset(5).folds == 0
    assert in_folds.subset(5).image_ids == plain.subset(5).image_ids
    with pytest.raises(InputError, match="small: is searched in 3 folds and cannot be merged"):
        in_folds.merged(plain)
    with pytest.raises(InputError, match="8 images cannot be searched in 9 folds"):
        replace(in_folds, folds=9).galleries()


def test_fits_tells_false_negatives() -> None:
    """In the generated world a caption may be true of other images of the training set than its own; fits is exact there."""
    train = load_dataset("smoke_a", "train")
    images = np.arange(len(train.image_ids))
    captions = np.arange(0, len(train.captions), 5)
    fits = train.fits(captions, images)
    assert fits.shape == (600, 600)
    assert fits.diagonal().all()
    assert 10 < fits.sum() - 600 < 0.05 * fits.size, "some captions fit other images too, most do not"
    row, column = next((row, column) for row, column in zip(*np.nonzero(fits), strict=True) if row != column)
    assert train.fits([captions[row]], [column]).item()
    subset = train.subset(40)
    rows = [train.image_ids.index(image_id) for image_id in subset.image_ids]
    assert np.array_equal(subset.fits(range(0, 200, 5), range(40)), fits[np.ix_(rows, rows)])


def test_in_galleries_a_caption_fits_its_own_image_only(smoke: RetrievalDataset) -> None:
    own = smoke.caption_image[:, None] == np.arange(60)
    assert np.array_equal(smoke.fits(range(300), range(60)), own)


def test_without_facts_a_caption_fits_its_own_image(small_data: Any) -> None:
    dataset = load_dataset(small_data.manifest, "test")
    assert dataset.fits([0, 1, 2], [1, 0]).tolist() == [[False, True], [False, True], [True, False]]
    assert dataset.picture("test-00") is None


def test_a_name_with_other_content_has_another_fingerprint(small_data: Any) -> None:
    before = load_dataset(small_data.manifest, "test").fingerprint
    assert load_dataset(small_data.manifest, "train").fingerprint == before
    small_data.captions[0]["text"] += "s"
    small_data.write_captions()
    after = load_dataset(small_data.manifest, "test").fingerprint
    assert after != before
    boxes = np.load(small_data.folder / "regions" / "boxes.npy")
    np.save(small_data.folder / "regions" / "boxes.npy", boxes / 2)
    assert load_dataset(small_data.manifest, "test").fingerprint not in (before, after)


def test_pictures_are_found_below_their_folder_only(small_data: Any) -> None:
    from PIL import Image

    small_data.manifest.write_text(small_data.manifest.read_text().replace("files: {", "files: {pictures: photographs, "))
    (small_data.folder / "photographs").mkdir()
    Image.new("L", (3, 2)).save(small_data.folder / "photographs" / "test-00", "png")
    Image.new("L", (3, 2)).save(small_data.folder / "secret.png")
    dataset = load_dataset(small_data.manifest, "test")
    picture = dataset.picture("test-00")
    assert picture is not None
    assert (picture.size, picture.mode) == ((3, 2), "RGB")
    assert dataset.picture("test-01") is None
    assert dataset.picture("../secret.png") is None


def remove(where: Callable[[dict[str, str]], bool]) -> Callable[[Any], None]:
    def damage(data: Any) -> None:
        data.captions = [caption for caption in data.captions if not where(caption)]
        data.write_captions()

    return damage


def unknown_image(data: Any) -> None:
    data.captions[-1]["image_id"] = "test-99"
    data.write_captions()


@pytest.mark.parametrize(("damage", "fault"), [
    (unknown_image, r"caption 'test-07-de-0' is of image 'test-99', which has no regions in .*regions"),
    (remove(lambda caption: caption["caption_id"].startswith("test-03-en")), r"small: image 'test-03' of its test split has no caption in en;"),
    (remove(lambda caption: caption["image_id"] in ("test-03", "test-05") and caption["language"] == "en"), r"'test-03' .*\(and 1 more\)"),
    (remove(lambda caption: caption["split"] == "test"), r"small: no captions in en in its test split; there are none at all"),
    (remove(lambda caption: caption["language"] == "en"), r"small: no captions in en in its test split; there are de"),
    (lambda data: (data.folder / "captions.jsonl").unlink(), r"captions\.jsonl: missing"),
    (lambda data: (data.folder / "regions" / "boxes.npy").unlink(), r"boxes\.npy: missing"),
], ids=["unknown image", "no caption", "two without", "no split", "no language", "no captions", "no boxes"])  # fmt: skip
def test_faults(small_data: Any, damage: Callable[[Any], Any], fault: str) -> None:
    damage(small_data)
    with pytest.raises(InputError, match=fault):
        load_dataset(small_data.manifest, "test")


def test_an_image_in_two_splits_is_refused(small_data: Any) -> None:
    small_data.captions.append({**small_data.captions[0], "caption_id": "again", "split": "test"})
    small_data.write_captions()
    with pytest.raises(InputError, match="small: image 'train-00' is in the splits train and test; keep it in one"):
        load_dataset(small_data.manifest, "test")


def test_a_caption_id_twice_is_refused(small_data: Any) -> None:
    """In two files; in one it is the same."""
    (small_data.folder / "more.jsonl").write_text(json.dumps({**small_data.captions[-1], "text": "another"}) + "\n")
    small_data.manifest.write_text(small_data.manifest.read_text().replace("captions: [", "captions: [{path: more.jsonl, format: jsonl, language: en}, "))
    with pytest.raises(InputError, match="small: caption id 'test-07-de-0' occurs twice"):
        load_dataset(small_data.manifest, "test", ("en", "de"))


def test_wrong_requests(small_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no split 'val'; there are train, dev, test"):
        load_dataset(small_data.manifest, "val")
    with pytest.raises(InputError, match=r"no captions in fr, it in its test split; there are de, en"):
        load_dataset(small_data.manifest, "test", ("en", "fr", "it"))
    monkeypatch.delenv("MMR_DATA_DIR")
    with pytest.raises(InputError, match="set MMR_DATA_DIR"):
        load_dataset("flickr8k")
    monkeypatch.setenv("MMR_DATA_DIR", str(small_data.folder / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere/flickr8k/captions\.json: missing"):
        load_dataset("flickr8k")
