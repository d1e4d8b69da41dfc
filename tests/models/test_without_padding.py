"""Training over real positions only: the definition's losses and gradients, dropout where the library has it."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from mmr_kit.data.regions import Regions
from mmr_kit.models.losses import match_loss
from mmr_kit.models.packed import without_padding
from mmr_kit.models.retrieval_model import RetrievalModel

MakeKind = Callable[..., RetrievalModel]
ImagesOf = Callable[[str], list[Regions]]
STREAMS = ("oscar", "pre", "layer_norm", "uniter", "m3p", "visualbert", "vilt")


def step(model: RetrievalModel, captions: list[str], images: list[Regions]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of embeddings of both kinds and of match logits."""
    model.zero_grad()
    near = (model.embeddings(None, images) * model.embeddings(captions, None)).sum(1).sigmoid().mean()
    loss = near + match_loss(model.match_logits(captions, images), torch.arange(len(images)) % 2)
    loss.backward()
    return loss.detach(), {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def check(model: RetrievalModel, captions: list[str], images: list[Regions]) -> None:
    """Both ways on the same weights, and once more after these have changed."""
    model.train()
    shorter = without_padding(model.backbone)
    assert shorter.keys() == {False, True}
    before = torch.tensor(0.0)
    for _ in range(2):
        model.without_padding = {}
        loss, gradients = step(model, captions, images)
        model.without_padding = shorter
        loss_again, gradients_again = step(model, captions, images)
        assert loss != before
        assert torch.allclose(loss, loss_again, atol=1e-5)
        largest = max(float(gradient.abs().max()) for gradient in gradients.values())
        assert gradients.keys() == gradients_again.keys()
        assert all(torch.allclose(gradients[name], gradients_again[name], atol=1e-4 * largest) for name in gradients)
        before = loss
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
    assert torch.equal(torch.from_numpy(model.score_pairs(captions, images)), torch.from_numpy(model.score_pairs(captions, images)))


@pytest.mark.parametrize("name", STREAMS)
def test_gradients_are_the_definitions(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    check(make_kind(name, layers=3), captions, images_of(name))


@pytest.mark.parametrize(("pooling", "head_input"), [("cls", "summary"), ("mean", "cls")])
def test_of_other_heads_and_poolings(make_kind: MakeKind, captions: list[str], images: list[Regions], pooling: str, head_input: str) -> None:
    check(make_kind("oscar", pooling=pooling, head_input=head_input), captions, images)


@pytest.mark.parametrize("name", STREAMS)
def test_dropout_is_where_the_library_has_it(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """With a dropout that draws nothing but squares its input, wherever it stands."""
    model, images = make_kind(name, layers=3, dropout=0.5), images_of(name)
    model.backbone.transformer.set_attn_implementation("eager")  # whose dropout can be replaced

    def squared(values: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return values.sign() * values**2 if training and p else values

    plain = step(model.train(), captions, images)[0]
    monkeypatch.setattr(F, "dropout", squared)
    assert not torch.allclose(plain, step(model, captions, images)[0], atol=1e-3)
    check(model, captions, images)


def test_checkpointed_gradients_are_the_same_and_take_less_memory(make_kind: MakeKind, captions: list[str], images: list[Regions]) -> None:
    model = make_kind("oscar", layers=6, dropout=0.3).train()
    kept: dict[int, int] = {}

    def keep(values: torch.Tensor) -> torch.Tensor:
        kept[values.untyped_storage().data_ptr()] = values.untyped_storage().nbytes()
        return values

    def gradients() -> tuple[dict[str, torch.Tensor], int]:
        """And the bytes that were kept for the way back."""
        kept.clear()
        model.without_padding = without_padding(model.backbone)
        torch.manual_seed(7)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda values: values):
            return step(model, captions, images)[1], sum(kept.values())

    plain, bytes_plain = gradients()
    model.backbone.checkpoint_gradients()
    again, bytes_again = gradients()
    assert all(torch.equal(again[name], gradient) for name, gradient in plain.items())
    assert bytes_again < 0.6 * bytes_plain


def test_two_towers_are_left_to_the_definition(make_kind: MakeKind) -> None:
    assert without_padding(make_kind("clip").backbone) == {}
