"""Gradient checkpointing: the same losses and gradients of every kind of model, dropout included, from less memory."""

from collections.abc import Callable

import pytest
import torch

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.losses import match_loss, triplet_loss
from mmr_kit.models.retrieval_model import RetrievalModel, mixed_precision

MakeKind = Callable[..., RetrievalModel]
ImagesOf = Callable[[str], list[Regions]]
STREAMS = ("oscar", "pre", "layer_norm", "uniter", "m3p", "visualbert", "vilt")  # those that score pairs
DROPOUT = 0.3


def losses(model: RetrievalModel, captions: list[str], images: list[Regions], pairs: bool) -> torch.Tensor:
    """A step of BE, and of CE where the model scores pairs."""
    loss, _ = triplet_loss(model.embeddings(None, images), model.embeddings(captions, None), torch.eye(len(images), dtype=torch.bool), 5, 0.1,
                           torch.Generator().manual_seed(0))  # fmt: skip
    return loss + match_loss(model.match_logits(captions, images), torch.arange(len(images)) % 2) if pairs else loss


def step(model: RetrievalModel, captions: list[str], images: list[Regions], pairs: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Loss and gradients of one step, and the bytes that were kept for the way back."""
    model.train()
    model.zero_grad()
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(7)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = losses(model, captions, images, pairs)
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("name", [*STREAMS, "clip", "siglip"])
def test_losses_and_gradients_are_the_same_with_dropout_from_less_memory(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str,
                                                                         precision: str) -> None:  # fmt: skip
    model, images = make_kind(name, layers=6, dropout=DROPOUT), images_of(name)
    model.backbone.region_dropout.p = DROPOUT
    with mixed_precision(precision):
        loss, gradients, kept = step(model, captions, images, name in STREAMS)
        model.backbone.checkpoint_gradients()
        loss_again, gradients_again, kept_again = step(model, captions, images, name in STREAMS)
    assert float(loss) > 0
    assert torch.equal(loss, loss_again)
    assert gradients.keys() == gradients_again.keys()
    assert all(torch.equal(gradients[place], gradients_again[place]) for place in gradients)
    assert any("layer" in place and gradient.abs().max() > 0 for place, gradient in gradients.items())
    assert kept_again < 0.6 * kept


@pytest.mark.parametrize("name", ["oscar", "clip"])
def test_other_dropout_is_another_loss(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    """So the test above would see dropout that was drawn anew on the way back."""
    model = make_kind(name, dropout=DROPOUT)
    model.train()
    first, second = (losses(model, captions, images_of(name), False) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", [*STREAMS, "clip", "siglip"])
def test_without_gradients_nothing_changes(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    plain, model = make_kind(name), make_kind(name)
    model.backbone.checkpoint_gradients()
    model.train()
    assert (plain.embed_texts(captions) == model.embed_texts(captions)).all()
    assert (plain.embed_images(images_of(name)) == model.embed_images(images_of(name))).all()


def test_a_transformer_that_cannot_says_so(make_kind: MakeKind) -> None:
    model = make_kind("oscar")
    model.backbone.transformer.supports_gradient_checkpointing = False
    with pytest.raises(InputError, match="a bert model knows no gradient checkpointing; train it with gradient_checkpointing off"):
        model.backbone.checkpoint_gradients()
