"""Models in the layouts of others: written as the paper's authors and the transformers library write them, and read back."""

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmr_kit.data.datasets import RetrievalDataset, load_dataset
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.miniature import write_pretrained, write_released
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.published import companions, read_model, weights_file
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.models.starts import initial_model, start_identity

MakeKind = Callable[..., RetrievalModel]
KINDS = ("oscar", "layer_norm", "uniter", "m3p")
NOISE = {"embeddings.position_ids": torch.arange(72)[None], "img_embeddings.mask_embedding.weight": torch.zeros(2, 8), "cls.predictions.bias": torch.zeros(9),
         "image_embeddings.image_distbution_embeddings.weight": torch.zeros(16, 30), "refine_embeddings.norm.weight": torch.ones(16),
         "encoder_attn.0.q_lin.weight": torch.zeros(16, 16), "layer_norm15.0.weight": torch.ones(16), "seq_relationship.bias": torch.zeros(1)}  # fmt: skip


def release(model: RetrievalModel, folder: Path, order: tuple[str, ...] = ("Pooling", "ClassificationHead"), **said: Any) -> Path:
    """Write a model as the paper's authors released theirs, with what they saved besides, into folder/model; what they did not save, into `folder`."""
    write_released(model, folder / "model", order, more=NOISE, **said)
    return folder / "model"


def same(first: RetrievalModel, second: RetrievalModel, captions: list[str], images: list[Regions]) -> bool:
    return (np.array_equal(first.embed_texts(captions), second.embed_texts(captions))
            and np.array_equal(first.embed_images(images), second.embed_images(images))
            and np.array_equal(first.score_pairs(captions, images), second.score_pairs(captions, images)))  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("head_input", "head_hidden"), [("summary", 0), ("cls", 48)])
def test_released_models(
    make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path, name: str, head_input: str, head_hidden: int
) -> None:
    model = make_kind(name, head_input=head_input, head_hidden=head_hidden)
    order = ("ClassificationHead", "Pooling") if head_hidden else ("Pooling", "ClassificationHead")
    found = load_model(release(model, tmp_path, order))
    assert not found.training
    assert found.backbone.kind == model.backbone.kind
    assert found.backbone.token_ids(captions) == model.backbone.token_ids(captions)
    assert same(found, model, captions, images)
    found.save(tmp_path / "ours")
    assert same(load_model(tmp_path / "ours"), model, captions, images)
    assert {path.suffix for path in (tmp_path / "ours").rglob("*") if path.is_file()} <= {".json", ".safetensors", ".txt"}


def test_released_limits_and_pooling(make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path) -> None:
    model = make_kind("oscar", pooling="cls", max_tokens=9)
    assert same(load_model(release(model, tmp_path, pooling="cls_token", max_tokens=7)), model, captions, images)


@pytest.mark.parametrize("name", KINDS)
def test_a_half_size_model_says_it_has_all_layers(make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path, name: str) -> None:
    model = make_kind(name, layers=4)
    model.backbone.skip_odd_layers()
    assert same(load_model(release(model, tmp_path, layers=4)), model, captions, images)


def test_released_without_a_head_or_a_pooling(make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path) -> None:
    model = make_kind("uniter")
    assert np.array_equal(load_model(release(model, tmp_path / "be", ("Pooling",))).embed_texts(captions), model.embed_texts(captions))
    assert same(load_model(release(model, tmp_path / "ce", ("ClassificationHead",))), model, captions, images)


