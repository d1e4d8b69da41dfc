"""A start where no pretraining exists: word embeddings from the captions of the training split, and a region projection fitted to word embeddings."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.models.oscar import Oscar

RIDGE = 0.1  # times the mean variance of a feature
STRETCH = 2.0  # an average of words is shorter than a word; both values chosen on Flickr8k's dev split
TINY = 1e-9  # images that are all alike have no variance
PLACES = 0.25  # of the drawn size of what is added to each word: a word is known before it is known what its position means


@torch.no_grad()
def embed_words(backbone: Oscar, dataset: RetrievalDataset) -> None:
    """Word embeddings by latent semantic analysis of a data set's captions (Deerwester et al., 1990), as large as the config draws them.

    All captions of an image are one document, in whatever languages (Landauer and Littman, 1990): words that tell of the same images get embeddings that lie
    near one another. What stands in no caption keeps its own.
    """
    embeddings = backbone.transformer.embeddings
    table = embeddings.word_embeddings.weight
    found = [(word, image) for row, image in zip(backbone.token_ids(dataset.texts), dataset.caption_image, strict=True) for word in row[1:-1]]
    shape = (len(table), len(dataset.image_ids))
    counts = torch.sparse_coo_tensor(torch.tensor(found).T, torch.ones(len(found)), shape, check_invariants=True).coalesce()
    words = counts.indices()[0]
    rarity = torch.log(len(dataset.image_ids) / torch.bincount(words, minlength=len(table)))
    weighted = torch.sparse_coo_tensor(counts.indices(), counts.values().log1p() * rarity[words], shape, check_invariants=True)
    axes = torch.svd_lowrank(weighted, min(table.shape[1], *shape), niter=4)[0]  # by their lengths common words would look alike (dev split)
    known = words.unique()
    vectors = axes[known]
    table[known, : vectors.shape[1]] = vectors * (backbone.config.initializer_range / vectors.pow(2).mean().sqrt().clamp(min=1e-6))
    for added in (embeddings.position_embeddings, embeddings.token_type_embeddings):
        added.weight.mul_(PLACES)


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
    covariance += (RIDGE * np.trace(covariance) / len(covariance) + TINY) * np.eye(len(covariance))
    weight = STRETCH * np.linalg.solve(covariance, centred.T @ (targets - targets.mean(0)) / len(inputs))
    layer = backbone.region_projection
    layer.weight.copy_(torch.from_numpy(weight.T))
    layer.bias.copy_(torch.from_numpy(targets.mean(0) - inputs.mean(0) @ weight))


def word_embeddings(backbone: Oscar) -> np.ndarray:
    """What the encoder receives for each word of the vocabulary, averaged over the first positions of a sentence: (words, width)."""
    embeddings = backbone.transformer.embeddings
    place = embeddings.position_embeddings.weight[1:12].mean(0) + embeddings.token_type_embeddings.weight[0]
    return embeddings.LayerNorm(embeddings.word_embeddings.weight + place).cpu().numpy()
