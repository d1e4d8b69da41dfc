"""What the notebooks share: recipes, evaluations and their rows, and the files of a table."""

import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig

from mmr_kit import experiments, study
from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.regions import Regions, write_region_store
from mmr_kit.errors import InputError
from mmr_kit.experiments import evaluate, learning_curves
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.losses import match_loss
from mmr_kit.models.m3p import M3P
from mmr_kit.models.miniature import write_checkpoints
from mmr_kit.models.mining import Miner
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import word_tokenizer
from mmr_kit.recipes import Recipe
from mmr_kit.reporting import Results, headline, read_results
from mmr_kit.reporting.figures import learning_curves as draw_curves
from mmr_kit.reporting.tables import plain_table, side_by_side
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.ranking import DIRECTIONS
from mmr_kit.retrieval.retrieve import bi_encode, cooperate, cross_encode
from mmr_kit.study import (
    departures,
    incidents,
    make_evaluations,
    make_recipes,
    make_recipes_by_size,
    match_losses,
    measure,
    measure_clip,
    measure_floor,
    parameters_of,
    publish,
    settings_of,
)

STEPS = {"CE": 2, "BE": 2, "JOINT": 2}
SIZES = {"learning_rate": 1e-2, "batch_size": 14, "match_batch_size": 14, "dev_images": 6}


