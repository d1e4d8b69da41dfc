"""The OSCAR forward pass against a second one, in NumPy, of one input at a time and so without padding."""

from collections.abc import Callable
from math import erf
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel, DistilBertConfig, DistilBertModel

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.retrieval_model import RetrievalModel

MakeModel = Callable[..., RetrievalModel]
SPECIAL = {"[CLS]": 2, "[SEP]": 3, "unknown": 1}


class Reference:
    """BERT (post-LN) and its pre-LN variant from a state dict, float64: what the papers say, layer by layer."""

    def __init__(self, model: RetrievalModel) -> None:
        self.weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        self.config, self.vocabulary = model.backbone.config, {**model.backbone.tokenizer.get_vocab(), **SPECIAL}
        self.pre = self.config.model_type == "roberta-prelayernorm"

    def states(self, caption: str | None, image: Regions | None) -> np.ndarray:
        """Hidden states (positions, width) of a text, an image or a pair."""
        words = ["[CLS]", *caption.split(), "[SEP]"] if caption is not None else ["[CLS]"]
        place = "backbone.transformer.embeddings."
        x = self.weights[place + "word_embeddings.weight"][[self.vocabulary[word] for word in words]]
        x = x + self.weights[place + "position_embeddings.weight"][: len(words)] + self.weights[place + "token_type_embeddings.weight"][0]
        x = self.norm(x, place + "LayerNorm")
        if image is not None:
            x1, y1, x2, y2 = image.boxes.astype(float).T
            regions = self.linear(np.column_stack([image.features, x1, y1, x2, y2, x2 - x1, y2 - y1]), "backbone.region_projection")
            if "backbone.region_layer_norm.weight" in self.weights:
                regions = self.norm(regions, "backbone.region_layer_norm")
            x = np.vstack([x, regions])
        for layer in range(self.config.num_hidden_layers):
            x = self.layer(x, f"backbone.transformer.encoder.layer.{layer}.")
        return self.norm(x, "backbone.transformer.LayerNorm") if self.pre else x

    def layer(self, x: np.ndarray, name: str) -> np.ndarray:
        if self.pre:
            x = x + self.linear(self.attention(self.norm(x, name + "attention.LayerNorm"), name + "attention.self."), name + "attention.output.dense")
            hidden = self.linear(self.norm(x, name + "intermediate.LayerNorm"), name + "intermediate.dense")
            return x + self.linear(self.gelu(hidden), name + "output.dense")
        x = self.norm(x + self.linear(self.attention(x, name + "attention.self."), name + "attention.output.dense"), name + "attention.output.LayerNorm")
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
        return self.states(caption, image).mean(0)

    def score(self, caption: str, image: Regions) -> float:
        summary = np.tanh(self.linear(self.states(caption, image)[:1], "backbone.transformer.pooler.dense"))
        no, yes = self.linear(summary, "head.1")[0]
        return float(1 / (1 + np.exp(no - yes)))


@pytest.mark.parametrize(("shape", "options"), [("post", {}), ("pre", {}), ("post", {"region_layer_norm": True})])
def test_equals_the_reference_at_any_batch_size(
    make_model: MakeModel, captions: list[str], images: list[Regions], shape: str, options: dict[str, bool]
) -> None:
    model = make_model(shape, dropout=0.5, **options).train()  # dropout must not matter
    reference = Reference(model)
    texts = np.stack([reference.embedding(caption, None) for caption in captions])
    pictures = np.stack([reference.embedding(None, image) for image in images])
    scores = np.array([reference.score(caption, image) for caption, image in zip(captions, images, strict=True)])
    assert scores.std() > 0.01
    for batch_size in (1, 3, 32):
        assert np.abs(model.embed_texts(captions, normalize=False, batch_size=batch_size) - texts).max() < 1e-5
        assert np.abs(model.embed_images(images, normalize=False, batch_size=batch_size) - pictures).max() < 1e-5
        assert np.abs(model.score_pairs(captions, images, batch_size=batch_size) - scores).max() < 1e-5
    unit = model.embed_texts(captions)
    assert np.abs(unit - texts / np.linalg.norm(texts, axis=1, keepdims=True)).max() < 1e-5
    assert model.training, "left as it was"


def test_states_behind_a_pair_are_text_first(make_model: MakeModel, captions: list[str], images: list[Regions]) -> None:
    model = make_model("post")
    with torch.no_grad():
        states, mask = model.backbone(model.backbone.inputs(captions[:3], images[:3]))
    for row, (caption, image) in enumerate(zip(captions[:3], images[:3], strict=True)):
        expected = Reference(model).states(caption, image)
        assert np.abs(states[row][mask[row]].numpy() - expected).max() < 1e-5
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == model.backbone.lengths(captions[:3], images[:3]).tolist()


def test_region_values_are_features_and_boxes_in_order(make_model: MakeModel) -> None:
    image = Regions(np.arange(8, dtype=np.float32)[None], np.array([[0.1, 0.2, 0.5, 0.9]], dtype=np.float32))
    values = make_model().backbone.region_values(image)
    assert values.dtype == np.float32
    assert values[0].tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 0.1, 0.2, 0.5, 0.9, 0.4, 0.7])


