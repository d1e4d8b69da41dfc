"""Pictures of scenes, their boxes and their region crops, drawn with the glyphs of the DejaVu Sans that comes with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmr_kit.data.pictograms.lexicon import GLYPHS, PAINTS
from mmr_kit.data.pictograms.scenes import CANVAS, CELL, Scene, Thing

SIDES = (18, 29)  # longer side of a small and of a large pictogram, pixels; below CELL, so that a pictogram stays in its cell
CROP = 16  # side of a region crop, pixels
JITTER = 1.2  # standard deviation of a detected edge around the true one, pixels
RENDERED = 160  # font size at which a glyph is rendered before it is scaled down, pixels


@cache
def glyph(number: int, size: int) -> Image.Image:
    """Bitmap (grey, tight) of an object at a size, its longer side SIDES[size] pixels."""
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), RENDERED)
    canvas = Image.new("L", (2 * RENDERED, 2 * RENDERED))
    ImageDraw.Draw(canvas).text((RENDERED // 2, RENDERED // 4), GLYPHS[number], fill=255, font=font)
    tight = canvas.crop(canvas.getbbox())
    scale = SIDES[size] / max(tight.size)
    width, height = (max(round(side * scale), 4) for side in tight.size)
    return tight.resize((width, height), Image.Resampling.LANCZOS)


def box(thing: Thing) -> tuple[int, int, int, int]:
    """Exact box of an object in its scene's picture: left, top, right, bottom in pixels. It lies within the object's cell."""
    width, height = glyph(thing.object, thing.size).size
    left = thing.col * CELL + int(thing.x * (CELL - width + 1))
    top = thing.row * CELL + int(thing.y * (CELL - height + 1))
    return left, top, left + width, top + height


def picture(scene: Scene) -> Image.Image:
    """The scene as an RGB picture, CANVAS x CANVAS pixels; the same scene gives the same pixels."""
    image = Image.new("RGB", (CANVAS, CANVAS), scene.background)
    for thing in scene.things:
        image.paste(PAINTS[thing.colour], box(thing), glyph(thing.object, thing.size))
    return image


def regions(scene: Scene, rng: Random) -> tuple[np.ndarray, np.ndarray, list[Thing]]:
    """What an imperfect detector would cut out: one region an object, in random order (a detector's order carries no meaning).

    Returns crops uint8 (n, CROP, CROP, 3), boxes float32 (n, 4) as shares of the canvas, and the objects in the same order.
    """
    image = picture(scene)
    things: Sequence[Thing] = rng.sample(scene.things, len(scene.things))
    crops, boxes = [], []
    for thing in things:
        x1, y1, x2, y2 = (min(max(edge + rng.gauss(0, JITTER), 0.0), float(CANVAS)) for edge in box(thing))
        x1, y1 = min(x1, CANVAS - 3), min(y1, CANVAS - 3)
        seen = (x1, y1, max(x2, x1 + 3), max(y2, y1 + 3))  # even a thin pictogram keeps a region
        crops.append(np.asarray(image.resize((CROP, CROP), Image.Resampling.BILINEAR, box=seen)))
        boxes.append(seen)
    return np.stack(crops), np.asarray(boxes, dtype=np.float32) / CANVAS, list(things)
