"""The backbone that the README shows, as a reader would use it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig

from mmr_kit.data.regions import Regions
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.retrieval_model import RetrievalModel, load_model
from mmr_kit.models.starts import word_tokenizer

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def shown() -> Any:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (source,) = [block for block in blocks if "(Backbone)" in block]
    assert source.count("\n") < 40
    names: dict[str, Any] = {}
    exec(compile(source, str(README), "exec"), names)
    return next(value for value in names.values() if isinstance(value, type) and issubclass(value, Backbone) and value is not Backbone)


def test_it_embeds_scores_and_is_saved_and_loaded(shown: Any, captions: list[str], images: list[Regions], tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(captions)
    sizes = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    model = RetrievalModel(shown(sizes, tokenizer, images[0].features.shape[1], scale=2.0)).eval()
    embeddings = model.embed_images(images)
    moved = [Regions(image.features, image.boxes * 0.5) for image in images]
    assert np.abs(embeddings - model.embed_images(moved)).max() > 0.01  # it sees where a region is
    scores = model.score_pairs(captions, images[: len(captions)])
    model.save(tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model").score_pairs(captions, images[: len(captions)]), scores)
    assert embeddings.shape == (len(images), 16)
