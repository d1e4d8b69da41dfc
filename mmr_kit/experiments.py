"""From parameters to trained models and rankings: each computed once, kept under the hash of everything that determines it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmr_kit import cache
from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.errors import InputError
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.losses import NegativeSchedule
from mmr_kit.models.objectives import BiEncoding, CrossEncoding, Joint, Objective, Pretraining
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import initial_model, start_identity
from mmr_kit.models.training import Schedule
from mmr_kit.models.training import train as train_loop
from mmr_kit.parallel import Progress, child_main, run_children, worker_count
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.ranking import DIRECTIONS, Ranking
from mmr_kit.retrieval.retrieve import bi_encode, cooperate, cross_encode

OBJECTIVES = ("CE", "BE", "JOINT", "PRETRAINING")
METHODS = {  # the paper's methods: which trained model retrieves (None: nothing does), which one reranks (None: nothing does)
    "CE": (None, "CE"),
    "BE": ("BE", None),
    "SEP+COOP": ("BE", "CE"),
    "JOINT+COOP": ("JOINT", "JOINT"),
    "JOINT+CE": (None, "JOINT"),
    "JOINT+BE": ("JOINT", None),
}
DEV_K = 20
PACKAGE = Path(__file__).parent
COMPUTING = [Path(__file__), *sorted((PACKAGE / "models").glob("*.py")), PACKAGE / "data" / "datasets.py", PACKAGE / "data" / "regions.py",
             *sorted((PACKAGE / "retrieval").glob("*.py"))]  # what a model or a ranking is computed by: a change there is another model
SOURCE = cache.identity_hash([cache.file_hash(path) for path in COMPUTING])


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a trained model.

    method: "CE", "BE", "JOINT" (or "PRETRAINING"). dataset: a manifest's name or path; `train_images` of its training images (0: all). start: see
    `models.starts.resolve`. batch_size: pairs a step of the triplet loss; match_batch_size: matching pairs a step of the match loss, which adds as many
    replaced ones. negatives: "batch" takes BHN's hardest of the whole batch, "adaptive" lets their number N grow (a departure from the paper, see
    `NegativeSchedule`). dev_images: images of the dev split on which CE and JOINT checkpoints are scored (BE, which is
    cheap: on all), every `evaluate_every` steps (0: four times in all).
    """

    method: str
    dataset: str
    start: str = "scratch"
    steps: int = 1000
    learning_rate: float = 1e-3
    batch_size: int = 128
    match_batch_size: int = 64
    evaluate_every: int = 0
    seed: int = 0
    languages: tuple[str, ...] = ("en",)
    train_images: int = 0
    half_size: bool = False
    margin: float = 0.1
    negatives: str = "batch"
    warmup_steps: int = 0
    dev_images: int = 64
    precision: str = "no"

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))
        if self.method not in OBJECTIVES:
            raise InputError(f"no training method {self.method!r}; there are {', '.join(OBJECTIVES)}")
        if self.negatives not in ("adaptive", "batch"):
            raise InputError(f"negatives {self.negatives!r}: choose 'adaptive' or 'batch'")
        for name in ("steps", "batch_size", "match_batch_size", "dev_images", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be above 0")

    @property
    def label(self) -> str:
        """For people: CE on pictograms_a, seed 0; and whatever differs from a recipe's defaults in size."""
        size = (f", {self.train_images} images" if self.train_images else "") + (", half size" if self.half_size else "")
        return f"{self.method} on {self.dataset}{size}, seed {self.seed}"

    def identity(self) -> dict[str, Any]:
        """What the model's place in the cache is the hash of."""
        data = load_dataset(self.dataset, "train", self.languages).fingerprint
        return {**asdict(self), "languages": list(self.languages), "start": start_identity(self.start), "data": data, "source": SOURCE}

    def folder(self) -> Path:
        """Where the trained model lies, or will lie."""
        return cache.entry_folder("models", self.identity())

    def model(self) -> RetrievalModel:
        """The trained model; trained now where it is not there yet."""
        return RetrievalModel.load(_train(self, lambda point: None))


@dataclass(frozen=True)
class Evaluation:
    """Rankings of one method on a data set's split: `retriever` embeds (None: CE alone), `reranker` scores pairs (None: BE alone).

    method: its name in tables. images: how many of the split's images, drawn by `subset` (0: all). k: candidates that are reranked.
    """

    method: str
    dataset: str
    retriever: Recipe | None = None
    reranker: Recipe | None = None
    split: str = "test"
    images: int = 0
    k: int = 20
    languages: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))
        if self.retriever is None and self.reranker is None:
            raise InputError(f"{self.method}: name a retriever, a reranker, or both")

    @property
    def seed(self) -> int:
        recipe = self.retriever or self.reranker
        assert recipe is not None
        return recipe.seed

    @property
    def label(self) -> str:
        return f"{self.method} ranks {self.images or 'all'} images of {self.dataset} {self.split}, seed {self.seed}"

    def data(self) -> RetrievalDataset:
        """The gallery that is ranked."""
        dataset = load_dataset(self.dataset, self.split, self.languages)
        return dataset.subset(self.images) if self.images else dataset

    def identity(self) -> dict[str, Any]:
        data = load_dataset(self.dataset, self.split, self.languages).fingerprint
        models = [recipe.identity() if recipe else None for recipe in (self.retriever, self.reranker)]
        return {"models": models, "data": data, "split": self.split, "images": self.images, "k": self.k if self.retriever and self.reranker else 0,
                "languages": list(self.languages), "source": SOURCE}

    def folder(self) -> Path:
        """Where the rankings lie, or will lie."""
        return cache.entry_folder("rankings", self.identity())


