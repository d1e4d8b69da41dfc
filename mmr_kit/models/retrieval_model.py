"""One Transformer as bi-encoder and as cross-encoder (paper, section 3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmr_kit.cache import atomic_write
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.oscar import Oscar, describe, first_line


class RetrievalModel(nn.Module):
    """Backbone + mean pooling (embeddings) + match head (pair scores). The BE uses the first two, the CE the last, JOINT all of them.

    Captions are strings, images `Regions`; results are float32 NumPy arrays in the order of the inputs.
    """

    def __init__(self, backbone: Oscar) -> None:
        super().__init__()
        self.backbone = backbone
        classifier = nn.Linear(backbone.width, 2)
        nn.init.normal_(classifier.weight, std=backbone.config.initializer_range)
        nn.init.zeros_(classifier.bias)
        self.head = nn.Sequential(nn.Dropout(backbone.config.hidden_dropout_prob), classifier)

    # -- with gradients: what the losses are computed from ------------------------------------------------------------------------------

    def embeddings(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> Tensor:
        """Mean over every real position, [CLS] and [SEP] included, (n, width); texts or images alone, never both (section 3.2)."""
        states, mask = self.backbone(self.backbone.inputs(captions, images))
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def match_logits(self, captions: Sequence[str], images: Sequence[Regions]) -> Tensor:
        """Logits (n, 2) of 'no match' and 'match' for captions[i] with images[i] (section 3.1)."""
        states, _ = self.backbone(self.backbone.inputs(captions, images))
        return self.head(self.backbone.summary(states))

    # -- without gradients ----------------------------------------------------------------------------------------------------------------

    def embed_texts(self, captions: Sequence[str], normalize: bool = True, batch_size: int = 512) -> np.ndarray:
        """Embeddings float32 (n, width) of captions, of unit length where `normalize`."""
        return self._embed(captions, None, normalize, batch_size)

    def embed_images(self, images: Sequence[Regions], normalize: bool = True, batch_size: int = 512) -> np.ndarray:
        """Embeddings float32 (n, width) of images, of unit length where `normalize`."""
        return self._embed(None, images, normalize, batch_size)

    def score_pairs(self, captions: Sequence[str], images: Sequence[Regions], batch_size: int = 512) -> np.ndarray:
        """Match probability float32 (n,) of captions[i] with images[i]."""
        if len(captions) != len(images):
            raise InputError(f"score_pairs takes as many images as captions, got {len(captions)} captions and {len(images)} images")
        return self._in_batches(captions, images, batch_size, (), lambda c, i: self.match_logits(c or (), i or ()).float().softmax(-1)[:, 1])

    def _embed(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, normalize: bool, batch_size: int) -> np.ndarray:
        vectors = self._in_batches(captions, images, batch_size, (self.backbone.width,), self.embeddings)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) if normalize else vectors

    @torch.inference_mode()
    def _in_batches(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, batch_size: int, shape: tuple[int, ...],
                    compute: Callable[[list[str] | None, list[Regions] | None], Tensor]) -> np.ndarray:
        """Apply `compute` to batches of like length (little padding) and put the results back in the order of the inputs."""
        count = len(captions) if captions is not None else len(images or ())
        results = np.empty((count, *shape), dtype=np.float32)
        order = np.argsort(self.backbone.lengths(captions, images), kind="stable") if count else np.empty(0, dtype=np.int64)
        was_training = self.training
        self.eval()
        for start in range(0, count, batch_size):
            rows = order[start : start + batch_size]
            results[rows] = compute([captions[row] for row in rows] if captions is not None else None,
                                    [images[row] for row in rows] if images is not None else None).float().cpu().numpy()
        self.train(was_training)
        return results

    # -- files ------------------------------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write `mmr_kit.json`, `model.safetensors` and `transformer/` (config, tokenizer) into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = {"format": 1, "backbone": self.backbone.save(folder)}
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / "model.safetensors")
        atomic_write(folder / "mmr_kit.json", json.dumps(description, indent=1))

    @classmethod
    def load(cls, folder: Path) -> RetrievalModel:
        """Read what `save` wrote; float32, evaluation mode. Raises InputError where a file is missing, damaged or does not fit the others."""
        folder = Path(folder)
        description = describe(folder)["backbone"]
        try:
            model = cls(Oscar.load(folder, description))
        except Exception as error:  # whatever transformers and tokenizers raise on a missing or damaged config or tokenizer
            raise InputError(f"{folder}: config or tokenizer missing or damaged ({first_line(error)}); train or copy the model again") from None
        model.load_weights(folder)
        return model.eval()

    def load_weights(self, folder: Path) -> None:
        """Take the weights of a saved model of the same architecture."""
        path = Path(folder) / "model.safetensors"
        try:
            weights = {name: tensor.float() for name, tensor in load_file(path).items()}
            self.load_state_dict(weights)
        except FileNotFoundError:
            raise InputError(f"{path}: missing; train or copy the model again") from None
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: damaged ({error}); train or copy the model again") from None
        except RuntimeError as error:
            raise InputError(f"{path}: does not fit the model that mmr_kit.json describes ({first_line(error)}); copy the whole folder again") from None


def load_model(folder: str | Path) -> RetrievalModel:
    """A retrieval model from its folder (as `mmr train` and `RetrievalModel.save` write it), ready to embed and to score."""
    return RetrievalModel.load(Path(folder))
