"""The words of the pictogram world: reads `lexicon.yaml` and builds grammatical noun phrases from it.

Objects, colours, sizes and relations are numbers everywhere else; their names and order are those of the YAML file.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmr_kit.errors import InputError

LEXICON = Path(__file__).with_name("lexicon.yaml")
LANGUAGES = ("en", "de", "fr", "cs")
RELATIONS = ("left", "right", "above", "below")
NONE = -1  # of a colour, size, relation or third object: the caption does not say

Gender = Literal["m", "f", "n"]
Case = Literal["nom", "gen", "dat", "ins"]
Word = TypeVar("Word")
Adjective = str | dict[Gender, str]  # a stem that takes the case's ending, or the finished forms
Adjectives = Annotated[list[Adjective], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseForms(_Strict):
    """What one case does to an article and to the end of an adjective, by gender."""

    article: dict[Gender, str] = {}
    ending: dict[Gender, str]


class RelationWord(_Strict):
    """A relation's wording: `{}` in `text` stands for the noun phrase, put in `case`."""

    text: str = Field(pattern=r"^[^{}]+\{\}$")
    case: Case


class Grammar(_Strict):
    """How one language builds a noun phrase and joins two."""

    order: list[Literal["article", "size", "colour", "noun"]]
    genders: list[Gender]
    cases: dict[Case, CaseForms]
    article_before_vowel: str | None = None
    conjunction: list[str] = Field(min_length=1)
    relations: dict[Literal["left", "right", "above", "below"], Annotated[list[RelationWord], Field(min_length=1)]]


class Noun(_Strict):
    """A noun's gender and its forms by case."""

    gender: Gender = "n"
    nom: str
    gen: str | None = None
    dat: str | None = None
    ins: str | None = None


Nouns = Annotated[list[Noun], Field(min_length=1)]


class Size(_Strict):
    """The words for a size, by language."""

    en: Adjectives
    de: Adjectives
    fr: Adjectives
    cs: Adjectives


class Colour(Size):
    """The words for a colour, by language, and its paint (red, green, blue; 0-255)."""

    rgb: tuple[int, int, int]


class Object(_Strict):
    """A pictogram: its character in DejaVu Sans, the domains it occurs in, and its nouns by language."""

    glyph: str = Field(min_length=1, max_length=1)
    domains: Literal["a", "b", "ab"]
    en: Nouns
    de: Nouns
    fr: Nouns
    cs: Nouns


class Lexicon(_Strict):
    """The whole file. Raises a ValidationError where a form is missing that a caption could ask for."""

    languages: dict[Literal["en", "de", "fr", "cs"], Grammar]
    sizes: dict[str, Size]
    colours: dict[str, Colour]
    objects: dict[str, Object]

    @model_validator(mode="after")
    def _has_every_form(self) -> Lexicon:
        for language, grammar in self.languages.items():
            if set(grammar.relations) != set(RELATIONS):
                raise ValueError(f"{language}: relations must be {', '.join(RELATIONS)}")
            asked = {"nom"} | {word.case for words in grammar.relations.values() for word in words}
            for case in asked:
                if case not in grammar.cases or set(grammar.cases[case].ending) != set(grammar.genders):
                    raise ValueError(f"{language}: case {case} lacks the endings of genders {grammar.genders}")
                if "article" in grammar.order and set(grammar.cases[case].article) != set(grammar.genders):
                    raise ValueError(f"{language}: case {case} lacks the articles of genders {grammar.genders}")
                for name, entry in self.objects.items():
                    for noun in getattr(entry, language):
                        if getattr(noun, case) is None or noun.gender not in grammar.genders:
                            raise ValueError(f"objects.{name}.{language}: lacks a gender of {grammar.genders} or the form {case}")
            for name, words in [*self.sizes.items(), *self.colours.items()]:
                for word in getattr(words, language):
                    if isinstance(word, dict) and set(word) != set(grammar.genders):
                        raise ValueError(f"{name}.{language}: forms must be those of genders {grammar.genders}")
        return self


def load_lexicon(path: Path = LEXICON) -> Lexicon:
    """Read and check a lexicon file; raises InputError that names the place of a fault."""
    try:
        return Lexicon.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; install mmr_kit again") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise InputError(f"{path}: {error}; correct the lexicon") from None


