"""Trained models at hand for single questions: each loaded once, each collection embedded once; what they answer, why, and how they react to another word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.errors import InputError
from mmr_kit.experiments import METHODS, Evaluation
from mmr_kit.models.attribution import WordRegions, word_regions
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.recipes import Recipe
from mmr_kit.reporting.word_regions import Reaction, Reading
from mmr_kit.retrieval.metrics import first_relevant
from mmr_kit.retrieval.ranking import Ranking
from mmr_kit.retrieval.searcher import QUERY, Answer, Searcher

OFFERED = ("SEP+COOP", "JOINT+COOP", "BE", "CE")
HALVES = ("JOINT+BE", "JOINT+CE")  # offered beside JOINT+COOP where BE and CE are not there


@dataclass(frozen=True)
class Question:
    """One query and how it is to be answered.

    query: a caption in "image_retrieval", an image's id in "text_retrieval". k, combination, weight: see `Candidates.ranking`. with_distractors: whether they
    are merged into the collection; never where CE alone ranks.
    """

    query: str
    method: str
    direction: str = "image_retrieval"
    k: int = 10
    combination: str = "none"
    weight: float = 0.5
    language: str = "en"
    with_distractors: bool = False


class Workbench:
    """The trained models of the first data set and seed of `recipes` (as `make_recipes` gives them), on its test split.

    distractors: data sets whose test images can be merged into the collection, as in `Evaluation`. ce_images: the gallery where CE alone scores every pair, so
    many images of the test split (0: all).
    """

    def __init__(self, recipes: Mapping[tuple[str, str, int], Recipe], distractors: Iterable[str] = (), ce_images: int = 100) -> None:
        if not recipes:
            raise InputError("there are no models to explore; give recipes, as make_recipes gives them")
        (_, self.dataset, seed), *_ = recipes
        self.recipes = {model: recipe for (model, dataset, of_seed), recipe in recipes.items() if (dataset, of_seed) == (self.dataset, seed)}
        able = [method for method in OFFERED + HALVES if {part for part in METHODS[method] if part} <= set(self.recipes)]
        self.methods = [method for method in able if method in OFFERED or not {"BE", "CE"} <= set(able)]
        if not self.methods:
            raise InputError(f"{', '.join(self.recipes)}: none of these models retrieves or reranks; give BE, CE or JOINT")
        self.languages = next(iter(self.recipes.values())).languages
        self.distractors, self.ce_images = tuple(distractors), ce_images
        self.model, self.engine = cache(self._model), cache(self._engine)  # once for each of their arguments
        self._data, self._texts, self._searcher = cache(self._make_data), cache(self._make_texts), cache(self._make_searcher)

    # -- questions --------------------------------------------------------------------------------------------------------------------------

    def data(self, question: Question) -> RetrievalDataset:
        """The gallery in which the question is asked."""
        return self._data(question.language, *self._gallery(question))

    def ask(self, question: Question) -> Answer:
        """The answer; its query's id is `QUERY`. Raises InputError for an empty caption."""
        retriever, reranker = METHODS[question.method]
        query = question.query if question.direction == "image_retrieval" else self.data(question).regions[question.query]
        searcher = self._searcher(retriever, question.language, *self._gallery(question))
        return searcher.ask(question.direction, query, question.k, self.engine(reranker) if reranker else None, question.combination, question.weight)

    def right(self, question: Question) -> set[str]:
        """Ids of the right answers in the gallery; none for a caption of one's own."""
        captions = self.data(question).captions
        if question.direction == "text_retrieval":
            return {caption.caption_id for caption in captions if caption.image_id == question.query}
        return {caption.image_id for caption in captions if caption.text == question.query}

    def texts(self, question: Question) -> tuple[dict[str, str], dict[str, str]]:
        """Of the gallery: caption id -> text, and image id -> the first of its captions."""
        return self._texts(question.language, *self._gallery(question))

    def most_moved(self, question: Question, captions: Iterable[str]) -> str:
        """The caption, of those given, whose right image the reranking brings up furthest."""
        climbs = {}
        for caption in captions:
            asked = replace(question, query=caption)
            answer, right = self.ask(asked), {QUERY: self.right(asked)}
            before, after = (first_relevant(ranking, right)[0] for ranking in (answer.retrieved or answer.ranking, answer.ranking))
            climbs[caption] = before - after
        return max(climbs, key=climbs.__getitem__)

    # -- reasons ----------------------------------------------------------------------------------------------------------------------------

    def pair(self, question: Question, item: str) -> tuple[str, str]:
        """The caption, and the image's id, that the query and one of its answers are."""
        if question.direction == "image_retrieval":
            return question.query, item
        return self.texts(question)[0][item], question.query

    def beside(self, question: Question) -> tuple[str, str]:
        """The models that retrieve and that rerank in the question's method; for a method that has but one of them, the other is the one of SEP or of JOINT.

        "" where nothing can retrieve. Raises InputError where nothing can rerank."""
        retriever, reranker = METHODS[question.method]
        found = [name or next((other for other in (usual, "JOINT") if other in self.recipes), "") for name, usual in ((retriever, "BE"), (reranker, "CE"))]
        if not found[1]:
            raise InputError(f"to say why, a model that scores pairs is needed, CE or JOINT; there is {', '.join(self.recipes)}")
        return found[0], found[1]

    def explain(self, question: Question, caption: str, image_id: str) -> WordRegions:
        """Which words of the caption look at which regions of the image, in the model that reranks."""
        return word_regions(self.model(self.beside(question)[1]), caption, self.data(question).regions[image_id])

    def react(self, question: Question, candidates: list[str], item: str, changed: str) -> list[Reaction]:
        """What BE (where there is one) and CE say when the caption of the query and one of its answers is changed; places are among the candidates, which stay
        the same."""
        pairs = [self.pair(question, candidate) for candidate in candidates]
        everywhere = question.direction == "image_retrieval"  # where the caption is the query, every pair has it
        others = [(changed if everywhere or candidate == item else caption, image) for candidate, (caption, image) in zip(candidates, pairs, strict=True)]
        captions, images = [caption for caption, _ in pairs + others], [self.data(question).regions[image] for _, image in pairs + others]
        retriever, reranker = self.beside(question)
        said = [(reranker, "match", self.engine(reranker).score_pairs(captions, images))]
        if retriever:
            cosines = (self.engine(retriever).embed_texts(captions) * self.engine(retriever).embed_images(images)).sum(1)
            said.insert(0, (retriever, "cosine", cosines))
        reactions = []
        for model, score, values in said:
            halves = np.split(values, 2)
            rankings = (Ranking.from_scores(question.direction, [QUERY], [candidates], [half]) for half in halves)
            before, after = (Reading(float(half[candidates.index(item)]), ranking.candidate_ids[0].index(item) + 1)
                             for half, ranking in zip(halves, rankings, strict=True))
            reactions.append(Reaction(named(model, "BE" if score == "cosine" else "CE"), score, before, after))
        return reactions

    # -- made once --------------------------------------------------------------------------------------------------------------------------

    def _gallery(self, question: Question) -> tuple[bool, bool]:
        """Whether it is CE's own, and whether distractors are among it."""
        is_of_ce = METHODS[question.method][0] is None
        return is_of_ce, question.with_distractors and not is_of_ce

    def _make_data(self, language: str, is_of_ce: bool, with_distractors: bool) -> RetrievalDataset:
        whole = Evaluation("the explorer", self.dataset, next(iter(self.recipes.values())), languages=(language,),
                           distractors=self.distractors if with_distractors else ())  # fmt: skip
        fewer = is_of_ce and 0 < self.ce_images < len(whole.data().image_ids)
        return replace(whole, images=self.ce_images).data() if fewer else whole.data()

    def _make_texts(self, *gallery: Any) -> tuple[dict[str, str], dict[str, str]]:
        captions = self._data(*gallery).captions
        return {caption.caption_id: caption.text for caption in captions}, {caption.image_id: caption.text for caption in reversed(captions)}

    def _make_searcher(self, retriever: str | None, language: str, is_of_ce: bool, with_distractors: bool) -> Searcher:
        return Searcher(self._data(language, is_of_ce, with_distractors), self.engine(retriever) if retriever else None)

    def _model(self, name: str) -> RetrievalModel:
        return self.recipes[name].model()

    def _engine(self, name: str) -> Engine:
        return Engine(self.model(name))


def named(model: str | None, role: str) -> str:
    """What to call a model ("BE", "CE", "JOINT") in the role of "BE" or "CE"."""
    return role if model == role else f"{model} as {role}"
