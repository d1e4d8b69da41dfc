"""Questions to trained models: the answers are those of the whole rankings, the reasons those of the models asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError
from mmr_kit.models.attribution import word_regions
from mmr_kit.recipes import Recipe
from mmr_kit.retrieval.ranking import DIRECTIONS
from mmr_kit.retrieval.retrieve import cross_encode, retrieve
from mmr_kit.workbench import Question, Workbench

MakeBench = Callable[..., Workbench]


@pytest.fixture
def make_bench(small_data: Any, make_model: Callable[..., Any], tmp_path: Path) -> MakeBench:
    """Builds a workbench of models with random weights, each another's."""

    def make(*models: str, **settings: Any) -> Workbench:
        recipes = {}
        for seed, name in enumerate(("BE", "CE", "JOINT")):
            if name in models:
                make_model(seed=seed).save(tmp_path / name)
                recipes[name, str(small_data.manifest), 0] = Recipe(name, str(small_data.manifest), str(tmp_path / name), 0, languages=("en", "de"))
        return Workbench(recipes, **settings)

    return make


@pytest.fixture
def more_data(small_data: Any) -> str:
    """The same images once more under other names, as a data set to merge."""
    path = small_data.folder / "more.yaml"
    path.write_text(small_data.manifest.read_text().replace("name: small", "name: more").replace("regions: regions", "regions: regions, image_prefix: more-"))
    return str(path)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("method", ["SEP+COOP", "JOINT+COOP", "BE"])
def test_answers_are_those_of_retrieve(make_bench: MakeBench, small_data: Any, method: str, direction: str) -> None:
    bench, data = make_bench("BE", "CE", "JOINT"), load_dataset(small_data.manifest)
    retriever = bench.model("JOINT" if "JOINT" in method else "BE")
    reranker = {"SEP+COOP": bench.model("CE"), "JOINT+COOP": bench.model("JOINT"), "BE": None}[method]
    retrieved, ranking = retrieve(retriever, data, direction, 4), retrieve(retriever, data, direction, 4, reranker)
    queries = data.texts if direction == "image_retrieval" else data.image_ids
    for row, query in enumerate(queries):
        question = Question(query, method, direction, k=4)
        answer = bench.ask(question)
        assert answer.retrieved is not None
        assert answer.retrieved.candidate_ids[0] == retrieved.candidate_ids[row]
        assert answer.ranking.candidate_ids[0] == ranking.candidate_ids[row]
        assert answer.ranking.scores[0] == pytest.approx(ranking.scores[row], abs=1e-5)
        assert bench.right(question) == data.relevance(direction)[ranking.query_ids[row]]


def test_ce_alone_has_a_gallery_of_its_own(make_bench: MakeBench, small_data: Any, more_data: str) -> None:
    bench, gallery = make_bench("BE", "CE", distractors=[more_data], ce_images=5), load_dataset(small_data.manifest).subset(5)
    expected = cross_encode(bench.model("CE"), gallery)["image_retrieval"]
    for row, caption in enumerate(gallery.texts):
        question = Question(caption, "CE", k=3, with_distractors=True)
        assert bench.data(question).image_ids == gallery.image_ids
        assert bench.ask(question).retrieved is None
        assert bench.ask(question).ranking.candidate_ids[0] == expected.candidate_ids[row][:3]
    absent = next(caption for caption in load_dataset(small_data.manifest).captions if caption.image_id not in gallery.image_ids)
    assert bench.right(Question(absent.text, "CE")) == set()
    assert len(make_bench("CE", ce_images=0).data(Question("cat", "CE")).image_ids) == 8


def test_collections_and_languages(make_bench: MakeBench, more_data: str) -> None:
    bench = make_bench("BE", "CE", distractors=[more_data])
    alone = Question("a cat beside a dog", "BE", k=20)
    among = replace(alone, with_distractors=True)
    assert len(bench.ask(alone).ranking.candidate_ids[0]) == 8
    found = bench.ask(among).ranking.candidate_ids[0]
    assert len(found) == 16
    assert sum(item.startswith("more-") for item in found) == 8
    assert bench.languages == ("en", "de")
    german = bench.data(replace(alone, language="de"))
    assert all(" neben " in caption.text for caption in german.captions)
    captions, of_image = bench.texts(replace(alone, language="de"))
    assert {of_image[caption.image_id] for caption in german.captions} == set(captions.values())


