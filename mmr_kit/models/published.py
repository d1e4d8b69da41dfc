"""Models in the layouts of others: what the paper's authors released, original OSCAR, UNITER, VILLA and M3P checkpoints, and those of the transformers library.

A released model is a folder: `modules.json` names its parts and their folders, in any order. The backbone (OSCAR, UNITER or M3P) has its weights in
`pytorch_model.bin` or `m3p_under_weights.pth`; `ClassificationHead` is the match head, linear or with one hidden layer, on the pooled [CLS] or on [CLS];
`Pooling` says how embeddings are pooled. A half-size model states the full number of layers; the weights say how many there are.
A pretrained checkpoint has the weights alone, also under a prefix such as `bert.`, beside heads of its pretraining, which are left out.

What they do not hold is looked for beside the weights, in the folder above and in the one above that: UNITER's config (`uniter-base.json`) and tokenizer
(`bert-base-cased/`), M3P's tokenizer (`xlm-roberta-base/`) and number of heads (`n_heads` in `model_args.json`; 12 where the model is 768 wide).
All weight files are pickles; they are read without running any code in them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, BertConfig, PreTrainedTokenizerBase

from mmr_kit.data.manifests import inside
from mmr_kit.data.reading import load_pt
from mmr_kit.errors import InputError
from mmr_kit.models.backbone import Backbone, backbone_class, first_line
from mmr_kit.models.retrieval_model import RetrievalModel

PARTS = {"OSCAR": "oscar", "UNITER": "uniter", "M3P": "m3p"}
MARKS = {"oscar": "img_embedding.weight", "uniter": "img_embeddings.img_linear.weight", "m3p": "image_embeddings.image_embeddings.weight"}
FILES = {"oscar": "pytorch_model.bin", "uniter": "pytorch_model.bin", "m3p": "m3p_under_weights.pth"}
TOKENIZERS = {"oscar": "bert-base-uncased", "uniter": "bert-base-cased", "m3p": "xlm-roberta-base"}
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "sentencepiece.bpe.model")
CONFIGS = {"oscar": "config.json", "uniter": "uniter-base.json", "m3p": "model_args.json"}
LIBRARY = {"visual_bert": "visualbert", "vilt": "vilt", "clip": "clip", "siglip": "clip"}  # model types of the transformers library
INPUTS = {"pooled_cls_token_embeddings": "summary", "cls_token_embeddings": "cls"}
BERT = [(r"(embeddings|encoder|pooler)\.", r"transformer.\1.")]
NAMES = {  # the beginning of a published name -> that of ours; others are not needed
    "oscar": [(r"img_embedding\.", "region_projection."), (r"LayerNorm\.", "region_layer_norm."), *BERT],
    "uniter": [(r"img_embeddings\.img_linear\.", "region_projection."), (r"img_embeddings\.img_layer_norm\.", "region_norm."),
               (r"img_embeddings\.pos_linear\.", "box_projection."), (r"img_embeddings\.pos_layer_norm\.", "box_norm."),
               (r"img_embeddings\.LayerNorm\.", "sum_norm."), *BERT],
    "m3p": [(r"image_embeddings\.image_embeddings\.", "region_projection."), (r"image_embeddings\.image_location_embeddings\.", "box_projection."),
            (r"image_embeddings\.LayerNorm\.", "region_norm."), (r"embeddings\.", "transformer.embeddings.word_embeddings."),
            (r"position_embeddings\.", "transformer.embeddings.position_embeddings."), (r"layer_norm_emb\.", "transformer.embeddings.LayerNorm."),
            *[(rf"{theirs}\.(\d+)\.{part}", rf"transformer.encoder.layer.\1.{ours}.") for theirs, part, ours in (
                ("attentions", r"q_lin\.", "attention.self.query"), ("attentions", r"k_lin\.", "attention.self.key"),
                ("attentions", r"v_lin\.", "attention.self.value"), ("attentions", r"out_lin\.", "attention.output.dense"),
                ("layer_norm1", "", "attention.output.LayerNorm"), ("ffns", r"lin1\.", "intermediate.dense"), ("ffns", r"lin2\.", "output.dense"),
                ("layer_norm2", "", "output.LayerNorm"))],
            (r"pooled_layer\.", "transformer.pooler.")],
}  # fmt: skip


def read_model(source: str, tokenizer: str = "", config: str = "") -> RetrievalModel | None:
    """A model in another layout than the kit's own, in evaluation mode; None where `source` is in none of those that the module describes.

    source: a folder, a file of weights, or the hub id of a VisualBERT, ViLT, CLIP or SigLIP checkpoint. tokenizer: a folder or hub id, and config: a json
    file, for what `source` lacks. A model without a match head gets a fresh one. Raises InputError where a part is missing or damaged.
    """
    folder = Path(source)
    if (folder / "modules.json").is_file() and "Transformer" not in (parts := _parts(folder)):  # else a text encoder of sentence-transformers
        return _released(folder, parts, tokenizer, config)
    path = weights_file(folder)
    if path is not None:
        weights = read_weights(path)
        kind = next((kind for kind, mark in MARKS.items() if any(name.endswith(mark) for name in weights)), None)
        return RetrievalModel(_backbone(kind, path, weights, {}, tokenizer, config)).eval() if kind else None
    if folder.exists() and not (folder / "config.json").is_file():
        return None
    try:
        kind = LIBRARY.get(AutoConfig.from_pretrained(source, trust_remote_code=False).model_type)
    except Exception:  # whatever transformers raises: the caller says what else a source may be
        return None
    return RetrievalModel(backbone_class(kind).from_checkpoint(source, tokenizer)).eval() if kind else None


def weights_file(source: Path) -> Path | None:
    """The file of a pretrained checkpoint's weights: `source` itself, or the one in that folder; None where there is none, or weights as safetensors."""
    if source.is_file():
        return source
    found = [] if (source / "model.safetensors").is_file() else sorted(path for end in ("*.bin", "*.pt", "*.pth") for path in source.glob(end))
    found = [path for path in found if path.name in FILES.values()] or found
    if len(found) > 1:
        raise InputError(f"{source}: holds {', '.join(path.name for path in found)}; name the one file of weights instead of the folder")
    return found[0] if found else None


