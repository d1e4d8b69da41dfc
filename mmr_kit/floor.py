"""What a trained model must clear: image features and captions compared as bags of words, with no Transformer and no training steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.data.regions import Regions
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.ranking import DIRECTIONS
from mmr_kit.retrieval.retrieve import bi_encode

FLOOR = "floor"  # its name in tables
WORDS = 3000  # the most frequent ones of the training captions
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # times the mean variance of a feature; the best on the dev split is taken


class Floor:
    """A bi-encoder by ridge regression: a caption's embedding is its TF-IDF vector, an image's the one that its region features predict.

    An image enters as the mean of its regions beside the largest of them (on photographs usually the whole picture). Fitted to `train`; the ridge is the
    one with the best mean R@1 of both directions on `dev`. Embeds as a `RetrievalModel` does; scores no pairs.
    """

    def __init__(self, train: RetrievalDataset, dev: RetrievalDataset) -> None:
        found = Counter(word for text in train.texts for word in set(_words(text)))
        self._place = {word: place for place, (word, _) in enumerate(found.most_common(WORDS))}
        self._rarity = np.log(len(train.texts) / np.array([found[word] for word in self._place], dtype=np.float32))
        targets = np.zeros((len(train.image_ids), len(self._place)), dtype=np.float32)
        np.add.at(targets, train.caption_image, self.embed_texts(train.texts))
        inputs, targets = _values([train.regions[image_id] for image_id in train.image_ids]), _unit(targets)
        self._mean_input, self._mean_target = inputs.mean(0), targets.mean(0)
        inputs -= self._mean_input
        covariance, correlation = inputs.T @ inputs, inputs.T @ (targets - self._mean_target)
        scored = []
        for ridge in RIDGES:
            penalty = ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance), dtype=np.float32)
            self._weight = np.linalg.solve(covariance + penalty, correlation)
            rankings = bi_encode(self, dev, k=1)
            scored.append((np.mean([recall(rankings[direction], dev, [1])["R@1"] for direction in DIRECTIONS]), ridge, self._weight))
        _, self.ridge, self._weight = max(scored, key=lambda of: of[0])

    def embed_texts(self, captions: Sequence[str]) -> np.ndarray:
        """TF-IDF vectors of captions, float32 (n, words), of unit length; zero where no word is known."""
        counts = np.zeros((len(captions), len(self._place)), dtype=np.float32)
        for row, caption in zip(counts, captions, strict=True):
            for word in _words(caption):
                if word in self._place:
                    row[self._place[word]] += 1
        return _unit(counts * self._rarity)

    def embed_images(self, images: Sequence[Regions]) -> np.ndarray:
        """Predicted TF-IDF vectors of images, float32 (n, words), of unit length."""
        return _unit((_values(images) - self._mean_input) @ self._weight + self._mean_target)

    def score_pairs(self, captions: Sequence[str], images: Sequence[Regions]) -> np.ndarray:
        raise NotImplementedError("the floor has no cross-encoder")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _values(images: Sequence[Regions]) -> np.ndarray:
    def of(image: Regions) -> np.ndarray:
        sides = image.boxes[:, 2:] - image.boxes[:, :2]
        return np.concatenate([image.features.mean(0), image.features[sides.prod(1).argmax()]])

    return _unit(np.stack([of(image) for image in images]))
