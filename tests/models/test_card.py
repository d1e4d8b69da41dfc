"""The README.md beside a trained model's weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmr_kit.data.manifests import load_manifest
from mmr_kit.models.card import model_card
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.recipes import Recipe, train_recipe


@pytest.mark.parametrize("name", ["uniter", "m3p"])
def test_a_training_writes_it(name: str, small_data: Any, make_kind: Callable[..., RetrievalModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMR_CACHE_DIR", str(tmp_path / "cache"))
    make_kind(name).save(tmp_path / "beginning")
    recipe = Recipe("JOINT", str(small_data.manifest), str(tmp_path / "beginning"), steps=4, evaluate_every=2, batch_size=7, match_batch_size=7,
                    dev_images=4, languages=("en", "de"), train_images=20, half_size=True)  # fmt: skip
    folder = train_recipe(recipe, lambda point: None)
    card, record = (folder / "README.md").read_text(), json.loads((folder / "training.json").read_text())
    assert card == model_card(record, load_manifest(small_data.manifest), name)
    assert card.startswith("# JOINT on small, seed 0\n")
    assert f"backbone `{name}`, {sum(p.numel() for p in load_model(folder).parameters()):,} parameters" in card
    assert "Small (`small`, training split, captions in en, de, 20 of its images). Source: a test" in card
    for row in ("| start | beginning |", "| languages | en, de |", "| half_size | True |", "| learning_rate | 0.001 |", "| negatives | batch |"):
        assert row in card
    assert "mined_by" not in card
    assert str(tmp_path) not in card, "no folder of the machine that trained it"
    assert "Licence of the training data: none." in card


def test_it_tells_the_checkpoint_that_was_kept() -> None:
    curve = [{"step": 10, "match loss": 0.7}, {"step": 20, "dev score": 30.0}, {"step": 40, "dev score": 41.25}, {"step": 60, "dev score": 41.25}]
    recipe = {"method": "BE", "steps": 60, "seed": 3, "languages": ["en"], "train_images": 0, "start": "scratch"}
    record = {"recipe": recipe, "curve": curve, "incidents": ["stopped at step 61 of 99"], "seconds": 12.4, "parameters": 1234567}
    card = model_card(record, load_manifest("pictograms_a"), "oscar")
    assert "\n- stopped at step 61 of 99\n" in card
    assert "41.2 after 60 of 60 steps" in card
    assert card.count("| 20 | 30.0 |") == 1
    assert "| 10 |" not in card
    assert "1,234,567 parameters, trained for `embed_texts` and `embed_images`." in card
    assert "captions in en). Source" in card
    assert "| train_images | 0 |" in card