def companions(source: Path) -> list[Path]:
    """The files beside a folder or file that `read_model` reads that are a part of the model, too: configs and tokenizers that it comes without."""
    if not (source / "modules.json").is_file() and weights_file(source) is None:
        return []
    source = source.absolute()
    places = {source.parent, source.parent.parent, *([] if source.is_dir() else [source.parent.parent.parent])}
    names = [name for kind, name in CONFIGS.items() if kind != "oscar"]
    names += [f"{folder}/{name}" for folder in TOKENIZERS.values() for name in TOKENIZER_FILES]
    return sorted(path for place in places for name in names if (path := place / name).is_file())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of a PyTorch file, of what stands under "model" where it is nested."""
    try:
        content = load_pt(path)
    except FileNotFoundError:
        raise InputError(f"{path}: missing; copy the whole model again") from None
    except Exception as error:  # from zipfile, pickle and torch
        raise InputError(f"{path}: damaged, or it holds more than tensors ({first_line(error)}); copy it again") from None
    content = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: not a dictionary of tensors; name a file of weights")
    for name, value in content.items():
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.nbytes > value.untyped_storage().nbytes():  # with strides of 0 a few bytes stand for terabytes
            raise InputError(f"{path}: {str(name)[:60]!r} is no ordinary tensor, of which the file holds every value; do not use this file")
    return {str(name): value for name, value in content.items()}


def _parts(folder: Path) -> dict[str, Path]:
    """The kinds of modules that `modules.json` lists, and their folders."""
    listed = _json(folder / "modules.json", list)
    try:
        return {str(module["type"]).rpartition(".")[2]: folder / (module["path"] and inside(module["path"])) for module in listed}
    except ValueError as error:
        raise InputError(f"{folder / 'modules.json'}: {error}") from None
    except (KeyError, TypeError):
        raise InputError(f"{folder / 'modules.json'}: not a list of modules with type and path; copy the whole model again") from None


def _released(folder: Path, parts: dict[str, Path], tokenizer: str, config: str) -> RetrievalModel:
    """A fine-tuned model as its authors saved it."""
    known = [name for name in parts if name in PARTS]
    if len(known) != 1:
        raise InputError(f"{folder / 'modules.json'}: lists {', '.join(parts)}; one of {', '.join(PARTS)} was expected among them")
    kind, part = PARTS[known[0]], parts[known[0]]
    path = part / FILES[kind]
    backbone = _backbone(kind, path, read_weights(path), _json(part / "sentence_bert_config.json"), tokenizer, config)
    pooling = _pooling(parts["Pooling"] / "config.json") if "Pooling" in parts else "mean"
    if "ClassificationHead" not in parts:
        return RetrievalModel(backbone, pooling).eval()
    head, path = _json(parts["ClassificationHead"] / "sentence_bert_config.json"), parts["ClassificationHead"] / "class_head.pt"
    weights = {re.sub(r"^classifier\.(?:(\d)\.)?", lambda match: f"{int(match[1] or 0) + 1}.", name): value for name, value in read_weights(path).items()}
    if head.get("input_key") not in INPUTS:
        raise InputError(f"{path.with_name('sentence_bert_config.json')}: input_key {head.get('input_key')!r}; known are {', '.join(INPUTS)}")
    model = RetrievalModel(backbone, pooling, INPUTS[head["input_key"]], len(weights["1.weight"]) if "3.weight" in weights else 0)
    _load(model.head, weights, path)
    return model.eval()


def _pooling(path: Path) -> str:
    chosen = [name.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens") for name, value in _json(path).items() if value is True]
    if chosen not in (["mean"], ["cls"]):
        raise InputError(f"{path}: pools by {' and '.join(chosen) or 'nothing'}; the kit has mean and cls")
    return chosen[0]


def _backbone(kind: str, path: Path, weights: dict[str, Tensor], limits: dict[str, Any], tokenizer: str, config: str) -> Backbone:
    """A backbone of a kind with these weights, read from `path`. limits: max_seq_length (of text without its two special tokens) and max_image_seq_len."""
    mark = MARKS[kind]
    prefix = next((name.removesuffix(mark) for name in weights if name.endswith(mark)), "")
    ours = {}
    for name, tensor in weights.items():
        for pattern, replacement in NAMES[kind] if name.startswith(prefix) else []:
            renamed, changes = re.subn("^" + pattern, replacement, name.removeprefix(prefix))
            if changes:
                ours[renamed] = tensor.float()
                break
    if "region_projection.weight" not in ours:
        raise InputError(f"{path}: has no weights {mark}, so it is no {kind} model; copy the whole model again")
    for name in ("max_seq_length", "max_image_seq_len"):
        if type(limits.get(name, 1)) is not int or not 0 < limits.get(name, 1) < 2**31:
            raise InputError(f"{path.with_name('sentence_bert_config.json')}: {name} is {limits[name]!r:.40}, not a number from 1; copy the whole model again")
    options = {"region_layer_norm": True} if "region_layer_norm.weight" in ours else {}
    width = ours["region_projection.weight"].shape[1] - (6 if kind == "oscar" else 0)
    try:
        sizes, words = _config(kind, path, ours, limits, config), _tokenizer(kind, path, tokenizer)
        backbone = backbone_class(kind)(sizes, words, width, max_tokens=limits.get("max_seq_length", 70) + 2,
                                        max_regions=limits.get("max_image_seq_len", 50), **options)  # fmt: skip
    except InputError:
        raise
    except Exception as error:  # whatever transformers and torch raise on sizes that make no model
        raise InputError(f"{path}: no model can be built of the sizes in the json files beside it ({first_line(error)}); copy the whole model again") from None
    if len(words) > sizes.vocab_size:
        raise InputError(f"{path}: has embeddings of {sizes.vocab_size} words, its tokenizer knows {len(words)}; give the tokenizer that it was trained with")
    _load(backbone, ours, path)
    return backbone


def _config(kind: str, path: Path, weights: dict[str, Tensor], limits: dict[str, Any], given: str) -> BertConfig:
    """Sizes: what the weights show, and beside that what the model's json says."""
    layers = {name.split(".")[3] for name in weights if name.startswith("transformer.encoder.layer.")}
    words, places = (weights.get(f"transformer.embeddings.{name}_embeddings.weight", torch.empty(0, 1)) for name in ("word", "position"))
    shown: dict[str, Any] = {"num_hidden_layers": len(layers), "vocab_size": len(words), "hidden_size": words.shape[1], "max_position_embeddings": len(places)}
    name = Path(limits.get("config_file") or CONFIGS[kind]).name
    found = Path(given) if given else next((place / name for place in _places(path)[: 1 if kind == "oscar" else 3] if (place / name).is_file()), None)
    if kind == "m3p":
        said = _json(found) if found else {}
        heads = said.get("model_args", said).get("n_heads", 12 if shown["hidden_size"] == 768 else 0)
        if not heads or shown["hidden_size"] % heads:
            raise InputError(f"{path}: how many heads a model {shown['hidden_size']} wide has is not saved with it; give it as n_heads in {name} beside it")
        inner = len(weights.get("transformer.encoder.layer.0.intermediate.dense.bias", ()))
        return BertConfig(**shown, num_attention_heads=heads, intermediate_size=inner, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-12)
    if found is None:
        raise InputError(f"{path}: the model's config is not saved with it; put {name} beside it, or name the file: load_model(folder, config=FILE)")
    return BertConfig(**{**_json(found), **shown})