def test_methods_are_those_of_the_models_at_hand(make_bench: MakeBench) -> None:
    assert make_bench("BE", "CE", "JOINT").methods == ["SEP+COOP", "JOINT+COOP", "BE", "CE"]
    assert make_bench("JOINT").methods == ["JOINT+COOP", "JOINT+BE", "JOINT+CE"]
    assert make_bench("BE").methods == ["BE"]
    assert make_bench("BE", "JOINT").methods == ["JOINT+COOP", "BE", "JOINT+BE", "JOINT+CE"]
    with pytest.raises(InputError, match="there are no models to explore"):
        make_bench()
    with pytest.raises(InputError, match="none of these models retrieves or reranks"):
        Workbench({("PRETRAINING", "smoke_a", 0): Recipe("PRETRAINING", "smoke_a")})
    with pytest.raises(InputError, match=r"to say why, .* there is BE"):
        make_bench("BE").explain(Question("cat", "BE"), "cat", "test-00")


def test_the_first_data_set_and_seed_are_explored(small_data: Any) -> None:
    name = str(small_data.manifest)
    keys = [("BE", name, 1), ("BE", name, 0), ("BE", "smoke_a", 1)]
    recipes = {key: Recipe("BE", key[1], "scratch", steps, seed=key[2]) for steps, key in enumerate(keys, 1)}
    bench = Workbench(recipes)
    assert (bench.dataset, bench.recipes) == (name, {"BE": recipes["BE", name, 1]})


@pytest.mark.parametrize("method", ["SEP+COOP", "JOINT+COOP", "BE", "CE"])
def test_reasons_are_those_of_the_model_that_reranks(make_bench: MakeBench, method: str) -> None:
    bench = make_bench("BE", "CE", "JOINT")
    question = Question("a cat beside a dog", method)
    explained = bench.explain(question, "a cat", "test-03")
    expected = word_regions(bench.model("JOINT" if "JOINT" in method else "CE"), "a cat", bench.data(question).regions["test-03"])
    assert explained.words == ["a", "cat"]
    assert np.array_equal(explained.values, expected.values)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_reactions_to_another_word(make_bench: MakeBench, direction: str) -> None:
    """Scores of the changed pair; places among the same candidates, of which text retrieval changes the one alone."""
    bench = make_bench("BE", "CE", "JOINT")
    be, ce = bench.model("BE"), bench.model("CE")
    question = Question("a cat beside a dog" if direction == "image_retrieval" else "test-02", "SEP+COOP", direction, k=5)
    candidates = bench.ask(question).ranking.candidate_ids[0]
    regions, item = bench.data(question).regions, candidates[3]
    caption, image_id = bench.pair(question, item)
    changed = f"{caption} and goat"
    reactions = bench.react(question, candidates, item, changed)
    assert [(reaction.model, reaction.score) for reaction in reactions] == [("BE", "cosine"), ("CE", "match")]
    for text, part in ((caption, "before"), (changed, "after")):
        pairs = [bench.pair(question, candidate) for candidate in candidates]
        if direction == "image_retrieval":
            assert image_id == item
            texts = [text] * 5
        else:
            assert image_id == "test-02"
            texts = [text if candidate == item else told for candidate, (told, _) in zip(candidates, pairs, strict=True)]
        seen = [regions[image] for _, image in pairs]
        for reaction, scores in zip(reactions, ((be.embed_texts(texts) * be.embed_images(seen)).sum(1), ce.score_pairs(texts, seen)), strict=True):
            reading = getattr(reaction, part)
            assert reading.score == pytest.approx(scores[3], abs=1e-5)
            assert reading.place == 1 + int((scores > scores[3]).sum())
    assert [reaction.model for reaction in bench.react(replace(question, method="JOINT+COOP"), candidates, item, changed)] == ["JOINT as BE", "JOINT as CE"]


def test_the_caption_that_moves_most(make_bench: MakeBench) -> None:
    bench = make_bench("BE", "CE")
    question = Question("", "SEP+COOP", k=8)
    data = bench.data(question)
    climbs = {}
    for caption in data.captions:
        answer = bench.ask(replace(question, query=caption.text))
        assert answer.retrieved is not None
        climbs[caption.text] = answer.retrieved.candidate_ids[0].index(caption.image_id) - answer.ranking.candidate_ids[0].index(caption.image_id)
    best = bench.most_moved(question, data.texts)
    assert climbs[best] == max(climbs.values()) > 0
