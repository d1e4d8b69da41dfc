"""What the notebooks share: recipes, evaluations and their rows, and the files of a table."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError
from mmr_kit.experiments import evaluate
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.losses import match_loss
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.reporting import Results, read_results
from mmr_kit.reporting.tables import plain_table
from mmr_kit.retrieval.metrics import recall
from mmr_kit.study import departures, make_evaluations, make_recipes, match_losses, measure, parameters_of, publish, settings_of

STEPS = {"CE": 2, "BE": 2, "JOINT": 2}
SIZES = {"learning_rate": 1e-2, "batch_size": 14, "match_batch_size": 14, "dev_images": 6}


@pytest.fixture
def recipes(small_data: Any, make_model: Callable[..., RetrievalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    make_model().save(tmp_path / "start")
    return make_recipes([str(small_data.manifest)], str(tmp_path / "start"), STEPS, seeds=2, **SIZES)


def test_parameters_are_the_plain_variables_of_a_notebook() -> None:
    assert parameters_of({"seeds": 3, "start": "x", "_i1": "code", "results_dir": "/tmp", "Path": Path, "In": [], "fast": True}) == {
        "seeds": 3, "start": "x", "fast": True}  # fmt: skip


def test_recipes_share_a_start_and_differ_by_model_and_seed(recipes: dict[Any, Any], small_data: Any) -> None:
    name = str(small_data.manifest)
    assert set(recipes) == {(model, name, seed) for model in STEPS for seed in (0, 1)}
    assert all((recipe.method, recipe.dataset, recipe.seed) == key and recipe.steps == 2 for key, recipe in recipes.items())
    assert len({recipe.start for recipe in recipes.values()}) == 1


def test_a_pretraining_is_done_first_and_becomes_the_start(recipes: dict[Any, Any], small_data: Any) -> None:
    start = next(iter(recipes.values())).start
    pretrained = make_recipes([str(small_data.manifest)], start, {"BE": 2}, 1, pretrain_steps=1, half_size=True, **SIZES)
    (recipe,) = pretrained.values()
    record = json.loads((Path(recipe.start) / "training.json").read_text())["recipe"]
    assert (record["method"], record["steps"], record["start"], record["half_size"]) == ("PRETRAINING", 1, start, False)
    assert recipe.half_size


def test_methods_that_score_every_pair_keep_to_the_last_gallery(recipes: dict[Any, Any]) -> None:
    made = make_evaluations(recipes, ["CE", "JOINT+CE", "BE", "SEP+COOP"], [0, 4], k=3)
    assert {(each.method, each.images) for each in made} == {("CE", 4), ("JOINT+CE", 4), ("BE", 0), ("BE", 4), ("SEP+COOP", 0), ("SEP+COOP", 4)}
    assert len(made) == 12
    coop = made[-1]
    assert (coop.retriever.method, coop.reranker.method, coop.seed, coop.k) == ("BE", "CE", 1, 3)
    with pytest.raises(InputError, match="no method 'SEP'"):
        make_evaluations(recipes, ["SEP"])


def test_rows_come_from_the_evaluations(recipes: dict[Any, Any], tmp_path: Path) -> None:
    results = Results("table9", "demo", run_depth=5)
    evaluations = make_evaluations(recipes, ["JOINT+COOP"], [4], k=3, scored=6)
    measure(results, evaluations)
    measure(results, [replace(evaluation, combination="ADD", weight=0.5) for evaluation in evaluations], runs_of=[1])
    rows = results.frame
    assert set(rows["seed"]) == {"0", "1", "mean"}
    assert set(zip(rows["combination"], rows["lambda"].fillna(-1), strict=True)) == {("none", -1.0), ("ADD", 0.5)}
    assert set(rows["k"]) == {3}
    rankings = evaluate(evaluations)[1]["image_retrieval"]
    alone = rows[(rows["seed"] == "1") & (rows["direction"] == "image_retrieval") & (rows["combination"] == "none") & (rows["metric"] == "R@1")]
    assert alone["value"].tolist() == [recall(rankings, evaluations[1].data())["R@1"]]
    assert (rows[rows["combination"] == "ADD"].groupby("seed")["run"].agg(lambda runs: all(runs.str.len() > 0)).to_dict()
            == {"0": False, "1": True, "mean": False})  # fmt: skip

    figure, _ = plt.subplots()
    joint = [recipe for recipe in recipes.values() if recipe.method == "JOINT"]
    publish(results, str(tmp_path / "out"), "table9_x", joint, {"seeds": 2}, title="Nine", table=plain_table(rows[rows["seed"] == "mean"]),
            figures={"": (figure, "a figure"), "more": (figure, "another")})  # fmt: skip
    written = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert written == {"table9_x.csv", "table9_x.html", "table9_x.md", "table9_x.tex", "table9_x.png", "table9_x_more.png", "table9_x.provenance.json"}
    pd.testing.assert_frame_equal(read_results(tmp_path / "out" / "table9_x.csv"), rows)
    provenance = json.loads((tmp_path / "out" / "table9_x.provenance.json").read_text())
    assert len(provenance["durations"]) == len(joint)
    publish(results, "", "nothing", joint, {}, title="", table=plain_table(rows[rows["seed"] == "0"]), figures={"": (figure, "")})
    plt.close(figure)


def test_match_losses_are_those_that_training_minimises(recipes: dict[Any, Any], small_data: Any) -> None:
    recipe = replace(recipes["CE", str(small_data.manifest), 0], match_batch_size=6)
    dev = load_dataset(recipe.dataset, "dev")
    model = recipe.model()
    expected = []
    for step in range(2):
        batch = TrainingPairs(dev, 6, recipe.seed).with_replaced(step)
        expected += [match_loss(model.match_logits(batch.captions, batch.images), torch.tensor(batch.matches).long()).item()] * len(batch.captions)
    assert match_losses([recipe], batches=2)[1] == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    mined = replace(recipe, mined_by=str(recipes["BE", recipe.dataset, 0].folder()))
    recipes["BE", recipe.dataset, 0].model()
    assert match_losses([mined], batches=2) != match_losses([recipe], batches=2)


def test_settings_and_departures_come_from_the_parameters_of_a_notebook() -> None:
    parameters = {"seeds": 3, "multilingual_start": "minilm", "pretrain_steps": 300, "alignment_steps": 200, "multilingual_learning_rate": 3e-4,
                  "ce_steps": 8, "be_steps": 4, "joint_steps": 6, "batch_size": 128, "match_batch_size": 64,
                  "region_dropout": 0.4, "precision": "bf16"}  # fmt: skip
    assert settings_of(parameters) == {"pretrain_steps": 300, "alignment_steps": 200, "learning_rate": 3e-4, "batch_size": 128, "match_batch_size": 64,
                                       "region_dropout": 0.4, "precision": "bf16"}
    start, steps = departures(parameters, "M3P")
    assert start == ("Ours: 3 seed(s); start: minilm (the paper's: M3P), then 300 steps of contrastive and match pretraining and 200 steps of the "
                     "triplet loss on the training split.")  # fmt: skip
    assert "CE 8, BE 4, JOINT 6, learning rate 0.0003, 128 pairs" in steps
    assert "40% of the region features" in steps
    plain = departures({**parameters, "pretrain_steps": 0, "alignment_steps": 0, "region_dropout": 0, "be_learning_rate": 5e-4})
    assert plain[0].endswith("start: minilm (the paper's: OSCAR).")
    assert "learning rate 0.0003 (BE 0.0005)" in plain[1]


def test_be_may_have_a_learning_rate_of_its_own_and_the_start_a_second_stage(recipes: dict[Any, Any], small_data: Any) -> None:
    start = next(iter(recipes.values())).start
    made = make_recipes([str(small_data.manifest)], start, STEPS, 1, pretrain_steps=1, alignment_steps=1, be_learning_rate=0.5, **SIZES)
    assert {recipe.method: recipe.learning_rate for recipe in made.values()} == {"CE": 1e-2, "BE": 0.5, "JOINT": 1e-2}
    (second,) = {recipe.start for recipe in made.values()}
    record = json.loads((Path(second) / "training.json").read_text())["recipe"]
    assert (record["method"], record["steps"], record["learning_rate"]) == ("BE", 1, 1e-2)
    assert json.loads((Path(record["start"]) / "training.json").read_text())["recipe"]["method"] == "PRETRAINING"
