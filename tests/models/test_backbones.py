"""The forward pass of each kind of backbone against a second one, in NumPy, of one input at a time and so without padding; and what all kinds share.

CLIP and SigLIP are compared with the transformers library alone, and so are VisualBERT and ViLT as well.
"""

import subprocess
import sys
from collections.abc import Callable
from math import erf
from pathlib import Path

import numpy as np
import pytest
import torch

from mmr_kit.data.regions import Regions, write_region_store
from mmr_kit.errors import InputError
from mmr_kit.models.backbone import Backbone, backbone_class
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.retrieval_model import RetrievalModel, load_model

MakeKind = Callable[..., RetrievalModel]
ImagesOf = Callable[[str], list[Regions]]
SPECIAL = {"[CLS]": 2, "[SEP]": 3, "unknown": 1}
STREAMS = ("oscar", "pre", "layer_norm", "uniter", "m3p", "visualbert", "vilt")  # those that score pairs
TOWERS = ("clip", "siglip")


class Reference:
    """Each architecture from a state dict, float64: what the papers say, layer by layer."""

    def __init__(self, model: RetrievalModel) -> None:
        self.weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        self.model, self.config, self.kind = model, model.backbone.config, model.backbone.kind
        self.vocabulary = {**model.backbone.tokenizer.get_vocab(), **SPECIAL}
        self.pre = self.config.model_type == "roberta-prelayernorm"
        self.embeddings = "backbone.transformer.embeddings."

    def states(self, caption: str | None, image: Regions | None) -> np.ndarray:
        """Hidden states (positions, width) of a text, an image or a pair."""
        words = ["[CLS]", *caption.split(), "[SEP]"] if caption is not None else ["[CLS]"]
        x = getattr(self, f"embed_{self.kind}")([self.vocabulary[word] for word in words], image)
        for layer in range(self.config.num_hidden_layers):
            x = self.layer(x, f"backbone.transformer.encoder.layer.{layer}.")
        if self.kind == "vilt":
            return self.norm(x, "backbone.transformer.layernorm")
        return self.norm(x, "backbone.transformer.LayerNorm") if self.pre else x

    def bert(self, ids: list[int], place: str) -> np.ndarray:
        x = self.weights[place + "word_embeddings.weight"][ids] + self.weights[place + "position_embeddings.weight"][: len(ids)]
        return self.norm(x + self.weights[place + "token_type_embeddings.weight"][0], place + "LayerNorm")

    def embed_oscar(self, ids: list[int], image: Regions | None) -> np.ndarray:
        x = self.bert(ids, self.embeddings)
        if image is None:
            return x
        x1, y1, x2, y2 = image.boxes.astype(float).T
        regions = self.linear(np.column_stack([image.features, x1, y1, x2, y2, x2 - x1, y2 - y1]), "backbone.region_projection")
        if "backbone.region_layer_norm.weight" in self.weights:
            regions = self.norm(regions, "backbone.region_layer_norm")
        return np.vstack([x, regions])

    def embed_uniter(self, ids: list[int], image: Regions | None) -> np.ndarray:
        x = self.bert(ids, self.embeddings)
        if image is None:
            return x
        x1, y1, x2, y2 = image.boxes.astype(float).T
        places = np.column_stack([x1, y1, x2, y2, x2 - x1, y2 - y1, (x2 - x1) * (y2 - y1)])
        regions = self.norm(self.linear(image.features, "backbone.region_projection"), "backbone.region_norm")
        regions = regions + self.norm(self.linear(places, "backbone.box_projection"), "backbone.box_norm")
        return np.vstack([x, self.norm(regions + self.weights[self.embeddings + "token_type_embeddings.weight"][1], "backbone.sum_norm")])

    def embed_m3p(self, ids: list[int], image: Regions | None) -> np.ndarray:
        x = self.weights[self.embeddings + "word_embeddings.weight"][ids]
        if image is not None:
            x1, y1, x2, y2 = image.boxes.astype(float).T
            places = self.linear(np.column_stack([x1, y1, x2, y2, (x2 - x1) * (y2 - y1)]), "backbone.box_projection")
            x = np.vstack([self.norm(self.linear(image.features, "backbone.region_projection") + places, "backbone.region_norm"), x])
        return self.norm(x + self.weights[self.embeddings + "position_embeddings.weight"][: len(x)], self.embeddings + "LayerNorm")

    def embed_visualbert(self, ids: list[int], image: Regions | None) -> np.ndarray:
        x = self.bert(ids, self.embeddings)
        if image is None:
            return x
        regions = self.linear(image.features, self.embeddings + "visual_projection") + self.weights[self.embeddings + "visual_position_embeddings.weight"][0]
        return np.vstack([x, self.norm(regions + self.weights[self.embeddings + "visual_token_type_embeddings.weight"][1], self.embeddings + "LayerNorm")])

    def embed_vilt(self, ids: list[int], image: Regions | None) -> np.ndarray:
        kinds = self.weights[self.embeddings + "token_type_embeddings.weight"]
        x = self.bert(ids, self.embeddings + "text_embeddings.") + kinds[0]
        if image is None:
            return x
        colours = image.features.reshape(len(image.features), 3, -1)
        colours = (colours - np.array([[0.5], [0.4], [0.3]])) / np.array([[0.2], [0.3], [0.4]])
        kernel = self.weights[self.embeddings + "patch_embeddings.projection.weight"].reshape(16, -1)
        patches = colours.reshape(len(colours), -1) @ kernel.T + self.weights[self.embeddings + "patch_embeddings.projection.bias"]
        places = self.weights[self.embeddings + "position_embeddings"][0]
        rows, columns = len({box[1] for box in image.boxes}), len({box[0] for box in image.boxes})
        grid = stretch(stretch(places[1:].reshape(3, 3, -1), rows).swapaxes(0, 1), columns).swapaxes(0, 1).reshape(rows * columns, -1)
        return np.vstack([x, self.weights[self.embeddings + "cls_token"][0] + places[:1] + kinds[1], patches + grid + kinds[1]])

    def layer(self, x: np.ndarray, name: str) -> np.ndarray:
        inner = "attention.attention." if self.kind == "vilt" else "attention.self."
        if self.pre or self.kind == "vilt":
            before, after = ("layernorm_before", "layernorm_after") if self.kind == "vilt" else ("attention.LayerNorm", "intermediate.LayerNorm")
            after = after if name + after + ".weight" in self.weights else "LayerNorm"
            x = x + self.linear(self.attention(self.norm(x, name + before), name + inner), name + "attention.output.dense")
            return x + self.linear(self.gelu(self.linear(self.norm(x, name + after), name + "intermediate.dense")), name + "output.dense")
        x = self.norm(x + self.linear(self.attention(x, name + inner), name + "attention.output.dense"), name + "attention.output.LayerNorm")
        hidden = self.gelu(self.linear(x, name + "intermediate.dense"))
        return self.norm(x + self.linear(hidden, name + "output.dense"), name + "output.LayerNorm")

    def attention(self, x: np.ndarray, name: str) -> np.ndarray:
        heads = []
        for columns in np.split(np.arange(x.shape[1]), self.config.num_attention_heads):
            query, key, value = (self.linear(x, name + part)[:, columns] for part in ("query", "key", "value"))
            scores = np.exp(query @ key.T / np.sqrt(len(columns)))
            heads.append(scores / scores.sum(1, keepdims=True) @ value)
        return np.hstack(heads)

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + self.config.layer_norm_eps)
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def gelu(self, x: np.ndarray) -> np.ndarray:
        return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2

    def embedding(self, caption: str | None, image: Regions | None) -> np.ndarray:
        states = self.states(caption, image)
        return states.mean(0) if self.model.pooling == "mean" else states[0]

    def score(self, caption: str, image: Regions) -> float:
        x = self.states(caption, image)[:1]
        if self.model.head_input == "summary":
            x = np.tanh(self.linear(x, "backbone.transformer.pooler.dense"))
        if self.model.head_hidden:
            x = np.maximum(self.linear(x, "head.1"), 0)
        no, yes = self.linear(x, "head.3" if self.model.head_hidden else "head.1")[0]
        return float(1 / (1 + np.exp(no - yes)))

    def scores(self, captions: list[str], images: list[Regions]) -> np.ndarray:
        return np.array([self.score(caption, image) for caption, image in zip(captions, images, strict=True)])


