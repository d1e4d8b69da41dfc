"""Checkpoints in the layouts that `published` reads: tiny random ones for the miniature of the paper's data sets, and any model of the kit for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, CLIPConfig, CLIPModel

from mmr_kit.models.backbone import backbone_class
from mmr_kit.models.published import FILES, INPUTS, PARTS
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import RELEASED, word_tokenizer

REGION_WIDTH = 2048  # of the published features
LAYERS, HEADS, WIDTH = 2, 2, 32
CLASSES = {kind: name for name, kind in PARTS.items()}
SIZES = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps",
         "initializer_range")  # fmt: skip
PLACES = {  # the first part of a name of ours -> the published one; a name that is not here stays as it is
    "oscar": {"region_projection": "img_embedding", "region_layer_norm": "LayerNorm"},
    "uniter": {"region_projection": "img_embeddings.img_linear", "region_norm": "img_embeddings.img_layer_norm", "box_projection": "img_embeddings.pos_linear",
               "box_norm": "img_embeddings.pos_layer_norm", "sum_norm": "img_embeddings.LayerNorm"},
    "m3p": {"region_projection": "image_embeddings.image_embeddings", "box_projection": "image_embeddings.image_location_embeddings",
            "region_norm": "image_embeddings.LayerNorm", "embeddings.word_embeddings": "embeddings", "embeddings.LayerNorm": "layer_norm_emb",
            "embeddings.position_embeddings": "position_embeddings", "pooler.dense": "pooled_layer.dense"},
}  # fmt: skip
M3P_LAYER = {"attention.self.query": "attentions.{}.q_lin", "attention.self.key": "attentions.{}.k_lin", "attention.self.value": "attentions.{}.v_lin",
             "attention.output.dense": "attentions.{}.out_lin", "attention.output.LayerNorm": "layer_norm1.{}", "intermediate.dense": "ffns.{}.lin1",
             "output.dense": "ffns.{}.lin2", "output.LayerNorm": "layer_norm2.{}"}  # fmt: skip


def write_checkpoints(folder: Path, texts: list[str]) -> None:
    """Write pretrained OSCAR, M3P and CLIP checkpoints and a released JOINT model of Flickr30k into folder/backbones: random ones, in which every word of
    `texts` has a token."""
    oscar, m3p = folder / "backbones" / "oscar_base", folder / "backbones" / "m3p"
    write_pretrained(_tiny("oscar", texts), oscar, prefix="bert.")
    write_pretrained(_tiny("m3p", texts), m3p)
    write_released(_tiny("oscar", texts), oscar / RELEASED / "JOINT-flickr30k")
    _write_clip(folder / "backbones" / "clip", texts)


def write_pretrained(model: RetrievalModel, folder: Path, prefix: str = "", file: str = "", more: dict[str, Tensor] | None = None) -> None:
    """Write a model's backbone as its pretraining saved it: weights below `prefix` in `file` ("": the usual one), beside config and tokenizer.

    more: further weights, which stand beside those of the model.
    """
    kind = model.backbone.kind
    folder.mkdir(parents=True, exist_ok=True)
    weights = {prefix + name: tensor for name, tensor in published_weights(model).items()} | (more or {})
    torch.save({"model": weights} if kind == "m3p" else weights, folder / (file or FILES[kind]))
    _write_beside(model, folder, folder, LAYERS)


def write_released(model: RetrievalModel, folder: Path, order: tuple[str, ...] = ("Pooling", "ClassificationHead"), layers: int = LAYERS,
                   pooling: str = "mean_tokens", max_tokens: int = 70, more: dict[str, Tensor] | None = None) -> None:  # fmt: skip
    """Write a fine-tuned model as the paper's authors released theirs; what they did not save (see `published`) goes beside `folder`.

    order: of the parts behind the backbone. layers: what the config says. pooling, max_tokens: what the json files say. more: see `write_pretrained`.
    """
    kind = model.backbone.kind
    parts = {name: folder / f"{number}_{name}" for number, name in enumerate((CLASSES[kind], *order))}
    for part in parts.values():
        part.mkdir(parents=True)
    _json(folder / "modules.json", [{"idx": number, "name": str(number), "path": part.name, "type": f"mmt_retrieval.model.models.{name}"}
                                    for number, (name, part) in enumerate(parts.items())])  # fmt: skip
    _json(folder / "config.json", {"__version__": "1.2.1"})
    part, weights = parts[CLASSES[kind]], published_weights(model) | (more or {})
    torch.save({"model": weights} if kind == "m3p" else weights, part / FILES[kind])
    limits = {"max_seq_length": max_tokens, "max_image_seq_len": 50}
    _json(part / "sentence_bert_config.json", limits | ({"config_file": "uniter-base.json"} if kind == "uniter" else {}))
    _write_beside(model, folder.parent, part, layers)
    if "Pooling" in parts:
        modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")}
        _json(parts["Pooling"] / "config.json", {"word_embedding_dimension": model.backbone.width, **modes, "pooling_key": "multimodal_embedding"})
    if "ClassificationHead" in parts:
        places = {"1": "classifier.0", "3": "classifier.2"} if model.head_hidden else {"1": "classifier"}
        head = {name.replace(name[0], places[name[0]], 1): tensor for name, tensor in model.head.state_dict().items()}
        torch.save(head, parts["ClassificationHead"] / "class_head.pt")
        read = next(published for published, ours in INPUTS.items() if ours == model.head_input)
        _json(parts["ClassificationHead"] / "sentence_bert_config.json", {
            "num_labels": 2, "input_dim": model.backbone.width, "classifier_type": "mlp" if model.head_hidden else "linear", "dropout": 0.1, "input_key": read})


def published_weights(model: RetrievalModel) -> dict[str, Tensor]:
    """The weights of a model's backbone under their published names."""
    return {_published_name(model.backbone.kind, name): tensor for name, tensor in model.backbone.state_dict().items()}


