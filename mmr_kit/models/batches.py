"""Which pairs a training step sees: a function of the seed and the step's number alone, so that an interrupted training resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.mining import Miner


@dataclass(frozen=True)
class PairBatch:
    """`captions[i]` with `images[i]`; matches int64 (n,): 1 where the caption is the image's own, 0 where one of the two was replaced."""

    captions: list[str]
    images: list[Regions]
    matches: np.ndarray


class TrainingPairs:
    """Batches of distinct images, each with one of its captions; every image once an epoch, in an order drawn anew for each."""

    def __init__(self, dataset: RetrievalDataset, batch_size: int, seed: int) -> None:
        if batch_size > len(dataset.image_ids):
            raise InputError(f"{dataset.name}: a batch of {batch_size} distinct images was asked for, there are {len(dataset.image_ids)} training images")
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        order = np.argsort(dataset.caption_image, kind="stable")
        self._captions_of = np.split(order, np.cumsum(np.bincount(dataset.caption_image))[:-1])  # caption rows of each image
        self._texts = dataset.texts

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Caption rows and image rows (batch_size,) of the matching pairs of a step."""
        per_epoch = len(self.dataset.image_ids) // self.batch_size
        epoch, position = divmod(step, per_epoch)
        images = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.dataset.image_ids))[position * self.batch_size :][: self.batch_size]
        rng = np.random.default_rng([self.seed, 2, step])
        return np.array([rng.choice(self._captions_of[image]) for image in images]), images

    def matching(self, step: int) -> tuple[list[str], list[Regions], np.ndarray]:
        """Captions, images, and the bool matrix (captions, images) of pairs that must not serve as negatives."""
        captions, images = self.rows(step)
        return self._text(captions), self._regions(images), self.dataset.fits(captions, images)

    def with_replaced(self, step: int, miner: Miner | None = None) -> PairBatch:
        """The matching pairs, and as many in which the image or the caption (an even chance) was replaced: at random, or by one that `miner` finds near."""
        captions, images = self.rows(step)
        rng = np.random.default_rng([self.seed, 3, step])
        replace_image = rng.random(len(captions)) < 0.5
        if miner is None:
            wrong_captions, wrong_images = self._random_replacements(captions, images, replace_image, rng)
        else:
            wrong_captions, wrong_images = captions.copy(), images.copy()
            wrong_images[replace_image] = miner.wrong_images(captions[replace_image], rng)
            wrong_captions[~replace_image] = miner.wrong_captions(images[~replace_image], rng)
        fits = self.dataset.fits(wrong_captions, wrong_images).diagonal()  # rare: a replaced pair that happens to be true is dropped
        captions, images = np.concatenate([captions, wrong_captions[~fits]]), np.concatenate([images, wrong_images[~fits]])
        return PairBatch(self._text(captions), self._regions(images), np.arange(len(captions)) < self.batch_size)

    def mined(self, step: int, miner: Miner) -> tuple[list[str], list[Regions]]:
        """For the matching pairs of a step one near wrong caption of each image, and one near wrong image of each caption."""
        captions, images = self.rows(step)
        rng = np.random.default_rng([self.seed, 4, step])
        return self._text(miner.wrong_captions(images, rng)), self._regions(miner.wrong_images(captions, rng))

    def _random_replacements(self, captions: np.ndarray, images: np.ndarray, replace_image: np.ndarray,
                             rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        wrong_captions, wrong_images = captions.copy(), images.copy()
        for row, image_is_replaced in enumerate(replace_image):
            for _ in range(100):
                if image_is_replaced:
                    wrong_images[row] = rng.integers(len(self.dataset.image_ids))
                else:
                    wrong_captions[row] = rng.integers(len(self.dataset.captions))
                if self.dataset.caption_image[wrong_captions[row]] != wrong_images[row]:
                    break
        return wrong_captions, wrong_images

    def _text(self, rows: np.ndarray) -> list[str]:
        return [self._texts[row] for row in rows]

    def _regions(self, rows: np.ndarray) -> list[Regions]:
        return [self.dataset.regions[self.dataset.image_ids[row]] for row in rows]
