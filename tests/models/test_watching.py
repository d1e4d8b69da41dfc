"""Trainings that come to nothing end within 50 steps and say why; sound ones are left alone. Batches that do not fit in memory are split."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.errors import InputError
from mmr_kit.models import memory
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.engine import Engine
from mmr_kit.models.losses import NegativeSchedule
from mmr_kit.models.objectives import BiEncoding, CrossEncoding, Joint, Objective
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.training import CHECKPOINT, Schedule, train
from mmr_kit.models.watching import PATIENCE, Level, Watch

MakeModel = Callable[..., RetrievalModel]


@pytest.fixture
def small(small_data: Any) -> RetrievalDataset:
    return load_dataset(small_data.manifest, "train")


def make(method: str, model: RetrievalModel, dataset: RetrievalDataset, batch_size: int = 14) -> Objective:
    cross_encoding = CrossEncoding(model, TrainingPairs(dataset, batch_size, 0))
    bi_encoding = BiEncoding(model, TrainingPairs(dataset, batch_size, 1), 0.1, NegativeSchedule(adaptive=False))
    return {"CE": cross_encoding, "BE": bi_encoding, "JOINT": Joint(bi_encoding, cross_encoding)}[method]


def seen(levels: dict[str, Level], losses: list[float]) -> tuple[int, str]:
    """The step, from 1, at which the watch ends a training with these losses, and why; (0, "") where it does not."""
    watch = Watch(levels)
    for step, loss in enumerate(losses, 1):
        if reason := watch.see({"loss": loss}, 1.0):
            return step, reason
    return 0, ""


COIN = {"loss": Level(math.log(2))}
TRIPLET = {"loss": Level(0.2, plateau=True)}
NOISE = np.random.default_rng(0).normal(size=1000)


@pytest.mark.parametrize(("levels", "losses"), [
    (COIN, [0.69 + 0.05 * noise for noise in NOISE]),                      # it has not learnt anything yet
    (COIN, [0.05] * 20 + [0.5 + 0.1 * noise for noise in NOISE]),          # a good start, then a high learning rate
    (COIN, [2.0] * 40 + [0.6] * 100),                                      # a bad start
    (TRIPLET, [0.3 * 0.99**step + 0.01 for step in range(300)]),           # it passes the plateau
    (TRIPLET, [0.2 + 0.01 * noise for noise in NOISE]),                    # around it, but embeddings differ
    ({}, [1e9] * 200),                                                     # a loss that nothing is known of
])  # fmt: skip
def test_sound_trainings_are_left_alone(levels: dict[str, Level], losses: list[float]) -> None:
    assert seen(levels, losses) == (0, "")


@pytest.mark.parametrize(("levels", "losses", "sound", "reason"), [
    (COIN, [0.3] * 30 + [0.69] * 100, 30, "the training diverges"),        # it had learnt, and has forgotten
    (COIN, [0.69] * 30 + [5.0] * 100, 30, "the training diverges"),
    (TRIPLET, [0.25] * 7 + [0.2001] * 100, 7, "twice the margin"),
    (TRIPLET, [0.1] * 60 + [0.1999] * 100, 60, "all embeddings have become alike"),
    ({}, [1.0, float("nan")], 1, "the loss is nan"),
    (COIN, [1.0, float("inf")], 1, "the loss is inf"),
])  # fmt: skip
def test_what_comes_to_nothing_is_noticed_within_50_steps(levels: dict[str, Level], losses: list[float], sound: int, reason: str) -> None:
    step, told = seen(levels, losses)
    assert sound < step <= sound + PATIENCE
    assert reason in told


def test_gradients_that_are_not_finite_are_noticed_before_the_step() -> None:
    assert Watch({}).see({"loss": 1.0}, float("inf")) == "the gradient is inf"


@pytest.mark.parametrize("losses", [[0.3] * 30 + [0.69] * 100, [0.69] * 30 + [5.0] * 100])
def test_a_watch_goes_on_where_another_was(losses: list[float]) -> None:
    step, reason = seen(COIN, losses)
    for place in (25, 45, step - 1):
        before, after = Watch(COIN), Watch(COIN)
        assert not any(before.see({"loss": loss}, 1.0) for loss in losses[:place])
        after.load_state(json.loads(json.dumps(before.state())))
        assert [after.see({"loss": loss}, 1.0) for loss in losses[place:step]] == [""] * (step - 1 - place) + [reason]


def score(_: RetrievalModel) -> float:
    return 1.0


def spoiling(model: RetrievalModel, at: int, how: Callable[[RetrievalModel], None]) -> Callable[[dict[str, Any]], None]:
    """A training's progress that spoils the model after a step."""

    def progress(point: dict[str, Any]) -> None:
        if point["step"] == at:
            with torch.no_grad():
                how(model)

    return progress


def with_nan(model: RetrievalModel) -> None:
    model.head[1].bias.fill_(float("nan"))


def with_equal_embeddings(model: RetrievalModel) -> None:
    """All states the same, whatever is read: what the collapse of a training ends in."""
    norm = model.backbone.transformer.encoder.layer[-1].output.dense
    for parameter in model.backbone.parameters():
        parameter.zero_()
    norm.bias.fill_(1.0)
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    next(model.backbone.transformer.embeddings.parameters()).requires_grad_(True)


