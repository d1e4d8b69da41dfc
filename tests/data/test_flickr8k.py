"""The real data set, where it is there."""

from pathlib import Path

import numpy as np
import pytest

from mmr_kit.data.datasets import load_dataset


@pytest.mark.parametrize(("split", "images", "first", "last"), [
    ("train", 6000, "2513260012_03d33305cf.jpg#en0", "2671602981_4edde92658.jpg#en4"),
    ("dev", 1000, "2090545563_a4e66ec76b.jpg#en0", "522652105_a89f1cf260.jpg#en4"),
    ("test", 1000, "3385593926_d3e9c21170.jpg#en0", "3490736665_38710f4b91.jpg#en4"),
])  # fmt: skip
def test_splits(data_dir: Path, split: str, images: int, first: str, last: str) -> None:
    dataset = load_dataset("flickr8k", split)
    assert len(dataset.image_ids) == len(set(dataset.image_ids)) == images
    assert (np.bincount(dataset.caption_image) == 5).all()
    assert len(set(dataset.caption_ids)) == 5 * images
    assert (dataset.caption_ids[0], dataset.caption_ids[-1]) == (first, last)
    if split == "test":
        assert dataset.texts[-1] == "A dog stands on his hind legs amid a shower of tennis balls ."
    assert dataset.regions.width == 1280  # type: ignore[attr-defined]
    regions = dataset.regions[dataset.image_ids[-1]]
    assert regions.features.shape == (len(regions.boxes), 1280)
    assert 1 <= len(regions.boxes) <= 10
    assert regions.boxes.min() >= 0
    assert regions.boxes.max() <= 1
    picture = dataset.picture(dataset.image_ids[-1])
    if split == "test":
        assert picture is not None
        assert picture.size == (224, 224)
    else:
        assert picture is None
