"""A start for the region projection where no multimodal pretraining exists: ridge regression onto the word embeddings of the captions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.models.oscar import Oscar

RIDGE = 0.1  # times the mean variance of a feature
STRETCH = 2.0  # an average of words is shorter than a word; both values chosen on Flickr8k's dev split


@torch.no_grad()
def align_regions(backbone: Oscar, dataset: RetrievalDataset) -> None:
    """Fit the region projection so that an image's mean region points to the mean word embedding (rare words weigh more) of its training captions.

    A text Transformer then reads an image as a bag of the words that its captions would use. This stands in for the multimodal pretraining that OSCAR
    brings along; a departure from the paper, stated wherever it is used.
    """
    words, rarity = word_embeddings(backbone), np.zeros(len(backbone.tokenizer), dtype=np.float32)
    ids = [np.unique(np.array(row[1:-1], dtype=np.int64)) for row in backbone.token_ids(dataset.texts)]
    for word, count in Counter(word for row in ids for word in row).items():
        rarity[word] = np.log(len(ids) / count)
    targets = np.zeros((len(dataset.image_ids), backbone.width))
    for row, image in zip(ids, dataset.caption_image, strict=True):
        targets[image] += rarity[row] @ words[row] / max(float(rarity[row].sum()), 1e-6)
    targets /= np.bincount(dataset.caption_image)[:, None]
    inputs = np.stack([backbone.region_values(dataset.regions[image_id]).mean(0) for image_id in dataset.image_ids]).astype(np.float64)
    centred = inputs - inputs.mean(0)
    covariance = centred.T @ centred / len(inputs)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    weight = STRETCH * np.linalg.solve(covariance, centred.T @ (targets - targets.mean(0)) / len(inputs))
    layer = backbone.region_projection
    layer.weight.copy_(torch.from_numpy(weight.T))
    layer.bias.copy_(torch.from_numpy(targets.mean(0) - inputs.mean(0) @ weight))


def word_embeddings(backbone: Oscar) -> np.ndarray:
    """What the encoder receives for each word of the vocabulary, averaged over the first positions of a sentence: (words, width)."""
    embeddings = backbone.transformer.embeddings
    place = embeddings.position_embeddings.weight[1:12].mean(0) + embeddings.token_type_embeddings.weight[0]
    return embeddings.LayerNorm(embeddings.word_embeddings.weight + place).cpu().numpy()
