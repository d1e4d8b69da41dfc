"""What every notebook of a table does: recipes of a data set's models, evaluations of the methods, their rows, and the files of the finished table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.departures import departures as departures  # for the notebooks, as everything here
from mmr_kit.departures import incidents as incidents
from mmr_kit.errors import InputError
from mmr_kit.experiments import METHODS, Evaluation, at_once, evaluate, ranking_incidents, train, training_record
from mmr_kit.floor import FLOOR, Floor
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.mining import Miner
from mmr_kit.models.retrieval_model import load_model
from mmr_kit.models.starts import released_model
from mmr_kit.recipes import Recipe
from mmr_kit.reporting.checks import check_runs
from mmr_kit.reporting.claims import Claims
from mmr_kit.reporting.claims_training import HALF_SIZE
from mmr_kit.reporting.provenance import provenance
from mmr_kit.reporting.results import Results
from mmr_kit.reporting.tables import Picture, SideBySide
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.retrieve import bi_encode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VARIED = ("train_images", "half_size", "negatives", "pooling", "mined_by")  # settings by which a fine-tuning differs from the paper's
Key = tuple[str, str, int]  # trained model ("CE", "BE", "JOINT"), data set, seed


def parameters_of(namespace: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """The plain values among a notebook's variables, taken right after its parameters cell: parameters_of(vars()). IPython's own are left out."""
    plain = {name: value for name, value in namespace.items() if isinstance(value, bool | int | float | str)}
    return {name: value for name, value in plain.items() if not name.startswith("_") and name != "results_dir"}


def make_recipes(datasets: Iterable[str], start: str, steps: Mapping[str, int], seeds: int, pretrain_steps: int = 0, alignment_steps: int = 0,
                 be_learning_rate: float = 0, **settings: Any) -> dict[Key, Recipe]:  # fmt: skip
    """A recipe for each model (the keys of `steps`), data set and seed, all from one start; settings: further fields of `Recipe`.

    pretrain_steps: of a pretraining on the same training images, for a start that never saw any; alignment_steps: of the triplet loss alone
    after it. Both are done now, by the first seed only. be_learning_rate: of BE, where it differs. A finished model that lies with the start (see
    `released_model`) is taken over instead of trained, where the paper's own recipe is asked for. Raises InputError for less than one step or seed.
    """
    if seeds < 1:
        raise InputError(f"seeds is {seeds}: a table needs at least 1")
    for model, count in steps.items():
        if count < 1:
            raise InputError(f"{model} is to be trained for {count} steps; give at least 1")
    datasets = list(datasets)
    starts = dict.fromkeys(datasets, start)
    # A model for few training images has seen no others before.
    of_start = {name: value for name, value in settings.items() if name not in VARIED or name == "train_images"}
    for method, count in (("PRETRAINING", pretrain_steps), ("BE", alignment_steps)):
        if count:
            starts = dict(zip(datasets, map(str, train(Recipe(method, name, starts[name], count, **of_start) for name in datasets)), strict=True))
    of_model = {"BE": {"learning_rate": be_learning_rate}} if be_learning_rate else {}
    made = {(model, name, seed): Recipe(model, name, starts[name], count, seed=seed, **settings | of_model.get(model, {}))
            for name in datasets for model, count in steps.items() for seed in range(seeds)}  # fmt: skip
    return {key: _released(recipe, start) for key, recipe in made.items()}


def make_recipes_by_size(sizes: Iterable[int], *arguments: Any, **settings: Any) -> dict[int, dict[Key, Recipe]]:
    """What `make_recipes` gives for each number of training images (0: all); the starts of all sizes are made at once."""
    return at_once({size: partial(make_recipes, *arguments, train_images=size, **settings) for size in sizes})


def _released(recipe: Recipe, start: str) -> Recipe:
    """The recipe of the finished model that lies with the start; the recipe itself where there is none, or a variant of the paper's is to be trained."""
    plain = Recipe(recipe.method, recipe.dataset)
    is_variant = any(getattr(recipe, name) != getattr(plain, name) for name in VARIED)
    found = "" if is_variant else released_model(start, recipe.method, recipe.dataset, recipe.languages)
    return Recipe(recipe.method, recipe.dataset, found, 0, seed=recipe.seed, languages=recipe.languages) if found else recipe


def settings_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What `make_recipes` takes beside data sets, start, steps and seeds, from a notebook's parameters."""
    names = ("learning_rate", "be_learning_rate", "batch_size", "match_batch_size", "region_dropout", "precision", "gradient_checkpointing",
             "pretrain_steps", "alignment_steps", "evaluate_every", "dev_images")  # fmt: skip
    renamed = {name.removeprefix("multilingual_"): value for name, value in parameters.items()}
    return {name: renamed[name] for name in names if name in renamed}


