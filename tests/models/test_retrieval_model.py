"""A model's files and its behaviour at the edges."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import mmr_kit as kit
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.retrieval_model import RetrievalModel, load_model

MakeModel = Callable[..., RetrievalModel]


@pytest.mark.parametrize("shape", ["post", "pre"])
def test_saved_and_loaded_is_the_same(make_model: MakeModel, captions: list[str], images: list[Regions], tmp_path: Path, shape: str) -> None:
    model = make_model(shape, region_layer_norm=shape == "post", max_tokens=9, max_regions=4)
    model.save(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    assert not loaded.training
    assert (loaded.backbone.max_tokens, loaded.backbone.max_regions) == (9, 4)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert np.array_equal(loaded.score_pairs(captions, images), model.score_pairs(captions, images))
    assert loaded.backbone.token_ids(captions) == model.backbone.token_ids(captions)
    for path in (tmp_path / "model").rglob("*"):
        assert path.is_dir() or path.suffix in (".json", ".safetensors"), "no pickles"


def edit(name: str, change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return damage


def cut(name: str, length: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no folder": shutil.rmtree,
    "no description": lambda folder: (folder / "mmr_kit.json").unlink(),
    "half a description": cut("mmr_kit.json", 20),
    "description of a list": lambda folder: (folder / "mmr_kit.json").write_text("[]"),
    "unknown backbone": edit("mmr_kit.json", lambda content: content["backbone"].update(kind="lxmert")),
    "no kind": edit("mmr_kit.json", lambda content: content["backbone"].pop("kind")),
    "unknown head": edit("mmr_kit.json", lambda content: content.update(head_input="first")),
    "other head": edit("mmr_kit.json", lambda content: content.update(head_hidden=7)),
    "no backbone": edit("mmr_kit.json", lambda content: content.pop("backbone")),
    "unknown option": edit("mmr_kit.json", lambda content: content["backbone"].update(colour=1)),
    "missing option": edit("mmr_kit.json", lambda content: content["backbone"].pop("region_width")),
    "other region width": edit("mmr_kit.json", lambda content: content["backbone"].update(region_width=9)),
    "width of text": edit("mmr_kit.json", lambda content: content["backbone"].update(region_width="8")),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "empty weights": cut("model.safetensors", 0),
    "half the weights": cut("model.safetensors", 5000),
    "no transformer": lambda folder: shutil.rmtree(folder / "transformer"),
    "no config": lambda folder: (folder / "transformer" / "config.json").unlink(),
    "half a config": cut("transformer/config.json", 30),
    "other config": edit("transformer/config.json", lambda content: content.update(num_hidden_layers=3)),
    "no tokenizer": lambda folder: (folder / "transformer" / "tokenizer.json").unlink(),
    "half a tokenizer": cut("transformer/tokenizer.json", 100),
    "empty tokenizer": lambda folder: (folder / "transformer" / "tokenizer.json").write_text("{}"),
    "other tokenizer": edit("transformer/tokenizer.json", lambda content: content["model"].update(type="None")),
}


@pytest.fixture(scope="session")
def saved(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    make_model().save(folder)
    return folder


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_refused_by_name(saved: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    load_model(folder)
    DAMAGES[kind](folder)
    with pytest.raises(InputError, match=str(folder)) as error:
        load_model(folder)
    assert "\n" not in str(error.value)


def test_wrong_width_is_refused(make_model: MakeModel, make_images: Callable[..., list[Regions]]) -> None:
    model, wide = make_model(), make_images(2, width=9)
    for call in (lambda: model.embed_images(wide), lambda: model.score_pairs(["a"], wide)):
        with pytest.raises(InputError, match="region features are 9 wide, this model was made for 8"):
            call()


def test_unequal_numbers_are_refused(make_model: MakeModel, images: list[Regions]) -> None:
    with pytest.raises(InputError, match="got 1 captions and 2 images"):
        make_model().score_pairs(["a"], images[:2])


def test_nothing_gives_nothing(make_model: MakeModel) -> None:
    model = make_model()
    assert model.embed_texts([]).shape == model.embed_images([]).shape == (0, 16)
    assert model.score_pairs([], []).shape == (0,)


def test_results_are_float32_in_the_order_of_the_inputs(make_model: MakeModel, captions: list[str], images: list[Regions]) -> None:
    model, order = make_model(), np.random.default_rng(0).permutation(len(captions))
    for embed, inputs in ((model.embed_texts, captions), (model.embed_images, images)):
        vectors = embed(inputs, batch_size=4)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        assert np.abs(embed([inputs[row] for row in order], batch_size=4) - vectors[order]).max() < 1e-6
    scores = model.score_pairs(captions, images)
    assert scores.dtype == np.float32
    assert (scores >= 0).all()
    assert (scores <= 1).all()


def test_is_what_notebooks_import() -> None:
    assert kit.load_model is load_model
