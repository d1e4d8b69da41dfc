"""The published implementation's own numbers for tiny OSCAR checkpoints, where they are there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from mmr_kit.data.regions import Regions
from mmr_kit.models.losses import match_loss, triplet_loss
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.retrieval_model import RetrievalModel


def read_model(folder: Path) -> RetrievalModel:
    """A released model in its own layout: weights without the prefix `bert.`, the region projection as `img_embedding`, a linear head."""
    config = AutoConfig.from_pretrained(folder / "0_OSCAR")
    backbone = Oscar(config, AutoTokenizer.from_pretrained(folder / "0_OSCAR"), 2048, bool(getattr(config, "use_img_layernorm", 0)))
    model, loaded = RetrievalModel(backbone), {}
    for name, tensor in torch.load(folder / "0_OSCAR" / "pytorch_model.bin", weights_only=True).items():
        part, _, rest = name.partition(".")
        places = {"img_embedding": "backbone.region_projection.", "LayerNorm": "backbone.region_layer_norm."}
        loaded[f"{places[part]}{rest}" if part in places else f"backbone.transformer.{name}"] = tensor
    head = next(folder.glob("*_ClassificationHead/class_head.pt"))
    loaded |= {name.replace("classifier.", "head.1."): tensor for name, tensor in torch.load(head, weights_only=True).items() if name.count(".") == 1}
    missing, unexpected = model.load_state_dict(loaded, strict=False)
    assert set(unexpected) <= {"backbone.transformer.embeddings.position_ids"}  # a constant
    assert set(missing) <= {"head.1.weight", "head.1.bias"}  # the other checkpoint's head has two layers
    return model.eval()


class Golden:
    """Inputs in the published form, made ours: boxes in pixels become shares of the image."""

    def __init__(self, folder: Path) -> None:
        inputs = json.loads((folder / "inputs.json").read_text())
        self.folder, self.captions, self.image_ids = folder, inputs["captions_en"], inputs["image_ids"]
        self.images = self.regions(folder / "images.npz", self.image_ids)

    def regions(self, path: Path, image_ids: list[str]) -> list[Regions]:
        with np.load(path, allow_pickle=False) as archive:
            sizes = [np.array([archive[f"{image_id}/img_w"], archive[f"{image_id}/img_h"]]) for image_id in image_ids]
            return [Regions(archive[f"{image_id}/features"], archive[f"{image_id}/boxes"] / np.tile(size, 2))
                    for image_id, size in zip(image_ids, sizes, strict=True)]  # fmt: skip


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> Golden:
    return Golden(golden_dir)


@pytest.fixture(scope="module")
def oscar(golden: Golden) -> RetrievalModel:
    return read_model(golden.folder / "oscar" / "model")


def outputs(golden: Golden, name: str) -> Any:
    return np.load(golden.folder / name, allow_pickle=False)


def test_inputs(golden: Golden, oscar: RetrievalModel) -> None:
    expected = outputs(golden, "oscar/outputs.npz")
    inputs = oscar.backbone.inputs(golden.captions, None)
    mask = expected["in_text/attention_mask"].astype(bool)
    assert np.array_equal(inputs["token_ids"].numpy(), expected["in_text/input_ids"])
    assert np.array_equal(inputs["token_mask"].numpy(), mask)
    inputs = oscar.backbone.inputs(golden.captions[:6], golden.images)
    mask = expected["in_pair/attention_mask"].astype(bool)
    assert np.array_equal(torch.cat([inputs["token_mask"], inputs["region_mask"]], 1).numpy(), mask)
    assert inputs["regions"].shape[-1] == 2054
    assert np.abs(inputs["regions"][:, :, 2048:].numpy() - expected["in_pair/img_feats_geometry"]).max() < 1e-6
    assert np.array_equal(oscar.backbone.inputs(None, golden.images)["token_ids"].numpy(), expected["in_image/input_ids"])


@pytest.mark.parametrize("name", ["oscar", "oscar_imgln_mlp"])
def test_embeddings(golden: Golden, name: str) -> None:
    model, expected = read_model(golden.folder / name / "model"), outputs(golden, f"{name}/outputs.npz")
    for batch_size in (1, 3, 32):
        assert np.abs(model.embed_texts(golden.captions, normalize=False, batch_size=batch_size) - expected["text_emb"]).max() < 1e-5
        assert np.abs(model.embed_images(golden.images, normalize=False, batch_size=batch_size) - expected["image_emb"]).max() < 1e-5
    assert np.abs(model.embed_images(golden.images) @ model.embed_texts(golden.captions).T - expected["cos"]).max() < 1e-5
    with torch.no_grad():
        states, mask = model.backbone(model.backbone.inputs(golden.captions[:6], golden.images))
        assert np.abs(model.backbone.summary(states).numpy() - expected["pair_pooled_cls"]).max() < 1e-5
        assert np.abs(((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy() - expected["joint_emb_pairs"]).max() < 1e-5


def test_match_scores_of_all_pairs(golden: Golden, oscar: RetrievalModel) -> None:
    expected = outputs(golden, "oscar/outputs.npz")
    images, captions = np.indices(expected["prob"].shape).reshape(2, -1)
    pairs = [golden.captions[row] for row in captions], [golden.images[row] for row in images]
    with torch.no_grad():
        logits = oscar.match_logits(*pairs).numpy()
    assert np.abs(logits - expected["logits"].reshape(-1, 2)).max() < 1e-5
    assert np.abs(oscar.score_pairs(*pairs, batch_size=5) - expected["prob"].ravel()).max() < 1e-5


def test_long_captions_are_cut(golden: Golden, oscar: RetrievalModel) -> None:
    """To 70 word pieces between [CLS] and [SEP], of 224."""
    edge, expected = json.loads((golden.folder / "oscar" / "edge_outputs.json").read_text()), outputs(golden, "oscar/edge_outputs.npz")
    assert np.abs(oscar.embed_texts(edge["captions"], normalize=False) - expected["text_emb"]).max() < 1e-5


def test_many_regions_are_cut(golden: Golden, oscar: RetrievalModel) -> None:
    """To 50, of 57."""
    edge, expected = json.loads((golden.folder / "oscar" / "edge_outputs.json").read_text()), outputs(golden, "oscar/edge_outputs.npz")
    images = golden.regions(golden.folder / "oscar" / "edge_images.npz", edge["images"][:2]) + golden.images[:1]
    assert [len(image.features) for image in images[:2]] == [57, 50]
    assert np.abs(oscar.embed_images(images, normalize=False) - expected["image_emb"]).max() < 1e-5
    with torch.no_grad():
        logits = oscar.match_logits(edge["captions"][1:] * 3, images).numpy()
    assert np.abs(logits - expected["logits"][:, 1]).max() < 1e-5


def test_losses_and_gradients(golden: Golden, oscar: RetrievalModel) -> None:
    """The triplet loss (hardest of all in-batch negatives; captions of one image are no negatives of each other) and the match loss."""
    expected = json.loads((golden.folder / "oscar" / "training.json").read_text())
    image = dict(zip(golden.image_ids, golden.images, strict=True))

    def triplet(margin: float) -> torch.Tensor:
        batch = expected["triplet_batch"]
        labels = torch.tensor([pair["label"] for pair in batch])
        of_captions = oscar.embeddings([pair["caption"] for pair in batch], None)
        of_images = oscar.embeddings(None, [image[pair["image"]] for pair in batch])
        return triplet_loss(of_images, of_captions, labels[:, None] == labels, len(batch) - 1, margin, torch.Generator())[0]

    def match() -> torch.Tensor:
        batch = expected["ce_batch"]
        return match_loss(oscar.match_logits([pair["caption"] for pair in batch], [image[pair["image"]] for pair in batch]),
                          torch.tensor([pair["label"] for pair in batch]))  # fmt: skip

    losses = {"triplet_margin_0.1": lambda: triplet(0.1), "triplet_margin_0.2": lambda: triplet(0.2), "cross_entropy": match}
    for name, compute in losses.items():
        oscar.zero_grad()
        loss = compute()
        loss.backward()
        norms = {place: float(parameter.grad.norm()) for place, parameter in oscar.named_parameters() if parameter.grad is not None}
        assert float(loss.detach()) == pytest.approx(expected[name]["loss"], abs=1e-5)
        assert norms["backbone.region_projection.weight"] == pytest.approx(expected[name]["grad_norm_named"]["0.auto_model.img_embedding.weight"], rel=1e-4)
        assert np.sqrt(sum(norm**2 for norm in norms.values())) == pytest.approx(expected[name]["grad_norm_total"], rel=1e-4)