def make_evaluations(recipes: Mapping[Key, Recipe], methods: Iterable[str], galleries: Sequence[int] = (0,),
                     on: Mapping[str, str] = MappingProxyType({}), **settings: Any) -> list[Evaluation]:  # fmt: skip
    """An evaluation for each method, data set, seed and gallery (so many images of the test split; 0: all); settings: further fields of `Evaluation`.

    Methods in which CE scores every pair are measured on the last gallery only, which is to be the smallest. on: {data set of the training: another on which
    its models are measured}.
    """
    made = []
    for method in methods:
        if method not in METHODS:
            raise InputError(f"no method {method!r}; there are {', '.join(METHODS)}")
        retriever, reranker = METHODS[method]
        for name, seed in dict.fromkeys((name, seed) for _, name, seed in recipes):
            of_retriever, of_reranker = (recipes[part, name, seed] if part else None for part in (retriever, reranker))
            made += [Evaluation(method, on.get(name, name), of_retriever, of_reranker, images=images, **settings)
                     for images in dict.fromkeys(galleries) if retriever or images == galleries[-1]]  # fmt: skip
    return made


def measure(results: Results, evaluations: Iterable[Evaluation], runs_of: Collection[int] | None = None, **columns: Any) -> None:
    """Rank what is not ranked yet, and add R@1, R@5 and R@10 of each evaluation in both directions; evaluations that differ by seed only share their rows.

    The columns of the rows come from the evaluation, further ones (or others) from `columns`. runs_of: seeds whose run files are written (None: all).
    """
    evaluations = list(evaluations)
    groups: dict[Evaluation, list[tuple[int, dict[str, Ranking]]]] = {}
    for evaluation, rankings in zip(evaluations, evaluate(evaluations), strict=True):
        results.incidents += ranking_incidents(evaluation)
        groups.setdefault(_without_seed(evaluation), []).append((evaluation.seed, rankings))
    for evaluation, of_seeds in groups.items():
        described = _columns(evaluation, results.table) | columns
        printed_by = {"table8": ("k",), "table9": ("combination", "lambda")}.get(results.table, ())  # columns that tell the paper's cells apart
        cell: dict[str, object] = {column: described[column] for column in printed_by}
        gallery, variant = evaluation.data(), _variant(evaluation, described, results.table)
        for direction in DIRECTIONS:
            of_direction = {seed: by_direction[direction] for seed, by_direction in of_seeds}
            results.add_rankings(of_direction, gallery, variant=variant, paper_cell=cell, runs_of=runs_of, n_items=_searched(gallery, direction), **described)


def measure_clip(results: Results, start: str, patches: Mapping[str, str], images: int = 0, seeds: int = 1, **settings: Any) -> None:
    """Add rows of CLIP, a CLIP or SigLIP checkpoint as it is, on each data set (so many images of its test split; 0: all).

    patches: {data set: another with the same captions, whose regions are the checkpoint's patches}. seeds: as of the other rows, for all the same.
    Raises InputError where the captions differ.
    """
    recipes = {("BE", "", seed): Recipe("BE", "", start, 0, seed=seed) for seed in range(seeds)}
    for name, of_patches in patches.items():
        evaluations = make_evaluations(recipes, ["BE"], [images], on={"": of_patches}, **settings)
        gallery = replace(evaluations[0], dataset=name).data()
        if evaluations[0].data().texts != gallery.texts:
            raise InputError(f"{of_patches}: its test captions are not those of {name} in the same order; give its manifest the same caption files")
        measure(results, evaluations, method="CLIP", dataset=gallery.name, paper_dataset=gallery.paper_dataset)


def measure_floor(results: Results, datasets: Iterable[str], galleries: Iterable[int] = (0,), languages: Sequence[str] = ("en",)) -> None:
    """Add what a ridge regression reaches that was fitted to the training split of each data set (see `Floor`), on each gallery as `make_evaluations` does.

    languages: of the captions."""
    for name in datasets:
        train, dev, test = (load_dataset(name, split, languages) for split in ("train", "dev", "test"))
        floor = Floor(train, dev)
        for images in dict.fromkeys(galleries):
            gallery = test.subset(images) if images else test
            for ranking in bi_encode(floor, gallery).values():
                results.add_rankings({0: ranking}, gallery, method=FLOOR, trained_on=name, n_items=_searched(gallery, ranking.direction),
                                     **_spoken(languages))


