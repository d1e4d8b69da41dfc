"""The explorer: ask trained models for pictures or captions, see who moved in the reranking, and why. The one module with widgets.

Headless (`MMR_HEADLESS` set, as `mmr regenerate` and the tests do) it is a static picture and makes no widgets; that picture also stands in saved notebooks for
readers that cannot run widgets.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from mmr_kit.data.wording import alternatives, replaced
from mmr_kit.errors import InputError
from mmr_kit.experiments import METHODS
from mmr_kit.recipes import Recipe
from mmr_kit.reporting.answers import Item, Stage, answer_html, data_uri
from mmr_kit.reporting.word_regions import reactions_html, regions_html, why_html, words_html
from mmr_kit.retrieval.metrics import first_relevant
from mmr_kit.retrieval.searcher import QUERY, Answer
from mmr_kit.workbench import Question, Workbench, named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICKS = 100  # captions to pick from
TRIED = 25  # of these, among which the first one shown is sought
MOST = 50  # candidates
SMALL, LARGE = 160, 360  # pixels of a picture's longer side, in a row and alone
ALL = -1  # words
SCORES = {"none": "match", "ADD": "ADD", "NORM_ADD": "NORM_ADD"}


def explore(recipes: Mapping[tuple[str, str, int], Recipe], k: int = 10, distractors: Iterable[str] = (), ce_images: int = 100) -> Explorer:
    """Explore trained models: type a caption or pick a picture, choose a method, see what is retrieved, what the reranking moves, and why.

    recipes: as `make_recipes` gives them; what is not trained yet is trained now. Shown are the models of the first data set and seed on its test split.
    distractors: data sets that can be merged into the collection. ce_images: size of the gallery where CE alone scores every pair (0: all test images).
    """
    return Explorer(Workbench(recipes, distractors, ce_images), k)


class Explorer:
    """What is shown as a notebook cell's last value; `question` is what is asked, `answer()` what comes back, `figure()` and `why()` are pictures of it."""

    def __init__(self, bench: Workbench, k: int = 10) -> None:
        self.bench = bench
        empty = Question("", bench.methods[0], k=k, language=bench.languages[0])
        self.question = replace(empty, query=bench.most_moved(empty, self.picks(empty)[:TRIED]))
        self.picture = cache(self._picture)

    def picks(self, question: Question) -> list[str]:
        """Queries to pick from: captions from all over the gallery, or its images."""
        data = self.bench.data(replace(question, with_distractors=False))
        if question.direction == "text_retrieval":
            return data.query_ids("text_retrieval")
        return list(dict.fromkeys(data.texts[:: max(1, len(data.texts) // PICKS)]))

    def answer(self) -> Answer:
        """The answer to the question as it stands."""
        return self.bench.ask(self.question)

    def figure(self) -> Figure:
        """The pictures that the question's caption finds, in a row for each stage. Raises InputError where the query is a picture."""
        from mmr_kit.reporting.strips import picture_strip  # a plotting library takes its time to load

        if self.question.direction != "image_retrieval":
            raise InputError("a static picture is drawn of the pictures that a caption finds; choose the direction image_retrieval")
        rankings = {stage.name.partition(":")[0]: stage.ranking for stage in self.stages(self.answer())}
        right, data = self.bench.right(self.question), self.bench.data(self.question)
        return picture_strip(self.question.query, rankings, QUERY, min(right, default=""), data.picture)

    def why(self) -> Figure:
        """Which words look at which regions, for the question's query and its first answer: the picture with boxes, and the shares."""
        from mmr_kit.reporting.region_figures import word_region_figure

        caption, image_id = self.bench.pair(self.question, self.answer().ranking.candidate_ids[0][0])
        explained, data = self.bench.explain(self.question, caption, image_id), self.bench.data(self.question)
        return word_region_figure(explained.words, explained.values, data.regions[image_id].boxes, data.picture(image_id))

    def stages(self, answer: Answer) -> list[Stage]:
        """What is shown of an answer: a stage where one model ranks, two where one reranks what the other retrieved."""
        retriever, reranker = METHODS[self.question.method]
        count, score = len(answer.ranking.candidate_ids[0]), SCORES[self.question.combination]
        if answer.retrieved is None:
            return [Stage(f"{named(reranker, 'CE')}: the best {count} of all pairs by match probability", "match", answer.ranking)]
        found = Stage(f"{named(retriever, 'BE')}: the {count} nearest by cosine", "cosine", answer.retrieved)
        if reranker is None:
            return [found]
        by = "match probability" if score == "match" else f"{score} with λ = {self.question.weight:.2f} (share of the cosine)"
        return [found, Stage(f"{named(reranker, 'CE')}: the same {count} by {by}", score, answer.ranking)]

    def show(self, item: str) -> Item:
        """What is shown of an item of the answer."""
        captions, of_image = self.bench.texts(self.question)
        return Item("", captions[item]) if self.question.direction == "text_retrieval" else Item(self.picture(item, SMALL), of_image[item])

    def _picture(self, image_id: str, side: int) -> str:
        return data_uri(self.bench.data(self.question).picture(image_id), side)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": f"Explorer of {self.bench.dataset}: {self.question.query!r}"}
        if self.question.direction == "image_retrieval":
            buffer = io.BytesIO()
            self.figure().savefig(buffer, format="png")
            bundle["image/png"] = buffer.getvalue()
        if os.environ.get("MMR_HEADLESS", "0") in ("", "0"):
            bundle |= Controls(self).box._repr_mimebundle_()
        return bundle


class Controls:
    """The widgets of an explorer. Whatever is changed, the answer follows."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, self.bench = explorer, explorer.bench
        question = explorer.question
        wide, narrow = {"width": "min(calc(100% - 8px), 460px)"}, {"width": "auto"}
        self.direction = widgets.ToggleButtons(options=[("caption → pictures", "image_retrieval"), ("picture → captions", "text_retrieval")],
                                               style={"button_width": "auto"}, tooltips=["image retrieval", "text retrieval"])  # fmt: skip
        self.caption = widgets.Text(question.query, description="Caption", continuous_update=False, layout=wide)
        self.pick = widgets.Dropdown(description="Pick one", layout=wide)
        self.another = widgets.Button(description="Another one", icon="random", layout=narrow, tooltip="any other query of the test split")
        self.method = widgets.Dropdown(options=self.bench.methods, description="Method", layout=narrow)
        self.k = widgets.IntSlider(question.k, 1, max(MOST, question.k), description="k")
        self.combination = widgets.Dropdown(options=list(SCORES), description="Combine", layout=narrow)
        self.weight = widgets.FloatSlider(question.weight, min=0, max=1, step=0.05, description="λ")
        self.language = widgets.Dropdown(options=self.bench.languages, description="Language", layout=narrow)
        self.collection = widgets.Dropdown(options=self._collections(), description="Among", layout=narrow)
        self.item = widgets.Dropdown(description="Look at", layout=wide)
        self.word = widgets.ToggleButtons(style={"button_width": "auto"})
        self.other = widgets.Combobox(description="Change to", placeholder="choose a word first", continuous_update=False)
        self.told, self.page, self.why = widgets.HTML(), widgets.HTML(), widgets.HTML()
        row = {"flex_flow": "row wrap"}
        self.box = widgets.VBox([
            widgets.HBox([self.direction], layout=row), widgets.HBox([self.caption, self.pick, self.another], layout=row),
            widgets.HBox([self.method, self.k, self.combination, self.weight, self.language, self.collection], layout=row),
            self.told, self.page, widgets.HTML("<h3>Why?</h3>"), self.item, self.word, self.other, self.why])
        self._busy, self._random = False, random.Random()
        asking = (self.direction, self.caption, self.pick, self.method, self.k, self.combination, self.weight, self.language, self.collection)
        for control in (*asking, self.item, self.word, self.other):
            control.observe(self._changed, "value")
        self.another.on_click(lambda _: self._ask_another())
        self._changed()

    def _changed(self, change: Any = None) -> None:
        """Answer and explain what is set now; what is set along with it does not ask again."""
        if self._busy:
            return
        self._busy, changed = True, change.owner if change else None
        shown = self.told
        try:
            if changed not in (self.item, self.word, self.other):
                self._answer(changed)
            shown = self.why
            self._explain(changed)
        except Exception as error:  # shown in any case: what a widget's callback raises goes to a log that few people open
            shown.value = f'<p role="alert">{escape(str(error) if isinstance(error, InputError) else repr(error))}</p>'
            if not isinstance(error, InputError):
                raise
        finally:
            self._busy = False

    # -- the answer -------------------------------------------------------------------------------------------------------------------------

    def _answer(self, changed: Any) -> None:
        explorer, before = self.explorer, self.explorer.question
        if changed in (self.direction, self.method, self.language, self.collection):
            self.told.value = "<p>Working: a collection is embedded once.</p>"
        question = replace(before, direction=self.direction.value, method=self.method.value, k=self.k.value, combination=self.combination.value,
                           weight=self.weight.value, language=self.language.value, with_distractors=bool(self.collection.value))  # fmt: skip
        question = replace(question, query=self._query(changed, before, question))
        answer, right = self.bench.ask(question), self.bench.right(question)
        explorer.question = question
        self._show_controls(question)
        self.page.value = answer_html(explorer.stages(answer), right, explorer.show)
        self.told.value = self._query_html(question) + self._told(question, answer, right)
        kept = self.item.value if question.query == before.query else None
        found = answer.ranking.candidate_ids[0]
        self.item.options = [(f"{place}. {self._name(question, item)}{' (right)' if item in right else ''}", item) for place, item in enumerate(found, 1)]
        self.item.value = kept if kept in found else found[0]

    def _query(self, changed: Any, before: Question, question: Question) -> str:
        """What is asked: the caption that was typed or picked, or its like in another language; or the picture that was picked."""
        picks = self.explorer.picks(question)
        if question.direction == "text_retrieval":
            of_image = self.bench.texts(question)[1]
            image_id = self.pick.value if self.pick.value in picks else min(self.bench.right(before) & set(picks), default=picks[0])
            self._offer([(f"{each}: {of_image[each]}", each) for each in picks], image_id)
            return image_id
        caption = self.pick.value if changed is self.pick and self.pick.value in picks else self.caption.value
        if changed is self.language:
            caption = next((self.bench.texts(question)[1][image_id] for image_id in sorted(self.bench.right(before))), caption)
        self.caption.value = caption
        self._offer([("", ""), *((text, text) for text in picks)], caption if caption in picks else "")
        return caption

    def _offer(self, options: list[tuple[str, str]], chosen: str) -> None:
        if tuple(options) != self.pick.options:
            self.pick.options = options
        self.pick.value = chosen

    def _show_controls(self, question: Question) -> None:
        """What has no effect is disabled or hidden."""
        both = all(METHODS[question.method])
        self.combination.disabled, self.weight.disabled = not both, not both or question.combination == "none"
        self.collection.disabled = METHODS[question.method][0] is None
        visible = {self.caption: question.direction == "image_retrieval", self.language: len(self.bench.languages) > 1,
                   self.collection: bool(self.bench.distractors)}  # fmt: skip
        for control, is_visible in visible.items():
            control.layout.display = "" if is_visible else "none"

    def _collections(self) -> list[tuple[str, bool]]:
        alone, among = ("the test images", False), (f"with {' + '.join(self.bench.distractors)}", True)
        return [alone, among] if self.bench.distractors else [alone]

    def _query_html(self, question: Question) -> str:
        """The picture that is the query; a caption stands in its own field."""
        if question.direction == "image_retrieval":
            return ""
        picture = self.explorer.picture(question.query, SMALL)
        text = escape(f"The query: {question.query}")
        return f'<img src="{picture}" alt="{text}" style="width: 110px">' if picture else f"<p>{text}</p>"

    def _told(self, question: Question, answer: Answer, right: set[str]) -> str:
        """Sizes, times, and what became of the right answer."""
        items = len(self.bench.data(question).item_ids(question.direction))
        kind = "pictures" if question.direction == "image_retrieval" else "captions"
        alone = " (CE alone reads every pair, so its gallery is small)" if answer.retrieved is None else ""
        times = " · ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in answer.seconds.items())
        if not right:
            fate = "No right answer is known: the caption is not one of the gallery's."
        else:
            stages = {stage.name.partition(":")[0]: int(first_relevant(stage.ranking, {QUERY: right})[0]) for stage in self.explorer.stages(answer)}
            among = len(answer.ranking.candidate_ids[0])
            fate = "The right answer: " + ", ".join(f"{name} place {place}" if place <= among else f"{name} not among the first {among}"
                                                    for name, place in stages.items()) + "."  # fmt: skip
        return f'<p role="status" style="line-height: 1.4; margin: 4px 0">Among {items:,} {kind}{alone}: {times}. {fate}</p>'

    def _name(self, question: Question, item: str) -> str:
        return item if question.direction == "image_retrieval" else self.bench.texts(question)[0][item]

    def _ask_another(self) -> None:
        question = self.explorer.question
        data = self.bench.data(replace(question, with_distractors=False))
        if question.direction == "text_retrieval":
            self.pick.value = self._random.choice(data.image_ids)
        else:
            self.caption.value = self._random.choice(data.texts)

    # -- why --------------------------------------------------------------------------------------------------------------------------------

    def _explain(self, changed: Any) -> None:
        question, item = self.explorer.question, self.item.value
        caption, image_id = self.bench.pair(question, item)
        words = caption.split()
        if changed not in (self.word, self.other):
            self.word.options = [("all", ALL), *((word, place) for place, word in enumerate(words))]
            self.word.value = ALL
        if changed is not self.other:
            self.other.value = ""
            self.other.options = [] if self.word.value == ALL else alternatives(self.bench.dataset, question.language, words[self.word.value])
            self.other.disabled = self.word.value == ALL
            self.other.placeholder = "choose a word first" if self.word.value == ALL else f"another word for {words[self.word.value]}"
        place, other = self.word.value, self.other.value.strip()
        new = replaced(caption, place, other, question.language) if place != ALL and other else ""
        explained = self.bench.explain(question, new or caption, image_id)
        values = explained.values.sum(0) if place == ALL else explained.values[place]
        alt = f"{image_id}, of which a caption says: {self.bench.texts(question)[1][image_id]}"
        boxes = self.bench.data(question).regions[image_id].boxes
        candidates = [value for _, value in self.item.options]
        reactions = [reactions_html(self.bench.react(question, candidates, item, new), len(candidates))] if new else []
        self.why.value = why_html(*reactions, words_html(explained.words, explained.values, place),
                                  regions_html(self.explorer.picture(image_id, LARGE), boxes, values, alt))  # fmt: skip
