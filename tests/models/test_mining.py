"""Near wrong items: near as the embeddings say, wrong as the data set says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.models import mining
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.mining import Miner
from mmr_kit.models.retrieval_model import RetrievalModel


@pytest.fixture
def dataset(small_data: Any) -> RetrievalDataset:
    return load_dataset(small_data.manifest, "train")


def test_mined_items_are_the_nearest_that_do_not_fit(
    dataset: RetrievalDataset, make_model: Callable[..., RetrievalModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "NEAREST", 3)
    model = make_model().eval()
    miner = Miner(model, dataset)
    captions, images = np.arange(len(dataset.captions)), np.arange(len(dataset.image_ids))
    similarity = model.embed_texts(dataset.texts) @ model.embed_images([dataset.regions[image_id] for image_id in dataset.image_ids]).T
    similarity[dataset.fits(captions, images)] = -np.inf
    for found, ranks in [(miner.wrong_images, np.argsort(-similarity, axis=1)), (miner.wrong_captions, np.argsort(-similarity.T, axis=1))]:
        queries = np.arange(len(ranks))
        drawn = np.array([found(queries, np.random.default_rng(seed)) for seed in range(40)])
        for query in queries:
            assert set(drawn[:, query]) == set(ranks[query, :3])


def test_a_caption_that_fits_nearly_everything_gets_what_is_wrong() -> None:
    similarity, fits = np.array([[0.9, 0.8, 0.1, 0.7]]), np.array([[True, True, False, True]])
    assert {int(mining._one_of_nearest(similarity, fits, np.random.default_rng(seed))[0]) for seed in range(20)} == {2}


def test_batches_of_mined_negatives(dataset: RetrievalDataset, make_model: Callable[..., RetrievalModel]) -> None:
    miner, pairs = Miner(make_model().eval(), dataset), TrainingPairs(dataset, 8, 0)
    batch = pairs.with_replaced(3, miner)
    assert batch.matches.sum() == 8
    assert [len(batch.captions), len(batch.images)] == [16, 16]
    again, random = pairs.with_replaced(3, miner), pairs.with_replaced(3)
    assert batch.captions == again.captions, "the same step draws the same negatives"
    assert batch.captions != random.captions
    wrong_captions, wrong_images = pairs.mined(3, miner)
    _, of_images = pairs.rows(3)
    text_row = {caption.text: row for row, caption in enumerate(dataset.captions)}
    rows = [text_row[text] for text in wrong_captions]
    assert not dataset.fits(rows, of_images).diagonal().any()
    assert len(wrong_images) == 8
