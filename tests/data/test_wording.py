"""Words to change in captions: another meaning in the same form, and captions that stay grammatical."""

import pytest

from mmr_kit.data.wording import alternatives, replaced

COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "black", "white"]


@pytest.mark.parametrize(
    ("language", "word", "expected"),
    [
        ("en", "red", COLOURS[1:]),
        ("en", "crimson", COLOURS[1:]),
        ("en", "left", ["right"]),
        ("en", "over", ["below"]),
        ("en", "tiny", ["large"]),
        ("de", "rotes", ["orangefarbenes", "gelbes", "grünes", "blaues", "violettes", "schwarzes", "weißes"]),
        ("de", "links", ["rechts"]),
        ("fr", "gauche", ["droite"]),
        ("fr", "vertes", []),
        ("cs", "pod", ["nad"]),
        ("en", "of", []),
        ("en", "a", []),
    ],
)
def test_alternatives_have_another_meaning_in_the_same_form(language: str, word: str, expected: list[str]) -> None:
    assert alternatives("smoke_a", language, word) == expected


def test_objects_are_those_of_the_domain_and_of_the_same_gender() -> None:
    in_a, in_b = alternatives("smoke_a", "en", "star"), alternatives("smoke_b", "en", "moon")
    assert {"umbrella", "moon"} <= set(in_a)
    assert "star" not in in_a
    assert set(in_a) != set(in_b)
    feminine = alternatives("smoke_a", "de", "Tasse")
    assert "Blume" in feminine
    assert not {"Tasse", "Stern", "Telefon"} & set(feminine)


def test_nothing_is_known_of_photographs() -> None:
    assert alternatives("flickr8k", "en", "red") == []


@pytest.mark.parametrize(
    ("place", "word", "language", "expected"),
    [
        (1, "red", "en", "a red star above a moon"),
        (3, "below", "en", "an orange star below a moon"),
        (5, "umbrella", "en", "an orange star above an umbrella"),
        (1, "very old", "en", "a very old star above a moon"),
        (5, "umbrella", "cs", "an orange star above a umbrella"),
        (0, "the", "en", "the orange star above a moon"),
        (1, "", "en", "a star above a moon"),
    ],
)
def test_a_replaced_word_takes_its_article_along(place: int, word: str, language: str, expected: str) -> None:
    assert replaced("an  orange star above a moon", place, word, language) == expected