@pytest.fixture
def recipes(small_data: Any, make_model: Callable[..., RetrievalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MMR_WORKERS", "0")
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
    pretrained = make_recipes([str(small_data.manifest)], start, {"BE": 2}, 1, pretrain_steps=1, half_size=True, train_images=15, **SIZES)
    (recipe,) = pretrained.values()
    record = json.loads((Path(recipe.start) / "training.json").read_text())["recipe"]
    assert (record["method"], record["steps"], record["start"], record["half_size"]) == ("PRETRAINING", 1, start, False)
    assert record["train_images"] == recipe.train_images == 15  # Figure 3's smaller sets have seen nothing else
    assert recipe.half_size


def test_starts_of_several_sizes_are_made_at_once(recipes: dict[Any, Any], small_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, start, name = [], next(iter(recipes.values())).start, str(small_data.manifest)
    real = experiments.run_tasks
    monkeypatch.setattr(experiments, "run_tasks", lambda module, work, tasks, workers: (asked.append([label for label, _ in tasks]), real(module, work, tasks)))
    arguments = {"pretrain_steps": 1, "alignment_steps": 1, **SIZES}
    with experiments.only_planning(), pytest.raises(experiments.Missing) as first:
        make_recipes_by_size([15, 0], [name], start, {"BE": 2}, 1, **arguments)
    assert [recipe.train_images for recipe in first.value.recipes] == [15, 0]  # so in a plan, too
    made = make_recipes_by_size([15, 0], [name], start, {"BE": 2}, 1, **arguments)
    assert [[label.split()[0] for label in labels] for labels in asked] == [["PRETRAINING"] * 2, ["BE"] * 2]  # the second stage needs the first
    assert made == {size: make_recipes([name], start, {"BE": 2}, 1, train_images=size, **arguments) for size in (15, 0)}
    assert len({recipe.start for of_size in made.values() for recipe in of_size.values()}) == 2
    assert len(asked) == 2
    monkeypatch.setattr(experiments.distributed, "count", lambda: 2)  # each process goes through all trainings, done or not
    assert make_recipes_by_size([15, 0], [name], start, {"BE": 2}, 1, **arguments) == made


def test_methods_that_score_every_pair_keep_to_the_last_gallery(recipes: dict[Any, Any]) -> None:
    made = make_evaluations(recipes, ["CE", "JOINT+CE", "BE", "SEP+COOP"], [0, 4], k=3)
    assert {(each.method, each.images) for each in made} == {("CE", 4), ("JOINT+CE", 4), ("BE", 0), ("BE", 4), ("SEP+COOP", 0), ("SEP+COOP", 4)}
    assert len(made) == 12
    coop = made[-1]
    assert (coop.retriever.method, coop.reranker.method, coop.seed, coop.k) == ("BE", "CE", 1, 3)
    with pytest.raises(InputError, match="no method 'SEP'"):
        make_evaluations(recipes, ["SEP"])


def test_models_may_be_measured_on_other_data_sets(recipes: dict[Any, Any], small_data: Any, tmp_path: Path) -> None:
    name, other = str(small_data.manifest), tmp_path / "data" / "other.yaml"
    other.write_text(small_data.manifest.read_text().replace("name: small", "name: other"))
    evaluations = make_evaluations(recipes, ["BE"], on={name: str(other), "some": "thing"})
    assert {evaluation.dataset for evaluation in evaluations} == {str(other)}
    results = Results("table8", "demo")
    measure(results, evaluations)
    assert set(zip(results.frame["dataset"], results.frame["trained_on"], strict=True)) == {("other", name)}


def test_the_backbone_is_told_by_its_kind(recipes: dict[Any, Any], small_data: Any, tmp_path: Path) -> None:
    config = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=72)
    RetrievalModel(M3P(config, word_tokenizer(["a b"]), 8)).save(tmp_path / "m3p")
    results = Results("figure4", "demo")
    for half in (False, True):
        made = make_recipes([str(small_data.manifest)], str(tmp_path / "m3p"), {"BE": 1}, 1, half_size=half, **SIZES)
        measure(results, make_evaluations(made, ["BE"]))
    measure(results, make_evaluations(recipes, ["BE"]), method="other")
    assert results.frame.groupby("backbone", sort=False).size().to_dict() == {"m3p": 6, "m3p, half size": 6, "oscar": 18}
    assert {file.split(".")[1] for file in results.frame["run"] if "m3p" not in file and file} >= {"BE", "BE-half"}


def test_what_was_released_is_not_trained(recipes: dict[Any, Any], small_data: Any, tmp_path: Path) -> None:
    name, start = str(small_data.manifest), Path(next(iter(recipes.values())).start)
    shutil.copytree(start, start.parent / "copy")
    (start / "released").mkdir()
    (start.parent / "copy").rename(start / "released" / "JOINT-small")
    made = make_recipes([name], str(start), STEPS, seeds=2, evaluate_every=1, pretrain_steps=0, **SIZES)
    assert {key: recipe.steps for key, recipe in made.items()} == {key: 0 if key[0] == "JOINT" else 2 for key in recipes}
    assert {recipe.start for key, recipe in made.items() if key[0] == "JOINT"} == {str(start / "released" / "JOINT-small")}
    assert made["CE", name, 1] == replace(recipes["CE", name, 1], evaluate_every=1)
    for variant in ({"half_size": True}, {"train_images": 20}, {"negatives": "1"}, {"pooling": "cls"}, {"mined_by": str(start)}):
        assert make_recipes([name], str(start), STEPS, 1, **variant, **SIZES)["JOINT", name, 0].steps == 2, variant
    parameters = {"seeds": 2, "start": "x", "pretrain_steps": 0, "alignment_steps": 0, "learning_rate": 0.1, "ce_steps": 2, "be_steps": 2, "joint_steps": 2,
                  "batch_size": 14, "match_batch_size": 14, "region_dropout": 0}  # fmt: skip
    assert departures(parameters, recipes=made.values())[2:] == [f"Released, not trained here: JOINT on {name}."]
    assert [note.split(" is ")[0] for note in departures(parameters, recipes=recipes.values())[2:]] == ["A step of JOINT"]
    with pytest.raises(InputError, match="BE is to be trained for 0 steps; give at least 1"):
        make_recipes([name], str(start), {**STEPS, "BE": 0}, 1)
    results = Results("table1", "demo")
    measure(results, make_evaluations(made, ["JOINT+COOP"], k=3))
    assert set(results.frame["seed"]) == {"0", "1", "mean"}
    assert set(results.frame["trained_on"]) == {name}

    released = [recipe for recipe in made.values() if not recipe.steps]
    curves = draw_curves(learning_curves(released))
    assert curves is None
    publish(results, str(tmp_path / "results"), "table1", released, {}, title="x", table=plain_table(headline(results.frame)),
            figures={"learning_curves": (curves, "none")})  # fmt: skip
    assert (tmp_path / "results" / "table1.csv").is_file()
    assert not list((tmp_path / "results").glob("*.png"))


def test_clip_is_measured_as_it_is_beside_the_others(recipes: dict[Any, Any], small_data: Any, tmp_path: Path) -> None:
    write_checkpoints(tmp_path, [caption["text"] for caption in small_data.captions])
    name, patches, rng = str(small_data.manifest), tmp_path / "data" / "patches.yaml", np.random.default_rng(0)
    text = small_data.manifest.read_text().replace("source: a test", "source: a test, paper_dataset: CC 14k")
    small_data.manifest.write_text(text)
    patches.write_text(text.replace("name: small", "name: patches").replace("regions: regions", "regions: patches"))
    corners = np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]])
    ids = dict.fromkeys(caption["image_id"] for caption in small_data.captions)
    boxes = np.hstack([corners, corners + 0.5])
    write_region_store(small_data.folder / "patches", [(image_id, (8, 8), Regions(rng.random((4, 48)), boxes)) for image_id in ids])
    results = Results("table6", "demo")
    measure_clip(results, str(tmp_path / "backbones" / "clip"), {name: str(patches)}, images=5, seeds=2)
    rows = results.frame
    assert (set(rows["dataset"]), set(rows["trained_on"]), set(rows["backbone"]), set(rows["method"])) == ({"small_5"}, {""}, {"clip"}, {"CLIP"})
    assert set(rows["seed"]) == {"0", "1", "mean"}
    printed = rows[(rows["metric"] == "R@1") & (rows["direction"] == "image_retrieval")]["paper_value"]
    assert set(printed) == {30.8}
    assert results.paper_datasets == {"small_5": "CC 14k"}
    side_by_side(6, headline(rows), results.paper_datasets)
    other = tmp_path / "data" / "other.yaml"
    other.write_text(patches.read_text().replace("captions.jsonl", "others.jsonl"))
    (small_data.folder / "others.jsonl").write_text((small_data.folder / "captions.jsonl").read_text().replace("apple beside", "apple next to"))
    with pytest.raises(InputError, match=r"other\.yaml: its test captions are not those of .*small\.yaml in the same order"):
        measure_clip(results, str(tmp_path / "backbones" / "clip"), {name: str(other)})


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


