"""Scenes, their pictures and regions, and how the domains differ."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.data.pictograms import drawing
from mmr_kit.data.pictograms.captions import DOMAINS, draw_caption
from mmr_kit.data.pictograms.lexicon import GLYPHS, NONE, OBJECTS, PAINTS, domain_objects
from mmr_kit.data.pictograms.scenes import CANVAS, CELL, SceneFacts, draw_gists, draw_scene

seeds = st.integers(0, 10**6)
domains = st.sampled_from(sorted(DOMAINS))


def scenes_of(domain: str, count: int, gists: int = 60) -> list:
    shared = draw_gists(domain, gists, Random("gists"))
    return [draw_scene(domain, shared, Random(f"{domain}/{index}")) for index in range(count)]


def test_domains_share_half_of_their_objects() -> None:
    a, b, pool = (set(domain_objects(domain)) for domain in ("a", "b", "pool"))
    assert (len(a), len(b), len(a & b), len(pool)) == (28, 28, 14, 42)
    assert a | b == pool == set(range(len(OBJECTS)))


@settings(max_examples=60, deadline=None)
@given(domain=domains, seed=seeds, gists=st.integers(0, 5))
def test_scene_is_well_formed(domain: str, seed: int, gists: int) -> None:
    scene = draw_scene(domain, draw_gists(domain, gists, Random(seed)), Random(seed + 1))
    assert 3 <= len(scene.things) <= 5
    assert len({thing.object for thing in scene.things}) == len(scene.things)
    assert len({(thing.row, thing.col) for thing in scene.things}) == len(scene.things)
    assert {thing.object for thing in scene.things} <= set(domain_objects(domain))
    for thing in scene.things:
        x1, y1, x2, y2 = drawing.box(thing)
        assert thing.col * CELL <= x1 < x2 <= (thing.col + 1) * CELL
        assert thing.row * CELL <= y1 < y2 <= (thing.row + 1) * CELL
        assert abs(max(x2 - x1, y2 - y1) - drawing.SIDES[thing.size]) <= 1


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_facts_keep_everything(seed: int) -> None:
    scenes = [draw_scene("pool", [], Random(f"{seed}/{index}")) for index in range(3)]
    facts = SceneFacts.of(scenes)
    for index, scene in enumerate(scenes):
        again = facts.scene(index)
        assert set(again.things) == set(scene.things)
        assert again.background == scene.background
        assert drawing.picture(again).tobytes() == drawing.picture(scene).tobytes()
    assert (facts.colour != NONE).sum() == sum(len(scene.things) for scene in scenes)


def test_gists_make_scenes_alike() -> None:
    def most_common_core(gists: int) -> int:
        triples = Counter(tuple(sorted(thing.object for thing in scene.things))[:3] for scene in scenes_of("a", 1500, gists))
        return triples.most_common(1)[0][1]

    assert most_common_core(60) > 3 * most_common_core(0)


def test_domains_look_and_speak_differently() -> None:
    scenes = {domain: scenes_of(domain, 600) for domain in DOMAINS}
    large = {d: np.mean([thing.size for scene in some for thing in scene.things]) for d, some in scenes.items()}
    bright = {d: np.mean([scene.background for scene in some]) for d, some in scenes.items()}
    assert large["a"] == pytest.approx(0.6, abs=0.05)
    assert large["b"] == pytest.approx(0.3, abs=0.05)
    assert bright["a"] > bright["pool"] > bright["b"]
    words = {}
    for domain, some in scenes.items():
        captions = [draw_caption(scene, "en", domain, Random(index))[1].split() for index, scene in enumerate(some)]
        words[domain] = Counter(word for caption in captions for word in caption)
        assert 8 < np.mean([len(caption) for caption in captions]) < 11
    assert words["a"]["crimson"] < words["a"]["red"] / 3
    assert words["b"]["crimson"] > words["b"]["red"] * 3
    assert words["b"]["with"] > words["b"]["and"] * 3
    assert words["b"]["tiny"] + words["b"]["small"] > words["a"]["tiny"] + words["a"]["small"]


def test_every_glyph_is_in_the_font_and_no_two_look_alike() -> None:
    shapes = []
    for number in range(len(GLYPHS)):
        shape = np.asarray(drawing.glyph(number, 1).resize((24, 24)), dtype=float)
        shapes.append(shape.ravel() - shape.mean())
        assert shape.max() > 150
        assert min(drawing.glyph(number, 0).size) >= 6
    units = np.stack(shapes) / np.linalg.norm(shapes, axis=1, keepdims=True)
    alike = units @ units.T - np.eye(len(GLYPHS))
    assert alike.max() < 0.85, np.unravel_index(alike.argmax(), alike.shape)


def test_picture_shows_each_object_in_its_paint_and_nothing_else() -> None:
    for scene in scenes_of("pool", 30):
        pixels = np.asarray(drawing.picture(scene)).astype(int)
        assert pixels.shape == (CANVAS, CANVAS, 3)
        painted = (pixels != np.asarray(scene.background)).any(axis=2)
        for thing in scene.things:
            x1, y1, x2, y2 = drawing.box(thing)
            inside = pixels[y1:y2, x1:x2].reshape(-1, 3)
            # a pictogram of thin strokes has no pixel of pure paint, but one nearer to it than to the background
            nearest = np.abs(inside - PAINTS[thing.colour]).sum(axis=1).min()
            assert nearest < 0.5 * np.abs(np.asarray(scene.background) - PAINTS[thing.colour]).sum()
            painted[y1:y2, x1:x2] = False
        assert not painted.any()


@settings(max_examples=40, deadline=None)
@given(domain=domains, seed=seeds)
def test_regions_are_the_picture_at_the_jittered_boxes(domain: str, seed: int) -> None:
    scene = draw_scene(domain, [], Random(seed))
    crops, boxes, things = drawing.regions(scene, Random(seed))
    assert crops.shape == (len(scene.things), drawing.CROP, drawing.CROP, 3)
    assert crops.dtype == np.uint8
    assert sorted(things) == sorted(scene.things)
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    exact = np.asarray([drawing.box(thing) for thing in things]) / CANVAS
    assert np.abs(boxes - exact).max() < 6 * drawing.JITTER / CANVAS
    image = drawing.picture(scene)
    for crop, box in zip(crops, boxes * CANVAS, strict=True):
        again = np.asarray(image.resize((drawing.CROP, drawing.CROP), drawing.Image.Resampling.BILINEAR, box=tuple(box.tolist())))
        assert np.abs(again.astype(int) - crop.astype(int)).max() <= 2


def test_region_order_carries_no_meaning() -> None:
    first = [drawing.regions(scene, Random(index))[2][0] for index, scene in enumerate(scenes_of("a", 400))]
    cells = Counter((thing.row, thing.col) for thing in first)
    assert len(cells) == 9
    assert max(cells.values()) < 2.5 * min(cells.values())
