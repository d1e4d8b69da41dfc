"""The training loop: it learns, keeps the best, and goes on after an interruption as if there had been none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.models import training
from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.losses import NegativeSchedule
from mmr_kit.models.objectives import BiEncoding, CrossEncoding, Joint, Objective, Pretraining
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.training import CHECKPOINT, Schedule, train
from mmr_kit.retrieval.metrics import recall
from mmr_kit.retrieval.retrieve import bi_encode, cross_encode

MakeModel = Callable[..., RetrievalModel]
METHODS = ["CE", "BE", "JOINT", "PRETRAINING"]


@pytest.fixture
def small(small_data: Any) -> RetrievalDataset:
    return load_dataset(small_data.manifest, "train")


def objective(method: str, model: RetrievalModel, dataset: RetrievalDataset, batch_size: int = 14, schedule: NegativeSchedule | None = None) -> Objective:
    cross_encoding = CrossEncoding(model, TrainingPairs(dataset, batch_size, 0))
    pairs = TrainingPairs(dataset, batch_size, 1)
    bi_encoding = BiEncoding(model, pairs, 0.1, schedule or NegativeSchedule())
    return {"CE": cross_encoding, "BE": bi_encoding, "JOINT": Joint(bi_encoding, cross_encoding), "PRETRAINING": Pretraining(pairs, cross_encoding)}[method]


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def silent(_: dict[str, Any]) -> None:
    pass


@pytest.mark.parametrize("method", METHODS)
def test_a_step_changes_what_the_method_uses(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path, method: str) -> None:
    model = make_model()
    before = weights(model)
    curve = train(objective(method, model, small), Schedule(1, 1e-2, 1), lambda model: 0.0, tmp_path / "work", silent).curve
    unused = {name for name, tensor in weights(model).items() if torch.equal(tensor, before[name])}
    parts = {name for name in before if name.startswith(("head.", "backbone.transformer.pooler"))}
    assert unused == (parts if method == "BE" else set())
    losses = {"CE": ["match loss"], "BE": ["triplet loss", "N"], "JOINT": ["triplet loss", "match loss", "N"], "PRETRAINING": ["alignment loss", "match loss"]}
    point, = curve
    assert list(point) == ["step", *losses[method], "dev score"]


def test_joint_steps_are_the_sum_of_its_parts(make_model: MakeModel, small: RetrievalDataset) -> None:
    """One BE batch and one CE batch a step, the same ones that BE and CE see, with their gradients added."""
    gradients, losses = {}, {}
    for method in ("BE", "CE", "JOINT"):
        model = make_model()
        for part in objective(method, model, small).parts(3):
            values = part()
            losses[method] = losses.get(method, {}) | {name: float(value.detach()) for name, value in values.items()}
            torch.stack(list(values.values())).sum().backward()
        gradients[method] = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
    assert losses["JOINT"] == losses["BE"] | losses["CE"]
    for name, gradient in gradients["JOINT"].items():
        assert torch.allclose(gradient, gradients["BE"][name] + gradients["CE"][name], atol=1e-6)


@pytest.mark.parametrize(("method", "learning_rate"), [("CE", 3e-3), ("BE", 1e-2)])
def test_learns(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path, method: str, learning_rate: float) -> None:
    """Eight things, one a region, and their names: after a few seconds both methods find most of a dozen pairs of the training set."""
    model = make_model(seed=1)
    retrieve = bi_encode if method == "BE" else cross_encode
    scored = small.subset(12)

    def score(model: RetrievalModel) -> float:
        rankings = retrieve(model, scored)
        return float(np.mean([recall(ranking, scored, at=(1,))["R@1"] for ranking in rankings.values()]))

    before = score(model)
    curve = train(objective(method, model, small, 28), Schedule(200, learning_rate, 100), score, tmp_path, silent).curve
    name = "match loss" if method == "CE" else "triplet loss"
    assert before < 30
    assert score(model) > 60
    assert max(point["dev score"] for point in curve if "dev score" in point) == score(model)
    if method == "CE":
        assert curve[-1][name] < 0.5 * curve[0][name]
    else:
        assert curve[-1]["N"] > 2 * curve[0]["N"], "N grows as the positives win"


def test_keeps_the_last_of_the_best(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    model, scores, seen = make_model(), [1.0, 3.0, 2.0, 3.0], []

    def score(model: RetrievalModel) -> float:
        seen.append(weights(model))
        return scores[len(seen) - 1]

    points: list[dict[str, Any]] = []
    curve = train(objective("CE", model, small), Schedule(7, 1e-2, 2), score, tmp_path, points.append).curve
    assert equal(weights(model), seen[3])
    assert not equal(seen[1], seen[3])
    assert not model.training
    assert [(point["step"], point["dev score"]) for point in curve] == [(2, 1.0), (4, 3.0), (6, 2.0), (7, 3.0)]
    assert [point["step"] for point in points] == list(range(1, 8))
    assert all(point["steps"] == 7 and point["seconds left"] >= 0 for point in points)


class Interrupted(Exception):
    pass


def interrupt_at(step: int) -> Callable[[dict[str, Any]], None]:
    def progress(point: dict[str, Any]) -> None:
        if point["step"] == step:
            raise Interrupted

    return progress


def a_score(model: torch.nn.Module) -> float:
    """Leaves the model in evaluation mode, from which the loop has to take it back."""
    model.eval()
    return float(sum(tensor.abs().sum() for tensor in model.state_dict().values() if tensor.is_floating_point()))


@pytest.mark.parametrize("method", METHODS)
def test_goes_on_after_interruptions_as_if_there_had_been_none(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path, method: str) -> None:
    schedule = Schedule(14, 1e-2, 4, seed=3, warmup_steps=2)

    def run(work: str, progress: Callable[[dict[str, Any]], None], seed: int = 0) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
        model = make_model(dropout=0.2, seed=seed)
        restless = NegativeSchedule(threshold=0.3, growth=1.5, decay=0.7)  # N must be different after a few steps
        curve = train(objective(method, model, small, schedule=restless), schedule, a_score, tmp_path / work, progress).curve
        return weights(model), curve

    undisturbed = run("undisturbed", silent)
    if method in ("BE", "JOINT"):
        assert len({point["N"] for point in undisturbed[1]}) > 1
    for number, step in enumerate((2, 6, 8, 11, 14)):  # before the first checkpoint, between two, right at one, and at the very end
        with pytest.raises(Interrupted):
            run("disturbed", interrupt_at(step), seed=int(number > 1))  # other initial weights: those of the checkpoint must count
    resumed = run("disturbed", silent, seed=1)
    assert equal(resumed[0], undisturbed[0])
    assert resumed[1] == undisturbed[1]


def test_the_first_steps_again_are_the_same_too(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    """Without a checkpoint a training starts again; N, which the interrupted run had moved, starts again with it."""
    results = []
    for work in ("one", "two"):
        model = make_model(dropout=0.2)
        train(objective("BE", model, small), Schedule(5, 1e-2, 5), a_score, tmp_path / work, silent)
        results.append(weights(model))
    assert equal(*results)


@pytest.mark.parametrize("damage", [
    lambda content: content[:-1],
    lambda content: content[: len(content) // 2],
    lambda content: b"",
    lambda content: b"no checkpoint",
    lambda content: content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :],
], ids=["a byte short", "half", "empty", "text", "a flipped bit"])
def test_a_damaged_checkpoint_is_not_used(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    schedule = Schedule(4, 1e-2, 2)
    undisturbed, disturbed = make_model(), make_model()
    train(objective("CE", undisturbed, small), schedule, a_score, tmp_path / "one", silent)
    with pytest.raises(Interrupted):
        train(objective("CE", make_model(), small), schedule, a_score, tmp_path / "two", interrupt_at(3))
    path = tmp_path / "two" / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    steps: list[dict[str, Any]] = []
    train(objective("CE", disturbed, small), schedule, a_score, tmp_path / "two", steps.append)
    assert [point["step"] for point in steps] == [1, 2, 3, 4]
    assert equal(weights(disturbed), weights(undisturbed))


def test_each_training_has_its_own_precision(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    """Also of several in one process, in any order."""
    trained: dict[str, list[dict[str, torch.Tensor]]] = {"no": [], "bf16": []}
    for number, precision in enumerate(("no", "bf16", "no", "bf16")):
        model = make_model()
        train(objective("CE", model, small), Schedule(2, 1e-2, 2, precision=precision), a_score, tmp_path / str(number), silent)
        trained[precision].append(weights(model))
    assert all(equal(*of_precision) for of_precision in trained.values())
    assert not equal(trained["no"][0], trained["bf16"][0])


def test_a_checkpoint_holds_no_code(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path) -> None:
    """A checkpoint that would run code when it is read is not read, even with a right hash before it."""
    import hashlib
    import io

    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return exec, ("raise SystemExit('a pickle was executed')",)

    content = io.BytesIO()
    torch.save({"step": Bomb()}, content)
    (tmp_path / CHECKPOINT).write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
    with pytest.raises(Exception, match=r"[Ww]eights"):
        train(objective("CE", make_model(), small), Schedule(1, 1e-2, 1), a_score, tmp_path, silent)


def test_learning_rate_falls_in_a_line() -> None:
    schedule = Schedule(10, 1.0, 5)
    assert [schedule.factor(step) for step in range(10)] == pytest.approx([1 - step / 10 for step in range(10)])
    warm = Schedule(10, 1.0, 5, warmup_steps=4)
    assert [warm.factor(step) for step in range(5)] == pytest.approx([0.25, 0.5 * 0.9, 0.75 * 0.8, 0.7, 0.6])
    assert (schedule.weight_decay, schedule.warmup_steps) == (0.05, 0)


@pytest.mark.parametrize("large_table", [training.LARGE_TABLE, 0])
def test_steps_are_adamw_on_clipped_gradients(make_model: MakeModel, small: RetrievalDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              large_table: int) -> None:
    """Weight decay .05, gradients clipped to norm 1, the learning rate falling: three steps by hand; with tables taken by rows, too."""
    monkeypatch.setattr(training, "LARGE_TABLE", large_table)
    model, by_hand = make_model(), make_model()
    train(objective("CE", model, small), Schedule(3, 1e-2, 3), a_score, tmp_path, silent)
    losses, parameters, norms = objective("CE", by_hand, small), dict(by_hand.named_parameters()), []
    first, second = ({name: torch.zeros_like(parameter) for name, parameter in parameters.items()} for _ in range(2))
    for step in range(3):
        by_hand.zero_grad()
        part, = losses.parts(step)
        part()["match loss"].backward()
        norms.append(float(torch.sqrt(sum(parameter.grad.pow(2).sum() for parameter in parameters.values()))))
        for name, parameter in parameters.items():
            gradient = parameter.grad / max(norms[-1], 1.0)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            change = first[name] / (1 - 0.9 ** (step + 1)) / (torch.sqrt(second[name] / (1 - 0.999 ** (step + 1))) + 1e-8)
            with torch.no_grad():
                parameter -= 1e-2 * (1 - step / 3) * (0.05 * parameter + change)
    assert len({max(norm, 1.0) for norm in norms}) == 3, "or clipping would not show"
    for name, parameter in parameters.items():
        clear = second[name].sqrt() > 1e-5  # of gradients next to nothing, rounding decides the sign
        assert torch.allclose(model.state_dict()[name][clear], parameter[clear], atol=1e-4), name