def match_losses(recipes: Iterable[Recipe]) -> tuple[np.ndarray, np.ndarray]:
    """Match losses of trained CEs on batches of the training and of the dev split, float (recipes, batches) each: their replaced pairs made as in the
    training, among equally many images of both splits (among more images a miner finds nearer ones), each of which comes once."""
    losses: tuple[list[list[float]], list[list[float]]] = ([], [])
    for recipe in recipes:
        model, miner = recipe.model(), load_model(recipe.mined_by) if recipe.mined_by else None
        splits = (recipe.training_data(), load_dataset(recipe.dataset, "dev", recipe.languages))
        images = min(len(split.image_ids) for split in splits)
        for split, of_split in zip(splits, losses, strict=True):
            pool = split.subset(images)
            pairs, near = TrainingPairs(pool, recipe.match_batch_size, recipe.seed), Miner(miner, pool) if miner else None
            made = (pairs.with_replaced(step, near) for step in range(max(1, images // recipe.match_batch_size)))
            of_split.append([_match_loss(model.score_pairs(batch.captions, batch.images), batch.matches) for batch in made])
    return np.array(losses[0]), np.array(losses[1])


def _match_loss(probabilities: np.ndarray, matches: np.ndarray) -> float:
    return float(-np.log(np.maximum(np.where(matches, probabilities, 1 - probabilities), 1e-7)).mean())


def publish(results: Results, folder: str, name: str, recipes: Iterable[Recipe], parameters: Mapping[str, Any], *, title: str, table: SideBySide,
            claims: Claims | None = None, figures: Mapping[str, tuple[Figure | None, str]]) -> None:
    """Write the table's files into `folder` (see `Results.write`; "" writes nothing) and recompute every number from its run file.

    figures: {"" or a suffix of the file name: (figure, or None where there is nothing to show, and its description in words)}.
    """
    if not folder:
        return
    from mmr_kit.reporting.figures import save_png  # here: a plotting library takes its time to load

    recipes = list(dict.fromkeys(recipes))
    pictures = []
    for suffix, (figure, description) in figures.items():
        if figure is None:
            continue
        file = f"{name}_{suffix}.png" if suffix else f"{name}.png"
        save_png(figure, Path(folder) / file)
        pictures.append(Picture(file, description))
    durations = {f"train {recipe.label}, {recipe.steps} steps": training_record(recipe)["seconds"] for recipe in recipes if recipe.steps}
    hashes = {recipe.dataset: load_dataset(recipe.dataset, "train", recipe.languages).fingerprint for recipe in recipes}
    record = provenance(parameters, hashes, durations) | {"incidents": incidents(recipes) + results.incidents}
    results.write(Path(folder), name, record, title=title, table=table, claims=claims, pictures=pictures)
    if (results.frame["run"] != "").any():  # tables of times have no runs
        check_runs(results.frame, Path(folder))


def _searched(dataset: RetrievalDataset, direction: str) -> int:
    """Items among which a query is searched for: those of the largest gallery of a data set in folds."""
    return max(len(gallery.item_ids(direction)) for gallery in dataset.galleries())


def _without_seed(evaluation: Evaluation) -> Evaluation:
    retriever, reranker = (replace(recipe, seed=0) if recipe else None for recipe in (evaluation.retriever, evaluation.reranker))
    return replace(evaluation, retriever=retriever, reranker=reranker)


def _columns(evaluation: Evaluation, table: str) -> dict[str, Any]:
    """The result columns that an evaluation determines."""
    recipe = evaluation.retriever or evaluation.reranker
    assert recipe is not None
    kind = recipe.kind()
    reranks = bool(evaluation.retriever and evaluation.reranker)
    columns: dict[str, Any] = {
        "method": evaluation.method, "backbone": f"{kind}{HALF_SIZE}" if recipe.half_size else kind,
        "trained_on": f"{recipe.dataset}_{recipe.train_images}" if recipe.train_images else recipe.dataset, "k": evaluation.k if reranks else None,
        **_spoken(evaluation.languages),
    }  # fmt: skip
    if evaluation.distractors:
        columns |= {"dataset": replace(evaluation, distractors=()).data().name, "collection": " + ".join((evaluation.dataset, *evaluation.distractors))}
    if table == "table9":
        columns |= {"combination": evaluation.combination, "lambda": None if evaluation.combination == "none" else evaluation.weight}
    return columns


def _spoken(languages: Sequence[str]) -> dict[str, Any]:
    """The column of languages, and that no number of the paper, which are of English captions, stands beside those of others unless a notebook says so."""
    return {"language": "+".join(languages)} | ({} if tuple(languages) == ("en",) else {"paper_dataset": ""})


def _variant(evaluation: Evaluation, columns: Mapping[str, Any], table: str) -> str:
    """What tells the run files of one table, gallery and method apart."""
    told = [columns["trained_on"]] if columns["trained_on"] not in ("", evaluation.dataset) else []
    told += ["half"] if columns["backbone"].endswith(HALF_SIZE) else []
    told += [f"k{evaluation.k}"] if table == "table8" else []
    told += [f"{evaluation.combination}{round(100 * evaluation.weight):03d}"] if evaluation.combination != "none" else []
    return "-".join(told)