@pytest.mark.parametrize(("name", "prefix", "file"), [
    ("oscar", "bert.", "pytorch_model.bin"), ("layer_norm", "", "pytorch_model.bin"), ("uniter", "uniter.", "uniter-base.pt"), ("uniter", "bert.", "villa.pt"),
    ("m3p", "module.", "m3p_under_weights.pth"), ("m3p", "", "m3p_under_weights.pth"),
])  # fmt: skip
def test_pretrained_checkpoints(
    make_kind: MakeKind, captions: list[str], images: list[Regions], small_data: Any, tmp_path: Path, name: str, prefix: str, file: str
) -> None:
    model, folder = make_kind(name), tmp_path / "start"
    beside = {prefix + name: tensor for name, tensor in NOISE.items()} | {"itm_output.bias": torch.zeros(2)}
    write_pretrained(model, folder, prefix, file, beside)
    if file == "pytorch_model.bin":
        torch.save({}, folder / "training_args.bin")
    dataset = load_dataset(small_data.manifest, "train")
    for source in (folder, folder / file):
        loaded, first, second = load_model(source), initial_model(str(source), dataset, 1), initial_model(str(source), dataset, 2)
        for found in (loaded, first, second):
            assert np.array_equal(found.embed_texts(captions), model.embed_texts(captions))
            assert np.array_equal(found.embed_images(images), model.embed_images(images))
        assert not torch.equal(first.head[1].weight, second.head[1].weight)
    assert folder / "model_args.json" in companions(folder / file) or name != "m3p"


@pytest.mark.parametrize("name", KINDS)
def test_as_a_start(make_kind: MakeKind, small_data: Any, captions: list[str], tmp_path: Path, name: str) -> None:
    model = make_kind(name, head_hidden=48)
    start = str(release(model, tmp_path))
    dataset: RetrievalDataset = load_dataset(small_data.manifest, "train")
    first, again = initial_model(start, dataset, 1), initial_model(start, dataset, 1)
    assert np.array_equal(first.embed_texts(captions), model.embed_texts(captions))
    assert first.head_hidden == 0
    assert torch.equal(first.head[1].weight, again.head[1].weight)
    with pytest.raises(InputError, match="made for regions 8 wide, those of smoke_a are 128"):
        initial_model(start, load_dataset("smoke_a", "test"), 0)


def test_identity_of_a_start_covers_weights_and_what_lies_beside(make_kind: MakeKind, tmp_path: Path) -> None:
    start = release(make_kind("m3p"), tmp_path / "a")
    before = start_identity(str(start))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    moved = str(tmp_path / "b" / "model")
    assert start_identity(moved) == before
    (tmp_path / "b" / "model_args.json").write_text('{"n_heads": 4}')
    assert start_identity(moved) != before
    shutil.copy(tmp_path / "a" / "model_args.json", tmp_path / "b")
    assert start_identity(moved) == before
    path = tmp_path / "b" / "model" / "0_M3P" / "m3p_under_weights.pth"
    assert start_identity(str(path)) != before
    path.write_bytes(path.read_bytes()[:-1])
    assert start_identity(moved) != before


def test_what_is_missing_can_be_named(make_kind: MakeKind, captions: list[str], images: list[Regions], tmp_path: Path) -> None:
    for name, config in (("uniter", "uniter-base.json"), ("m3p", "model_args.json")):
        folder, model = tmp_path / name, make_kind(name)
        source = release(model, folder)
        words = folder / ("bert-base-cased" if name == "uniter" else "xlm-roberta-base")
        (folder / config).rename(tmp_path / config)
        with pytest.raises(InputError, match=f"{config}") as error:
            load_model(source)
        assert str(source) in str(error.value)
        words.rename(tmp_path / "words")
        with pytest.raises(InputError, match=f"put the folder {words.name}"):
            load_model(source, config=str(tmp_path / config))
        assert same(load_model(source, str(tmp_path / "words"), str(tmp_path / config)), model, captions, images)
        (tmp_path / "words").rename(words)


