"""What costs are measured on: a random model of the asked size, captions and images of one length, and a collection of embeddings in a temporary folder.

Time does not depend on the values of weights and inputs, so random ones serve. The recall of an approximate search does depend on how embeddings lie to one
another: the collection has the falling spectrum that trained embeddings have (see `embeddings`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig

from mmr_kit.cache import cache_dir, usable
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.oscar import Oscar
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.starts import word_tokenizer
from mmr_kit.retrieval.collection import Collection
from mmr_kit.retrieval.latency import Tell

WORDS = 5000  # that the captions are made of
SPECIAL_TOKENS = 2  # [CLS] and [SEP]
LATENT = 128  # directions in which the embeddings of the collection vary
POOL = 64  # images of different values; more images repeat them, as the cross-encoder's time does not depend on values
ROWS_AT_ONCE = 50_000
BYTES_A_VALUE = 5  # on the disk: float32 and one byte
DISK_SPARE = 2**30


@dataclass(frozen=True)
class Sizes:
    """Of a model and its inputs. The defaults are the paper's: BERT-base, 50 regions of 2048 values and their boxes; captions of 12 tokens, `[CLS]` and
    `[SEP]` included."""

    layers: int = 12
    width: int = 768
    region_width: int = 2048
    regions: int = 50
    tokens: int = 12

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.region_width, self.regions) < 1 or self.tokens <= SPECIAL_TOKENS:
            raise InputError(f"{self}: sizes start at 1, captions at {SPECIAL_TOKENS + 1} tokens")

    @property
    def heads(self) -> int:
        """Attention heads of 64 values each, as in BERT; one where the width is no multiple."""
        return self.width // 64 if self.width % 64 == 0 else 1

    def __str__(self) -> str:
        return f"{self.layers} layers, width {self.width}, {self.tokens} tokens, {self.regions} regions of {self.region_width} values"


def random_model(sizes: Sizes, seed: int = 0) -> RetrievalModel:
    """An OSCAR model with weights as a training begins with, in evaluation mode."""
    tokenizer = word_tokenizer([" ".join(words())])
    config = BertConfig(hidden_size=sizes.width, num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, intermediate_size=4 * sizes.width,
                        pad_token_id=tokenizer.pad_token_id)  # fmt: skip
    torch.manual_seed(seed)
    return RetrievalModel(Oscar(config, tokenizer, sizes.region_width, max_regions=sizes.regions)).eval()


def words() -> list[str]:
    """Words, each of which is one token."""
    return [f"word{number}" for number in range(WORDS)]


def captions(count: int, sizes: Sizes, seed: int = 0) -> list[str]:
    """Captions of exactly `sizes.tokens` tokens; so many are most likely all different."""
    known = words()
    return [" ".join(known[word] for word in row) for row in np.random.default_rng(seed).integers(WORDS, size=(count, sizes.tokens - SPECIAL_TOKENS))]


def images(count: int, sizes: Sizes, seed: int = 0) -> list[Regions]:
    """Images of `sizes.regions` regions each: separate objects, as the engine embeds an image that is met twice once, with the values of POOL ones."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.random((min(count, POOL), sizes.regions, 2, 2), dtype=np.float32), axis=2).reshape(-1, sizes.regions, 4)
    features = rng.random((len(corners), sizes.regions, sizes.region_width), dtype=np.float32)
    return [Regions(features[number % POOL], corners[number % POOL]) for number in range(count)]


def embeddings(count: int, width: int, seed: int) -> np.ndarray:
    """Vectors float32 (count, width), not of unit length, as a model gives them.

    They vary in up to LATENT directions, the i-th with variance 1/i, so that nearly a fifth of the variance lies in the first: an approximate search
    finds neighbours in such vectors as it does in trained embeddings, and would not in uniform noise, where everything is equally far.
    """
    latent = min(LATENT, width)
    directions = np.random.default_rng(0).standard_normal((latent, width), dtype=np.float32) / np.sqrt(np.arange(1, latent + 1, dtype=np.float32))[:, None]
    return np.random.default_rng([1, seed]).standard_normal((count, latent), dtype=np.float32) @ directions


def chunks(count: int, width: int) -> Iterator[np.ndarray]:
    """`embeddings` of a collection, of unit length, ROWS_AT_ONCE at a time; a smaller collection is the beginning of a larger one."""
    for number, start in enumerate(range(0, count, ROWS_AT_ONCE)):
        vectors = embeddings(ROWS_AT_ONCE, width, number + 1)[: count - start]
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the cache that is gone afterwards, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="costs.", suffix=".tmp", dir=usable(cache_dir()), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def build_collection(folder: Path, count: int, width: int, tell: Tell) -> Collection:
    """A collection of so many embeddings in `folder`, mapped into memory, so that its pages can leave the memory again.

    Raises InputError where the disk has no room for it.
    """
    needed, free = BYTES_A_VALUE * count * width, shutil.disk_usage(folder).free
    if needed + DISK_SPARE > free:
        raise InputError(f"{folder}: {(needed + DISK_SPARE) / 1e9:.1f} GB are needed for {count:,} embeddings and to spare, {free / 1e9:.1f} GB are free: "
                         "ask for fewer images, or set MMR_CACHE_DIR to a larger disk")  # fmt: skip
    return Collection.build(folder / f"collection_{count}", _told(chunks(count, width), count, tell))


def _told(parts: Iterator[np.ndarray], count: int, tell: Tell) -> Iterator[np.ndarray]:
    done = 0
    for part in parts:
        yield part
        done += len(part)
        tell(f"{done:,} of {count:,} embeddings written")
