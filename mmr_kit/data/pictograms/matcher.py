"""Which captions fit which scenes: exact, and quick enough for every training step."""

from __future__ import annotations

import numpy as np

from mmr_kit.data.pictograms.captions import ABOVE, BELOW, LEFT, RIGHT, CaptionFacts
from mmr_kit.data.pictograms.lexicon import COLOURS, NONE, OBJECTS, SIZES
from mmr_kit.data.pictograms.scenes import SceneFacts

_COLOUR, _SIZE = len(OBJECTS), len(OBJECTS) * (1 + len(COLOURS))  # where the statements on colour and on size begin
_STATEMENTS = len(OBJECTS) * (1 + len(COLOURS) + len(SIZES))


def fits(captions: CaptionFacts, scenes: SceneFacts) -> np.ndarray:
    """Whether each caption is true of each scene, bool (captions, scenes).

    A statement is "object o is there", "o has colour c" or "o has size s". A caption demands some, a scene makes some true: the caption fits where the
    product of the two 0/1 matrices equals the number it demands. The few pairs that pass are then checked for the relations.
    """
    demanded, true = _demanded(captions), _true(scenes)
    fit = demanded @ true.T == demanded.sum(axis=1, keepdims=True)
    rows, cols = np.nonzero(fit)
    for slot in range(captions.relations.shape[1]):
        relation = captions.relations[rows, slot]
        said = relation != NONE
        caption, scene = rows[said], cols[said]
        first, second = captions.objects[caption, slot], captions.objects[caption, slot + 1]
        fit[caption, scene] &= _holds(relation[said], first, second, scenes, scene)
    return fit


def fitting_pairs(captions: CaptionFacts, scenes: SceneFacts) -> tuple[np.ndarray, np.ndarray]:
    """Rows of captions and of scenes that fit, for sets too large for one matrix: object by object, only the scenes that show what the caption names first."""
    found = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
    for number in range(len(OBJECTS)):
        rows = np.flatnonzero(captions.objects[:, 0] == number)
        cols = np.flatnonzero(scenes.colour[:, number] != NONE)
        some = scenes[cols]
        for start in range(0, len(rows), 2048) if len(cols) else ():
            part = rows[start : start + 2048]
            caption, scene = np.nonzero(fits(captions[part], some))
            found.append((part[caption], cols[scene]))
    caption_rows, scene_rows = (np.concatenate(side) for side in zip(*found, strict=True))
    return caption_rows, scene_rows


def _demanded(captions: CaptionFacts) -> np.ndarray:
    """Statements each caption makes, float32 0/1 (captions, statements)."""
    matrix = np.zeros((len(captions), _STATEMENTS), dtype=np.float32)
    objects = captions.objects.astype(np.int64)
    for start, value, width in ((0, np.zeros_like(objects), 1), (_COLOUR, captions.colours, len(COLOURS)), (_SIZE, captions.sizes, len(SIZES))):
        rows, slots = np.nonzero((objects != NONE) & (value != NONE))
        matrix[rows, start + objects[rows, slots] * width + value[rows, slots]] = 1
    return matrix


def _true(scenes: SceneFacts) -> np.ndarray:
    """Statements true of each scene, float32 0/1 (scenes, statements)."""
    matrix = np.zeros((len(scenes), _STATEMENTS), dtype=np.float32)
    rows, objects = np.nonzero(scenes.colour != NONE)
    matrix[rows, objects] = 1
    matrix[rows, _COLOUR + objects * len(COLOURS) + scenes.colour[rows, objects]] = 1
    matrix[rows, _SIZE + objects * len(SIZES) + scenes.size[rows, objects]] = 1
    return matrix


def _holds(relation: np.ndarray, first: np.ndarray, second: np.ndarray, scenes: SceneFacts, index: np.ndarray) -> np.ndarray:
    """Whether relation[i] holds of object first[i] to object second[i] in scene index[i]; both are there. Bool, of relation's shape."""
    across = scenes.col[index, first] - scenes.col[index, second]
    down = scenes.row[index, first] - scenes.row[index, second]
    return np.select([relation == LEFT, relation == RIGHT, relation == ABOVE, relation == BELOW], [across < 0, across > 0, down < 0, down > 0], default=False)
