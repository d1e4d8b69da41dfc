"""What determines a trained model, and the training of one: kept in the cache under the hash of all that determines it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmr_kit import cache
from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.data.manifests import load_manifest
from mmr_kit.errors import InputError
from mmr_kit.models import distributed
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.card import model_card
from mmr_kit.models.losses import NegativeSchedule
from mmr_kit.models.mining import Miner
from mmr_kit.models.objectives import BiEncoding, CrossEncoding, Joint, Objective, Pretraining
from mmr_kit.models.retrieval_model import POOLINGS, RetrievalModel, describe, load_model
from mmr_kit.models.starts import initial_model, is_from_captions, read_languages, resolve, start_identity
from mmr_kit.models.training import Schedule, Training, train
from mmr_kit.parallel import Progress
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.ranking import DIRECTIONS
from mmr_kit.retrieval.retrieve import bi_encode, cooperate, cross_encode

OBJECTIVES = ("CE", "BE", "JOINT", "PRETRAINING")
NEGATIVES = ("batch", "adaptive", "refreshed")
DEV_K = 20
PACKAGE = Path(__file__).parent
# A change in these is another ranking, and the same model: they compute fast, and settle what that leaves open.
ENGINE = [*(PACKAGE / "models" / name for name in ("engine.py", "int8.py")), PACKAGE / "retrieval" / "settling.py"]
UNRELATED = ("attribution.py", "miniature.py")  # modules of models/ that no training and no ranking reads
SCORING = [PACKAGE / "retrieval" / f"{name}.py" for name in ("metrics", "ranking", "rerank", "retrieve", "search")]  # of the dev split
COMPUTING = [Path(__file__), PACKAGE / "data" / "datasets.py", PACKAGE / "data" / "regions.py", *SCORING,
             *sorted(path for path in (PACKAGE / "models").glob("*.py") if path not in ENGINE and path.name not in UNRELATED)]  # a change is another model
SOURCE = cache.identity_hash([cache.file_hash(path) for path in COMPUTING])


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a trained model.

    method: "CE", "BE", "JOINT" (or "PRETRAINING"). dataset: a manifest's name or path; `train_images` of its training images (0: all). start: see
    `models.starts.resolve`. batch_size: pairs a step of the triplet loss; match_batch_size: matching pairs a step of the match loss, which adds as many
    replaced ones. dev_images: images of the dev split on which CE and JOINT checkpoints are scored (BE, which is
    cheap: on all), every `evaluate_every` steps (0: four times in all).

    steps: 0 stands for the start as it is, match head included: a finished model that others released, trained on `dataset` ("": on data of theirs). Then
    nothing is trained, and what else is set has no effect.

    negatives: the triplet loss takes the hardest of N: "batch" (BHN: all others of the batch), a number ("1": a random one), "adaptive" (N grows, a
    departure from the paper, see `NegativeSchedule`), or "refreshed" (ANCE, footnote 12: one of the nearest wrong items of the whole training set, which
    are searched for anew at every evaluation). mined_by: a trained BE's folder; the match loss then replaces images and captions by ones that this BE finds
    near (footnote 13), "" by random ones. pooling: "mean" or "cls" (footnote 7). region_dropout: share of the region features that a training step sets to 0
    (0 in the paper; a few thousand photographs are soon learned by heart without). object_tags: the names of detected objects are input, too (footnote 10: the
    paper's are not). gradient_checkpointing: less memory, more time, the same model (see
    `Backbone.checkpoint_gradients`); so it is no part of what the model's place in the cache is the hash of.
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
    mined_by: str = ""
    pooling: str = "mean"
    region_dropout: float = 0.0
    warmup_steps: int = 0
    dev_images: int = 64
    precision: str = "no"
    object_tags: bool = False
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "languages", tuple(self.languages))
        if self.method not in OBJECTIVES:
            raise InputError(f"no training method {self.method!r}; there are {', '.join(OBJECTIVES)}")
        if self.negatives not in NEGATIVES and not (self.negatives.isdecimal() and int(self.negatives)):
            raise InputError(f"negatives {self.negatives!r}: choose {', '.join(map(repr, NEGATIVES))} or a number from 1")
        if self.pooling not in POOLINGS:
            raise InputError(f"pooling {self.pooling!r}: choose {' or '.join(POOLINGS)}")
        if self.steps < 0:
            raise InputError(f"steps is {self.steps}: it must be above 0, or 0 for the start as it is")
        for name in ("batch_size", "match_batch_size", "dev_images", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("batch_size", "match_batch_size"):
            if getattr(self, name) < 2:
                raise InputError(f"{name} is {getattr(self, name)}: a batch of one pair has nothing to compare it with; give at least 2")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: it must be at least 0")
        if not 0 <= self.region_dropout < 1:
            raise InputError(f"region_dropout is {self.region_dropout}: it must be at least 0 and below 1")

    @property
    def label(self) -> str:
        """For people: CE on pictograms_a, seed 0; and whatever differs from the paper's standard."""
        if not self.steps:
            return f"{self.method}{f' on {self.dataset}' if self.dataset else ''}, as released, seed {self.seed}"
        told = [f"{self.train_images} images"] if self.train_images else []
        told += ["half size"] if self.half_size else []
        told += [f"negatives {self.negatives}"] if self.negatives != "batch" else []
        told += ["mined negatives"] if self.mined_by else []
        told += ["[CLS] pooling"] if self.pooling == "cls" else []
        told += ["object tags"] if self.object_tags else []
        told += ["+".join(self.languages)] if self.languages != ("en",) else []
        return ", ".join([f"{self.method} on {self.dataset}", *told, f"seed {self.seed}"])

    def identity(self) -> dict[str, Any]:
        """What the model's place in the cache is the hash of."""
        if not self.steps:
            return {"as released": start_identity(self.start), "method": self.method, "dataset": self.dataset, "source": SOURCE}
        data = load_dataset(self.dataset, "train", self.languages).fingerprint
        read = {"captions read": self.captions_read().fingerprint} if is_from_captions(self.start) else {}
        determining = {name: value for name, value in asdict(self).items() if name != "gradient_checkpointing"}
        return {**determining, **read, "languages": list(self.languages), "start": start_identity(self.start), "data": data, "source": SOURCE,
                "mined_by": start_identity(self.mined_by) if self.mined_by else ""}

    def folder(self) -> Path:
        """Where the trained model lies, or will lie."""
        return cache.entry_folder("models", self.identity())

    def model(self) -> RetrievalModel:
        """The trained model; trained now where it is not there yet."""
        return RetrievalModel.load(train_recipe(self, lambda point: None))

    def kind(self) -> str:
        """The kind of the trained model's backbone."""
        return str(describe(self.folder())["backbone"].get("kind"))

    def training_data(self) -> RetrievalDataset:
        """The images and captions it is trained on."""
        dataset = load_dataset(self.dataset, "train", self.languages)
        return dataset.subset(self.train_images) if self.train_images else dataset

    def captions_read(self) -> RetrievalDataset:
        """The images and captions that a start from captions has learnt its words from."""
        return replace(self, languages=read_languages(self.start, self.languages)).training_data()


