"""A gallery of numbers, and a model that is a table of scores: what tests of retrieval ask."""

from collections import Counter
from collections.abc import Sequence

import numpy as np


class Gallery:
    """Images and captions whose "text" and "regions" are their numbers; ids rise as the numbers fall, so that order by id is not order by row.

    The last `distractors` images and captions are in the collections only.
    """

    def __init__(self, images: int, captions: int, distractors: int = 0) -> None:
        self.image_ids = [f"image-{99 - number}" for number in range(images)]
        self.caption_ids = [f"caption-{99 - number}" for number in range(captions)]
        self.texts = [str(number) for number in range(captions)]
        self.regions = {image_id: number for number, image_id in enumerate(self.image_ids)}
        self.distractors = distractors

    def query_ids(self, direction: str) -> list[str]:
        ids = self.caption_ids if direction == "image_retrieval" else self.image_ids
        return ids[: len(ids) - self.distractors]

    def item_ids(self, direction: str) -> list[str]:
        return self.image_ids if direction == "image_retrieval" else self.caption_ids

    def galleries(self) -> "list[Gallery]":
        return [self]


class Table:
    """A model that knows a similarity and a match score of each caption with each image, both small whole numbers; it counts what it is asked."""

    def __init__(self, captions: int, images: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.vectors = rng.integers(-1, 2, (images, 3)).astype(np.float32), rng.integers(-1, 2, (captions, 3)).astype(np.float32)
        self.scores = rng.integers(0, 3, (captions, images)).astype(np.float32)
        self.embedded, self.scored = Counter[str](), Counter[tuple[int, int]]()

    def embed_texts(self, captions: Sequence[str]) -> np.ndarray:
        self.embedded.update(f"caption {caption}" for caption in captions)
        return self.vectors[1][[int(caption) for caption in captions]]

    def embed_images(self, images: Sequence[int]) -> np.ndarray:
        self.embedded.update(f"image {image}" for image in images)
        return self.vectors[0][list(images)]

    def score_pairs(self, captions: Sequence[str], images: Sequence[int]) -> np.ndarray:
        pairs = [(int(caption), image) for caption, image in zip(captions, images, strict=True)]
        self.scored.update(pairs)
        return np.array([self.scores[pair] for pair in pairs], dtype=np.float32)