def _tokenizer(kind: str, path: Path, given: str) -> PreTrainedTokenizerBase:
    folders = [path.parent, *(place / TOKENIZERS[kind] for place in _places(path))]
    found = given or next((str(folder) for folder in folders if any((folder / name).is_file() for name in TOKENIZER_FILES)), "")
    if not found:
        raise InputError(f"{path}: the tokenizer is not saved with the model; put the folder {TOKENIZERS[kind]} (vocabulary and tokenizer_config.json) beside "
                         "it, or name one: load_model(folder, tokenizer=FOLDER)")
    try:
        return AutoTokenizer.from_pretrained(found, trust_remote_code=False)
    except Exception as error:  # tokenizers raise bare Exceptions
        raise InputError(f"{found}: not a tokenizer that can be loaded ({first_line(error)}); copy it again") from None


def _places(path: Path) -> tuple[Path, Path, Path]:
    """Where to look for what a model's weights come without."""
    folder = path.absolute().parent
    return folder, folder.parent, folder.parent.parent


def _load(module: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Take all weights that the module has from `weights`, which may hold more."""
    needed = module.state_dict()
    wrong = [name for name in needed if name not in weights or weights[name].shape != needed[name].shape]
    if wrong:
        raise InputError(f"{path}: weights are missing or of another shape than config and tokenizer say ({', '.join(wrong[:3])}); copy the whole model again")
    module.load_state_dict({name: weights[name] for name in needed})


def _json(path: Path, expected: type = dict) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; copy the whole model again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({first_line(error)}); copy the whole model again") from None
    if not isinstance(content, expected):
        raise InputError(f"{path}: holds no JSON {'list' if expected is list else 'object'}; copy the whole model again")
    return content