def test_folds_are_averaged(recipes: dict[Any, Any], small_data: Any, tmp_path: Path) -> None:
    """Of a data set in folds (MSCOCO 1k): R@M is the mean over the folds, its interval is over all queries, and the run file gives the same number."""
    other = tmp_path / "data" / "folded.yaml"
    other.write_text(small_data.manifest.read_text().replace("files: {", "files: {folds: 4, ").replace("name: small", "name: folded"))
    results, plain = Results("table1", "demo"), Results("table1", "demo")
    measure(plain, make_evaluations(recipes, ["BE"], k=2))
    on = {str(small_data.manifest): str(other)}
    evaluations = make_evaluations(recipes, ["BE", "CE", "SEP+COOP"], on=on, k=2)
    measure(results, evaluations)
    measure_floor(results, [str(other)])
    rows, folded = results.frame, load_dataset(other)
    parts, (be, ce) = folded.galleries(), (recipes[model, str(small_data.manifest), 0].model() for model in ("BE", "CE"))
    for method, rank in {"BE": lambda part: bi_encode(be, part), "CE": lambda part: cross_encode(ce, part),
                         "SEP+COOP": lambda part: cooperate(be, ce, part, 2)}.items():  # fmt: skip
        for direction in DIRECTIONS:
            by_hand = [recall(rank(part)[direction], part) for part in parts]
            for metric in ("R@1", "R@5"):
                row = rows[(rows["method"] == method) & (rows["direction"] == direction) & (rows["metric"] == metric) & (rows["seed"] == "0")].iloc[0]
                assert row["value"] == pytest.approx(np.mean([fold[metric] for fold in by_hand]))
                assert row["ci_low"] <= row["value"] <= row["ci_high"]
    assert set(zip(rows["direction"], rows["n_queries"], rows["n_items"], strict=True)) == {("image_retrieval", 16, 2), ("text_retrieval", 8, 4)}
    assert set(plain.frame["n_items"]) == {8, 16}
    one = rows[(rows["method"] == "BE") & (rows["metric"] == "R@1") & (rows["seed"] == "0")]["value"].tolist()
    assert one != plain.frame[(plain.frame["metric"] == "R@1") & (plain.frame["seed"] == "0")]["value"].tolist(), "a smaller gallery is easier"
    be_of, ce_of = (recipes[model, str(small_data.manifest), 0] for model in ("BE", "CE"))
    publish(results, str(tmp_path / "out"), "table1", [be_of, ce_of], {}, title="x", table=plain_table(headline(rows)), figures={})


