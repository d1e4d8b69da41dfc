"""Hard negatives from the whole training set: what a bi-encoder finds near although it is wrong (footnotes 12 and 13 of the paper)."""

from __future__ import annotations

import numpy as np

from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.models.retrieval_model import RetrievalModel

NEAREST = 20  # one of so many is drawn


class Miner:
    """The embeddings of a training set as a BE has them now; finds for a caption or an image near items that are not known to fit it."""

    def __init__(self, model: RetrievalModel, dataset: RetrievalDataset) -> None:
        self.dataset = dataset
        self._images = model.embed_images([dataset.regions[image_id] for image_id in dataset.image_ids])
        self._captions = model.embed_texts(dataset.texts)

    def wrong_images(self, captions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each caption row one of the nearest wrong images' rows, (n,)."""
        fits = self.dataset.fits(captions, np.arange(len(self._images)))
        return _one_of_nearest(self._captions[captions] @ self._images.T, fits, rng)

    def wrong_captions(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each image row one of the nearest wrong captions' rows, (n,)."""
        fits = self.dataset.fits(np.arange(len(self._captions)), images)
        return _one_of_nearest(self._images[images] @ self._captions.T, fits.T, rng)


def _one_of_nearest(similarity: np.ndarray, fits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Per row a random one of the NEAREST columns of largest similarity that do not fit (similarity, fits: (rows, columns))."""
    similarity = np.where(fits, -np.inf, similarity)
    count = min(NEAREST, similarity.shape[1])
    nearest = np.argpartition(similarity, -count, axis=1)[:, -count:]
    nearest = np.take_along_axis(nearest, np.argsort(np.take_along_axis(-similarity, nearest, axis=1), axis=1, kind="stable"), axis=1)
    place = rng.integers(count, size=len(similarity))
    place = np.minimum(place, np.isfinite(np.take_along_axis(similarity, nearest, axis=1)).sum(1) - 1)  # fewer than NEAREST are wrong: the last of them
    return nearest[np.arange(len(nearest)), place]
