"""From parameters to trained models and rankings: each computed once, several at a time in child processes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmr_kit import cache
from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.errors import InputError
from mmr_kit.models import distributed, memory
from mmr_kit.models.engine import Engine
from mmr_kit.parallel import Progress, child_main, run_tasks
from mmr_kit.recipes import ENGINE, SOURCE, Recipe, train_recipe
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.rerank import Candidates, score_candidates
from mmr_kit.retrieval.retrieve import bi_encode, cross_encode

Name = TypeVar("Name")
Made = TypeVar("Made")
MODULE = "mmr_kit.experiments"  # what a child runs
INCIDENTS = "incidents.json"  # of an evaluation; only where there were some
RANKING_SOURCE = cache.identity_hash([SOURCE, *map(cache.file_hash, [Path(__file__), *ENGINE])])  # as imported: the file may change while this program runs
METHODS = {  # the paper's methods: which trained model retrieves (None: nothing does), which one reranks (None: nothing does)
    "CE": (None, "CE"),
    "BE": ("BE", None),
    "SEP+COOP": ("BE", "CE"),
    "JOINT+COOP": ("JOINT", "JOINT"),
    "JOINT+CE": (None, "JOINT"),
    "JOINT+BE": ("JOINT", None),
}


@dataclass(frozen=True)
class Evaluation:
    """Rankings of one method on a data set's split: `retriever` embeds (None: CE alone), `reranker` scores pairs (None: BE alone).

    method: its name in tables. images: how many of the split's images, drawn by `subset` (0: all). distractors: test splits that are merged into the
    collection ("pictograms_b", or "pictograms_b:500" for so many of its images). scored: candidates that are scored by the reranker (at least k, 0: k);
    k, combination and weight (lambda) then choose among them without scoring again, see `Candidates.ranking`.
    """

    method: str
    dataset: str
    retriever: Recipe | None = None
    reranker: Recipe | None = None
    split: str = "test"
    images: int = 0
    k: int = 20
    languages: tuple[str, ...] = ("en",)
    distractors: tuple[str, ...] = ()
    scored: int = 0
    combination: str = "none"
    weight: float = 0.0
    precision: str = "no"

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))
        object.__setattr__(self, "distractors", tuple(self.distractors))
        if self.retriever is None and self.reranker is None:
            raise InputError(f"{self.method}: name a retriever, a reranker, or both")
        if self.scored and self.scored < self.k:
            raise InputError(f"{self.method}: {self.scored} candidates are scored, fewer than k = {self.k}; score at least k")

    @property
    def seed(self) -> int:
        recipe = self.retriever or self.reranker
        assert recipe is not None
        return recipe.seed

    @property
    def label(self) -> str:
        among = f" among {' + '.join(self.distractors)}" if self.distractors else ""
        told = "" if self.languages == ("en",) else f" in {'+'.join(self.languages)}"
        return f"{self.method} ranks {self.images or 'all'} images of {self.dataset} {self.split}{among}{told}, seed {self.seed}"

    def data(self) -> RetrievalDataset:
        """The gallery that is ranked, distractors included."""
        dataset = load_dataset(self.dataset, self.split, self.languages)
        dataset = dataset.subset(self.images) if self.images else dataset
        return dataset.merged(*map(_distractors, self.distractors)) if self.distractors else dataset

    def identity(self) -> dict[str, Any]:
        """What the place of its scores in the cache is the hash of; k, combination and weight are no part of it."""
        data = [load_dataset(self.dataset, self.split, self.languages).fingerprint, *(_distractors(name).fingerprint for name in self.distractors)]
        models = [recipe.identity() if recipe else None for recipe in (self.retriever, self.reranker)]
        return {"models": models, "data": data, "split": self.split, "images": self.images, "distractors": list(self.distractors),
                "scored": (self.scored or self.k) if self.retriever and self.reranker else 0, "languages": list(self.languages),
                "precision": self.precision, "source": RANKING_SOURCE}

    def folder(self) -> Path:
        """Where the scores lie, or will lie."""
        return cache.entry_folder("rankings", self.identity())


class Missing(Exception):
    """Raised while only planning: these models would be trained now."""

    def __init__(self, recipes: list[Recipe]) -> None:
        super().__init__(f"{len(recipes)} models are not in the cache")
        self.recipes = recipes


_planning = False


@contextlib.contextmanager
def only_planning() -> Iterator[None]:
    """Within it nothing is trained or ranked: what would be raises `Missing`."""
    global _planning
    before, _planning = _planning, True
    try:
        yield
    finally:
        _planning = before


def at_once(asking: Mapping[Name, Callable[[], Made]]) -> dict[Name, Made]:
    """What each of these functions, which may train but not rank, returns; what they would train one after the other is trained first, all at once."""
    while True:
        made, missing = {}, []
        for name, ask in asking.items():
            try:
                with only_planning():
                    made[name] = ask()
            except Missing as found:
                missing += found.recipes
        if not missing:
            return made
        train(missing)


def train(recipes: Iterable[Recipe], workers: int = 0) -> list[Path]:
    """Folders of the trained models, one for each different recipe; those not in the cache are trained now, several at once on a CPU."""
    recipes = list(dict.fromkeys(recipes))
    absent = [recipe for recipe in recipes if not cache.is_complete(recipe.folder())]
    if absent and _planning:
        raise Missing(absent)
    missing = recipes if distributed.count() > 1 and not _planning else absent  # several processes go through all together
    if missing:
        print(f"training {len(missing)} of {len(recipes)} models, the others are there already", flush=True)
        run_tasks(MODULE, _work, [(recipe.label, {"train": asdict(recipe), "source": RANKING_SOURCE}) for recipe in _slowest_first(missing)], workers)
    return [recipe.folder() for recipe in recipes]


def evaluate(evaluations: Iterable[Evaluation], workers: int = 0) -> list[dict[str, Ranking]]:
    """Rankings of both directions for each evaluation; trains and scores whatever is not in the cache."""
    evaluations = list(evaluations)
    train([recipe for evaluation in evaluations for recipe in (evaluation.retriever, evaluation.reranker) if recipe], workers)
    folders = {evaluation: evaluation.folder() for evaluation in dict.fromkeys(evaluations)}
    missing = {folder: evaluation for evaluation, folder in folders.items() if distributed.count() > 1 or not cache.is_complete(folder)}
    if missing and _planning:
        raise Missing([])
    if missing:
        print(f"ranking {len(missing)} of {len(set(folders.values()))} evaluations, the others are there already", flush=True)
        ordered = sorted(missing.values(), key=lambda evaluation: evaluation.retriever is not None)  # CE alone takes longest
        tasks = [(evaluation.label, {"evaluate": asdict(evaluation), "source": RANKING_SOURCE}) for evaluation in ordered]
        run_tasks(MODULE, _work, tasks, workers)
    return [_read_rankings(folders[evaluation], evaluation) for evaluation in evaluations]


def training_record(recipe: Recipe) -> dict[str, Any]:
    """What a finished training recorded: {"recipe", "curve": points, "incidents", "seconds": wall time, "parameters": count}."""
    record: dict[str, Any] = json.loads((recipe.folder() / "training.json").read_text())
    return record


def dev_score(recipe: Recipe) -> float:
    """The dev score of a trained model, mean R@1 of both directions: the best of its training, whose weights were kept."""
    return max(point["dev score"] for point in training_record(recipe)["curve"] if "dev score" in point)


def ranking_incidents(evaluation: Evaluation) -> list[str]:
    """What went wrong in a finished evaluation, in words."""
    path = evaluation.folder() / INCIDENTS
    return [f"{evaluation.label}: {incident}" for incident in json.loads(path.read_text())] if path.is_file() else []


def learning_curves(recipes: Iterable[Recipe]) -> dict[str, list[dict[str, Any]]]:
    """The learning curve of each recipe by its label: points with step, losses and, where the dev split was scored, "dev score".

    Recipes of one label are told apart by their steps and learning rate; models as released have no curve.
    """
    recipes = [recipe for recipe in recipes if recipe.steps]
    labels = [recipe.label for recipe in recipes]
    curves = {}
    for recipe, label in zip(recipes, labels, strict=True):
        name = label if labels.count(label) == 1 else f"{label}, {recipe.steps} steps at {recipe.learning_rate}"
        curves[name] = training_record(recipe)["curve"]
    return curves


def _distractors(name: str) -> RetrievalDataset:
    """The English test split of "name" or, of "name:500", so many of its images."""
    name, _, images = name.partition(":")
    if images and not images.isdecimal():
        raise InputError(f"distractors {name}:{images}: write a data set's name, or name:number of images")
    dataset = load_dataset(name)
    return dataset.subset(int(images)) if images else dataset


def _slowest_first(missing: list[Recipe]) -> list[Recipe]:
    cost = {"JOINT": 3, "BE": 1, "CE": 2, "PRETRAINING": 3}
    return sorted(missing, key=lambda recipe: -cost[recipe.method] * recipe.steps)


def _evaluate(evaluation: Evaluation, progress: Progress) -> Path:
    def build(folder: Path) -> None:
        dataset = evaluation.data()
        started = time.monotonic()

        def report(done: int, total: int) -> None:
            elapsed = time.monotonic() - started
            progress({"step": done, "steps": total, "pairs/s": done / elapsed, "seconds left": elapsed / done * (total - done)})

        before = memory.splits
        engines = {recipe: Engine(recipe.model(), evaluation.precision) for recipe in {evaluation.retriever, evaluation.reranker} if recipe}
        if evaluation.retriever is None:
            assert evaluation.reranker is not None
            _save(folder, cross_encode(engines[evaluation.reranker], dataset, report).values(), dataset)
        elif evaluation.reranker is None:
            _save(folder, bi_encode(engines[evaluation.retriever], dataset).values(), dataset)
        else:
            retrieved = list(bi_encode(engines[evaluation.retriever], dataset, evaluation.scored or evaluation.k).values())
            _save(folder, retrieved, dataset)
            for candidates in score_candidates(engines[evaluation.reranker], dataset, retrieved, report):
                np.save(folder / f"{candidates.direction}.matches.npy", np.stack(candidates.matches))
        if splits := sum(map(int, distributed.collected(str(memory.splits - before).encode()))):  # of all processes, told by the first
            (folder / INCIDENTS).write_text(json.dumps([f"out of memory: {splits} batches were split"]))

    return distributed.cached("rankings", evaluation.identity(), build)


def _save(folder: Path, rankings: Iterable[Ranking], dataset: RetrievalDataset) -> None:
    """Rankings as arrays (queries, candidates): rows of the items, and scores."""
    for ranking in rankings:
        row = {item: number for number, item in enumerate(dataset.item_ids(ranking.direction))}
        items = np.array([[row[item] for item in items] for items in ranking.candidate_ids], dtype=np.int32)
        np.save(folder / f"{ranking.direction}.items.npy", items)
        np.save(folder / f"{ranking.direction}.scores.npy", np.stack(ranking.scores))


def _read_rankings(folder: Path, evaluation: Evaluation) -> dict[str, Ranking]:
    dataset, rankings = evaluation.data(), {}
    for direction in DIRECTIONS:
        queries, items = dataset.query_ids(direction), dataset.item_ids(direction)

        def load(part: str, direction: str = direction) -> np.ndarray:
            return np.load(folder / f"{direction}.{part}.npy", allow_pickle=False)

        candidates, scores = [[items[row] for row in best] for best in load("items")], list(load("scores"))
        if evaluation.retriever and evaluation.reranker:
            scored = Candidates(direction, queries, candidates, scores, list(load("matches")), len(dataset.query_ids("text_retrieval")))
            rankings[direction] = scored.ranking(evaluation.k, evaluation.combination, evaluation.weight)
        else:
            rankings[direction] = Ranking(direction, queries, candidates, scores)
    return rankings


def _recipe(values: dict[str, Any] | None) -> Recipe | None:
    return Recipe(**values) if values else None


def _work(task: dict[str, Any], progress: Progress) -> None:
    if task["source"] != RANKING_SOURCE:
        raise InputError("mmr_kit was changed since this program started: start it again (in a notebook: restart the kernel)")
    if "train" in task:
        train_recipe(Recipe(**task["train"]), progress)
    else:
        values = task["evaluate"]
        _evaluate(Evaluation(**{**values, "retriever": _recipe(values["retriever"]), "reranker": _recipe(values["reranker"])}), progress)


if __name__ == "__main__":
    child_main(_work)