def stretch(values: np.ndarray, count: int) -> np.ndarray:
    """Values (n, ...) linearly interpolated to so many, the first and the last kept; the first alone where count is 1."""
    at = np.linspace(0, len(values) - 1, count) if count > 1 else np.zeros(1)
    low = np.minimum(at.astype(int), len(values) - 2)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - share) + values[low + 1] * share


def check(model: RetrievalModel, captions: list[str], images: list[Regions]) -> None:
    reference = Reference(model)
    texts = np.stack([reference.embedding(caption, None) for caption in captions])
    pictures = np.stack([reference.embedding(None, image) for image in images])
    scores = reference.scores(captions, images)
    assert scores.std() > 0.01
    for batch_size in (1, 3, 32):
        assert np.abs(model.embed_texts(captions, normalize=False, batch_size=batch_size) - texts).max() < 1e-5
        assert np.abs(model.embed_images(images, normalize=False, batch_size=batch_size) - pictures).max() < 1e-5
        assert np.abs(model.score_pairs(captions, images, batch_size=batch_size) - scores).max() < 1e-5
    unit = model.embed_texts(captions)
    assert np.abs(unit - texts / np.linalg.norm(texts, axis=1, keepdims=True)).max() < 1e-5


@pytest.mark.parametrize("name", STREAMS)
def test_equals_the_reference_at_any_batch_size(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model = make_kind(name, dropout=0.5).train()  # dropout must not matter
    check(model, captions, images_of(name))
    assert model.training, "left as it was"


@pytest.mark.parametrize(("head_input", "head_hidden"), [("cls", 0), ("summary", 40), ("cls", 40)])
def test_other_heads_and_poolings_equal_the_reference(
    make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path, head_input: str, head_hidden: int
) -> None:
    model = make_kind("m3p", pooling="cls", head_input=head_input, head_hidden=head_hidden)
    check(model, captions, images)
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert (again.head_input, again.head_hidden, again.pooling) == (head_input, head_hidden, "cls")
    assert np.array_equal(again.score_pairs(captions, images), model.score_pairs(captions, images))
    with pytest.raises(InputError, match="head_input 'first': choose summary or cls"):
        RetrievalModel(model.backbone, head_input="first")


@pytest.mark.parametrize("name", STREAMS)
def test_states_and_masks(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    """The real positions of a padded batch are those of the input alone, in its order, and as many as `lengths` says."""
    model, images = make_kind(name), images_of(name)[3:6]
    for texts, regions in ((captions[:3], None), (None, images), (captions[:3], images)):
        with torch.no_grad():
            states, mask = model.backbone(model.backbone.inputs(texts, regions))
        assert mask.dtype == torch.bool
        assert mask.sum(1).tolist() == np.broadcast_to(model.backbone.lengths(texts, regions), 3).tolist()
        for row in range(3):
            expected = Reference(model).states(texts[row] if texts else None, regions[row] if regions else None)
            assert np.abs(states[row][mask[row]].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("name", STREAMS)
def test_half_size_keeps_the_even_layers(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, tmp_path: Path, name: str) -> None:
    model, images = make_kind(name, layers=5), images_of(name)
    whole = {place: tensor.clone() for place, tensor in model.state_dict().items()}
    model.backbone.skip_odd_layers()
    assert model.backbone.config.num_hidden_layers == 3
    prefix = "backbone.transformer.encoder.layer."
    for new, old in enumerate((0, 2, 4)):
        layer = {place: tensor for place, tensor in model.state_dict().items() if place.startswith(f"{prefix}{new}.")}
        assert layer
        assert all(torch.equal(tensor, whole[place.replace(f"{prefix}{new}.", f"{prefix}{old}.")]) for place, tensor in layer.items())
    scores = model.score_pairs(captions, images)
    assert np.abs(scores - Reference(model).scores(captions, images)).max() < 1e-5
    model.save(tmp_path)
    assert np.array_equal(load_model(tmp_path).score_pairs(captions, images), scores)


@pytest.mark.parametrize("name", [*STREAMS, *TOWERS])
def test_region_dropout_and_gradients_reach_the_regions(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model, images = make_kind(name), images_of(name)
    model.backbone.region_dropout.p = 0.9
    still = model.embed_images(images[:3])
    torch.manual_seed(0)
    vectors = model.train().embeddings(None, images[:3])
    assert not np.allclose(torch.nn.functional.normalize(vectors).detach().numpy(), still, atol=1e-3)
    loss = vectors.square().sum() + model.embeddings(captions[:3], None).square().sum()
    if name in STREAMS:
        loss = loss + model.match_logits(captions[:3], images[:3]).square().sum()
    loss.backward()
    silent = {place for place, parameter in model.named_parameters() if parameter.grad is None}
    allowed = {"head.1.weight", "head.1.bias", "backbone.transformer.logit_scale", "backbone.transformer.logit_bias"}
    assert silent <= (allowed if name in TOWERS else set())


@pytest.mark.parametrize("name", [*STREAMS, *TOWERS])
def test_saved_and_loaded_is_the_same(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, tmp_path: Path, name: str) -> None:
    model, images = make_kind(name), images_of(name)
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert again.backbone.kind == model.backbone.kind
    assert again.backbone.options() == model.backbone.options()
    assert (again.backbone.max_tokens, again.backbone.max_regions) == (model.backbone.max_tokens, model.backbone.max_regions)
    assert np.array_equal(again.embed_texts(captions), model.embed_texts(captions))
    assert np.array_equal(again.embed_images(images), model.embed_images(images))
    if name in STREAMS:
        assert np.array_equal(again.score_pairs(captions, images), model.score_pairs(captions, images))


@pytest.mark.parametrize("name", [*STREAMS, *TOWERS])
def test_other_region_features_are_refused(make_kind: MakeKind, images_of: ImagesOf, name: str) -> None:
    image = images_of(name)[0]
    with pytest.raises(InputError, match="region features are 5 wide, this model was made for"):
        make_kind(name).embed_images([Regions(image.features[:, :5], image.boxes)])


def test_an_over_long_text_of_m3p_loses_its_end(make_kind: MakeKind) -> None:
    backbone = make_kind("m3p", max_tokens=5).backbone
    vocabulary = backbone.tokenizer.get_vocab()
    words = ["apple", "boat", "cat", "dog", "egg"]
    assert backbone.token_ids([" ".join(words[:3])]) == [[2, *(vocabulary[word] for word in words[:3]), 3]]
    for more in (4, 5):
        assert backbone.token_ids([" ".join(words[:more])]) == [[2, *(vocabulary[word] for word in words[:4])]]


class Bags(Backbone):
    """A backbone of one's own: regions are averaged with a place of their centre, read by BERT."""

    kind = "bags"

    def __init__(self, config: object, tokenizer: object, region_width: int, scale: float = 1.0, **sizes: int) -> None:
        super().__init__(config, tokenizer, region_width, **sizes)
        self.project, self.scale = self.fresh_linear(region_width + 2), scale

    def geometry(self, boxes: np.ndarray) -> np.ndarray:
        return (boxes[:, :2] + boxes[:, 2:]) / 2

    def embed_regions(self, regions: torch.Tensor) -> torch.Tensor:
        return self.scale * self.project(regions)

    def options(self) -> dict[str, float]:
        return {"scale": self.scale}


def test_a_backbone_of_ones_own(make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path) -> None:
    like = make_kind("oscar").backbone
    model = RetrievalModel(Bags(like.config, like.tokenizer, 8, scale=0.5, max_regions=4)).eval()
    scores = model.score_pairs(captions, images)
    for batch_size in (1, 5):
        assert np.abs(model.score_pairs(captions, images, batch_size) - scores).max() < 1e-6
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert type(again.backbone) is Bags
    assert again.backbone.scale == 0.5
    assert np.array_equal(again.score_pairs(captions, images), scores)
    program = f"from mmr_kit import load_model; load_model({str(tmp_path)!r})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"InputError: {tmp_path}/mmr_kit.json: no backbone of the kind 'bags' is known; there are clip, m3p, oscar" in ended.stderr


def test_kinds() -> None:
    assert backbone_class("oscar") is Oscar
    with pytest.raises(InputError, match="no backbone of the kind 'lxmert' is known"):
        backbone_class("lxmert")


OTHER_PROCESS = """
import sys
import numpy as np
from mmr_kit import load_model
from mmr_kit.data.regions import RegionStore
captions = sys.argv[1].split("|")
for folder in sys.argv[2:]:
    model, images = load_model(folder + "/model"), list(RegionStore(folder + "/regions").values())
    scores = model.score_pairs(captions, images) if model.backbone.kind != "clip" else []
    np.savez(folder + "/out.npz", texts=model.embed_texts(captions), images=model.embed_images(images), scores=scores)
"""


def test_another_process_computes_the_same(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, tmp_path: Path) -> None:
    names = ("oscar", "uniter", "m3p", "visualbert", "vilt", "clip", "siglip")
    for name in names:
        make_kind(name).save(tmp_path / name / "model")
        write_region_store(tmp_path / name / "regions", [(str(row), (1, 1), image) for row, image in enumerate(images_of(name))])
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, "|".join(captions), *(str(tmp_path / name) for name in names)], check=True)
    for name in names:
        model, found = make_kind(name), np.load(tmp_path / name / "out.npz", allow_pickle=False)
        assert np.array_equal(found["texts"], model.embed_texts(captions))
        assert np.array_equal(found["images"], model.embed_images(images_of(name)))
        if name in STREAMS:
            assert np.array_equal(found["scores"], model.score_pairs(captions, images_of(name)))
