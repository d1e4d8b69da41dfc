"""Object tags: words between caption and regions, in the definition, in the engine, in files and in training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.engine import Engine
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.recipes import Recipe

MakeKind = Callable[..., RetrievalModel]


@pytest.fixture
def tagged(captions: list[str], images: list[Regions]) -> list[Regions]:
    """The images with one to three words of the vocabulary as tags; the last without."""
    words = sorted(set(captions[1].split()))
    return [replace(image, tags=tuple(words[: 1 + n % 3])) for n, image in enumerate(images[:-1])] + images[-1:]


def test_tags_are_read_as_words_before_the_regions(make_kind: MakeKind, captions: list[str], tagged: list[Regions]) -> None:
    backbone = make_kind("oscar").backbone
    plain = backbone.inputs(captions, tagged)
    backbone.add_object_tags()
    inputs, sep = backbone.inputs(captions, tagged), backbone.tokenizer.sep_token_id
    for n, (caption, image) in enumerate(zip(captions, tagged, strict=True)):
        ids = inputs["token_ids"][n][inputs["token_mask"][n]].tolist()
        own = plain["token_ids"][n][plain["token_mask"][n]].tolist()
        assert ids == own + backbone.tokenizer.convert_tokens_to_ids(list(image.tags)) + [sep], caption
    alone = backbone.inputs(None, tagged[:1])["token_ids"][0].tolist()
    assert alone == [backbone.tokenizer.cls_token_id, *backbone.tokenizer.convert_tokens_to_ids(list(tagged[0].tags)), sep]
    assert backbone.lengths(captions, tagged).tolist() == (inputs["token_mask"].sum(1) + inputs["region_mask"].sum(1)).tolist()


def test_many_tags_are_cut_and_the_caption_stays(make_kind: MakeKind, tagged: list[Regions], captions: list[str]) -> None:
    backbone = make_kind("oscar", max_tokens=9).backbone
    backbone.add_object_tags()
    many = [replace(tagged[0], tags=tuple(captions[1].split()))]
    inputs = backbone.inputs(["a"], many)
    assert inputs["token_ids"].shape == (1, 9)
    assert inputs["token_ids"][0, :3].tolist() == backbone.token_ids(["a"])[0]
    assert backbone.lengths(["a"], many).tolist() == [9 + len(many[0].features)]


def test_the_engine_and_a_saved_model_take_tags(make_kind: MakeKind, captions: list[str], tagged: list[Regions], tmp_path: Path) -> None:
    model = make_kind("pre")
    without = model.score_pairs(captions, tagged)
    model.backbone.add_object_tags()
    scores, vectors = model.score_pairs(captions, tagged), model.embed_images(tagged)
    assert np.abs(scores - without).max() > 1e-4, "tags matter"
    np.testing.assert_allclose(Engine(model).score_pairs(captions, tagged), scores, atol=1e-5)
    np.testing.assert_allclose(Engine(model).embed_images(tagged), vectors, atol=1e-5)
    model.save(tmp_path)
    assert np.array_equal(load_model(tmp_path).score_pairs(captions, tagged), scores)


def test_training_with_tags() -> None:
    recipe = Recipe("CE", "smoke_a", "pictograms", steps=2, batch_size=8, match_batch_size=8, dev_images=4, object_tags=True)
    assert "object tags" in recipe.label
    assert recipe.model().backbone.object_tags
    assert replace(recipe, object_tags=False).folder() != recipe.folder()


def test_what_takes_no_tags_says_so(make_kind: MakeKind, small_data: Any) -> None:
    with pytest.raises(InputError, match="a clip model takes no object tags"):
        make_kind("clip").backbone.add_object_tags()
    recipe = Recipe("BE", str(small_data.manifest), "scratch", steps=1, batch_size=8, object_tags=True)
    with pytest.raises(InputError, match="its region store names no objects"):
        recipe.model()