def train(recipes: Iterable[Recipe], workers: int = 0) -> list[Path]:
    """Folders of the trained models, one for each different recipe; those not in the cache are trained now, several at once on a CPU."""
    recipes = list(dict.fromkeys(recipes))
    missing = [recipe for recipe in recipes if not cache.is_complete(recipe.folder())]
    if missing:
        print(f"training {len(missing)} of {len(recipes)} models, the others are there already", flush=True)
        run_children(__name__, [(recipe.label, {"train": asdict(recipe), "source": SOURCE}) for recipe in _slowest_first(missing)], workers or worker_count())
    return [recipe.folder() for recipe in recipes]


def evaluate(evaluations: Iterable[Evaluation], workers: int = 0) -> list[dict[str, Ranking]]:
    """Rankings of both directions for each evaluation; trains and ranks whatever is not in the cache."""
    evaluations = list(evaluations)
    train([recipe for evaluation in evaluations for recipe in (evaluation.retriever, evaluation.reranker) if recipe], workers)
    missing = [evaluation for evaluation in dict.fromkeys(evaluations) if not cache.is_complete(evaluation.folder())]
    if missing:
        print(f"ranking {len(missing)} of {len(evaluations)} evaluations, the others are there already", flush=True)
        missing.sort(key=lambda evaluation: evaluation.retriever is not None)  # CE alone takes longest
        tasks = [(evaluation.label, {"evaluate": asdict(evaluation), "source": SOURCE}) for evaluation in missing]
        run_children(__name__, tasks, workers or worker_count())
    return [_read_rankings(_evaluate(evaluation, lambda point: None), evaluation) for evaluation in evaluations]


def training_record(recipe: Recipe) -> dict[str, Any]:
    """What a finished training recorded: {"recipe", "curve": points, "seconds": wall time, "parameters": count}."""
    record: dict[str, Any] = json.loads((recipe.folder() / "training.json").read_text())
    return record


def learning_curves(recipes: Iterable[Recipe]) -> dict[str, list[dict[str, Any]]]:
    """The learning curve of each recipe by its label: points with step, losses and, where the dev split was scored, "dev score".

    Recipes of one label are told apart by their steps and learning rate.
    """
    recipes = list(recipes)
    labels = [recipe.label for recipe in recipes]
    curves = {}
    for recipe, label in zip(recipes, labels, strict=True):
        name = label if labels.count(label) == 1 else f"{label}, {recipe.steps} steps at {recipe.learning_rate}"
        curves[name] = training_record(recipe)["curve"]
    return curves


def _slowest_first(missing: list[Recipe]) -> list[Recipe]:
    cost = {"JOINT": 3, "BE": 1, "CE": 2, "PRETRAINING": 3}
    return sorted(missing, key=lambda recipe: -cost[recipe.method] * recipe.steps)


