"""What a training step sees: distinct images, all captions, and no true pair that is called wrong."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.batches import PairBatch, TrainingPairs


@pytest.fixture(scope="module")
def smoke() -> RetrievalDataset:
    return load_dataset("smoke_a", "train")


@pytest.fixture
def small(small_data: Any) -> RetrievalDataset:
    return load_dataset(small_data.manifest, "train")


def image_rows(dataset: RetrievalDataset, images: list[Regions]) -> list[int]:
    row = {dataset.regions[image_id].features.tobytes(): number for number, image_id in enumerate(dataset.image_ids)}
    return [row[image.features.tobytes()] for image in images]


@pytest.mark.parametrize("batch_size", [7, 9, 28])
def test_an_epoch_has_each_image_once(small: RetrievalDataset, batch_size: int) -> None:
    pairs, per_epoch = TrainingPairs(small, batch_size, seed=0), 28 // batch_size
    epochs = []
    for epoch in range(3):
        rows = [pairs.rows(epoch * per_epoch + step) for step in range(per_epoch)]
        images = np.concatenate([images for _, images in rows])
        assert len(set(images)) == len(images) == per_epoch * batch_size
        assert (small.caption_image[np.concatenate([captions for captions, _ in rows])] == images).all()
        epochs.append(images.tolist())
    assert epochs[0] != epochs[1] != epochs[2]


def test_every_caption_is_drawn_alike(small: RetrievalDataset) -> None:
    pairs = TrainingPairs(small, 28, seed=0)
    drawn = Counter(row for step in range(200) for row in pairs.rows(step)[0])
    assert set(drawn) == set(range(len(small.captions)))
    assert min(drawn.values()) > 65  # of 100 expected; 4.9 standard deviations below


def test_a_batch_depends_on_seed_and_step_alone(small: RetrievalDataset) -> None:
    def seen(seed: int, step: int) -> tuple[list[str], list[int]]:
        batch = TrainingPairs(small, 8, seed).with_replaced(step)
        return batch.captions, image_rows(small, batch.images)

    pairs = TrainingPairs(small, 8, seed=4)
    later_first = [pairs.with_replaced(step) for step in (11, 3, 11)]
    assert [batch.captions for batch in later_first] == [seen(4, step)[0] for step in (11, 3, 11)]
    assert [image_rows(small, batch.images) for batch in later_first] == [seen(4, step)[1] for step in (11, 3, 11)]
    assert seen(4, 3) != seen(4, 4)
    assert seen(4, 3) != seen(5, 3)
    assert pairs.matching(3)[0] == pairs.with_replaced(3).captions[:8]


def test_matching_tells_what_is_no_negative(smoke: RetrievalDataset) -> None:
    pairs, others = TrainingPairs(smoke, 100, seed=0), 0
    for step in range(6):
        captions, images, no_negative = pairs.matching(step)
        rows = pairs.rows(step)
        assert captions == [smoke.texts[row] for row in rows[0]]
        assert image_rows(smoke, images) == rows[1].tolist()
        assert np.array_equal(no_negative, smoke.fits(*rows))
        assert no_negative.diagonal().all()
        others += int(no_negative.sum()) - 100
    assert others > 0, "this world has false negatives, or this test tests nothing"


def test_replaced_pairs(small: RetrievalDataset) -> None:
    """As many wrong as right; each wrong pair keeps either its caption or its image, by an even chance."""
    pairs, kept_caption, kept_image = TrainingPairs(small, 14, seed=0), 0, 0
    own = {(text, row) for text, row in zip(small.texts, small.caption_image, strict=True)}
    for step in range(60):
        batch = pairs.with_replaced(step)
        assert batch.matches.tolist() == [True] * 14 + [False] * 14
        rows = image_rows(small, batch.images)
        seen = list(zip(batch.captions, rows, strict=True))
        assert all((pair in own) == matches for pair, matches in zip(seen, batch.matches, strict=True))
        same_caption = np.array([seen[i][0] == seen[14 + i][0] for i in range(14)])
        same_image = np.array([seen[i][1] == seen[14 + i][1] for i in range(14)])
        assert (same_caption ^ same_image).all()
        kept_caption, kept_image = kept_caption + same_caption.sum(), kept_image + same_image.sum()
    assert kept_caption + kept_image == 840
    assert 350 < kept_caption < 490


def test_no_true_pair_is_called_wrong(smoke: RetrievalDataset) -> None:
    """By the facts of the generated world; a caption without such facts would be called wrong for several of the 2,400 pairs."""
    pairs, caption_row = TrainingPairs(smoke, 200, seed=0), {text: row for row, text in enumerate(smoke.texts)}
    batches: list[PairBatch] = [pairs.with_replaced(step) for step in range(12)]
    wrong = 0
    for batch in batches:
        fits = smoke.fits([caption_row[text] for text in batch.captions], image_rows(smoke, batch.images)).diagonal()
        assert np.array_equal(fits, batch.matches)
        wrong += int((batch.matches == 0).sum())
    assert 0.97 * 2400 < wrong < 2400, "about one to one: the few that would be true are left out"


def test_a_batch_larger_than_the_data_is_refused(small: RetrievalDataset) -> None:
    TrainingPairs(small, 28, seed=0).rows(5)
    with pytest.raises(InputError, match="small: a batch of 29 distinct images was asked for, there are 28 training images"):
        TrainingPairs(small, 29, seed=0)
