"""Grammar of four languages, by hand-written phrases, and the lexicon file itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from mmr_kit.data.pictograms import lexicon as words
from mmr_kit.data.pictograms.lexicon import COLOURS, LANGUAGES, LEXICON, NONE, OBJECTS, RELATIONS, SIZES, load_lexicon, noun_phrase, relation_phrase, vocabulary
from mmr_kit.errors import InputError

PLAIN, OTHER = (False, False, False), (True, True, True)


def thing(text: str) -> tuple[int, int, int]:
    """ "small red star" -> numbers of object, colour and size."""
    *adjectives, name = text.split()
    colours = [COLOURS.index(word) for word in adjectives if word in COLOURS]
    sizes = [SIZES.index(word) for word in adjectives if word in SIZES]
    return OBJECTS.index(name), *(colours or [NONE]), *(sizes or [NONE])  # type: ignore[return-value]


NOUN_PHRASES = {
    "en": {
        "star": "a star",
        "umbrella": "an umbrella",
        "urn": "an urn",
        "red umbrella": "a red umbrella",
        "orange star": "an orange star",
        "small orange anchor": "a small orange anchor",
        "large black airplane": "a large black airplane",
        "white arrow": "a white arrow",
        "large heart": "a large heart",
    },
    "de": {
        "star": "ein Stern",
        "red star": "ein roter Stern",
        "small red star": "ein kleiner roter Stern",
        "large white snowman": "ein großer weißer Schneemann",
        "black pawn": "ein schwarzer Bauer",
        "flower": "eine Blume",
        "orange flower": "eine orangefarbene Blume",
        "large green scale": "eine große grüne Waage",
        "purple queen": "eine violette Königin",
        "heart": "ein Herz",
        "blue heart": "ein blaues Herz",
        "small yellow house": "ein kleines gelbes Haus",
        "large gear": "ein großes Zahnrad",
    },
    "fr": {
        "sun": "un soleil",
        "green sun": "un soleil vert",
        "small white king": "un petit roi blanc",
        "large blue snowman": "un grand bonhomme de neige bleu",
        "orange cloud": "un nuage orange",
        "red heart": "un cœur rouge",
        "star": "une étoile",
        "small red star": "une petite étoile rouge",
        "large white gear": "une grande roue dentée blanche",
        "green flower": "une fleur verte",
        "purple moon": "une lune violette",
        "orange house": "une maison orange",
        "large black scale": "une grande balance noire",
        "blue anchor": "une ancre bleue",
    },
    "cs": {
        "king": "král",
        "white king": "bílý král",
        "small red snowman": "malý červený sněhulák",
        "large black house": "velký černý dům",
        "star": "hvězda",
        "orange star": "oranžová hvězda",
        "small green rook": "malá zelená věž",
        "large coffin": "velká rakev",
        "sun": "slunce",
        "yellow sun": "žluté slunce",
        "large purple gear": "velké fialové ozubené kolo",
        "small blue airplane": "malé modré letadlo",
    },
}

RELATION_PHRASES = {
    "en": {
        ("left", "red star"): "left of a red star",
        ("right", "orange star"): "right of an orange star",
        ("above", "small urn"): "above a small urn",
        ("below", "umbrella"): "below an umbrella",
    },
    "de": {
        ("left", "small red star"): "links von einem kleinen roten Stern",
        ("right", "heart"): "rechts von einem Herzen",
        ("above", "white comet"): "über einem weißen Kometen",
        ("below", "large black pawn"): "unter einem großen schwarzen Bauern",
        ("left", "orange flower"): "links von einer orangefarbenen Blume",
        ("above", "small blue coffin"): "über einem kleinen blauen Sarg",
        ("below", "large queen"): "unter einer großen Königin",
        ("right", "green house"): "rechts von einem grünen Haus",
    },
    "fr": {
        ("left", "star"): "à gauche d'une étoile",
        ("right", "small red heart"): "à droite d'un petit cœur rouge",
        ("above", "white flag"): "au-dessus d'un drapeau blanc",
        ("below", "large white flower"): "au-dessous d'une grande fleur blanche",
    },
    "cs": {
        ("left", "small red star"): "vlevo od malé červené hvězdy",
        ("right", "white king"): "vpravo od bílého krále",
        ("left", "large yellow sun"): "vlevo od velkého žlutého slunce",
        ("right", "black coffin"): "vpravo od černé rakve",
        ("left", "blue gear"): "vlevo od modrého ozubeného kola",
        ("above", "black rook"): "nad černou věží",
        ("below", "green moon"): "pod zeleným měsícem",
        ("above", "large purple heart"): "nad velkým fialovým srdcem",
        ("below", "small white snowflake"): "pod malou bílou vločkou",
        ("below", "keyboard"): "pod klávesnicí",
    },
}


@pytest.mark.parametrize(("language", "said", "expected"), [(x, said, text) for x, table in NOUN_PHRASES.items() for said, text in table.items()])
def test_noun_phrase_agrees(language: str, said: str, expected: str) -> None:
    assert noun_phrase(language, "nom", thing(said)) == expected


@pytest.mark.parametrize(("language", "said", "expected"), [(x, said, text) for x, table in RELATION_PHRASES.items() for said, text in table.items()])
def test_relation_governs_its_case(language: str, said: tuple[str, str], expected: str) -> None:
    assert relation_phrase(language, RELATIONS.index(said[0]), thing(said[1]), PLAIN, False) == expected


def test_tables_have_each_gender() -> None:
    for language, table in NOUN_PHRASES.items():
        genders = {getattr(words.lexicon().objects[said.split()[-1]], language)[0].gender for said in table}
        assert genders == set(words.lexicon().languages[language].genders)  # type: ignore[index]


# Genders written a second time, from a dictionary, so that a slip in one place shows.
GENDERS = {
    "de": {
        "m": "umbrella letter bolt die arrow comet moon star snowman anchor knight rook king skull pencil bishop pawn coffin hammer",
        "f": "cup flower sun cloud note snowflake queen diamond flag urn scale hand keyboard",
        "n": "telephone airplane gear face house heart clover cross atom triangle",
    },
    "fr": {
        "m": "umbrella telephone airplane bolt die face sun cloud heart snowman knight king clover snowflake skull pencil bishop pawn diamond flag coffin atom "
        "keyboard hammer triangle",
        "f": "cup letter flower gear arrow comet moon house star anchor rook note queen urn cross scale hand",
    },
    "cs": {
        "m": "umbrella telephone cup letter bolt face moon house cloud snowman knight king clover bishop pawn diamond cross atom triangle",
        "f": "flower die arrow comet star anchor rook note snowflake skull pencil queen flag coffin urn scale hand keyboard",
        "n": "airplane gear sun heart hammer",
    },
}


@pytest.mark.parametrize("language", GENDERS)
def test_genders(language: str) -> None:
    expected = {name: gender for gender, names in GENDERS[language].items() for name in names.split()}
    assert {name: getattr(entry, language)[0].gender for name, entry in words.lexicon().objects.items()} == expected


def test_czech_noun_endings_follow_gender() -> None:
    for entry in words.lexicon().objects.values():
        for noun in entry.cs:
            assert noun.ins is not None
            assert noun.ins.endswith(("ou", "í") if noun.gender == "f" else "em"), noun
            assert (noun.gen or "").endswith({"m": ("u", "e", "a"), "f": ("y", "e"), "n": ("a", "e")}[noun.gender]), noun


def test_german_datives_are_nominatives_but_for_weak_nouns() -> None:
    changed = {noun.nom: noun.dat for entry in words.lexicon().objects.values() for noun in entry.de if noun.dat != noun.nom}
    assert changed == {"Komet": "Kometen", "Herz": "Herzen", "Bauer": "Bauern"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_different_things_have_different_words(language: str) -> None:
    things = list(itertools.product(range(len(OBJECTS)), range(NONE, len(COLOURS)), range(NONE, len(SIZES))))
    for case in words.lexicon().languages[language].cases:  # type: ignore[index]
        for synonyms in (PLAIN, OTHER):
            assert len({noun_phrase(language, case, one, synonyms) for one in things}) == len(things)
    nouns = [noun.nom for entry in words.lexicon().objects.values() for noun in getattr(entry, language)]
    assert len(set(nouns)) == len(nouns)


def test_synonyms() -> None:
    assert words.synonym_count("en") >= 36
    assert noun_phrase("en", "nom", thing("small blue umbrella"), OTHER) == "a tiny azure parasol"
    assert noun_phrase("en", "nom", thing("blue house"), (False, True, False)) == "an azure house"
    assert relation_phrase("en", RELATIONS.index("left"), thing("red star"), OTHER, True) == "to the left of a crimson star"
    assert words.conjunction("en", True) == "with"


def test_vocabulary_is_lower_case_sorted_and_whole() -> None:
    for language in LANGUAGES:
        known = vocabulary([language])
        assert known == sorted({word.lower() for word in known})
    assert set(vocabulary(["en", "de"])) == set(vocabulary(["en"])) | set(vocabulary(["de"]))
    assert {"d'une", "étoile", "rouge"} <= set(vocabulary(["fr"]))
    assert {"herzen", "großes", "einem"} <= set(vocabulary(["de"]))


def test_lexicon_refuses_faults(tmp_path: Path) -> None:
    content = yaml.safe_load(LEXICON.read_text(encoding="utf-8"))
    faults = {
        "no dative": lambda c: c["objects"]["star"]["de"][0].pop("dat"),
        "gender": lambda c: c["objects"]["star"]["fr"][0].update(gender="n"),
        "unknown key": lambda c: c["objects"]["star"].update(it="stella"),
        "relation": lambda c: c["languages"]["en"]["relations"].pop("left"),
        "ending": lambda c: c["languages"]["cs"]["cases"]["ins"]["ending"].pop("f"),
        "adjective": lambda c: c["colours"]["red"]["fr"][0].pop("f"),
        "place": lambda c: c["languages"]["en"]["relations"]["left"][0].update(text="left of"),
        "article": lambda c: c["languages"]["de"]["cases"]["dat"]["article"].pop("m"),
        "no word": lambda c: c["objects"]["star"].update(cs=[]),
    }
    path = tmp_path / "lexicon.yaml"
    for fault in faults.values():
        broken = yaml.safe_load(yaml.safe_dump(content))
        fault(broken)
        path.write_text(yaml.safe_dump(broken), encoding="utf-8")
        with pytest.raises(InputError, match="correct the lexicon"):
            load_lexicon(path)
    path.write_text("languages: [", encoding="utf-8")
    with pytest.raises(InputError, match="correct the lexicon"):
        load_lexicon(path)
    with pytest.raises(InputError, match="missing"):
        load_lexicon(tmp_path / "absent.yaml")