def test_text_beyond_the_limit_is_cut_and_keeps_its_end(make_model: MakeModel, images: list[Regions]) -> None:
    model = make_model(max_tokens=6)
    long = "apple boat cat dog egg fish goat"
    vocabulary = model.backbone.tokenizer.get_vocab()
    assert model.backbone.token_ids([long, "a"]) == [[2, *(vocabulary[word] for word in ("apple", "boat", "cat", "dog")), 3], [2, vocabulary["a"], 3]]
    assert np.array_equal(model.embed_texts([long]), model.embed_texts(["apple boat cat dog"]))
    assert np.array_equal(model.score_pairs([long], images[:1]), model.score_pairs(["apple boat cat dog"], images[:1]))


def test_regions_beyond_the_limit_are_left_out(make_model: MakeModel, make_images: Callable[..., list[Regions]]) -> None:
    model = make_model(max_regions=3)
    image, = make_images(7)
    first = Regions(image.features[:3], image.boxes[:3])
    assert np.array_equal(model.embed_images([image]), model.embed_images([first]))
    assert np.array_equal(model.score_pairs(["a"], [image]), model.score_pairs(["a"], [first]))
    assert model.backbone.lengths(["a"], [image]).tolist() == [6]


def test_half_size_keeps_the_even_layers(make_model: MakeModel, captions: list[str], images: list[Regions], tmp_path: Path) -> None:
    model = make_model(layers=5)
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.backbone.skip_odd_layers()
    assert model.backbone.config.num_hidden_layers == 3
    prefix = "backbone.transformer.encoder.layer."
    for new, old in enumerate((0, 2, 4)):
        layer = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{prefix}{new}.")}
        assert layer
        assert all(torch.equal(tensor, whole[name.replace(f"{prefix}{new}.", f"{prefix}{old}.")]) for name, tensor in layer.items())
    reference = Reference(model)
    scores = model.score_pairs(captions, images)
    assert np.abs(scores - [reference.score(caption, image) for caption, image in zip(captions, images, strict=True)]).max() < 1e-5
    model.save(tmp_path)
    assert np.array_equal(RetrievalModel.load(tmp_path).score_pairs(captions, images), scores)


def language_model(folder: Path, model: torch.nn.Module) -> Path:
    from mmr_kit.models.starts import word_tokenizer

    model.save_pretrained(folder)
    word_tokenizer(["a dog runs behind the cat"]).save_pretrained(folder)
    return folder


def bert(**changes: int) -> BertModel:
    torch.manual_seed(1)
    sizes = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 80}
    return BertModel(BertConfig(**{**sizes, **changes})).eval()


def test_starts_from_any_bert(tmp_path: Path, images: list[Regions]) -> None:
    start = bert()
    backbone = Oscar.from_language_model(str(language_model(tmp_path, start)), region_width=8)
    assert all(torch.equal(tensor, backbone.transformer.state_dict()[name]) for name, tensor in start.state_dict().items())
    model = RetrievalModel(backbone).eval()
    caption = "a dog runs behind the cat"
    with torch.no_grad():
        expected = start(input_ids=torch.tensor(backbone.token_ids([caption]))).last_hidden_state.mean(1).numpy()
    assert np.abs(model.embed_texts([caption], normalize=False) - expected).max() < 1e-5
    assert model.score_pairs([caption], images[:1]).shape == (1,)
    assert backbone.region_projection.weight.shape == (16, 14)


def test_a_start_in_half_precision_is_used_in_single(tmp_path: Path, images: list[Regions]) -> None:
    model = RetrievalModel(Oscar.from_language_model(str(language_model(tmp_path / "start", bert().half())), region_width=8))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    model.save(tmp_path / "saved")
    assert np.array_equal(RetrievalModel.load(tmp_path / "saved").score_pairs(["a dog"], images[:1]), model.score_pairs(["a dog"], images[:1]))


def test_a_start_with_few_positions_takes_short_texts(tmp_path: Path) -> None:
    backbone = Oscar.from_language_model(str(language_model(tmp_path, bert(max_position_embeddings=9))), region_width=8)
    assert backbone.max_tokens == 9
    assert RetrievalModel(backbone).embed_texts(["a dog runs " * 30]).shape == (1, 16)


def test_models_of_another_build_are_refused(tmp_path: Path) -> None:
    sizes = {"vocab_size": 12, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    distilbert = DistilBertModel(DistilBertConfig(vocab_size=12, dim=16, n_layers=1, n_heads=2, hidden_dim=24))
    for name, model in {"albert": AlbertModel(AlbertConfig(**sizes, embedding_size=8)), "distilbert": distilbert}.items():
        with pytest.raises(InputError, match=f"a {name} model is not built like BERT"):
            Oscar.from_language_model(str(language_model(tmp_path / name, model)), region_width=8)


@pytest.mark.parametrize("start", ["nowhere", "no/such-model", "/no/such/folder", "name with blanks"])
def test_unknown_starts_are_refused_in_one_line(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="not a language model that can be loaded") as error:
        Oscar.from_language_model(start, region_width=8)
    assert start in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.__suppress_context__
    assert not caplog.records


@pytest.mark.parametrize(("name", "content"), [
    ("model.safetensors", b""), ("model.safetensors", None), ("config.json", None), ("config.json", b"{"), ("tokenizer.json", b"{}"), ("tokenizer.json", None),
])  # fmt: skip
def test_damaged_starts_are_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    folder = language_model(tmp_path / "start", bert())
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=str(folder)):
        Oscar.from_language_model(str(folder), region_width=8)
