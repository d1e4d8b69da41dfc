"""Trained models and rankings: computed once, known by all that determines them, and none the worse for a killed process."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmr_kit import cache, experiments, recipes
from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError
from mmr_kit.experiments import METHODS, RANKING_SOURCE, Evaluation, evaluate, learning_curves, train, training_record
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.recipes import Recipe
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.retrieve import bi_encode, cooperate, cross_encode

original = Backbone.checkpoint_gradients


@pytest.fixture
def recipe(small_data: Any, make_model: Callable[..., RetrievalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Four steps from a tiny start on the small data set, in a cache of its own."""
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    make_model(dropout=0.1).save(tmp_path / "start")
    return Recipe("CE", str(small_data.manifest), str(tmp_path / "start"), steps=4, learning_rate=1e-2, batch_size=14, match_batch_size=14, dev_images=6)


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, starting a child is an error."""

    def forbid() -> None:
        monkeypatch.setattr(experiments, "run_tasks", None)

    return forbid


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return RetrievalModel.load(folder).state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def as_lists(rankings: dict[str, Ranking]) -> list[Any]:
    return [(ranking.direction, ranking.query_ids, ranking.candidate_ids, [scores.tolist() for scores in ranking.scores]) for ranking in rankings.values()]


def test_another_value_of_any_field_is_another_model(recipe: Recipe, small_data: Any, tmp_path: Path) -> None:
    shutil.copy(small_data.manifest, tmp_path / "other.yaml")
    shutil.copytree(recipe.start, tmp_path / "other_start")
    (tmp_path / "other_start" / "mmr_kit.json").write_text((tmp_path / "other_start" / "mmr_kit.json").read_text() + " ")
    others = {"method": "BE", "dataset": str(tmp_path / "other.yaml"), "start": str(tmp_path / "other_start"), "languages": ("de",), "half_size": True,
              "negatives": "adaptive", "precision": "bf16", "mined_by": recipe.start, "pooling": "cls", "region_dropout": 0.5}  # fmt: skip
    same_model = replace(recipe, gradient_checkpointing=True)
    values = {field.name: others.get(field.name) or getattr(recipe, field.name) + 1 for field in fields(recipe) if field.name != "gradient_checkpointing"}
    changed = [replace(recipe, **{name: value}) for name, value in values.items()]
    folders = [other.folder() for other in [recipe, *changed]]
    assert len(set(folders)) == len(folders)
    assert replace(recipe).folder() == same_model.folder() == folders[0]
    assert Recipe(**json.loads(json.dumps(asdict(recipe)))) == recipe, "a child is told all of it"


def test_other_data_start_or_source_is_another_model(recipe: Recipe, small_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [recipe.folder()]
    small_data.captions[0]["text"] += " apple"
    small_data.write_captions()
    folders.append(recipe.folder())
    path = Path(recipe.start) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    folders.append(recipe.folder())
    monkeypatch.setattr(recipes, "SOURCE", "another")
    folders.append(recipe.folder())
    assert len(set(folders)) == 4


def test_rankings_are_known_by_what_they_depend_on(recipe: Recipe) -> None:
    both = Evaluation("SEP+COOP", recipe.dataset, replace(recipe, method="BE"), recipe)
    others = [replace(both, **change) for change in ({"retriever": recipe}, {"reranker": replace(recipe, seed=1)}, {"reranker": None}, {"retriever": None},
                                                     {"split": "dev"}, {"images": 5}, {"k": 3}, {"scored": 30}, {"languages": ("de",)}, {"precision": "bf16"},
                                                     {"distractors": (recipe.dataset,)}, {"distractors": (f"{recipe.dataset}:2",)})]  # fmt: skip
    folders = [evaluation.folder() for evaluation in [both, *others]]
    assert len(set(folders)) == len(folders)
    assert replace(both, method="another name").folder() == both.folder()
    scored = replace(both, scored=30)
    assert {replace(scored, **change).folder() for change in ({}, {"k": 3}, {"combination": "ADD", "weight": 0.5})} == {scored.folder()}
    alone = replace(both, reranker=None)
    assert replace(alone, k=3).folder() == alone.folder(), "k is for reranking only"
    assert (both.seed, replace(both, retriever=None, reranker=replace(recipe, seed=4)).seed) == (0, 4)


@pytest.mark.parametrize("method", ["CE", "BE", "JOINT", "PRETRAINING"])
def test_the_kept_model_is_the_one_with_the_best_dev_score(recipe: Recipe, small_data: Any, method: str) -> None:
    """CE and JOINT are scored on some of the dev images, BE on all, with one caption an image."""
    recipe = replace(recipe, method=method, steps=6, evaluate_every=2, negatives="adaptive")
    model, record = recipe.model(), training_record(recipe)
    assert record["recipe"] == json.loads(json.dumps(asdict(recipe)))
    assert record["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert record["seconds"] > 0
    assert [point["step"] for point in record["curve"]] == [2, 4, 6]
    dev = load_dataset(small_data.manifest, "dev")
    if method != "BE":
        dev = dev.subset(6)
    dev = replace(dev, captions=dev.captions[::2], query_images=-1, query_captions=-1)
    rankings = {"BE": lambda: bi_encode(model, dev), "JOINT": lambda: cooperate(model, model, dev, 20)}.get(method, lambda: cross_encode(model, dev))()
    score = float(np.mean([recall(ranking, dev, at=(1,))["R@1"] for ranking in rankings.values()]))
    assert max(point["dev score"] for point in record["curve"]) == pytest.approx(score)
    assert not cache.work_folder("models", recipe.identity()).exists()


@pytest.mark.parametrize("languages", [("en", "de"), ("de", "en")])
def test_the_dev_score_takes_another_language_where_an_image_has_no_caption_in_one(recipe: Recipe, small_data: Any, languages: tuple[str, ...]) -> None:
    bare = {"dev-01": "de", "dev-02": "en", "dev-03": "de", "dev-04": "en"}
    small_data.captions = [caption for caption in small_data.captions if bare.get(caption["image_id"]) != caption["language"]]
    small_data.write_captions()
    asked = []

    class Listening:
        def embed_texts(self, captions: list[str]) -> np.ndarray:
            asked.extend(captions)
            return np.eye(len(captions), 8, dtype=np.float32)

        def embed_images(self, images: list[Any]) -> np.ndarray:
            return np.eye(len(images), 8, dtype=np.float32)

    score = recipes._dev_score(replace(recipe, method="BE", languages=languages))(Listening())  # type: ignore[arg-type]
    assert score == 100, "a caption an image, in the images' order"
    turns = [languages[row % 2] for row in range(8)]
    turns[1:5] = ["en", "de", "en", "de"]
    assert ["de" if " neben " in text else "en" for text in asked] == turns


@pytest.mark.parametrize("dataset", ["its own", ""])
def test_no_steps_take_a_start_over_as_it_is(recipe: Recipe, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its match head and whatever the seed; dev images are not needed, nor, where the training is not known, a data set."""
    monkeypatch.setenv("MMR_WORKERS", "0")
    start = RetrievalModel.load(Path(recipe.start))
    released = replace(recipe, method="JOINT", steps=0, dataset=dataset and recipe.dataset)
    folders = train([released, replace(released, seed=1, learning_rate=0.5)])
    assert folders[0] == folders[1] == released.folder() != replace(released, method="CE").folder()
    assert equal(weights(folders[0]), start.state_dict())
    assert equal(released.model().state_dict(), start.state_dict())
    record = training_record(released)
    assert (record["released"], record["curve"]) == (True, [])
    assert record["parameters"] == sum(parameter.numel() for parameter in start.parameters())
    card = (folders[0] / "README.md").read_text()
    assert card.startswith("# JOINT on small, as released\n" if dataset else "# JOINT, as released\n")
    assert "Released by others (`start`) and taken over as it is: nothing was trained here." in card
    assert ("Trained on Small (`small`)" in card) == bool(dataset)
    assert released.label == ("JOINT on " + recipe.dataset if dataset else "JOINT") + ", as released, seed 0"
    assert (released.kind(), replace(released, steps=1).label) == ("oscar", f"JOINT on {released.dataset}, seed 0")
    assert replace(released, start="pictograms").folder() != released.folder()


