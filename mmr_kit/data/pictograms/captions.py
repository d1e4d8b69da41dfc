"""Captions: what one says of a scene (exact facts), and the sentence for it in any of the four languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import NamedTuple

import numpy as np

from mmr_kit.data.pictograms.lexicon import NONE, conjunction, noun_phrase, relation_phrase
from mmr_kit.data.pictograms.scenes import DOMAINS, Domain, Scene, Thing

LEFT, RIGHT, ABOVE, BELOW = range(4)  # the order of lexicon.RELATIONS


class Meaning(NamedTuple):
    """What a caption says: 2-3 distinct objects, NONE-padded to 3; colour and size of each, NONE where unsaid; relations[i] of object i to object i + 1.

    Left of: in a smaller column, whatever the rows; right of: in a larger column; above: in a smaller row, whatever the columns; below: in a larger row.
    """

    objects: tuple[int, int, int]
    colours: tuple[int, int, int]
    sizes: tuple[int, int, int]
    relations: tuple[int, int]


def relations_of(first: Thing, second: Thing) -> list[int]:
    """The relations that hold of first to second: one or two, as two objects never share a cell."""
    holds = (first.col < second.col, first.col > second.col, first.row < second.row, first.row > second.row)
    return [relation for relation, true in enumerate(holds) if true]


def draw_meaning(scene: Scene, domain: Domain, rng: Random) -> Meaning:
    """Random true facts of a scene, as someone of the domain would choose them."""
    count = 3 if rng.random() < domain.third else 2
    things = rng.sample(scene.things, count)
    colours = [thing.colour if rng.random() < domain.says_colour else NONE for thing in things]
    sizes = [thing.size if rng.random() < domain.says_size else NONE for thing in things]
    relations = [rng.choice(relations_of(*pair)) if rng.random() < domain.says_relation else NONE for pair in pairwise(things)]
    pad = [NONE] * (3 - count)
    said = ([thing.object for thing in things], colours, sizes, relations)
    return Meaning(*(tuple(values + pad) for values in said))  # type: ignore[arg-type]


def phrase(meaning: Meaning, language: str, domain: Domain, rng: Random) -> str:
    """A meaning in words; each word that has a synonym is replaced by it with the domain's probability."""

    def synonym() -> bool:
        return rng.random() < domain.synonym

    things = [thing for thing in zip(meaning.objects, meaning.colours, meaning.sizes, strict=True) if thing[0] != NONE]
    words = [noun_phrase(language, "nom", things[0], (synonym(), synonym(), synonym()))]
    for relation, thing in zip(meaning.relations, things[1:], strict=False):
        synonyms = (synonym(), synonym(), synonym())
        if relation == NONE:
            words += [conjunction(language, synonym()), noun_phrase(language, "nom", thing, synonyms)]
        else:
            words.append(relation_phrase(language, relation, thing, synonyms, synonym()))
    return " ".join(words)


def draw_caption(scene: Scene, language: str, domain: str, rng: Random, unlike: Sequence[Meaning] = ()) -> tuple[Meaning, str]:
    """A random caption (meaning, text) of a scene in the manner of a domain; says something else than `unlike`, as far as 20 tries find it."""
    for _ in range(20):
        meaning = draw_meaning(scene, DOMAINS[domain], rng)
        if meaning not in unlike:
            break
    return meaning, phrase(meaning, language, DOMAINS[domain], rng)


@dataclass(frozen=True)
class CaptionFacts:
    """Meanings of n captions as arrays, int8: objects, colours, sizes (n, 3); relations (n, 2); see Meaning."""

    objects: np.ndarray
    colours: np.ndarray
    sizes: np.ndarray
    relations: np.ndarray

    @classmethod
    def of(cls, meanings: Sequence[Meaning]) -> CaptionFacts:
        """Pack meanings."""
        flat = np.asarray([sum(meaning, ()) for meaning in meanings], dtype=np.int8).reshape(-1, 11)
        return cls(flat[:, :3], flat[:, 3:6], flat[:, 6:9], flat[:, 9:])

    def __getitem__(self, rows: np.ndarray) -> CaptionFacts:
        """The facts of some captions."""
        return CaptionFacts(*(getattr(self, name)[rows] for name in CAPTION_ARRAYS))

    def __len__(self) -> int:
        return len(self.objects)


CAPTION_ARRAYS = ("objects", "colours", "sizes", "relations")
