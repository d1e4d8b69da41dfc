"""The matcher against a naive one, and against the words of the captions."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr_kit.data.pictograms import matcher
from mmr_kit.data.pictograms.captions import CaptionFacts, Meaning, draw_caption
from mmr_kit.data.pictograms.lexicon import COLOURS, LEXICON, NONE, OBJECTS, RELATIONS, SIZES, conjunction, noun_phrase, relation_phrase
from mmr_kit.data.pictograms.scenes import DOMAINS, Scene, SceneFacts, Thing, draw_gists, draw_scene

FEW = st.integers(0, 4)  # few objects and colours, so that many captions fit


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    objects = draw(st.lists(FEW, min_size=3, max_size=5, unique=True))
    cells = draw(st.lists(st.integers(0, 8), min_size=len(objects), max_size=len(objects), unique=True))
    looks = [draw(st.tuples(st.integers(0, 1), st.integers(0, 1))) for _ in objects]
    things = (Thing(number, *look, cell // 3, cell % 3, 0.0, 0.5) for number, cell, look in zip(objects, cells, looks, strict=True))
    return Scene(tuple(things), (100, 100, 100))


@st.composite
def meanings(draw: st.DrawFn) -> Meaning:
    objects = draw(st.lists(FEW, min_size=2, max_size=3, unique=True))
    maybe = st.sampled_from([NONE, NONE, 0, 1])
    colours, sizes = ([draw(maybe) for _ in objects] for _ in range(2))
    relations = [draw(st.integers(NONE, 3)) for _ in objects[1:]]
    pad = [NONE] * (3 - len(objects))
    return Meaning(*(tuple(values + pad) for values in (objects, colours, sizes, relations)))  # type: ignore[arg-type]


def fits_naively(meaning: Meaning, scene: Scene) -> bool:
    """Reads the definition of a caption's truth word by word, with no array."""
    there = {thing.object: thing for thing in scene.things}
    named = [number for number in meaning.objects if number != NONE]
    if not all(number in there for number in named):
        return False
    for number, colour, size in zip(named, meaning.colours, meaning.sizes, strict=False):
        if colour not in (NONE, there[number].colour) or size not in (NONE, there[number].size):
            return False
    for relation, (one, other) in zip(meaning.relations, itertools.pairwise(named), strict=False):
        first, second = there[one], there[other]
        true = {
            "left": first.col < second.col,
            "right": first.col > second.col,
            "above": first.row < second.row,
            "below": first.row > second.row,
        }
        if relation != NONE and not true[RELATIONS[relation]]:
            return False
    return True


@settings(max_examples=300, deadline=None)
@given(some=st.lists(scenes(), min_size=1, max_size=5), said=st.lists(meanings(), min_size=1, max_size=6))
def test_matcher_equals_brute_force(some: list[Scene], said: list[Meaning]) -> None:
    expected = np.asarray([[fits_naively(meaning, scene) for scene in some] for meaning in said])
    captions, facts = CaptionFacts.of(said), SceneFacts.of(some)
    assert (matcher.fits(captions, facts) == expected).all()
    found = np.zeros_like(expected)
    found[matcher.fitting_pairs(captions, facts)] = True
    assert (found == expected).all()


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_matcher_equals_brute_force_on_drawn_worlds(domain: str) -> None:
    gists = draw_gists(domain, 3, Random(0))
    some = [draw_scene(domain, gists, Random(f"s{index}")) for index in range(60)]
    said = [draw_caption(scene, "en", domain, Random(f"c{index}"))[0] for index, scene in enumerate(some)]
    expected = np.asarray([[fits_naively(meaning, scene) for scene in some] for meaning in said])
    assert expected.diagonal().all()
    assert expected.sum() > len(some)
    assert (matcher.fits(CaptionFacts.of(said), SceneFacts.of(some)) == expected).all()


def test_nothing_fits_nothing() -> None:
    captions, facts = CaptionFacts.of([]), SceneFacts.of([])
    assert matcher.fits(captions, facts).shape == (0, 0)
    assert len(matcher.fitting_pairs(captions, facts)[0]) == 0


TABLE = yaml.safe_load(LEXICON.read_text(encoding="utf-8"))


def parse_english(text: str) -> Meaning:
    """A caption's facts from its words alone, by the words of the YAML file; knows nothing of how captions are made."""
    objects = {noun["nom"]: number for number, entry in enumerate(TABLE["objects"].values()) for noun in entry["en"]}
    colours = {word: number for number, entry in enumerate(TABLE["colours"].values()) for word in entry["en"]}
    sizes = {word: number for number, entry in enumerate(TABLE["sizes"].values()) for word in entry["en"]}
    relations = {"left": 0, "right": 1, "above": 2, "over": 2, "below": 3, "beneath": 3}
    said: list[list[int]] = []
    between: list[int] = []
    colour = size = relation = NONE
    for word in text.split():
        if word in objects:
            if said:
                between.append(relation)
            said.append([objects[word], colour, size])
            colour = size = relation = NONE
        elif word in colours:
            colour = colours[word]
        elif word in sizes:
            size = sizes[word]
        elif word in relations:
            relation = relations[word]
        else:
            assert word in {"a", "an", "and", "with", "of", "to", "the"}, word
    pad = [[NONE] * 3] * (3 - len(said))
    columns = zip(*(said + pad), strict=True)
    return Meaning(*columns, tuple(between + [NONE] * (2 - len(between))))  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(domain=st.sampled_from(sorted(DOMAINS)), seed=st.integers(0, 10**6))
def test_english_captions_say_what_they_mean(domain: str, seed: int) -> None:
    scene = draw_scene(domain, [], Random(seed))
    meaning, text = draw_caption(scene, "en", domain, Random(seed))
    assert parse_english(text) == meaning
    assert fits_naively(meaning, scene)


@pytest.mark.parametrize("language", ["de", "fr", "cs"])
def test_other_captions_say_what_they_mean(language: str) -> None:
    things = list(itertools.product(range(len(OBJECTS)), range(NONE, len(COLOURS)), range(NONE, len(SIZES))))
    plain = (False, False, False)
    starts = {noun_phrase(language, "nom", thing): (NONE, thing) for thing in things}
    follows = {f"{conjunction(language)} {text}": value for text, value in starts.items()}
    follows |= {relation_phrase(language, relation, thing, plain, False): (relation, thing) for relation in range(4) for thing in things}
    assert len(follows) == 5 * len(things)  # no two facts share their words

    def parse(text: str) -> Meaning:
        words, parts = text.split(), []
        while words:
            known = follows if parts else starts
            length = next(length for length in range(len(words), 0, -1) if " ".join(words[:length]) in known)
            parts.append(known[" ".join(words[:length])])
            words = words[length:]
        said = [thing for _, thing in parts] + [(NONE,) * 3] * (3 - len(parts))
        relations = [relation for relation, _ in parts[1:]] + [NONE] * (3 - len(parts))
        return Meaning(*zip(*said, strict=True), tuple(relations))  # type: ignore[arg-type]

    for seed in range(150):
        domain = "abpool"[seed % 2]
        meaning, text = draw_caption(draw_scene(domain, [], Random(seed)), language, domain, Random(seed))
        assert parse(text) == meaning, text
