"""The miniature's checkpoints: read like the published ones they stand for."""

from pathlib import Path

import numpy as np
import pytest

from mmr_kit.data.regions import Regions
from mmr_kit.models.miniature import write_checkpoints
from mmr_kit.models.retrieval_model import load_model

TEXTS = ["a red star above a moon", "ein Stern über dem Mond, rot", "une étoile", "hvězda a měsíc"]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    write_checkpoints(folder, TEXTS)
    return folder / "backbones"


@pytest.mark.parametrize(("path", "kind"), [("oscar_base", "oscar"), ("m3p", "m3p"), ("oscar_base/released/JOINT-flickr30k", "oscar")])
def test_they_embed_and_score_the_published_features(backbones: Path, path: str, kind: str) -> None:
    model = load_model(backbones / path)
    assert (model.backbone.kind, model.backbone.region_width, model.backbone.max_regions) == (kind, 2048, 50)
    image = Regions(np.full((3, 2048), 0.1, dtype=np.float32), np.tile(np.array([0, 0, 0.5, 1], dtype=np.float32), (3, 1)))
    assert np.isfinite(model.score_pairs(TEXTS, [image] * len(TEXTS))).all()
    known = TEXTS if kind == "m3p" else TEXTS[:1]  # OSCAR's tokenizer takes accents off
    unknown = model.backbone.tokenizer.unk_token_id
    assert not any(unknown in ids for ids in model.backbone.token_ids(known))
    assert len(np.unique(model.embed_texts(TEXTS).round(4), axis=0)) == len(TEXTS)


def test_clip_embeds_its_grid_of_patches(backbones: Path) -> None:
    model = load_model(backbones / "clip")
    corners = np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]], dtype=np.float32)
    pictures = [Regions(np.random.default_rng(seed).random((4, 48), dtype=np.float32), np.hstack([corners, corners + 0.5])) for seed in range(3)]
    assert len(np.unique(model.embed_images(pictures).round(4), axis=0)) == 3
    assert len(np.unique(model.embed_texts(TEXTS).round(4), axis=0)) == len(TEXTS)


def test_they_are_the_same_every_time(backbones: Path, tmp_path: Path) -> None:
    write_checkpoints(tmp_path, TEXTS)
    for path in ("oscar_base", "oscar_base/released/JOINT-flickr30k", "m3p", "clip"):
        first, second = (load_model(folder / path).state_dict() for folder in (backbones, tmp_path / "backbones"))
        assert all(np.array_equal(first[name], second[name]) for name in first if not name.startswith("head") or "released" in path)