class Program:
    """A pickle of this would make a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def change(name: str, edit: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        edited = edit(content)
        (folder / name).write_text(json.dumps(content if edited is None else edited))

    return damage


def reweigh(name: str, edit: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        weights = torch.load(folder / name, weights_only=True)
        edit(weights)
        torch.save(weights, folder / name)

    return damage


def compressed(path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in stored.infolist():
            packed.writestr(part.filename, stored.read(part))


WEIGHTS, HEAD = "0_OSCAR/pytorch_model.bin", "2_ClassificationHead/class_head.pt"
DAMAGES: dict[str, Callable[[Path], Any]] = {
    "modules of nothing": lambda folder: (folder / "modules.json").write_text("{}"),
    "half a list of modules": lambda folder: (folder / "modules.json").write_text("[{"),
    "modules without a path": change("modules.json", lambda modules: modules[0].pop("path")),
    "a list of names": lambda folder: (folder / "modules.json").write_text('["OSCAR"]'),
    "no backbone": change("modules.json", lambda modules: modules.pop(0)),
    "an unknown backbone": change("modules.json", lambda modules: modules[0].update(type="mmt_retrieval.model.models.JointOSCAR")),
    "another backbone": change("modules.json", lambda modules: modules[0].update(type="mmt_retrieval.model.models.UNITER")),
    "no folder of the backbone": lambda folder: shutil.rmtree(folder / "0_OSCAR"),
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "half the weights": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:9000]),
    "empty weights": lambda folder: (folder / WEIGHTS).write_bytes(b""),
    "text for weights": lambda folder: (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1"),
    "a program for weights": lambda folder: torch.save(Program(folder / "made"), folder / WEIGHTS),
    "a list for weights": lambda folder: torch.save([torch.zeros(2)], folder / WEIGHTS),
    "compressed weights": lambda folder: compressed(folder / WEIGHTS),
    "a bomb of strides": reweigh(WEIGHTS, lambda weights: weights.update({"embeddings.word_embeddings.weight": torch.zeros(1, 16).expand(10**12, 16)})),
    "weights without values": reweigh(WEIGHTS, lambda weights: weights.update({"pooler.dense.bias": torch.zeros(16, device="meta")})),
    "sparse weights": reweigh(WEIGHTS, lambda weights: weights.update({"pooler.dense.bias": torch.zeros(16).to_sparse()})),
    "a module elsewhere": change("modules.json", lambda modules: modules[0].update(path="../model/0_OSCAR")),
    "a module in an absolute place": change("modules.json", lambda modules: modules[0].update(path="/etc")),
    "no layers": reweigh(WEIGHTS, lambda weights: [weights.pop(name) for name in list(weights) if name.startswith("encoder.layer.1.output")]),
    "no projection": reweigh(WEIGHTS, lambda weights: weights.pop("img_embedding.weight")),
    "no pooler": reweigh(WEIGHTS, lambda weights: weights.pop("pooler.dense.bias")),
    "fewer words": reweigh(WEIGHTS, lambda weights: weights.update({"embeddings.word_embeddings.weight": torch.zeros(9, 16)})),
    "no words": reweigh(WEIGHTS, lambda weights: weights.pop("embeddings.word_embeddings.weight")),
    "no config": lambda folder: (folder / "0_OSCAR" / "config.json").unlink(),
    "half a config": lambda folder: (folder / "0_OSCAR" / "config.json").write_text("{"),
    "a list for a config": lambda folder: (folder / "0_OSCAR" / "config.json").write_text("[1]"),
    "other heads": change("0_OSCAR/config.json", lambda config: config.update(num_attention_heads=3)),
    "text for heads": change("0_OSCAR/config.json", lambda config: config.update(num_attention_heads="two")),
    "other inner width": change("0_OSCAR/config.json", lambda config: config.update(intermediate_size=32)),
    "no limits": lambda folder: (folder / "0_OSCAR" / "sentence_bert_config.json").unlink(),
    "text for a limit": change("0_OSCAR/sentence_bert_config.json", lambda limits: limits.update(max_seq_length="70")),
    "a list for limits": lambda folder: (folder / "0_OSCAR" / "sentence_bert_config.json").write_text("[70]"),
    "no tokenizer": lambda folder: (folder / "0_OSCAR" / "vocab.txt").unlink(),
    "a longer vocabulary": lambda folder: (folder / "0_OSCAR" / "vocab.txt").open("a").write("\nmore\nwords"),
    "two poolings": change("1_Pooling/config.json", lambda config: config.update(pooling_mode_cls_token=True)),
    "another pooling": change("1_Pooling/config.json", lambda config: config.update(pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True)),
    "a list for a pooling": lambda folder: (folder / "1_Pooling" / "config.json").write_text("[]"),
    "no pooling": lambda folder: (folder / "1_Pooling" / "config.json").unlink(),
    "no head": lambda folder: (folder / HEAD).unlink(),
    "half a head": lambda folder: (folder / HEAD).write_bytes((folder / HEAD).read_bytes()[:500]),
    "a head without weights": reweigh(HEAD, lambda weights: weights.pop("classifier.weight")),
    "a head without a bias": reweigh(HEAD, lambda weights: weights.pop("classifier.bias")),
    "a head for three labels": reweigh(HEAD, lambda weights: weights.update({"classifier.weight": torch.zeros(3, 16), "classifier.bias": torch.zeros(3)})),
    "a program for a head": lambda folder: torch.save({"classifier.weight": Program(folder / "made")}, folder / HEAD),
    "an unknown head input": change("2_ClassificationHead/sentence_bert_config.json", lambda config: config.update(input_key="logits")),
    "a list for a head's config": lambda folder: (folder / "2_ClassificationHead" / "sentence_bert_config.json").write_text("[]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_by_name(make_kind: MakeKind, tmp_path: Path, kind: str) -> None:
    folder = release(make_kind("oscar"), tmp_path)
    load_model(folder)
    DAMAGES[kind](folder)
    with pytest.raises(InputError, match=str(folder)) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    assert not (folder / "made").exists(), "nothing in a pickle is run"


@pytest.mark.parametrize("limit", [0, -1, "70", None, True, 10**30, 1.5])
@pytest.mark.parametrize("name", ["max_seq_length", "max_image_seq_len"])
def test_limits_that_are_none_are_named_with_their_file(make_kind: MakeKind, tmp_path: Path, name: str, limit: object) -> None:
    folder = release(make_kind("oscar"), tmp_path)
    change("0_OSCAR/sentence_bert_config.json", lambda limits: limits.update({name: limit}))(folder)
    with pytest.raises(InputError, match=rf"{folder}/0_OSCAR/sentence_bert_config\.json: {name} is .*, not a number from 1") as error:
        load_model(folder)
    assert "\n" not in str(error.value)


def test_other_sources_are_left_to_the_caller(make_kind: MakeKind, tmp_path: Path) -> None:
    assert read_model(str(tmp_path)) is None
    assert read_model(str(tmp_path / "nothing")) is None
    make_kind("oscar").backbone.transformer.save_pretrained(tmp_path / "bert")
    assert read_model(str(tmp_path / "bert")) is None, "a language model"
    listed = [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"} for n, (path, kind) in
              enumerate({"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}.items())]  # fmt: skip
    (tmp_path / "bert" / "modules.json").write_text(json.dumps(listed))
    assert read_model(str(tmp_path / "bert")) is None, "one that sentence-transformers saved as a text encoder, such as MiniLM"
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    assert read_model(str(tmp_path / "other.pt")) is None
    with pytest.raises(InputError, match=r"mmr_kit\.json: missing"):
        load_model(tmp_path / "bert")
    torch.save({}, tmp_path / "more.bin")
    assert weights_file(tmp_path / "bert") is None
    with pytest.raises(InputError, match=r"holds more\.bin, other\.pt; name the one file"):
        load_model(tmp_path)


@pytest.mark.parametrize("place", ["config.json", "tokenizer_config.json"])
def test_a_checkpoint_brings_no_code(make_kind: MakeKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """What transformers calls remote code: Python beside the weights, of which it would ask at the terminal whether to run it. It is not even asked."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    folder = tmp_path / "bert"
    make_kind("oscar").backbone.transformer.save_pretrained(folder)
    make_kind("oscar").backbone.tokenizer.save_pretrained(folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    said = json.loads((folder / place).read_text())
    said |= {"model_type": "evil", "auto_map": dict.fromkeys(("AutoConfig", "AutoModel"), "evil.Evil")} if place == "config.json" else {
        "tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}  # fmt: skip
    (folder / place).write_text(json.dumps(said))
    assert read_model(str(folder)) is None
    with contextlib.suppress(InputError):  # what is left of the tokenizer may do
        Oscar.from_language_model(str(folder), 8)
    assert not (tmp_path / "ran").exists()
