"""Two processes do what one does: the same losses, gradients, trained weights, embeddings and scores. Run by `torchrun`, this file is one of the two."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from filelock import FileLock

from mmr_kit import cache
from mmr_kit.data.datasets import load_dataset
from mmr_kit.errors import InputError
from mmr_kit.models import distributed
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.engine import Engine
from mmr_kit.models.losses import NegativeSchedule
from mmr_kit.models.objectives import BiEncoding, CrossEncoding, Joint, Objective, Pretraining
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.training import CHECKPOINT, Schedule, train

pytestmark = pytest.mark.slow

METHODS = ("CE", "BE", "JOINT", "PRETRAINING", "BE refreshed")
STEPS, BATCH = 6, 13  # no even number: the shares differ
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]


def objective(method: str, model: RetrievalModel, manifest: str) -> Objective:
    dataset = load_dataset(manifest, "train")
    cross_encoding, pairs = CrossEncoding(model, TrainingPairs(dataset, BATCH, 0)), TrainingPairs(dataset, BATCH, 1)
    bi_encoding = BiEncoding(model, pairs, 0.1, NegativeSchedule(), refresh_every=3 if method == "BE refreshed" else 0)
    return {"CE": cross_encoding, "JOINT": Joint(bi_encoding, cross_encoding), "PRETRAINING": Pretraining(pairs, cross_encoding)}.get(method, bi_encoding)


def work(folder: Path, manifest: str) -> dict[str, Any]:
    """{what: values} of everything that processes share."""
    found: dict[str, Any] = {}
    dataset = load_dataset(manifest, "train")
    images = [dataset.regions[dataset.image_ids[row]] for row in dataset.caption_image]
    for method in METHODS:
        model = RetrievalModel.load(folder / "model")
        losses = {}
        for part in objective(method, model, manifest).parts(0):
            values = part()
            sum(values.values()).backward()
            losses |= {name: value.detach() for name, value in values.items()}
        distributed.sum_gradients(model.parameters())
        found[f"{method}, losses"] = losses
        found[f"{method}, gradients"] = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        checkpoints = folder / f"{method} with {distributed.count()}"
        train(objective(method, model, manifest), Schedule(STEPS, 1e-3, 3), lambda model: 0.0, checkpoints, lambda point: None)
        found[f"{method}, trained"] = {"captions": model.embed_texts(dataset.texts), "pairs": model.score_pairs(dataset.texts, images)}
    model = RetrievalModel.load(folder / "model")
    for name, way in (("definition", model), ("engine", Engine(model))):
        found[f"{name}, exact"] = {
            "captions": way.embed_texts(dataset.texts, batch_size=5), "images": way.embed_images(images, batch_size=5),
            "pairs": way.score_pairs(dataset.texts, images, batch_size=5), "one": way.embed_texts(dataset.texts[:1]), "none": way.embed_texts([]),
        }  # fmt: skip
    found["scarce"] = scarce(folder, manifest)
    found["given"] = {"sum": sum(map(int, distributed.collected(str(10 + distributed.number()).encode())))}
    return found


def scarce(folder: Path, manifest: str) -> dict[str, Any]:
    """A training in which the last process has no memory for more than three inputs at a time from the third forward pass on."""
    model, passes = RetrievalModel.load(folder / "model"), 0
    forward = model.backbone.forward

    def narrow(inputs: dict[str, torch.Tensor]) -> Any:
        nonlocal passes
        passes += 1
        if passes > 2 and distributed.number() == distributed.count() - 1 and len(next(iter(inputs.values()))) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(inputs)

    model.backbone.forward = narrow  # type: ignore[method-assign]
    checkpoints = folder / f"scarce with {distributed.count()}"
    training = train(objective("JOINT", model, manifest), Schedule(STEPS, 1e-3, 3), lambda model: 0.0, checkpoints, lambda point: None)
    model.backbone.forward = forward  # type: ignore[method-assign]
    told = [text.startswith("out of memory at step 1: from there on batches pass in parts") for text in training.incidents]
    return {"told": bool(told) and all(told), "captions": model.embed_texts(load_dataset(manifest, "train").texts)}


def torchrun(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [*TORCHRUN, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


@pytest.fixture(scope="module")
def both(make_model: Callable[..., RetrievalModel], kept_data: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What one process finds, and two."""
    folder = tmp_path_factory.mktemp("shared")
    make_model().save(folder / "model")
    started = torchrun(__file__, folder, kept_data.manifest)
    alone = work(folder, kept_data.manifest)
    said, _ = started.communicate(timeout=300)
    assert started.returncode == 0, said
    return alone, torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_the_gradients_of_one(both: tuple[dict[str, Any], dict[str, Any]], method: str) -> None:
    alone, shared = both
    for what in ("losses", "gradients"):
        one, two = alone[f"{method}, {what}"], shared[f"{method}, {what}"]
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    assert max(float(gradient.abs().max()) for gradient in alone[f"{method}, gradients"].values()) > 1e-2  # so that 1e-5 says something


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_the_model_of_one(both: tuple[dict[str, Any], dict[str, Any]], method: str) -> None:
    """Compared by what it computes: AdamW makes steps of gradients that are 0 but for rounding, such as those of the biases of keys, which have no effect."""
    alone, shared = (found[f"{method}, trained"] for found in both)
    for name, values in alone.items():
        assert np.abs(np.asarray(shared[name]) - values).max() < 1e-4, name


