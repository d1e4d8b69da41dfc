"""The published implementation's own numbers for tiny checkpoints of each architecture, where they are there."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmr_kit.data.regions import Regions
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.losses import cosines, match_loss, triplet_loss
from mmr_kit.models.retrieval_model import RetrievalModel, load_model

PROJECTIONS = {
    "oscar": "0.auto_model.img_embedding.weight", "oscar_imgln_mlp": "0.auto_model.img_embedding.weight",
    "uniter": "0.auto_model.img_embeddings.img_linear.weight", "m3p": "0.auto_model.image_embeddings.image_embeddings.weight",
}  # fmt: skip


class Golden:
    """Inputs in the published form, made ours (boxes in pixels become shares of the image), a model, and what the published implementation gave for them."""

    def __init__(self, folder: Path, name: str) -> None:
        inputs = json.loads((folder / "inputs.json").read_text())
        self.root, self.folder, self.name, self.image_ids = folder, folder / name, name, inputs["image_ids"]
        self.captions = [caption["text"] for caption in inputs["captions_multilingual"]] if name == "m3p" else inputs["captions_en"]
        self.images = self.regions(folder / "images.npz", self.image_ids)
        self.model: RetrievalModel = load_model(self.folder / "model")
        self.suffix = "_bs1" if name == "m3p" else ""  # what M3P gives in a padded batch depends on the batch
        self.arrays: dict[str, np.ndarray] = dict(np.load(self.folder / "outputs.npz", allow_pickle=False))

    def regions(self, path: Path, image_ids: list[str]) -> list[Regions]:
        with np.load(path, allow_pickle=False) as archive:
            sizes = [np.array([archive[f"{image_id}/img_w"], archive[f"{image_id}/img_h"]]) for image_id in image_ids]
            return [Regions(archive[f"{image_id}/features"], archive[f"{image_id}/boxes"] / np.tile(size, 2))
                    for image_id, size in zip(image_ids, sizes, strict=True)]  # fmt: skip

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def grid(self) -> tuple[list[str], list[Regions]]:
        """All 48 pairs, captions fastest."""
        images, captions = np.indices((len(self.images), len(self.captions))).reshape(2, -1)
        return [self.captions[row] for row in captions], [self.images[row] for row in images]


@pytest.fixture(scope="module", params=PROJECTIONS)
def golden(golden_dir: Path, request: pytest.FixtureRequest) -> Golden:
    return Golden(golden_dir, request.param)


@pytest.fixture(scope="module")
def oscar(golden_dir: Path) -> Golden:
    return Golden(golden_dir, "oscar")


def worst(found: Any, expected: np.ndarray) -> float:
    """The largest difference; relative to values above 1, as float32 has seven digits."""
    found = found.numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape
    return float((np.abs(found - expected) / np.maximum(np.abs(expected), 1)).max())


def test_inputs(golden: Golden) -> None:
    backbone, expected = golden.model.backbone, golden.arrays
    ids = "x" if golden.name == "m3p" else "input_ids"
    geometry = {"oscar": "img_feats_geometry", "oscar_imgln_mlp": "img_feats_geometry", "uniter": "img_pos_feat", "m3p": "image_loc"}[golden.name]
    words = [row[1:-1] for row in backbone.token_ids(golden.captions)]
    assert words == golden.json("outputs.json")["tokenize"]
    inputs = backbone.inputs(golden.captions, None)
    assert np.array_equal(inputs["token_ids"].numpy(), expected[f"in_text/{ids}"])
    assert np.array_equal(backbone.inputs(None, golden.images)["token_ids"].numpy(), expected[f"in_image/{ids}"])
    inputs = backbone.inputs(golden.captions[:6], golden.images)
    assert np.array_equal(inputs["token_ids"].numpy(), expected[f"in_pair/{ids}"])
    assert worst(inputs["regions"][:, :, 2048:], expected[f"in_pair/{geometry}"]) < 1e-6
    if golden.name == "m3p":
        assert inputs["token_mask"].sum(1).tolist() == expected["in_pair/lengths"].tolist()
        assert inputs["region_mask"].sum(1).tolist() == expected["in_pair/lengths_img"].tolist()
    else:
        assert np.array_equal(torch.cat([inputs["token_mask"], inputs["region_mask"]], 1).numpy(), expected["in_pair/attention_mask"].astype(bool))


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_embeddings(golden: Golden, batch_size: int) -> None:
    model, expected, suffix = golden.model, golden.arrays, golden.suffix
    assert worst(model.embed_texts(golden.captions, normalize=False, batch_size=batch_size), expected["text_emb" + suffix]) < 1e-5
    assert worst(model.embed_images(golden.images, normalize=False, batch_size=batch_size), expected["image_emb" + suffix]) < 1e-5
    cosines = model.embed_images(golden.images, batch_size=batch_size) @ model.embed_texts(golden.captions, batch_size=batch_size).T
    assert worst(cosines, expected["cos" + suffix]) < 1e-5


def test_states(golden: Golden) -> None:
    """Of the first text and the first image, position by position; of the pairs in one batch where the published ones do not depend on the batch."""
    backbone, expected = golden.model.backbone, golden.arrays
    with torch.no_grad():
        for name, inputs in (("text0", backbone.inputs(golden.captions[:1], None)), ("image0", backbone.inputs(None, golden.images[:1]))):
            if name == "text0" or golden.name != "m3p":
                assert worst(backbone(inputs)[0][0], expected[f"{name}_token_embeddings"]) < 1e-5
        if golden.name != "m3p":
            states, mask = backbone(backbone.inputs(golden.captions[:6], golden.images))
            assert worst(states[:, 0], expected["pair_cls"]) < 1e-5
            assert worst(backbone.summary(states), expected["pair_pooled_cls"]) < 1e-5
            assert worst((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), expected["joint_emb_pairs"]) < 1e-5
            assert worst(backbone.summary(backbone(backbone.inputs(golden.captions, None))[0]), expected["text_pooled_cls"]) < 1e-5
            assert worst(backbone.summary(backbone(backbone.inputs(None, golden.images))[0]), expected["image_pooled_cls"]) < 1e-5


@pytest.mark.parametrize("batch_size", [1, 5, 48])
def test_match_scores_of_all_pairs(golden: Golden, batch_size: int) -> None:
    pairs, logits = golden.grid(), golden.arrays["logits" + golden.suffix].reshape(-1, 2)
    with torch.no_grad():
        found = torch.cat([golden.model.match_logits(pairs[0][row : row + batch_size], pairs[1][row : row + batch_size]) for row in range(0, 48, batch_size)])
    assert worst(found, logits) < 1e-5
    probability = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    assert worst(golden.model.score_pairs(*pairs, batch_size=batch_size), probability) < 1e-5
    if not golden.suffix:
        assert np.abs(probability - golden.arrays["prob"].ravel()).max() < 1e-6


def test_rankings(golden: Golden) -> None:
    """What is retrieved, and in which order the match probability puts it."""
    expected, suffix = golden.json("outputs.json"), golden.suffix
    cosines = golden.model.embed_images(golden.images) @ golden.model.embed_texts(golden.captions).T
    probability = golden.model.score_pairs(*golden.grid()).reshape(cosines.shape)
    for name, similarity, scores in (("t2i", cosines.T, probability.T), ("i2t", cosines, probability)):
        order = np.argsort(-similarity, axis=1)[:, :4]
        if not suffix:
            assert order.tolist() == expected[f"{name}_retrieved_indices"]
            assert worst(np.take_along_axis(similarity, order, axis=1), np.array(expected[f"{name}_retrieved_scores"])) < 1e-5
        reranked = np.take_along_axis(order, np.argsort(-np.take_along_axis(scores, order, axis=1), axis=1), axis=1)
        assert reranked.tolist() == expected[f"{name}_rerank_by_prob_best_first{suffix}"]


def test_saved_as_ours_it_gives_the_same(golden: Golden, tmp_path: Path) -> None:
    golden.model.save(tmp_path)
    again = load_model(tmp_path)
    assert np.array_equal(again.score_pairs(*golden.grid()), golden.model.score_pairs(*golden.grid()))
    assert np.array_equal(again.embed_texts(golden.captions), golden.model.embed_texts(golden.captions))
    assert np.array_equal(again.embed_images(golden.images), golden.model.embed_images(golden.images))
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt"))


def losses(golden: Golden, expected: dict[str, Any]) -> Iterator[tuple[str, Callable[[], torch.Tensor]]]:
    """The triplet loss (hardest of all in-batch negatives; captions of one image are no negatives of each other), NT-Xent (of images only) and
    the match loss."""
    image, model = dict(zip(golden.image_ids, golden.images, strict=True)), golden.model

    def embedded() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch = expected["triplet_batch"]
        labels = torch.tensor([pair["label"] for pair in batch])
        of_captions = model.embeddings([pair["caption"] for pair in batch], None)
        return model.embeddings(None, [image[pair["image"]] for pair in batch]), of_captions, labels[:, None] == labels

    def triplet(margin: float) -> torch.Tensor:
        images, captions, no_negative = embedded()
        return triplet_loss(images, captions, no_negative, len(images) - 1, margin, torch.Generator())[0]

    def caption_of_image() -> torch.Tensor:
        images, captions, _ = embedded()
        return F.cross_entropy(20 * cosines(captions, images).T, torch.arange(len(images)))

    def match() -> torch.Tensor:
        batch = expected["ce_batch"]
        return match_loss(model.match_logits([pair["caption"] for pair in batch], [image[pair["image"]] for pair in batch]),
                          torch.tensor([pair["label"] for pair in batch]))  # fmt: skip

    yield "triplet_margin_0.1", lambda: triplet(0.1)
    yield "triplet_margin_0.2", lambda: triplet(0.2)
    yield "ntxent_scale_20", caption_of_image
    yield "cross_entropy", match


def forward_as_released(backbone: Backbone, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """M3P as released, in a padded batch: padding stands between regions and text, but the first positions of an item are taken for the real ones, and the
    mask that pools has the text first. Its training losses were computed so."""
    embeddings, tokens, regions = backbone.transformer.embeddings, inputs["token_mask"], inputs.get("region_mask", inputs["token_mask"][:, :0])
    states = embeddings.word_embeddings(inputs["token_ids"])
    if "regions" in inputs:
        states = torch.cat([backbone.embed_regions(inputs["regions"]), states], 1)
    positions = torch.arange(states.shape[1])
    taken = positions < (tokens.sum(1) + regions.sum(1))[:, None]
    states = embeddings.LayerNorm((states + embeddings.position_embeddings(positions)) * taken[..., None])
    return backbone.encode(states, taken), torch.cat([tokens, regions], 1)


def test_m3p_in_a_padded_batch_as_released(golden_dir: Path) -> None:
    """So that its losses below are compared with the same thing."""
    golden = Golden(golden_dir, "m3p")
    golden.model.backbone.forward = partial(forward_as_released, golden.model.backbone)
    assert worst(golden.model.embed_texts(golden.captions, normalize=False), golden.arrays["text_emb"]) < 1e-5
    assert worst(golden.model.embed_images(golden.images, normalize=False), golden.arrays["image_emb"]) < 1e-5
    with torch.no_grad():
        assert worst(golden.model.match_logits(*golden.grid()), golden.arrays["logits"].reshape(-1, 2)) < 1e-5


def test_losses_and_gradients(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, model = golden.json("training.json"), golden.model
    if golden.name == "m3p":
        monkeypatch.setattr(model.backbone, "forward", partial(forward_as_released, model.backbone))
    for name, compute in losses(golden, expected):
        model.zero_grad()
        loss = compute()
        loss.backward()
        norms = [float(parameter.grad.norm()) for parameter in model.parameters() if parameter.grad is not None]
        first = model.backbone.region_projection.weight.grad
        assert float(loss.detach()) == pytest.approx(expected[name]["loss"], rel=1e-4)
        assert np.sqrt(np.square(norms).sum()) == pytest.approx(expected[name]["grad_norm_total"], rel=1e-4)
        assert float(first.norm()) == pytest.approx(expected[name]["grad_norm_all"][PROJECTIONS[golden.name]], rel=1e-4)


def test_long_captions_are_cut(oscar: Golden) -> None:
    """To 70 word pieces between [CLS] and [SEP], of 224."""
    with np.load(oscar.folder / "edge_outputs.npz") as expected:
        assert worst(oscar.model.embed_texts(oscar.json("edge_outputs.json")["captions"], normalize=False), expected["text_emb"]) < 1e-5


def test_many_regions_are_cut(oscar: Golden) -> None:
    """To 50, of 57; with the long caption and the short one."""
    edge, expected = oscar.json("edge_outputs.json"), dict(np.load(oscar.folder / "edge_outputs.npz"))
    images = oscar.regions(oscar.folder / "edge_images.npz", edge["images"][:2]) + oscar.images[:1]
    assert [len(image.features) for image in images[:2]] == [57, 50]
    assert worst(oscar.model.embed_images(images, normalize=False), expected["image_emb"]) < 1e-5
    with torch.no_grad():
        for column, caption in enumerate(edge["captions"]):
            assert worst(oscar.model.match_logits([caption] * 3, images), expected["logits"][:, column]) < 1e-5


@pytest.mark.parametrize(("pooling", "name"), [("mean", "pool_mean_tokens"), ("cls", "pool_cls_token")])
def test_poolings(oscar: Golden, pooling: str, name: str) -> None:
    model = RetrievalModel(oscar.model.backbone, pooling)
    with np.load(oscar.folder / "edge_outputs.npz") as expected:
        assert worst(model.embed_texts(oscar.captions, normalize=False), expected[name]) < 1e-5
