"""OSCAR: its input values, its limits, and its start from a language model. (Its forward pass: test_backbones.)"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel, DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.retrieval_model import RetrievalModel

MakeModel = Callable[..., RetrievalModel]


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


def test_positions_of_a_roberta_are_its_own(tmp_path: Path) -> None:
    """It counts them from the row behind that of padding; two rows are none of a text's, so it takes two tokens less. Read again, it is the same."""
    torch.manual_seed(1)
    start = RobertaModel(RobertaConfig(vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, initializer_range=0.5,
                                       max_position_embeddings=11, type_vocab_size=1)).eval()  # fmt: skip
    backbone = Oscar.from_language_model(str(language_model(tmp_path / "start", start)), region_width=8)
    assert backbone.max_tokens == 9
    RetrievalModel(backbone).embeddings(["a dog"], None)[0, 0].backward()  # the sum of a normalised state is a constant
    assert backbone.transformer.embeddings.position_embeddings.weight.grad[:4].any(dim=1).all(), "no place of a text is left untrained"
    RetrievalModel(backbone).save(tmp_path / "saved")
    captions = ["a dog", "a dog runs behind the cat", "a dog runs " * 30]
    for model in (RetrievalModel(backbone).eval(), RetrievalModel.load(tmp_path / "saved")):
        for caption, ids in zip(captions, model.backbone.token_ids(captions), strict=True):
            with torch.no_grad():
                expected = start(input_ids=torch.tensor([ids])).last_hidden_state.mean(1).numpy()
            assert np.abs(model.embed_texts([caption], normalize=False) - expected).max() < 1e-5
        assert np.isfinite(model.embed_texts(captions)).all()


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