def train_recipe(recipe: Recipe, progress: Progress) -> Path:
    """The folder of the trained model; trained in this process where it is not in the cache."""
    identity = recipe.identity()
    work = cache.work_folder("models", identity)

    def build(folder: Path) -> None:
        started = time.monotonic()
        model, training = _trained(recipe, work, progress) if recipe.steps else (_as_released(recipe), Training())
        model.save(folder)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        record = {"recipe": asdict(recipe), **asdict(training), "seconds": time.monotonic() - started, "parameters": parameters, "released": not recipe.steps}
        cache.atomic_write(folder / "training.json", json.dumps(record, indent=1))
        cache.atomic_write(folder / "README.md", model_card(record, load_manifest(recipe.dataset) if recipe.dataset else None, model.backbone.kind))

    return distributed.cached("models", identity, build)


def _trained(recipe: Recipe, work: Path, progress: Progress) -> tuple[RetrievalModel, Training]:
    """The model, and what became of its training."""
    dataset = recipe.training_data()
    model = initial_model(recipe.start, dataset, recipe.seed, recipe.pooling, recipe.captions_read() if is_from_captions(recipe.start) else None)
    model.backbone.region_dropout.p = recipe.region_dropout
    if recipe.half_size:
        model.backbone.skip_odd_layers()
    if recipe.object_tags:
        if not any(dataset.regions[image_id].tags for image_id in dataset.image_ids[:100]):
            raise InputError(f"{recipe.dataset}: its region store names no objects (object_class.npy); train with object_tags off")
        model.backbone.add_object_tags()
    if recipe.gradient_checkpointing:
        model.backbone.checkpoint_gradients()
    interval = recipe.evaluate_every or -(-recipe.steps // 4)
    schedule = Schedule(recipe.steps, recipe.learning_rate, interval, recipe.seed, recipe.warmup_steps, precision=recipe.precision)
    return model, train(_objective(recipe, model, dataset, interval), schedule, _dev_score(recipe), work, progress)


def _as_released(recipe: Recipe) -> RetrievalModel:
    """The start with its own match head."""
    torch.manual_seed(0)  # a bi-encoder's checkpoint may have no head; it gets the same one every time
    return load_model(resolve(recipe.start))


def _objective(recipe: Recipe, model: RetrievalModel, dataset: RetrievalDataset, interval: int) -> Objective:
    def cross_encoding() -> CrossEncoding:
        miner = Miner(RetrievalModel.load(Path(recipe.mined_by)), dataset) if recipe.mined_by else None
        return CrossEncoding(model, TrainingPairs(dataset, recipe.match_batch_size, recipe.seed), miner)

    if recipe.method == "CE":
        return cross_encoding()
    pairs = TrainingPairs(dataset, recipe.batch_size, recipe.seed + 1)  # other images than the match loss sees in the same step
    if recipe.method == "PRETRAINING":
        return Pretraining(pairs, cross_encoding())
    fixed = int(recipe.negatives) if recipe.negatives.isdecimal() else 0
    schedule = NegativeSchedule(recipe.negatives == "adaptive", fixed)
    bi_encoding = BiEncoding(model, pairs, recipe.margin, schedule, interval if recipe.negatives == "refreshed" else 0)
    return bi_encoding if recipe.method == "BE" else Joint(bi_encoding, cross_encoding())


def _dev_score(recipe: Recipe) -> Callable[[RetrievalModel], float]:
    """Mean R@1 of both directions on the dev split, by what the method is for: CE over the grid, BE by its embeddings, JOINT cooperatively."""
    dev = load_dataset(recipe.dataset, "dev", recipe.languages)
    if recipe.method != "BE":
        dev = dev.subset(min(recipe.dev_images, len(dev.image_ids)))
    first = {(caption.image_id, caption.language): caption for caption in reversed(dev.captions)}
    captions = []  # one an image: cheap; in each language in turn, where the image has a caption in it
    for row, image_id in enumerate(dev.image_ids):
        turn = row % len(recipe.languages)
        captions.append(next(first[image_id, language] for language in (*recipe.languages[turn:], *recipe.languages) if (image_id, language) in first))
    dev = replace(dev, captions=captions, query_images=-1, query_captions=-1)

    def score(model: RetrievalModel) -> float:
        if recipe.method == "BE":
            rankings = bi_encode(model, dev)
        elif recipe.method == "JOINT":
            rankings = cooperate(model, model, dev, DEV_K)
        else:
            rankings = cross_encode(model, dev)
        return float(np.mean([recall(rankings[direction], dev)["R@1"] for direction in DIRECTIONS]))

    return score