def _train(recipe: Recipe, progress: Progress) -> Path:
    identity = recipe.identity()
    work = cache.work_folder("models", identity)

    def build(folder: Path) -> None:
        started = time.monotonic()
        dataset = load_dataset(recipe.dataset, "train", recipe.languages)
        if recipe.train_images:
            dataset = dataset.subset(recipe.train_images)
        model = initial_model(recipe.start, dataset, recipe.seed)
        if recipe.half_size:
            model.backbone.skip_odd_layers()
        interval = recipe.evaluate_every or -(-recipe.steps // 4)
        schedule = Schedule(recipe.steps, recipe.learning_rate, interval, recipe.seed, recipe.warmup_steps, precision=recipe.precision)
        curve = train_loop(_objective(recipe, model, dataset), schedule, _dev_score(recipe), work, progress)
        model.save(folder)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        record = {"recipe": asdict(recipe), "curve": curve, "seconds": time.monotonic() - started, "parameters": parameters}
        cache.atomic_write(folder / "training.json", json.dumps(record, indent=1))

    return cache.cached("models", identity, build)


def _objective(recipe: Recipe, model: RetrievalModel, dataset: RetrievalDataset) -> Objective:
    def cross_encoding() -> CrossEncoding:
        return CrossEncoding(model, TrainingPairs(dataset, recipe.match_batch_size, recipe.seed))

    if recipe.method == "CE":
        return cross_encoding()
    pairs = TrainingPairs(dataset, recipe.batch_size, recipe.seed + 1)  # other images than the match loss sees in the same step
    if recipe.method == "PRETRAINING":
        return Pretraining(pairs, cross_encoding())
    bi_encoding = BiEncoding(model, pairs, recipe.margin, NegativeSchedule(recipe.negatives == "adaptive"))
    return bi_encoding if recipe.method == "BE" else Joint(bi_encoding, cross_encoding())


def _dev_score(recipe: Recipe) -> Callable[[RetrievalModel], float]:
    """Mean R@1 of both directions on the dev split, by what the method is for: CE over the grid, BE by its embeddings, JOINT cooperatively."""
    dev = load_dataset(recipe.dataset, "dev", recipe.languages)
    if recipe.method != "BE":
        dev = dev.subset(min(recipe.dev_images, len(dev.image_ids)))
    first = {caption.image_id: caption for caption in reversed(dev.captions)}
    dev = replace(dev, captions=[first[image_id] for image_id in dev.image_ids], query_images=-1, query_captions=-1)  # one caption an image: cheap

    def score(model: RetrievalModel) -> float:
        if recipe.method == "BE":
            rankings = bi_encode(model, dev)
        elif recipe.method == "JOINT":
            rankings = cooperate(model, model, dev, DEV_K)
        else:
            rankings = cross_encode(model, dev)
        return float(np.mean([recall(rankings[direction], dev)["R@1"] for direction in DIRECTIONS]))

    return score


def _evaluate(evaluation: Evaluation, progress: Progress) -> Path:
    def build(folder: Path) -> None:
        dataset = evaluation.data()
        started = time.monotonic()

        def report(done: int, total: int) -> None:
            elapsed = time.monotonic() - started
            progress({"step": done, "steps": total, "pairs/s": done / elapsed, "seconds left": elapsed / done * (total - done)})

        reranker = evaluation.reranker.model() if evaluation.reranker else None
        if evaluation.retriever is None:
            assert reranker is not None
            rankings = cross_encode(reranker, dataset, report)
        elif reranker is None:
            rankings = bi_encode(evaluation.retriever.model(), dataset)
        else:
            retriever = reranker if evaluation.retriever == evaluation.reranker else evaluation.retriever.model()
            rankings = cooperate(retriever, reranker, dataset, evaluation.k, report)
        for direction, ranking in rankings.items():
            row = {item: number for number, item in enumerate(dataset.item_ids(direction))}
            np.save(folder / f"{direction}.items.npy", np.array([[row[item] for item in items] for items in ranking.candidate_ids], dtype=np.int32))
            np.save(folder / f"{direction}.scores.npy", np.stack(ranking.scores))

    return cache.cached("rankings", evaluation.identity(), build)


def _read_rankings(folder: Path, evaluation: Evaluation) -> dict[str, Ranking]:
    dataset, rankings = evaluation.data(), {}
    for direction in DIRECTIONS:
        items = dataset.item_ids(direction)
        rows = np.load(folder / f"{direction}.items.npy", allow_pickle=False)
        scores = np.load(folder / f"{direction}.scores.npy", allow_pickle=False)
        rankings[direction] = Ranking(direction, dataset.query_ids(direction), [[items[row] for row in best] for best in rows], list(scores))
    return rankings


def _recipe(values: dict[str, Any] | None) -> Recipe | None:
    return Recipe(**values) if values else None


def _work(task: dict[str, Any], progress: Progress) -> None:
    if task["source"] != SOURCE:
        raise InputError("mmr_kit was changed since this program started: start it again (in a notebook: restart the kernel)")
    if "train" in task:
        _train(Recipe(**task["train"]), progress)
    else:
        values = task["evaluate"]
        _evaluate(Evaluation(**{**values, "retriever": _recipe(values["retriever"]), "reranker": _recipe(values["reranker"])}), progress)


if __name__ == "__main__":
    child_main(_work)