def test_variants_of_a_model(recipe: Recipe) -> None:
    half = replace(recipe, half_size=True, train_images=20).model()
    assert half.backbone.config.num_hidden_layers == 1
    assert training_record(replace(recipe, half_size=True, train_images=20))["curve"][-1]["step"] == 4
    german = replace(recipe, languages=("de",), steps=1).model()
    assert not equal(german.state_dict(), replace(recipe, steps=1).model().state_dict())
    replace(recipe, method="BE", match_batch_size=999).model()  # which BE does not use
    be = replace(recipe, method="BE")
    others = [replace(be, negatives="1"), replace(be, negatives="refreshed", evaluate_every=2), replace(be, pooling="cls"), replace(be, region_dropout=0.5),
              replace(recipe, mined_by=str(be.folder()))]  # fmt: skip
    trained = [each.model() for each in [be, recipe, *others]]
    assert not any(equal(one.state_dict(), two.state_dict()) for place, one in enumerate(trained) for two in trained[:place])
    assert [model.pooling for model in trained] == ["mean"] * 4 + ["cls", "mean", "mean"]


def test_gradient_checkpointing_trains_the_same_model(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(Backbone, "checkpoint_gradients", lambda self: asked.append(original(self)))
    plain = recipe.model().state_dict()  # with dropout
    assert not asked
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert equal(replace(recipe, gradient_checkpointing=True).model().state_dict(), plain)
    assert len(asked) == 1


def test_the_same_recipe_gives_the_same_weights_and_an_altered_model_is_trained_again(recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = recipe.model().state_dict()
    path = recipe.folder() / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert not cache.is_complete(recipe.folder())
    assert equal(recipe.model().state_dict(), first)
    assert cache.is_complete(recipe.folder())
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert equal(recipe.model().state_dict(), first)
    assert not equal(replace(recipe, seed=1).model().state_dict(), first)


def test_evaluate_trains_ranks_and_does_it_once(recipe: Recipe, small_data: Any, no_children: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> None:
    recipes = {"CE": recipe, "BE": replace(recipe, method="BE"), "JOINT": replace(recipe, method="JOINT")}
    evaluations = [Evaluation(method, recipe.dataset, *[recipes.get(part) for part in parts], k=3) for method, parts in METHODS.items()]
    other = replace(recipe, learning_rate=3e-3)
    assert other.label == recipe.label
    evaluations += [replace(evaluations[2], k=5), replace(evaluations[2], images=4), replace(evaluations[0], reranker=other)]  # whose labels are not unique
    rankings = evaluate(evaluations, workers=1)
    told = capfd.readouterr().out
    assert "training 4 of 4 models" in told
    assert "ranking 9 of 9 evaluations" in told
    assert "CE on " in told

    data = load_dataset(small_data.manifest, "test")
    ce, be, joint = (Engine(recipes[method].model()) for method in ("CE", "BE", "JOINT"))
    of_other = cross_encode(Engine(other.model()), data)
    expected = [cross_encode(ce, data), bi_encode(be, data), cooperate(be, ce, data, 3), cooperate(joint, joint, data, 3), cross_encode(joint, data),
                bi_encode(joint, data), cooperate(be, ce, data, 5), cooperate(be, ce, data.subset(4), 3), of_other]  # fmt: skip
    assert as_lists(expected[0]) != as_lists(expected[-1])
    assert list(METHODS) == ["CE", "BE", "SEP+COOP", "JOINT+COOP", "JOINT+CE", "JOINT+BE"]
    assert [as_lists(found) for found in rankings] == [as_lists(by_hand) for by_hand in expected]
    assert all(list(found) == list(DIRECTIONS) for found in rankings)
    assert rankings[0]["image_retrieval"].scores[0].dtype == np.float32

    no_children()
    again = evaluate(evaluations)
    assert [as_lists(found) for found in again] == [as_lists(found) for found in rankings]
    assert train([other, recipe, other]) == [other.folder(), recipe.folder()]
    assert capfd.readouterr().out == "", "nothing to do, nothing to say"
    assert [len(curve) for curve in learning_curves([recipe, other]).values()] == [4, 4]
    assert learning_curves([Recipe("CE", "", str(recipe.folder()), 0)]) == {}, "a model as released was not trained here"


def test_distractors_are_merged_and_smaller_k_and_combinations_are_not_scored_again(recipe: Recipe, small_data: Any, no_children: Callable[[], None]) -> None:
    evaluation = Evaluation("JOINT+COOP", recipe.dataset, recipe, recipe, images=3, k=2, scored=6, distractors=("smoke_distractors:5",))
    with pytest.raises(InputError, match="wide"):
        evaluate([evaluation], workers=1)  # other region features
    evaluation = replace(evaluation, distractors=())
    evaluate([evaluation], workers=1)
    no_children()
    more = [replace(evaluation, k=5), replace(evaluation, k=6, combination="ADD", weight=1.0)]
    (few, five, by_cosine) = evaluate([evaluation, *more])
    data, model = load_dataset(small_data.manifest, "test").subset(3), Engine(recipe.model())
    for found, by_hand in ((few, cooperate(model, model, data, 2)), (five, cooperate(model, model, data, 5))):
        for direction, ranking in found.items():
            assert ranking.candidate_ids == by_hand[direction].candidate_ids
            assert np.abs(np.array(ranking.scores) - np.array(by_hand[direction].scores)).max() < 1e-6  # the last digit may differ with the batch
    assert [ranking.candidate_ids for ranking in by_cosine.values()] == [ranking.candidate_ids for ranking in bi_encode(model, data, 6).values()]
    with pytest.raises(InputError, match="fewer than k"):
        replace(evaluation, k=7)
    with pytest.raises(InputError, match="write a data set's name"):
        replace(evaluation, distractors=("smoke_b:all",)).data()


def test_two_at_once_train_once(recipe: Recipe, capfd: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: train([recipe], workers=1), range(2)))
    assert folders == [[recipe.folder()]] * 2
    assert cache.is_complete(recipe.folder())
    assert capfd.readouterr().out.count(": 4/4") == 1


def test_killed_while_training_the_next_call_goes_on_to_the_same_weights(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(recipe, method="JOINT", steps=60, evaluate_every=10, negatives="adaptive")
    child = subprocess.Popen([sys.executable, "-m", "mmr_kit.experiments"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps({"train": asdict(recipe), "source": RANKING_SOURCE}) + "\n")
    child.stdin.flush()
    for line in child.stdout:
        if line.startswith('{"progress"') and json.loads(line)["progress"]["step"] >= 20:
            child.send_signal(signal.SIGKILL)
            break
    assert child.wait() == -signal.SIGKILL
    assert not recipe.folder().exists()
    steps: list[int] = []
    folder = recipes.train_recipe(recipe, lambda point: steps.append(point["step"]))
    assert steps
    assert steps[0] > 20, "goes on from the checkpoint"
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "undisturbed"))
    assert equal(recipe.model().state_dict(), weights(folder))
    assert training_record(recipe)["curve"] == json.loads((folder / "training.json").read_text())["curve"]
    assert [path.name for path in folder.parent.iterdir() if not path.name.endswith(".lock")] == [folder.name]


def test_a_child_of_other_code_trains_nothing(recipe: Recipe) -> None:
    """Whose result its parent would look for in vain: the kit was changed under a running kernel."""
    with pytest.raises(InputError, match="mmr_kit was changed since this program started"):
        experiments._work({"train": asdict(recipe), "source": "that of the parent"}, lambda point: None)
    assert not recipe.folder().exists()


@pytest.mark.parametrize(("change", "fault"), [
    ({"method": "be"}, "no training method 'be'; there are CE, BE, JOINT"),
    ({"negatives": "hard"}, "choose 'batch', 'adaptive', 'refreshed' or a number"),
    ({"steps": -1}, "steps is -1: it must be above 0, or 0 for the start as it is"),
    ({"batch_size": -1}, "batch_size is -1"),
    ({"batch_size": 1}, "batch_size is 1: a batch of one pair has nothing to compare it with; give at least 2"),
    ({"match_batch_size": 1}, "match_batch_size is 1: a batch of one pair"),
    ({"seed": -1}, "seed is -1: it must be at least 0"),
    ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ({"match_batch_size": 29}, "a batch of 29 distinct images was asked for, there are 28"),
    ({"train_images": 29}, "a subset of 29 images was asked for, there are 28"),
    ({"languages": ("de", "fr")}, "no captions in fr in its train split; there are de, en"),
    ({"dataset": "smoke_z"}, "no data set 'smoke_z'"),
    ({"start": "nowhere"}, "nowhere"),
    ({"start": "package:no_such_package/model"}, "not installed"),
])  # fmt: skip
def test_bad_recipes(recipe: Recipe, change: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        replace(recipe, **change).model()


def test_a_start_for_other_regions(recipe: Recipe, make_model: Callable[..., RetrievalModel]) -> None:
    make_model(region_width=9).save(Path(recipe.start))
    with pytest.raises(InputError, match=r"start '.*start' was made for regions 9 wide, those of small are 8"):
        recipe.model()


def test_bad_evaluations(recipe: Recipe) -> None:
    with pytest.raises(InputError, match="nothing: name a retriever, a reranker, or both"):
        Evaluation("nothing", recipe.dataset)
    with pytest.raises(InputError, match="a subset of 9 images was asked for, there are 8"):
        Evaluation("BE", recipe.dataset, recipe, images=9).data()
