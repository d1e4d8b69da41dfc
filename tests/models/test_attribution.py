"""Gradient times attention: what it is by another way of computing it, which words and regions it names, and that it points at what words mean."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import AttentionInterface

from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.pictograms import WorldFacts
from mmr_kit.data.pictograms.lexicon import lexicon
from mmr_kit.data.pictograms.scenes import GRID
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.attribution import word_regions
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.models.starts import resolve

MakeKind = Callable[..., RetrievalModel]
MakeImages = Callable[..., list[Regions]]
CAPTION = "apple boat beside one cat"


def log_odds(model: RetrievalModel, caption: str, image: Regions) -> float:
    with torch.no_grad():
        no_match, match = model.match_logits([caption], [image])[0]
    return float(match - no_match)


def scaled(model: RetrievalModel, image: Regions, one: int, other: int, factor: float) -> float:
    """The log odds of a match when the attention of two positions to one another is multiplied by a factor."""

    def attention(module, query, key, value, mask, scaling=None, dropout=0.0, **_):  # type: ignore[no-untyped-def]
        weights = (query @ key.transpose(2, 3) * scaling).softmax(-1)
        factors = torch.ones_like(weights)
        factors[..., one, other] = factors[..., other, one] = factor
        return (weights * factors @ value).transpose(1, 2).contiguous(), None

    AttentionInterface.register("scaled", attention)
    model.backbone.transformer.config._attn_implementation = "scaled"
    try:
        return log_odds(model, CAPTION, image)
    finally:
        model.backbone.transformer.config._attn_implementation = "sdpa"


@pytest.mark.parametrize("kind", ["oscar", "pre", "layer_norm", "uniter", "m3p"])
def test_is_the_slope_of_the_score_in_the_attention(make_kind: MakeKind, make_images: MakeImages, kind: str) -> None:
    model, (image,) = make_kind(kind, dropout=0.5).train(), make_images(4)
    explained = word_regions(model, CAPTION, image)
    assert model.training, "left as it was"
    model.eval()
    assert explained.words == CAPTION.split()
    assert explained.values.shape == (5, 4)
    for word, region in ((0, 0), (1, 3), (4, 2)):
        one, other = (4 + 1 + word, region) if kind == "m3p" else (1 + word, 7 + region)
        slope = (scaled(model, image, one, other, 1.02) - scaled(model, image, one, other, 0.98)) / 0.04
        assert explained.values[word, region] == pytest.approx(slope, rel=0.02, abs=1e-4)
        assert abs(slope) > 1e-3
    assert model.backbone.transformer.config._attn_implementation == "sdpa"


def test_tokens_belong_to_words(make_kind: MakeKind, make_images: MakeImages) -> None:
    """Several tokens of one word add up; spaces do not count; what the model never reads has nothing to do with its score."""
    model, (image,) = make_kind("oscar", max_tokens=9, max_regions=3), make_images(5)
    spaced = word_regions(model, "  apple-boat  cat ", image)
    assert spaced.words == ["apple-boat", "cat"]
    apart = word_regions(model, "apple - boat cat", image).values  # the same tokens
    assert spaced.values == pytest.approx(np.stack([apart[:3].sum(0), apart[3]]), abs=1e-6)
    assert (spaced.values[:, 3:] == 0).all()
    assert (spaced.values[:, :3] != 0).all()
    cut = word_regions(model, "apple boat cat dog egg fish goat hat", image).values
    assert (cut[:7, :3] != 0).all()
    assert (cut[7] == 0).all(), "beyond max_tokens"


@pytest.mark.parametrize("kind", ["visualbert", "vilt", "clip"])
def test_models_without_attention_to_read_are_told(make_kind: MakeKind, images_of: Callable[[str], list[Regions]], kind: str) -> None:
    with pytest.raises(InputError, match=f"a {kind} model .*explain an oscar, uniter or m3p model"):
        word_regions(make_kind(kind), CAPTION, images_of(kind)[0])


def test_points_at_what_words_mean() -> None:
    """The kit's own start on scenes whose facts are known: a noun's strongest region is its object, a colour's rather the object that it describes."""
    model, dataset = load_model(resolve("pictograms")), load_dataset("smoke_a")
    facts = WorldFacts(dataset.regions.folder.parent)  # type: ignore[attr-defined]
    nouns = {noun.nom: number for number, entry in enumerate(lexicon().objects.values()) for noun in entry.en}
    colours = {word for entry in lexicon().colours.values() for word in entry.en}
    hits: dict[str, list[bool]] = {"noun": [], "colour": []}
    chance = []
    for caption in dataset.captions[::5]:
        image, scene = dataset.regions[caption.image_id], facts.scenes[np.array([facts.image_ids.index(caption.image_id)])]
        strongest = word_regions(model, caption.text, image).values.argmax(1)
        cells = np.floor((image.boxes[:, :2] + image.boxes[:, 2:]) / 2 * GRID)
        described = -1  # region of the noun that follows
        for word, region in reversed(list(zip(caption.text.split(), strongest, strict=True))):
            if word in nouns:
                cell = scene.col[0, nouns[word]], scene.row[0, nouns[word]]
                described = int((cells == cell).all(1).argmax())
            if word in nouns or word in colours:
                hits["noun" if word in nouns else "colour"].append(region == described)
                chance.append(1 / len(cells))
    assert min(map(len, hits.values())) > 80
    assert np.mean(chance) < 0.3
    assert np.mean(hits["noun"]) > 0.9
    assert np.mean(hits["colour"]) > 0.6