def _published_name(kind: str, name: str) -> str:
    """What the published implementation calls a weight of ours."""
    module, _, last = name.removeprefix("transformer.").rpartition(".")
    if kind == "m3p" and module.startswith("encoder.layer."):
        number, _, part = module.removeprefix("encoder.layer.").partition(".")
        return f"{M3P_LAYER[part].format(number)}.{last}"
    return f"{PLACES[kind].get(module, module)}.{last}"


def _write_beside(model: RetrievalModel, folder: Path, part: Path, layers: int) -> None:
    """Config and tokenizer, in the weights' folder `part` (OSCAR) or in `folder`, where the published models do not save them."""
    kind, tokenizer, config = model.backbone.kind, model.backbone.tokenizer, model.backbone.config.to_dict()
    place = {"oscar": part, "uniter": folder / "bert-base-cased", "m3p": folder / "xlm-roberta-base"}[kind]
    place.mkdir(parents=True, exist_ok=True)
    if kind == "m3p":
        tokenizer.save_pretrained(place)
        _json(folder / "model_args.json", {"model_args": {"n_heads": config["num_attention_heads"]}})
        return
    words = tokenizer.get_vocab()
    (place / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)), encoding="utf-8")
    _json(place / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": kind == "oscar"})
    _json(part / "config.json" if kind == "oscar" else folder / "uniter-base.json", {**{name: config[name] for name in SIZES}, "num_hidden_layers": layers})


def _tiny(kind: str, texts: list[str]) -> RetrievalModel:
    """A random model for the published features."""
    tokenizer = word_tokenizer(texts)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=2 * WIDTH,
                        max_position_embeddings=128, pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    torch.manual_seed(0)
    return RetrievalModel(backbone_class(kind)(config, tokenizer, REGION_WIDTH))


def _write_clip(folder: Path, texts: list[str]) -> None:
    """A CLIP checkpoint of the transformers library, for pictures of 2 x 2 patches of 4 x 4 pixels."""
    tokenizer = word_tokenizer(texts)
    tower = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 2 * WIDTH}
    words = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.cls_token_id,
             "eos_token_id": tokenizer.sep_token_id}  # fmt: skip
    config = CLIPConfig(text_config=tower | words, vision_config=tower | {"image_size": 8, "patch_size": 4}, projection_dim=WIDTH)
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _json(folder / "preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]})


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