@pytest.mark.parametrize("way", ["definition", "engine"])
def test_two_processes_embed_and_score_to_the_same_bits(both: tuple[dict[str, Any], dict[str, Any]], way: str) -> None:
    alone, shared = (found[f"{way}, exact"] for found in both)
    for name, values in alone.items():
        assert np.array_equal(values, np.asarray(shared[name])), name


def test_where_one_process_runs_out_of_memory_all_split_their_share(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    alone, shared = (found["scarce"] for found in both)
    for found in (alone, shared):
        assert found["told"]
        assert np.abs(np.asarray(found["captions"]) - both[0]["JOINT, trained"]["captions"]).max() < 1e-4  # the model that there would be with enough of it


def test_what_each_process_gives_reaches_the_first(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert [int(found["given"]["sum"]) for found in both] == [10, 10 + 11]


def test_a_training_changes_hands(make_model: Callable[..., RetrievalModel], kept_data: Any, tmp_path: Path) -> None:
    """What two processes began, one ends: the checkpoint does not depend on their number."""
    make_model().save(tmp_path / "model")
    started = torchrun(__file__, tmp_path, kept_data.manifest, "JOINT")
    said, _ = started.communicate(timeout=300)
    assert started.returncode == 0, said
    assert (tmp_path / "work" / CHECKPOINT).is_file()
    curves = []
    for checkpoints in (tmp_path / "work", tmp_path / "other"):
        model = RetrievalModel.load(tmp_path / "model")
        curves.append(train(objective("JOINT", model, kept_data.manifest), Schedule(STEPS, 1e-3, 3), lambda model: 0.0, checkpoints, lambda point: None).curve)
    for resumed, whole in zip(*curves, strict=True):
        assert resumed == pytest.approx(whole, abs=1e-3)


def begun(kept_data: Any, folder: Path) -> tuple[list[object], dict[str, str], subprocess.Popen[str], list[psutil.Process]]:
    """A long training that is on its way: its command without the number of steps, environment, `torchrun` and its processes.

    CE's: that of a BE as small as this soon ends by itself, as its embeddings become alike.
    """
    environment = {"MMR_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command: list[object] = ["-m", "mmr_kit.cli", "train", "CE", "--dataset", kept_data.manifest, "--match-batch-size", "8"]
    started = torchrun(*command, "--steps", 100_000, **environment)
    assert started.stdout is not None
    assert any("/100000, " in line for line in started.stdout), "it ended before its first step"
    ranks = psutil.Process(started.pid).children()
    assert len(ranks) == 2
    return command, environment, started, ranks


def test_the_command_trains_once_and_survives_the_death_of_a_process(kept_data: Any, tmp_path: Path) -> None:
    """Killed with one of its processes, the same command goes on; no process is left, and no lock is to be removed."""
    command, environment, first, ranks = begun(kept_data, tmp_path)
    ranks[1].send_signal(signal.SIGKILL)
    said, _ = first.communicate(timeout=120)
    assert first.returncode not in (0, None), said
    assert not psutil.wait_procs(ranks, timeout=30)[1]
    second = torchrun(*command, "--steps", 4, "--output", tmp_path / "model", **environment)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert said.count("training 1 of 1 models") == 1  # one process talks
    RetrievalModel.load(tmp_path / "model")


@pytest.mark.parametrize("importing", [False, True])
def test_no_process_outlives_torchrun(kept_data: Any, tmp_path: Path, importing: bool) -> None:
    if importing:  # torchrun dies while they are on their way to the first step
        started = torchrun("-m", "mmr_kit.cli", "train", "CE", "--dataset", kept_data.manifest, "--match-batch-size", "8", MMR_CACHE_DIR=str(tmp_path))
        while len(ranks := psutil.Process(started.pid).children()) < 2:
            time.sleep(0.05)
        time.sleep(1)
    else:
        *_, started, ranks = begun(kept_data, tmp_path)
        time.sleep(5)
    assert all(rank.is_running() for rank in ranks), "they end by themselves, and the test says nothing"
    started.kill()
    left = psutil.wait_procs(ranks, timeout=30)[1]
    for rank in left:
        rank.kill()
    assert not left
    started.communicate(timeout=30)


def test_they_wait_for_another_training_longer_than_for_one_another(tmp_path: Path) -> None:
    """While the first waits at a lock that someone else holds, it tells the others; they would give up after two seconds of silence (see below)."""
    environment = {"MMR_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    (tmp_path / "cache" / "waited").mkdir(parents=True)
    with FileLock(tmp_path / "cache" / "waited" / f"{cache.identity_hash({})}.lock"):
        started = torchrun(__file__, tmp_path, "waits", **environment)
        end = time.monotonic() + 120
        while len(list(tmp_path.glob("met.*"))) < 2:
            assert time.monotonic() < end
            assert started.poll() is None
            time.sleep(0.1)
        time.sleep(5)
        assert started.poll() is None
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 0, said
    content, = (tmp_path / "cache" / "waited").glob("*/built")
    assert content.read_text() == "by 0"


def test_a_batch_that_is_too_small_to_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "count", lambda: 3)
    with pytest.raises(InputError, match="a batch of 2 cannot be shared by 3 processes"):
        distributed.share(2)


def wait(folder: Path) -> None:
    """Builds an entry of the cache whose lock is held, with patience for two seconds only."""
    distributed.PATIENCE, cache.SECONDS_AT_A_LOCK = timedelta(seconds=2), 0.5
    (folder / f"met.{distributed.number()}").touch()

    def build(entry: Path) -> None:
        (entry / "built").write_text(f"by {distributed.number()}")

    distributed.cached("waited", {}, build)


if __name__ == "__main__":
    if sys.argv[2] == "waits":
        wait(Path(sys.argv[1]))
    elif sys.argv[3:]:
        model = RetrievalModel.load(Path(sys.argv[1]) / "model")
        half = objective(sys.argv[3], model, sys.argv[2])
        interrupted = iter(range(4))  # the progress of the fifth step ends the training, after the checkpoint of the third
        with contextlib.suppress(StopIteration):
            train(half, Schedule(STEPS, 1e-3, 3), lambda model: 0.0, Path(sys.argv[1]) / "work", lambda point: next(interrupted))
    else:
        result = work(Path(sys.argv[1]), sys.argv[2])
        as_tensors = {what: {name: torch.as_tensor(value) for name, value in values.items()} for what, values in result.items()}
        if distributed.number() == 0:
            torch.save(as_tensors, Path(sys.argv[1]) / "found.pt")