def test_match_losses_are_those_that_training_minimises(recipes: dict[Any, Any], small_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(recipes["CE", str(small_data.manifest), 0], match_batch_size=4)
    dev = load_dataset(recipe.dataset, "dev")
    model = recipe.model()
    expected = []
    for step in range(2):
        batch = TrainingPairs(dev, 4, recipe.seed).with_replaced(step)
        expected.append(match_loss(model.match_logits(batch.captions, batch.images), torch.tensor(batch.matches).long()).item())
    of_train, of_dev = match_losses([recipe])
    assert of_train.shape == (1, 2)
    assert of_dev[0] == pytest.approx(expected, rel=1e-4)
    mined = replace(recipe, mined_by=str(recipes["BE", recipe.dataset, 0].folder()))
    recipes["BE", recipe.dataset, 0].model()
    pools = []
    monkeypatch.setattr(study, "Miner", lambda model, dataset: pools.append(len(dataset.image_ids)) or Miner(model, dataset))
    assert not np.allclose(match_losses([mined, mined])[1], of_dev)
    assert len(set(pools)) == 1, "among more images a miner finds nearer ones"


def test_settings_and_departures_come_from_the_parameters_of_a_notebook() -> None:
    parameters = {"seeds": 3, "multilingual_start": "minilm", "pretrain_steps": 300, "alignment_steps": 200, "multilingual_learning_rate": 3e-4,
                  "ce_steps": 8, "be_steps": 4, "joint_steps": 6, "batch_size": 128, "match_batch_size": 64,
                  "region_dropout": 0.4, "precision": "bf16", "gradient_checkpointing": True}  # fmt: skip
    assert settings_of(parameters) == {"pretrain_steps": 300, "alignment_steps": 200, "learning_rate": 3e-4, "batch_size": 128, "match_batch_size": 64,
                                       "region_dropout": 0.4, "precision": "bf16", "gradient_checkpointing": True}
    start, steps, joint = departures(parameters, "M3P")
    assert start == ("Ours: 3 seed(s); start: minilm (the paper's: M3P), then 300 steps of contrastive and match pretraining and 200 steps of the "
                     "triplet loss on the same training images.")  # fmt: skip
    assert "CE 8, BE 4, JOINT 6, learning rate 0.0003, 128 pairs" in steps
    assert "40% of the region features" in steps
    plain = departures({**parameters, "pretrain_steps": 0, "alignment_steps": 0, "region_dropout": 0, "be_learning_rate": 5e-4})
    assert plain[0].endswith("start: minilm (the paper's: OSCAR).")
    read = departures({**parameters, "start": "captions:en+de"})[0]
    assert "start: captions:en+de, a small Transformer with words embedded by latent semantic analysis of the training captions (en, de) and" in read
    assert "learning rate 0.0003 (BE 0.0005)" in plain[1]
    assert "one update by a batch of each loss; the paper alternates" in joint
    del parameters["joint_steps"]
    assert not any("JOINT" in note for note in departures(parameters)), "as in ablations"


def test_departures_tell_size_checkpoints_and_galleries_where_they_differ(recipes: dict[Any, Any]) -> None:
    plain = {"seeds": 2, "start": "x", "pretrain_steps": 0, "alignment_steps": 0, "ce_steps": 2, "be_steps": 2, "joint_steps": 2, "region_dropout": 0, **SIZES}

    def told(begin: str, only: Collection[Recipe] = (), **parameters: Any) -> list[str]:
        return [note for note in departures(plain | parameters, recipes=only) if note.startswith(begin)]

    (be,) = (recipe for recipe in recipes.values() if recipe.method == "BE" and not recipe.seed)
    assert told("Size", [be]) == [], "not trained yet"
    half = replace(be, half_size=True)
    experiments.train([be, half])
    count, width = (f"{experiments.training_record(be)['parameters']:,}", be.model().backbone.width)
    paper = "the paper: OSCAR's, 12 layers, width 768, from BERT Base (110 million: Devlin et al., 2019)."
    assert told("Size", [be, half]) == [f"Size: {be.model().backbone.config.num_hidden_layers} layers, width {width}, {count} parameters; {paper}"]
    assert told("Size", [half]) == [], "half of the paper's is the paper's, too"
    config = be.folder() / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 12, "hidden_size": 768}))
    assert told("Size", [be]) == []

    (four,) = told("Checkpoints")
    assert "the last of the best, scored four times in a training by" in four
    assert four.endswith("one caption an image (CE and JOINT: 6 images); the paper: the best, every 5,000 steps.")
    assert "scored every 5,000 steps by" in told("Checkpoints", evaluate_every=5000)[0]
    (of_be,) = told("Checkpoints", [be, replace(be, evaluate_every=30)])
    assert "scored four times in a training or every 30 steps by R@1 on the dev split, one caption an image; the paper" in of_be, "no other was trained"

    assert told("Galler", ce_images=0, test_images=0) == []
    whole = "the paper: all methods on all images."
    assert told("Galler", ce_images=200, test_images=0) == [f"Galleries: CE, which scores every pair, on 200 images of the test split, others on all; {whole}"]
    assert "others on 1,000; " in told("Galler", ce_images=200, test_images=1000)[0]
    for parameters in ({"ce_images": 200}, {"ce_images": 200, "test_images": 200}):
        assert told("Galler", **parameters) == [f"Gallery: 200 images of the test split, as CE scores every pair; {whole}"]
    assert told("Galler", test_images=50) == [f"Gallery: 50 images of the test split; {whole}"]


