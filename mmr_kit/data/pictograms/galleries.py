"""Scenes with their captions, one split at a time; in a gallery (dev, test) every caption fits its own image and no other.

Every image and caption has a random generator of its own, named by world, split, index and attempt: images do not depend on how many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from random import Random

import numpy as np

from mmr_kit.data.pictograms.captions import CaptionFacts, Meaning, draw_caption
from mmr_kit.data.pictograms.matcher import fitting_pairs
from mmr_kit.data.pictograms.scenes import Scene, SceneFacts, draw_gists, draw_scene
from mmr_kit.errors import InputError

PATIENCE = 25  # rejected captions of one image after which its scene is drawn anew
ROUNDS = 1000  # of redrawing, after which the world counts as too small


@dataclass
class Split:
    """Scenes, and captions by (image index, language, number): meaning and text. `rejected` counts captions that were drawn and given up."""

    scenes: list[Scene] = field(default_factory=list)
    captions: dict[tuple[int, str, int], tuple[Meaning, str]] = field(default_factory=dict)
    rejected: int = 0


class Artist:
    """Draws scenes and captions of one split, each from a generator of its own."""

    def __init__(self, domain: str, seed: int, gists: int, split: str) -> None:
        self.domain, self.name = domain, f"{domain}/{seed}/{gists}/{split}"
        self.gists = draw_gists(domain, gists, Random(f"gists/{domain}/{seed}"))

    def scene(self, index: int, attempt: int = 0) -> Scene:
        """Scene of an image."""
        return draw_scene(self.domain, self.gists, Random(f"scene/{self.name}/{index}/{attempt}"))

    def caption(self, split: Split, key: tuple[int, str, int], attempt: int = 0) -> tuple[Meaning, str]:
        """Caption of an image that says something else than those it already has in the same language."""
        index, language, number = key
        drawn = takewhile(lambda other: (index, language, other) in split.captions, count())
        others = [split.captions[index, language, other][0] for other in drawn if other != number]
        rng = Random(f"caption/{self.name}/{index}/{language}/{number}/{attempt}")
        return draw_caption(split.scenes[index], language, self.domain, rng, others)


def draw_split(artist: Artist, size: int, captions: dict[str, int]) -> Split:
    """`size` images with `captions[language]` captions each."""
    split = Split([artist.scene(index) for index in range(size)])
    for index in range(size):
        for language, wanted in captions.items():
            for number in range(wanted):
                split.captions[index, language, number] = artist.caption(split, (index, language, number))
    return split


def make_unique(split: Split, artist: Artist, unlike: Sequence[Split], within: bool = True) -> None:
    """Redraw captions, and where that does not help scenes, until no caption fits two images, neither here nor between here and the galleries `unlike`.

    within: False allows that captions fit several images here, as in a pool of distractors that nobody queries.
    Raises InputError where the world is too small for so many different images.
    """
    foreign_scenes = SceneFacts.of([scene for other in unlike for scene in other.scenes])
    foreign_captions = CaptionFacts.of([meaning for other in unlike for meaning, _ in other.captions.values()])
    keys = list(split.captions)
    captions_of: dict[int, list[int]] = {}
    for row, key in enumerate(keys):
        captions_of.setdefault(key[0], []).append(row)
    owner = np.asarray([key[0] for key in keys], dtype=np.int64)
    captions, scenes = CaptionFacts.of([meaning for meaning, _ in split.captions.values()]), SceneFacts.of(split.scenes)
    attempts: Counter[int] = Counter()  # of a caption row
    scene_attempts: Counter[int] = Counter()
    tries: Counter[int] = Counter()  # of an image, since its scene was drawn
    new_captions, new_scenes = np.arange(len(keys)), np.arange(len(split.scenes))
    for _ in range(ROUNDS):
        bad_scenes = set(new_scenes[fitting_pairs(foreign_captions, scenes[new_scenes])[1]].tolist())
        bad_captions = _fit_elsewhere(captions, scenes, owner, new_captions, new_scenes) if within else set()
        bad_captions |= set(new_captions[fitting_pairs(captions[new_captions], foreign_scenes)[0]].tolist())
        if not bad_scenes and not bad_captions:
            return
        for row in bad_captions:
            tries[keys[row][0]] += 1
        bad_scenes |= {index for index, rejected in tries.items() if rejected > PATIENCE}
        split.rejected += len(bad_captions)
        for index in sorted(bad_scenes):
            scene_attempts[index] += 1
            tries[index] = 0
            split.scenes[index] = artist.scene(index, scene_attempts[index])
            bad_captions.update(captions_of.get(index, ()))
        for row in sorted(bad_captions):
            attempts[row] += 1
            split.captions[keys[row]] = artist.caption(split, keys[row], attempts[row])
        new_captions, new_scenes = (np.asarray(sorted(rows), dtype=np.int64) for rows in (bad_captions, bad_scenes))
        _replace(captions, new_captions, CaptionFacts.of([split.captions[keys[row]][0] for row in new_captions]))
        _replace(scenes, new_scenes, SceneFacts.of([split.scenes[index] for index in new_scenes]))
    raise InputError(f"pictogram world {artist.name}: no {len(split.scenes)} images with unique captions found; ask for fewer images or captions")


def _fit_elsewhere(captions: CaptionFacts, scenes: SceneFacts, owner: np.ndarray, new_captions: np.ndarray, new_scenes: np.ndarray) -> set[int]:
    """Rows of captions that fit an image other than their own, among the pairs in which the caption or the scene is new."""
    rows, cols = fitting_pairs(captions[new_captions], scenes)
    rows = new_captions[rows]
    more_rows, more_cols = fitting_pairs(captions, scenes[new_scenes]) if len(new_scenes) < len(scenes) else (rows[:0], cols[:0])
    rows, cols = np.concatenate([rows, more_rows]), np.concatenate([cols, new_scenes[more_cols]])
    return set(rows[owner[rows] != cols].tolist())


def _replace(facts: CaptionFacts | SceneFacts, rows: np.ndarray, new: CaptionFacts | SceneFacts) -> None:
    for name, array in vars(facts).items():
        array[rows] = getattr(new, name)
