"""The floor: a bi-encoder by ridge regression."""

import numpy as np
import pytest

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.floor import Floor
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.retrieve import bi_encode


@pytest.fixture(scope="module")
def train() -> RetrievalDataset:
    return load_dataset("smoke_a", "train")


def test_is_far_above_chance_and_embeds_as_a_model_does(train: RetrievalDataset) -> None:
    gallery = load_dataset("smoke_a", "test")
    floor = Floor(train, load_dataset("smoke_a", "dev"))
    rankings = bi_encode(floor, gallery)
    by_chance = 100 * 10 / len(gallery.image_ids)
    assert all(recall(ranking, gallery)["R@10"] > 2 * by_chance for ranking in rankings.values())
    vectors = floor.embed_images([gallery.regions[image_id] for image_id in gallery.image_ids])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_caption_of_unknown_words_is_nothing(train: RetrievalDataset) -> None:
    floor = Floor(train, load_dataset("smoke_a", "dev"))
    assert not floor.embed_texts(["xylographic quinquereme"]).any()


def test_scores_no_pairs(train: RetrievalDataset) -> None:
    floor = Floor(train, load_dataset("smoke_a", "dev"))
    with pytest.raises(NotImplementedError, match="no cross-encoder"):
        floor.score_pairs(train.texts[:1], [train.regions[train.image_ids[0]]])