def test_every_table_of_trained_models_tells_its_departures() -> None:
    for notebook in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")):
        source = "".join("".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code")
        if "make_recipes" in source and "publish(" in source:
            assert "departures(parameters" in source, notebook.name


def test_be_may_have_a_learning_rate_of_its_own_and_the_start_a_second_stage(recipes: dict[Any, Any], small_data: Any) -> None:
    start = next(iter(recipes.values())).start
    made = make_recipes([str(small_data.manifest)], start, STEPS, 1, pretrain_steps=1, alignment_steps=1, be_learning_rate=0.5, **SIZES)
    assert {recipe.method: recipe.learning_rate for recipe in made.values()} == {"CE": 1e-2, "BE": 0.5, "JOINT": 1e-2}
    (second,) = {recipe.start for recipe in made.values()}
    record = json.loads((Path(second) / "training.json").read_text())["recipe"]
    assert (record["method"], record["steps"], record["learning_rate"]) == ("BE", 1, 1e-2)
    assert json.loads((Path(record["start"]) / "training.json").read_text())["recipe"]["method"] == "PRETRAINING"


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seeds_are_refused(seeds: int) -> None:
    with pytest.raises(InputError, match=f"seeds is {seeds}: a table needs at least 1"):
        make_recipes(["smoke_a"], "scratch", STEPS, seeds)


def test_other_languages_have_columns_of_their_own_and_nothing_of_the_paper_beside(recipes: dict[Any, Any], small_data: Any) -> None:
    """Whose numbers are of English captions."""
    small_data.manifest.write_text(small_data.manifest.read_text().replace("source: a test", "source: a test, paper_dataset: Flickr30k 1k"))
    name, be = str(small_data.manifest), {key: recipe for key, recipe in recipes.items() if key[0] == "BE"}
    for languages, printed in ((("en",), True), (("de",), False), (("en", "de"), False)):
        results = Results("table1", "demo")
        measure(results, make_evaluations(be, ["BE"], languages=languages))
        measure_floor(results, [name], languages=languages)
        rows = results.frame
        assert set(rows["language"]) == {"+".join(languages)}
        assert rows["paper_value"].notna().any() == printed
        assert set(rows[rows["direction"] == "image_retrieval"]["n_queries"]) == {8 * {"en": 2, "de": 1}[languages[0]] + 8 * (len(languages) - 1)}
        assert results.paper_datasets == {"small": "Flickr30k 1k" if printed else ""}


def test_want_of_memory_is_told_with_the_results(recipes: dict[Any, Any], small_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that has no room is split, in training and in ranking; the departures and the provenance say so."""
    forward = Backbone.forward

    def narrow(self: Backbone, inputs: dict[str, torch.Tensor]) -> Any:
        if len(inputs["token_ids"]) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, inputs)

    monkeypatch.setattr(Backbone, "forward", narrow)
    monkeypatch.setattr("mmr_kit.models.passes.CPU_VALUES", 16 * 300)
    be = {key: recipe for key, recipe in recipes.items() if key[0] == "BE"}
    results = Results("table1", "test")
    measure(results, make_evaluations(be, ["BE"]))
    told = incidents(be.values())
    assert told[0].startswith("BE on ")
    assert "out of memory at step 1" in told[0]
    steps = {f"{model.lower()}_steps": count for model, count in STEPS.items()}
    parameters = {"seeds": 2, "start": "tiny", "pretrain_steps": 0, "alignment_steps": 0, "region_dropout": 0, **SIZES, **steps}
    assert f"{told[0]}." in departures(parameters, recipes=be.values())
    assert "batches were split" in results.incidents[0]
    publish(results, str(tmp_path / "out"), "table1_x", be.values(), parameters, title="One", table=plain_table(results.frame), figures={})
    assert json.loads((tmp_path / "out" / "table1_x.provenance.json").read_text())["incidents"] == told + results.incidents
