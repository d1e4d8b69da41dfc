"""Inputs for models, captions and images of unequal length, and tiny models of each kind."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    PretrainedConfig,
    RobertaPreLayerNormConfig,
    SiglipConfig,
    SiglipTextConfig,
    SiglipVisionConfig,
    ViltConfig,
    VisualBertConfig,
)  # fmt: skip

from mmr_kit.data.regions import Regions
from mmr_kit.models.backbone import backbone_class
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import word_tokenizer

WORDS = ["apple", "boat", "cat", "dog", "egg", "fish", "goat", "hat", "a", "beside", "one", "and", "neben", "unknown"]


@pytest.fixture(scope="session")
def captions() -> list[str]:
    """Twelve captions of 1 to 15 words, one of them unknown to the tokenizer."""
    drawn = random.Random(0)
    return [" ".join(drawn.choices(WORDS, k=length)) for length in (4, 15, 1, 7, 7, 2, 11, 3, 5, 1, 9, 6)]


@pytest.fixture(scope="session")
def make_images() -> Callable[..., list[Regions]]:
    """Images with as many regions as told, of random features and boxes."""

    def make(*counts: int, width: int = 8, seed: int = 0) -> list[Regions]:
        rng = np.random.default_rng(seed)
        boxes = [np.hstack([corner := rng.random((n, 2)) * 0.6, corner + rng.random((n, 2)) * 0.4]) for n in counts]
        return [Regions(rng.normal(size=(n, width)).astype(np.float32), box.astype(np.float32)) for n, box in zip(counts, boxes, strict=True)]

    return make


@pytest.fixture(scope="session")
def images(make_images: Callable[..., list[Regions]]) -> list[Regions]:
    """Twelve images of 1 to 9 regions."""
    return make_images(3, 1, 9, 4, 2, 2, 7, 1, 5, 6, 3, 8)


PATCH, GRID = 4, 3  # pixels a patch, patches a side of a square picture
COLOURS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


def cut(pixels: np.ndarray, size: int = PATCH) -> Regions:
    """Pixels (3, height, width) in [0, 1] as a store holds them: one region a patch."""
    rows, columns = pixels.shape[1] // size, pixels.shape[2] // size
    places = [(row, column) for row in range(rows) for column in range(columns)]
    features = [pixels[:, row * size : (row + 1) * size, column * size : (column + 1) * size].ravel() for row, column in places]
    boxes = [[column / columns, row / rows, (column + 1) / columns, (row + 1) / rows] for row, column in places]
    return Regions(np.array(features, dtype=np.float32), np.array(boxes, dtype=np.float32))


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Twelve pictures (3, height, width) of 1 to 5 patches a side, the first three square."""
    rng = np.random.default_rng(5)
    shapes = [(3, 3), (3, 3), (3, 3), (1, 4), (5, 2), (2, 2), (4, 1), (1, 1), (3, 5), (2, 3), (4, 4), (1, 2)]
    return [rng.random((3, rows * PATCH, columns * PATCH)).astype(np.float32) for rows, columns in shapes]


def tiny_config(kind: str, words: int, dropout: float, layers: int) -> PretrainedConfig:
    sizes = {"vocab_size": words, "hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 24, "type_vocab_size": 2,
             "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout, "initializer_range": 0.3, "pad_token_id": 0}  # fmt: skip
    if kind == "vilt":
        return ViltConfig(**sizes, max_position_embeddings=40, image_size=GRID * PATCH, patch_size=PATCH, modality_type_vocab_size=2)
    if kind == "visualbert":
        return VisualBertConfig(**sizes, max_position_embeddings=72, visual_embedding_dim=8)
    if kind in ("clip", "siglip"):
        tower = {"hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 24, "attention_dropout": dropout}
        text = {**tower, "vocab_size": words, "max_position_embeddings": 24, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "projection_size": 16}
        vision = {**tower, "image_size": GRID * PATCH, "patch_size": PATCH}
        if kind == "siglip":
            return SiglipConfig(text_config=SiglipTextConfig(**text).to_dict(), vision_config=SiglipVisionConfig(**vision).to_dict())
        return CLIPConfig(text_config=CLIPTextConfig(**text).to_dict(), vision_config=CLIPVisionConfig(**vision).to_dict(), projection_dim=12)
    return (RobertaPreLayerNormConfig if kind == "pre" else BertConfig)(**sizes, max_position_embeddings=72)


@pytest.fixture(scope="session")
def make_kind() -> Callable[..., RetrievalModel]:
    """Builds tiny models: of a backbone's kind, or "pre" (a pre-LN oscar), "layer_norm" (an oscar with one behind the regions) or "siglip" (of kind clip)."""

    def make(name: str, layers: int = 2, dropout: float = 0.0, pooling: str = "mean", head_input: str = "summary", head_hidden: int = 0,
             **options: object) -> RetrievalModel:  # fmt: skip
        tokenizer = word_tokenizer([" ".join(WORDS[:-1])])
        kind = {"pre": "oscar", "layer_norm": "oscar", "siglip": "clip"}.get(name, name)
        width = 3 * PATCH**2 if kind in ("vilt", "clip") else 8
        options |= COLOURS if kind in ("vilt", "clip") else {"region_layer_norm": True} if name == "layer_norm" else {}
        torch.manual_seed(3)
        model = RetrievalModel(backbone_class(kind)(tiny_config(name, len(tokenizer), dropout, layers), tokenizer, width, **options), pooling, head_input,
                               head_hidden)  # fmt: skip
        for place, parameter in model.named_parameters():  # biases, norms and positions of fresh models are 0 or 1: forgotten, they would go unnoticed
            norm = place.endswith("weight") and parameter.ndim == 1
            if parameter.ndim <= 1 or "position" in place or "cls_token" in place:
                torch.nn.init.normal_(parameter, mean=float(norm), std=0.1 if norm or parameter.ndim <= 1 else 0.3)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def images_of(images: list[Regions], pictures: list[np.ndarray]) -> Callable[[str], list[Regions]]:
    """Twelve images that a kind of model reads: regions, or patches of pictures; for clip and siglip three square ones, repeated."""

    def of(name: str) -> list[Regions]:
        if name in ("clip", "siglip"):
            return [cut(picture) for picture in pictures[:3]] * 4
        return [cut(picture) for picture in pictures] if name == "vilt" else images

    return of
