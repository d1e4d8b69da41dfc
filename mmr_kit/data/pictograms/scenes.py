"""Random scenes of pictograms: what is where, in which colour and size, and how the domains differ.

A scene shares its "gist" (some objects, a palette) with many others of its domain, so that the global impression does not tell it apart; what is where and
which colour is on which object does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np

from mmr_kit.data.pictograms.lexicon import COLOURS, NONE, OBJECTS, PAINTS, domain_objects

CANVAS = 96  # side of a picture, pixels
GRID = 3  # cells a side
CELL = CANVAS // GRID
CORE = 4  # objects of a gist
PALETTE = 3  # colours of a gist
KEEP = 0.85  # probability that an object of the gist is in the scene
FROM_PALETTE = 0.8  # probability that a colour comes from the gist's palette
CONTRAST = 60.0  # least distance of a background from each pictogram's paint, in RGB


@dataclass(frozen=True)
class Domain:
    """Habits of a domain: how its pictures look and how people there describe them. Probabilities but for `background` (range of each RGB channel)."""

    background: tuple[int, int]
    large: float
    says_colour: float
    says_size: float
    says_relation: float
    synonym: float
    third: float = 0.35  # that a caption names three objects, not two


DOMAINS = {
    "a": Domain(background=(130, 215), large=0.6, says_colour=0.85, says_size=0.25, says_relation=0.5, synonym=0.1),
    "b": Domain(background=(60, 150), large=0.3, says_colour=0.8, says_size=0.45, says_relation=0.6, synonym=0.9),
    "pool": Domain(background=(60, 215), large=0.45, says_colour=0.85, says_size=0.35, says_relation=0.55, synonym=0.5),
}


class Thing(NamedTuple):
    """An object of a scene: numbers of object, colour and size; its cell; x, y in [0, 1): where in its cell, as a share of the room there."""

    object: int
    colour: int
    size: int
    row: int
    col: int
    x: float
    y: float


class Scene(NamedTuple):
    """3-5 distinct objects in distinct cells, and the background's RGB."""

    things: tuple[Thing, ...]
    background: tuple[int, int, int]


class Gist(NamedTuple):
    """Objects and colours that many scenes share."""

    core: tuple[int, ...]
    palette: tuple[int, ...]


def draw_gists(domain: str, count: int, rng: Random) -> list[Gist]:
    """`count` random gists of a domain."""
    objects = domain_objects(domain)
    return [Gist(tuple(rng.sample(objects, CORE)), tuple(rng.sample(range(len(COLOURS)), PALETTE))) for _ in range(count)]


def draw_scene(domain: str, gists: Sequence[Gist], rng: Random) -> Scene:
    """A random scene of a domain; without gists all objects and colours are equally likely."""
    objects = domain_objects(domain)
    gist = rng.choice(gists) if gists else None
    chosen = [number for number in gist.core if rng.random() < KEEP] if gist else []
    others = [number for number in objects if number not in chosen]
    chosen += rng.sample(others, max(rng.randint(3, 5) - len(chosen), 0))
    cells = rng.sample(range(GRID * GRID), len(chosen))
    things = []
    for number, cell in zip(chosen, cells, strict=True):
        palette = gist.palette if gist and rng.random() < FROM_PALETTE else range(len(COLOURS))
        size = int(rng.random() < DOMAINS[domain].large)
        # sixteenths are exact in every float format: a scene read back from disk is drawn to the pixel as it was
        x, y = rng.randrange(16) / 16, rng.randrange(16) / 16
        things.append(Thing(number, rng.choice(palette), size, cell // GRID, cell % GRID, x, y))
    return Scene(tuple(things), _draw_background(domain, things, rng))


def _draw_background(domain: str, things: list[Thing], rng: Random) -> tuple[int, int, int]:
    """A background that keeps off the paints in the scene, as far as 30 tries find one."""
    low, high = DOMAINS[domain].background
    for _ in range(30):
        red, green, blue = rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)
        paints = (PAINTS[thing.colour] for thing in things)
        if all((red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2 >= CONTRAST**2 for r, g, b in paints):
            break
    return red, green, blue


@dataclass(frozen=True)
class SceneFacts:
    """Facts of n scenes as arrays: [scene, object] -> value; colour, size, row and col are NONE (-1) where the object is absent.

    colour, size, row, col: int8 (n, objects); x, y: float32 (n, objects); background: uint8 (n, 3).
    """

    colour: np.ndarray
    size: np.ndarray
    row: np.ndarray
    col: np.ndarray
    x: np.ndarray
    y: np.ndarray
    background: np.ndarray

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> SceneFacts:
        """Pack scenes."""
        shape = (len(scenes), len(OBJECTS))
        colour, size, row, col = (np.full(shape, NONE, dtype=np.int8) for _ in range(4))
        x, y = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        at = np.asarray([(i, thing.object) for i, scene in enumerate(scenes) for thing in scene.things], dtype=np.int64).reshape(-1, 2)
        values = [thing[1:] for scene in scenes for thing in scene.things]
        arrays: tuple[np.ndarray, ...] = (colour, size, row, col, x, y)
        for array, column in zip(arrays, np.asarray(values).reshape(-1, 6).T, strict=True):
            array[at[:, 0], at[:, 1]] = column
        background = np.asarray([scene.background for scene in scenes], dtype=np.uint8).reshape(-1, 3)
        return cls(colour, size, row, col, x, y, background)

    def scene(self, index: int) -> Scene:
        """Unpack one scene (its objects in the order of their numbers)."""
        present = np.flatnonzero(self.colour[index] != NONE).tolist()
        columns = (self.colour, self.size, self.row, self.col, self.x, self.y)
        things = tuple(Thing(number, *(array[index, number].item() for array in columns)) for number in present)
        red, green, blue = self.background[index].tolist()
        return Scene(things, (red, green, blue))

    def __getitem__(self, rows: np.ndarray) -> SceneFacts:
        """The facts of some scenes."""
        return SceneFacts(*(getattr(self, name)[rows] for name in SCENE_ARRAYS))

    def __len__(self) -> int:
        return len(self.colour)


SCENE_ARRAYS = ("colour", "size", "row", "col", "x", "y", "background")
