"""Captions with one word changed: which words can stand in another's place, and the sentence that results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mmr_kit.data.manifests import load_manifest
from mmr_kit.data.pictograms.lexicon import OBJECTS, domain_objects, lexicon

ARTICLES = ("a", "an")


def alternatives(dataset: str | Path, language: str, word: str) -> list[str]:
    """Words of another meaning that fit where `word` stands in a caption: another colour, size, object or relation in the same grammatical form.

    Empty where nothing is known: for other words, and for data sets that are not generated. dataset: a manifest's name or path.
    """
    generator = load_manifest(dataset).generator
    if generator is None:
        return []
    found = (form for family in _families(language, generator.domain) for form in _others(family, word))
    return list(dict.fromkeys(found))


def replaced(caption: str, place: int, word: str, language: str = "en") -> str:
    """The caption with its `place`-th word (from 0) replaced, the English indefinite article before it brought into line."""
    words = caption.split()
    if language == "en" and place and words[place - 1] in ARTICLES:
        words[place - 1] = ARTICLES[word.lower().startswith(tuple("aeiou"))]
    return " ".join([*words[:place], *word.split(), *words[place + 1 :]])


def _others(family: Mapping[str, list[str]], word: str) -> list[str]:
    """The first form of every other meaning, where the word is in the family."""
    meanings = [meaning for meaning, forms in family.items() if word in forms]
    return [forms[0] for meaning, forms in family.items() if forms and meaning not in meanings] if meanings else []


def _families(language: str, domain: str) -> Iterator[dict[str, list[str]]]:
    """Families of words that can stand in one another's place: meaning -> its words in one grammatical form, the plain one first."""
    grammar, objects = lexicon().languages[language], {OBJECTS[number] for number in domain_objects(domain)}  # type: ignore[index]
    for case, forms in grammar.cases.items():
        for gender in grammar.genders:
            for table in (lexicon().colours, lexicon().sizes):
                yield {name: [word[gender] if isinstance(word, dict) else word + forms.ending[gender] for word in getattr(entry, language)]
                       for name, entry in table.items()}  # fmt: skip
            nouns = {name: [noun for noun in getattr(lexicon().objects[name], language) if noun.gender == gender] for name in OBJECTS if name in objects}
            yield {name: [getattr(noun, case) for noun in of_gender if " " not in str(getattr(noun, case))] for name, of_gender in nouns.items()}
    phrases = [(name, word.case, word.text.split()) for name, words in grammar.relations.items() for word in words]
    for _, case, words in phrases:  # phrases that differ in one word: "left of {}", "right of {}"
        for place in range(len(words)):
            family: dict[str, list[str]] = {}
            for name, other_case, others in phrases:
                if other_case == case and others[:place] + others[place + 1 :] == words[:place] + words[place + 1 :]:
                    family.setdefault(name, []).append(others[place])
            yield family
