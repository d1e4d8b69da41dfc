"""VisualBERT, ViLT, CLIP and SigLIP checkpoints of the transformers library: read from a folder, they give what the library gives for the same picture."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessorPil, ViltImageProcessorPil

from mmr_kit.data.datasets import load_dataset
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.models.starts import initial_model

MakeKind = Callable[..., RetrievalModel]
ImagesOf = Callable[[str], list[Regions]]
COLOURS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.fixture
def save(make_kind: MakeKind, tmp_path: Path) -> Callable[[str], tuple[Path, torch.nn.Module]]:
    """Writes a tiny checkpoint as the library does; returns its folder and the library's own model."""

    def write(name: str) -> tuple[Path, torch.nn.Module]:
        backbone = make_kind(name).backbone
        backbone.transformer.save_pretrained(tmp_path / name)
        backbone.tokenizer.save_pretrained(tmp_path / name)
        if name != "visualbert":
            (tmp_path / name / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor", **COLOURS}))
        return tmp_path / name, backbone.transformer

    return write


def normalised(picture: np.ndarray) -> torch.Tensor:
    """A batch of the one picture as an image processor gives it."""
    mean, std = (np.array(COLOURS[name], dtype=np.float32)[:, None, None] for name in ("image_mean", "image_std"))
    return torch.from_numpy((picture - mean) / std)[None]


@torch.no_grad()
def test_visualbert(save: Any, captions: list[str], images: list[Regions]) -> None:
    folder, theirs = save("visualbert")
    model = load_model(folder)
    for caption, image in zip(captions[:6], images, strict=False):
        ids, regions = torch.tensor(model.backbone.token_ids([caption])), torch.from_numpy(image.features)[None]
        expected = theirs(input_ids=ids, visual_embeds=regions)
        states, _ = model.backbone(model.backbone.inputs([caption], [image]))
        assert (states - expected.last_hidden_state).abs().max() < 1e-5
        assert (model.backbone.summary(states) - expected.pooler_output).abs().max() < 1e-5
        alone = theirs(input_ids=ids).last_hidden_state.mean(1)
        assert (torch.from_numpy(model.embed_texts([caption], normalize=False)) - alone).abs().max() < 1e-5


@torch.no_grad()
def test_vilt(save: Any, captions: list[str], images_of: ImagesOf, pictures: list[np.ndarray]) -> None:
    """Pictures of any shape, in one batch here, one by one there."""
    folder, theirs = save("vilt")
    model = load_model(folder)
    states, mask = model.backbone(model.backbone.inputs(captions, images_of("vilt")))
    summary = model.backbone.summary(states)
    for row, (caption, picture) in enumerate(zip(captions, pictures, strict=True)):
        pixels = normalised(picture)
        ids = torch.tensor(model.backbone.token_ids([caption]))
        # The library draws the order of the patches at random; neither the [CLS] nor the mean depends on it.
        expected = theirs(input_ids=ids, pixel_values=pixels, pixel_mask=torch.ones(1, *picture.shape[1:], dtype=torch.long))
        assert (summary[row] - expected.pooler_output[0]).abs().max() < 1e-5
        assert (states[row, mask[row]].mean(0) - expected.last_hidden_state[0].mean(0)).abs().max() < 1e-5
        assert mask[row].sum() == expected.last_hidden_state.shape[1]


@torch.no_grad()
@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_clip_and_siglip(save: Any, captions: list[str], images_of: ImagesOf, pictures: list[np.ndarray], tmp_path: Path, name: str) -> None:
    folder, theirs = save(name)
    model, images = load_model(folder), images_of(name)[:3]
    vectors = theirs.get_image_features(pixel_values=torch.cat([normalised(picture) for picture in pictures[:3]])).pooler_output.numpy()
    assert np.abs(model.embed_images(images, normalize=False) - vectors).max() < 1e-5
    for caption, vector in zip(captions, model.embed_texts(captions, normalize=False), strict=True):
        padding = {"padding": "max_length", "max_length": 24} if name == "siglip" else {}
        ids = torch.tensor([model.backbone.tokenizer(caption, **padding)["input_ids"]])
        assert np.abs(theirs.get_text_features(input_ids=ids).pooler_output.numpy()[0] - vector).max() < 1e-5
    assert vectors.shape[1] == model.backbone.width == (12 if name == "clip" else 16)
    shuffled = [Regions(image.features[::-1], image.boxes[::-1]) for image in images]
    assert np.array_equal(model.embed_images(shuffled), model.embed_images(images))
    model.backbone.skip_odd_layers()
    model.save(tmp_path / "half")
    assert np.array_equal(load_model(tmp_path / "half").embed_texts(captions), model.embed_texts(captions))
    assert not np.allclose(model.embed_images(images, normalize=False), vectors, atol=1e-3)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_clip_scores_no_pairs_and_reads_its_own_grid_only(make_kind: MakeKind, captions: list[str], images_of: ImagesOf, name: str) -> None:
    model, image = make_kind(name), images_of(name)[0]
    for call in (model.score_pairs, model.match_logits):
        with pytest.raises(InputError, match=f"a {name} model embeds texts and images apart and cannot score pairs"):
            call(captions[:1], [image])
    others = [Regions(image.features[:8], image.boxes[:8]), Regions(image.features, image.boxes / 2), images_of("vilt")[3],
              Regions(image.features, image.boxes[[0, *range(8)]])]  # fmt: skip
    for other in others:
        with pytest.raises(InputError, match="not the 3 x 3 grid of this model; extract patches of 4 pixels from square pictures of 12"):
            model.embed_images([other])


def test_the_librarys_image_processors_scale_and_normalise_so() -> None:
    """Pixels in [0, 1] with mean and standard deviation taken off are what the models' image processors give."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    expected = normalised(np.moveaxis(pixels, -1, 0).astype(np.float32) / 255)
    for processor in (CLIPImageProcessorPil, ViltImageProcessorPil):
        found = processor(**COLOURS, do_resize=False, do_center_crop=False, do_pad=False)(pixels, return_tensors="pt")["pixel_values"]
        assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["visualbert", "vilt", "clip", "siglip"])
def test_as_a_start(save: Any, small_data: Any, captions: list[str], name: str) -> None:
    folder, _ = save(name)
    dataset = load_dataset(small_data.manifest, "train")
    if name == "visualbert":
        assert np.array_equal(initial_model(str(folder), dataset, 0).embed_texts(captions), load_model(folder).embed_texts(captions))
        dataset = load_dataset("smoke_a", "test")
    width = dataset.regions[dataset.image_ids[0]].features.shape[1]
    with pytest.raises(InputError, match=f"those of {dataset.name} are {width}"):
        initial_model(str(folder), dataset, 0)
    wide = {image_id: Regions(np.zeros((9, 48), dtype=np.float32), np.zeros((9, 4))) for image_id in dataset.image_ids}
    if name != "visualbert":
        assert initial_model(str(folder), replace(dataset, regions=wide), 0).backbone.kind == name.replace("siglip", "clip")


@pytest.mark.parametrize(("name", "file"), [
    ("visualbert", "tokenizer.json"), ("visualbert", "model.safetensors"), ("vilt", "preprocessor_config.json"), ("clip", "preprocessor_config.json"),
])  # fmt: skip
@pytest.mark.parametrize("content", [None, b"{}"])
def test_damage_is_refused(save: Any, name: str, file: str, content: bytes | None) -> None:
    folder, _ = save(name)
    (folder / file).unlink()
    if content:
        (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=str(folder)) as error:
        load_model(folder)
    assert "\n" not in str(error.value)


def test_a_tokenizer_from_elsewhere(save: Any, captions: list[str], tmp_path: Path) -> None:
    folder, _ = save("visualbert")
    expected = load_model(folder).embed_texts(captions)
    (tmp_path / "words").mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).rename(tmp_path / "words" / file)
    assert np.array_equal(load_model(folder, tokenizer=str(tmp_path / "words")).embed_texts(captions), expected)


def test_visualbert_that_bypasses_its_layers_is_refused(make_kind: MakeKind) -> None:
    like = make_kind("visualbert").backbone
    like.config.bypass_transformer = True
    with pytest.raises(InputError, match="bypass_transformer"):
        type(like)(like.config, like.tokenizer, 8)