def test_nan_ends_the_training_with_the_best_weights_so_far(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    model = make_model()
    ended = train(make("CE", model, small), Schedule(9, 1e-2, 2), score, tmp_path, spoiling(model, 5, with_nan))
    assert ended.incidents == ["stopped at step 6 of 9: the match loss is nan; kept are the weights of step 4"]
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert (tmp_path / CHECKPOINT).is_file()
    assert ended.curve[-1]["step"] == 4


def test_nan_before_anything_was_scored_is_an_error(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    model = make_model()
    with pytest.raises(InputError, match=r"step 4: the match loss is nan; lower the learning rate \(0.01\)"):
        train(make("CE", model, small), Schedule(9, 1e-2, 9), score, tmp_path, spoiling(model, 3, with_nan))


def test_a_collapse_ends_the_training(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    model = make_model(shape="post")
    ended = train(make("BE", model, small), Schedule(200, 1e-4, 10), score, tmp_path, spoiling(model, 12, with_equal_embeddings))
    incident, = ended.incidents
    assert incident.startswith("stopped at step 62 of 200: the triplet loss has stayed at 0.2, twice the margin, for 50 steps")


def test_an_interruption_does_not_put_off_the_end(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    """Of the 50 steps of a collapse, those before the interruption count."""

    def interrupted(point: dict[str, Any]) -> None:
        spoiling(model, 12, with_equal_embeddings)(point)
        if point["step"] == 45:
            raise KeyboardInterrupt

    model = make_model(shape="post")
    with pytest.raises(KeyboardInterrupt):
        train(make("BE", model, small), Schedule(200, 1e-4, 10), score, tmp_path, interrupted)
    model = make_model(shape="post")
    with torch.no_grad():
        with_equal_embeddings(model)
    ended = train(make("BE", model, small), Schedule(200, 1e-4, 10), score, tmp_path, lambda point: None)
    assert [incident.partition(":")[0] for incident in ended.incidents] == ["stopped at step 62 of 200"]


def test_a_learning_rate_that_is_far_too_high_is_named(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    """A real divergence: what was learnt at a sound rate is lost at one a hundred times higher."""
    model = make_model()
    ended = train(make("CE", model, small, 28), Schedule(120, 3e-2, 60), score, tmp_path / "sound", lambda point: None)
    assert not ended.incidents
    ended = train(make("CE", model, small, 28), Schedule(300, 3.0, 10), score, tmp_path / "high", lambda point: None)
    incident, = ended.incidents
    assert "diverges" in incident or " nan" in incident or " inf" in incident


# -- memory ---------------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets memory run out in every pass with more rows than told."""

    def limit(rows: int) -> None:
        from mmr_kit.models.backbone import Backbone

        forward = Backbone.forward

        def narrowed(self: Backbone, inputs: dict[str, torch.Tensor]) -> Any:
            if len(inputs["token_ids"]) > rows:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
            return forward(self, inputs)

        monkeypatch.setattr(Backbone, "forward", narrowed)

    return limit


@pytest.mark.parametrize("way", [lambda model: model, Engine])
def test_a_batch_without_room_is_split(make_model: MakeModel, small: RetrievalDataset, narrow: Callable[[int], None], way: Callable[[Any], Any]) -> None:
    model = way(make_model())
    images = [small.regions[small.image_ids[row]] for row in small.caption_image]
    expected, before = (model.embed_texts(small.texts), model.score_pairs(small.texts, images)), memory.splits
    narrow(3)
    found = model.embed_texts(small.texts), model.score_pairs(small.texts, images)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted, atol=1e-6)
    assert memory.splits > before
    narrow(0)
    with pytest.raises(InputError, match="out of memory on a single input"):
        model.embed_texts(small.texts[:2])


def test_another_error_is_no_lack_of_memory(make_model: MakeModel, small: RetrievalDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes differ")

    model = make_model()
    monkeypatch.setattr(model.backbone, "encode", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        model.embed_texts(small.texts)


@pytest.mark.parametrize("method", ["CE", "BE", "JOINT"])
def test_a_training_without_room_goes_on_to_the_same_weights(make_model: MakeModel, small: RetrievalDataset, narrow: Callable[[int], None], tmp_path: Path,
                                                             method: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    models = make_model(), make_model()
    schedule = Schedule(4, 1e-3, 4)
    whole = train(make(method, models[0], small), schedule, score, tmp_path / "whole", lambda point: None)
    monkeypatch.setattr("mmr_kit.models.passes.CPU_VALUES", 16 * 200)  # 200 positions a pass, of which a pair here has about 8
    narrow(9)
    split = train(make(method, models[1], small), schedule, score, tmp_path / "split", lambda point: None)
    assert not whole.incidents
    assert split.incidents[0].startswith("out of memory at step 1: from there on batches pass in parts 2 times smaller")
    for name, weights in models[0].state_dict().items():
        if "key.bias" not in name:  # of no effect, so its gradient is nothing but rounding, of which AdamW makes steps
            torch.testing.assert_close(models[1].state_dict()[name], weights, atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_a_training_that_cannot_be_made_smaller_says_so(make_model: MakeModel, small: RetrievalDataset, narrow: Callable[[int], None], tmp_path: Path) -> None:
    narrow(0)
    with pytest.raises(InputError, match="out of memory at step 1: choose a smaller batch"):
        train(make("CE", make_model(), small), Schedule(4, 1e-3, 4), score, tmp_path, lambda point: None)