@cache
def lexicon() -> Lexicon:
    """The kit's own lexicon, read once."""
    return load_lexicon()


OBJECTS = tuple(lexicon().objects)
COLOURS = tuple(lexicon().colours)
SIZES = tuple(lexicon().sizes)
PAINTS = tuple(entry.rgb for entry in lexicon().colours.values())
GLYPHS = tuple(entry.glyph for entry in lexicon().objects.values())


def domain_objects(domain: str) -> list[int]:
    """Numbers of the objects that occur in domain "a" or "b"; of all objects for "pool"."""
    return [number for number, entry in enumerate(lexicon().objects.values()) if domain == "pool" or domain in entry.domains]


@cache
def noun_phrase(language: str, case: Case, thing: tuple[int, int, int], synonyms: tuple[bool, bool, bool] = (False, False, False)) -> str:
    """The words for (object, colour or NONE, size or NONE) in a case; `synonyms` says for which of the three to take a synonym, where there is one."""
    grammar = lexicon().languages[language]  # type: ignore[index]
    noun = _pick(getattr(lexicon().objects[OBJECTS[thing[0]]], language), synonyms[0])
    ending = grammar.cases[case].ending[noun.gender]
    parts: dict[str, str] = {"noun": getattr(noun, case)}
    for part, names, table, number, synonym in (
        ("colour", COLOURS, lexicon().colours, thing[1], synonyms[1]),
        ("size", SIZES, lexicon().sizes, thing[2], synonyms[2]),
    ):
        if number != NONE:
            word = _pick(getattr(table[names[number]], language), synonym)
            parts[part] = word[noun.gender] if isinstance(word, dict) else word + ending
    words = [parts[part] for part in grammar.order if part in parts]
    if "article" in grammar.order:
        article = grammar.cases[case].article[noun.gender]
        before_vowel = grammar.article_before_vowel and words[0][0] in "aeiou"
        words.insert(0, grammar.article_before_vowel if before_vowel else article)  # type: ignore[arg-type]
    return " ".join(words)


def relation_phrase(language: str, relation: int, thing: tuple[int, int, int], synonyms: tuple[bool, bool, bool], synonym: bool) -> str:
    """A relation and the noun phrase it governs, as in "links von einem roten Stern"."""
    word = _pick(lexicon().languages[language].relations[RELATIONS[relation]], synonym)  # type: ignore[index]
    return word.text.format(noun_phrase(language, word.case, thing, synonyms))


def conjunction(language: str, synonym: bool = False) -> str:
    """The word for "and"."""
    return _pick(lexicon().languages[language].conjunction, synonym)  # type: ignore[index]


@cache
def synonym_count(language: str) -> int:
    """How many words (of objects, colours, sizes, relations, conjunction) have a synonym."""
    grammar = lexicon().languages[language]  # type: ignore[index]
    entries = [*lexicon().objects.values(), *lexicon().colours.values(), *lexicon().sizes.values()]
    words = [getattr(entry, language) for entry in entries] + list(grammar.relations.values()) + [grammar.conjunction]
    return sum(len(choices) > 1 for choices in words)


def vocabulary(languages: tuple[str, ...] | list[str] = LANGUAGES) -> list[str]:
    """Every word of any caption in these languages, lower case, sorted: what a tokenizer that splits at spaces needs."""
    words: set[str] = set()
    flags = (False, True)
    for language in languages:
        for synonym in flags:
            words.update(conjunction(language, synonym).split())
        for number in range(len(OBJECTS)):
            for colour in range(NONE, len(COLOURS)):
                for size in range(NONE, len(SIZES)):
                    for synonym in flags:
                        chosen = (synonym, synonym, synonym)
                        words.update(noun_phrase(language, "nom", (number, colour, size), chosen).split())
                        for relation in range(len(RELATIONS)):
                            words.update(relation_phrase(language, relation, (number, colour, size), chosen, synonym).split())
    return sorted({word.lower() for word in words})


def _pick(words: list[Word], synonym: bool) -> Word:
    """The plain word, or the first synonym where one is wanted and exists."""
    return words[min(int(synonym), len(words) - 1)]
