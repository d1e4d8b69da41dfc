"""One Transformer as bi-encoder and as cross-encoder (paper, section 3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmr_kit.cache import atomic_write
from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models import distributed, memory
from mmr_kit.models.backbone import Backbone, backbone_class, first_line
from mmr_kit.models.passes import Finish, passing, positions_at_once, rows_of_like_length

POOLINGS = ("mean", "cls")
HEAD_INPUTS = ("summary", "cls")


class Embedder:
    """What is asked of a class that embeds, whichever way its `_embed` does so."""

    def embed_texts(self, captions: Sequence[str], normalize: bool = True, batch_size: int = 512) -> np.ndarray:
        """Embeddings float32 (n, width) of captions, of unit length where `normalize`; at most `batch_size` captions at a time."""
        return self._embed(captions, None, normalize, batch_size)

    def embed_images(self, images: Sequence[Regions], normalize: bool = True, batch_size: int = 512) -> np.ndarray:
        """Embeddings float32 (n, width) of images, of unit length where `normalize`; at most `batch_size` images at a time."""
        return self._embed(None, images, normalize, batch_size)

    def _embed(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, normalize: bool, batch_size: int) -> np.ndarray:
        raise NotImplementedError


class RetrievalModel(Embedder, nn.Module):
    """Backbone + mean pooling (embeddings) + match head (pair scores). The BE uses the first two, the CE the last, JOINT all of them.

    Captions are strings, images `Regions`; results are float32, in the order of the inputs. pooling: "mean", or "cls" for the state of [CLS] (footnote 7).
    head_input: what the match head reads, the backbone's "summary" (the pooled [CLS]), or "cls", the state itself. head_hidden: width of the head's hidden
    layer; 0: it has none.
    """

    def __init__(self, backbone: Backbone, pooling: str = "mean", head_input: str = "summary", head_hidden: int = 0) -> None:
        super().__init__()
        for name, value, known in (("pooling", pooling, POOLINGS), ("head_input", head_input, HEAD_INPUTS)):
            if value not in known:
                raise InputError(f"{name} {value!r}: choose {' or '.join(known)}")
        self.backbone, self.pooling, self.head_input, self.head_hidden = backbone, pooling, head_input, head_hidden
        self.spared = 1  # see `spare_memory`
        self.without_padding: dict[bool, Backbone] = {}  # while it is trained, see `packed.without_padding`
        hidden = [nn.Linear(backbone.width, head_hidden), nn.ReLU()] if head_hidden else []
        layers = [*hidden, nn.Linear(head_hidden or backbone.width, 2)]
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=getattr(backbone.config, "initializer_range", 0.02))
                nn.init.zeros_(layer.bias)
        self.head = nn.Sequential(nn.Dropout(getattr(backbone.config, "hidden_dropout_prob", 0.1)), *layers)

    # -- with gradients: what the losses are computed from ------------------------------------------------------------------------------

    def embeddings(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> Tensor:
        """Mean over every real position, [CLS] and [SEP] included, (n, width); texts or images alone, never both (section 3.2)."""
        return self._together(captions, images, self.pooling == "cls", self.pool)

    def match_logits(self, captions: Sequence[str], images: Sequence[Regions]) -> Tensor:
        """Logits (n, 2) of 'no match' and 'match' for captions[i] with images[i] (section 3.1)."""
        return self._together(captions, images, self.matches_by_first, self.match)

    @property
    def matches_by_first(self) -> bool:
        """Whether the match head reads the first position alone."""
        return self.head_input == "cls" or type(self.backbone).summary is Backbone.summary

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Embeddings (n, width) of hidden states (n, positions, width)."""
        if self.pooling == "cls":
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def match(self, states: Tensor, mask: Tensor) -> Tensor:
        """Match logits (n, 2) of hidden states (n, positions, width)."""
        return self.head(self.backbone.summary(states) if self.head_input == "summary" else states[:, 0])

    def match_probability(self, states: Tensor, mask: Tensor) -> Tensor:
        """Match probability (n,) of hidden states (n, positions, width)."""
        return self.match(states, mask).softmax(-1)[:, 1]

    def spare_memory(self) -> bool:
        """From now on compute half as many positions at once in training, and again on the way back instead of keeping them: the same gradients from less
        memory, in more time. False where each input passes alone already."""
        if self.spared >= positions_at_once(self.backbone):
            return False
        self.spared *= 2
        return True

    def _together(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, first_only: bool, finish: Finish) -> Tensor:
        whole = len(captions or images or ())
        captions = captions[distributed.share(whole)] if captions is not None else None
        images = images[distributed.share(whole)] if images is not None else None
        compute = self._passing(captions, images, first_only, finish)
        passes = list(rows_of_like_length(self.backbone.lengths(captions, images), positions_at_once(self.backbone) // self.spared, whole))
        with memory.alike():
            results = [compute(rows) if self.spared == 1 else checkpoint(compute, rows, use_reentrant=False) for rows in passes]
            own = torch.cat(results)[torch.from_numpy(np.argsort(np.concatenate(passes))).to(self.backbone.device)]
        return distributed.gathered(own, whole)

    def _passing(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, first_only: bool, finish: Finish) -> Callable[[np.ndarray], Tensor]:
        return passing(self.without_padding.get(first_only, self.backbone), captions, images, finish)

    # -- without gradients ----------------------------------------------------------------------------------------------------------------

    def score_pairs(self, captions: Sequence[str], images: Sequence[Regions], batch_size: int = 512) -> np.ndarray:
        """Match probability float32 (n,) of captions[i] with images[i]; at most `batch_size` pairs at a time."""
        check_pairs(captions, images)
        return self._compute(captions, images, batch_size, (), self.matches_by_first, self.match_probability)

    def _embed(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, normalize: bool, batch_size: int) -> np.ndarray:
        vectors = self._compute(captions, images, batch_size, (self.backbone.width,), self.pooling == "cls", self.pool)
        return unit_length(vectors) if normalize else vectors

    @torch.inference_mode()
    def _compute(self, captions: Sequence[str] | None, images: Sequence[Regions] | None, batch_size: int, shape: tuple[int, ...],
                 first_only: bool, finish: Finish) -> np.ndarray:
        count = len(captions) if captions is not None else len(images or ())
        results = np.zeros((count, *shape), dtype=np.float32)
        was_training = self.training
        self.eval()
        if count:
            passes = rows_of_like_length(self.backbone.lengths(captions, images), positions_at_once(self.backbone), batch_size)
            compute = self._passing(captions, images, first_only, finish)
            for rows in distributed.dealt(passes):
                memory.fill(results, rows, compute)
        self.train(was_training)
        return distributed.completed(results)

    # -- files ------------------------------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write `mmr_kit.json`, `model.safetensors` and `transformer/` (config, tokenizer) into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = {"format": 1, "pooling": self.pooling, "head_input": self.head_input, "head_hidden": self.head_hidden,
                       "backbone": self.backbone.save(folder)}
        save_file({name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / "model.safetensors")
        atomic_write(folder / "mmr_kit.json", json.dumps(description, indent=1))

    @classmethod
    def load(cls, folder: Path) -> RetrievalModel:
        """Read what `save` wrote; float32, evaluation mode, on the GPU where there is one.

        Raises InputError where a file is missing, damaged or does not fit the others.
        """
        folder = Path(folder)
        description = describe(folder)
        try:
            backbone = backbone_class(str(description["backbone"].get("kind")))
        except InputError as error:
            raise InputError(f"{folder / 'mmr_kit.json'}: {error}") from None
        options = {name: description[name] for name in ("pooling", "head_input", "head_hidden") if name in description}
        try:
            model = cls(backbone.load(folder, description["backbone"]), **options)
        except Exception as error:  # whatever transformers and tokenizers raise on a missing or damaged config or tokenizer
            raise InputError(f"{folder}: config or tokenizer missing or damaged ({first_line(error)}); train or copy the model again") from None
        model.load_weights(folder)
        return model.eval().to(best_device())

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


def describe(folder: Path) -> dict[str, Any]:
    """The json of a saved model's folder; raises InputError where it is missing or not JSON."""
    path = Path(folder) / "mmr_kit.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; name a folder that `RetrievalModel.save` or `mmr train` wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); train or copy the model again") from None
    if not isinstance(description, dict) or not isinstance(description.get("backbone"), dict):
        raise InputError(f"{path}: describes no backbone; train or copy the model again")
    return description


def check_pairs(captions: Sequence[str], images: Sequence[Regions]) -> None:
    """Raise InputError where these are not pairs."""
    if len(captions) != len(images):
        raise InputError(f"score_pairs takes as many images as captions, got {len(captions)} captions and {len(images)} images")


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Each row divided by its length; a row of zeros stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(precision: str) -> AbstractContextManager[Any]:
    """A context in which Transformers compute in "bf16" or "fp16" ("no": float32), on the GPU where there is one; scores and embeddings stay float32."""
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision != "no" and precision not in types:
        raise InputError(f"precision {precision!r}: choose no, {', '.join(types)}")
    return torch.autocast(best_device().type, types[precision]) if precision in types else nullcontext()


def load_model(folder: str | Path, tokenizer: str = "", config: str = "") -> RetrievalModel:
    """A retrieval model from its folder, ready to embed and to score: as `mmr train` and `RetrievalModel.save` write it, as the paper's authors released
    theirs, or a pretrained checkpoint, whose match head is then drawn anew (see `published.read_model` for the layouts, and for tokenizer and config).
    """
    if (Path(folder) / "mmr_kit.json").is_file():
        return RetrievalModel.load(Path(folder))
    from mmr_kit.models.published import read_model  # which itself needs this module

    published = read_model(str(folder), tokenizer, config)
    return published.to(best_device()) if published else RetrievalModel.load(Path(folder))
