"""What every test runs under: one thread, no network, and a cache that outlives the session, so that a world or a model is made once."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mmr_kit.models.retrieval_model import RetrievalModel

ROOT = Path(__file__).resolve().parents[1]

# Before any test module imports torch; inherited by every process that a test starts.
os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", MMR_HEADLESS="1", MPLBACKEND="agg")
os.environ["NUMBA_DISABLE_JIT"] = "1"  # ranx in plain Python: compiling its measures takes a minute
os.environ["MMR_CACHE_DIR"] = os.environ.get("MMR_TEST_CACHE_DIR") or str(ROOT / ".mmr_cache" / "tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first: at the end one process would go through them while all others wait."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    return _folder("MMR_DATA_DIR", "real data sets")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The folder of outputs of the published implementation; the test is skipped where there is none."""
    return _folder("MMR_GOLDEN_DIR", "outputs of the published implementation")


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} does not name a folder; set it to the folder of {what} to run this test")
    return Path(value).resolve()


@pytest.fixture(scope="session")
def nbval() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs nbval in a folder on a copy of a notebook with other parameters: nbval(notebook, parameters, folder, VARIABLE="its value").

    The notebook trains and ranks by itself, as under the runner in profile smoke: children would take longer to start than the little they do.
    """
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    def run(notebook: nbformat.NotebookNode, parameters: dict[str, Any], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        copy = folder / "notebook.ipynb"
        nbformat.write(notebook, copy)
        nbformat.write(parameterize_notebook(load_notebook_node(str(copy)), parameters, kernel_name="python3", language="python"), copy)
        options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--rootdir", str(folder)]
        return subprocess.run([sys.executable, "-m", "pytest", *options, str(copy)], cwd=folder, env={**os.environ, "MMR_WORKERS": "0", **environment},
                              capture_output=True, text=True, check=False)  # fmt: skip

    return run


WORDS = ("apple", "boat", "cat", "dog", "egg", "fish", "goat", "hat")


class SmallData:
    """28 training, 8 dev and 8 test images on disk: each shows two of eight things, one a region, and has two English captions and a German one."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        from mmr_kit.data.regions import Regions, write_region_store

        self.folder, self.manifest, rng = folder, folder / "small.yaml", np.random.default_rng(0)
        self.captions, images, pairs = [], [], list(itertools.combinations(range(len(WORDS)), 2))
        for split, count in {"train": 28, "dev": 8, "test": 8}.items():
            for number, (first, second) in enumerate(pairs[:count] if split == "train" else rng.permutation(pairs)[:count]):
                image_id = f"{split}-{number:02d}"
                features = np.eye(len(WORDS))[[first, second]] + rng.normal(scale=0.1, size=(2, len(WORDS)))
                images.append((image_id, (48, 64), Regions(features, np.tile([0.0, 0.0, 0.5, 1.0], (2, 1)) + [[0, 0, 0, 0], [0.5, 0, 0.5, 0]])))
                a, b = WORDS[first], WORDS[second]
                for language, texts in {"en": [f"a {a} beside a {b}", f"one {b} and one {a}"], "de": [f"{a} neben {b}"]}.items():
                    self.captions += [{"caption_id": f"{image_id}-{language}-{i}", "image_id": image_id, "language": language, "text": text, "split": split}
                                      for i, text in enumerate(texts)]  # fmt: skip
        write_region_store(folder / "regions", images)
        self.write_captions()
        self.manifest.write_text("{name: small, title: Small, licence: none, source: a test, files: {regions: regions, captions: "
                                 "[{path: captions.jsonl, format: jsonl, language: ''}]}}")  # fmt: skip

    def write_captions(self) -> None:
        (self.folder / "captions.jsonl").write_text("".join(json.dumps(caption) + "\n" for caption in self.captions))


@pytest.fixture(scope="module")
def kept_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallData]:
    """The same for all tests of a module, none of which may damage it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("MMR_DATA_DIR", str(folder))
        yield SmallData(folder)


@pytest.fixture
def small_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallData:
    """A data set that a test may damage."""
    monkeypatch.setenv("MMR_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return SmallData(tmp_path / "data")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., RetrievalModel]:
    """Builds tiny models of either shape: BERT's ("post": normalised after each block) or that of the kit's own models ("pre": before)."""
    import torch
    from transformers import BertConfig, RobertaPreLayerNormConfig

    from mmr_kit.models.oscar import Oscar
    from mmr_kit.models.retrieval_model import RetrievalModel
    from mmr_kit.models.starts import word_tokenizer

    def make(shape: str = "pre", region_width: int = len(WORDS), layers: int = 2, seed: int = 0, dropout: float = 0.0, **options: object) -> RetrievalModel:
        tokenizer = word_tokenizer([" ".join(WORDS), "a beside one and neben"])
        config = (BertConfig if shape == "post" else RobertaPreLayerNormConfig)(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=24, max_position_embeddings=72,
            type_vocab_size=2, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, initializer_range=0.3, pad_token_id=0)  # fmt: skip
        torch.manual_seed(seed)
        model = RetrievalModel(Oscar(config, tokenizer, region_width, **options))
        for name, parameter in model.named_parameters():  # biases and norms of fresh models are 0 and 1: a forward pass that forgot them would go unnoticed
            if name.endswith("bias") or "LayerNorm" in name:
                torch.nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.1)
        return model.eval()

    return make
