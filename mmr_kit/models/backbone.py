"""What a backbone is: it builds the inputs of one architecture and runs its forward pass. It knows nothing of retrieval, heads or losses.

To write one, subclass `Backbone`, give it a `kind`, make the layers that embed regions in `__init__`, and define `embed_regions` (and `geometry` where it
reads boxes). Everything else has a usual form here, for a Transformer over `[CLS] text [SEP] regions` whose modules are called as in the transformers
library: `embeddings`, `encoder.layer`, `pooler`. An architecture that differs overrides what differs: `tokenize`, `inputs`, `forward`, `summary`. The keyword
arguments of `__init__` beyond the usual ones must come back from `options`, so that a saved model can be loaded.

A class is known by its `kind` from the moment it is defined; a program that loads a saved model of a kind of its own imports the module first.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError

if TYPE_CHECKING:  # importing it takes seconds, and where all that is asked for is computed already nothing needs it
    from transformers import PreTrainedModel

OWN = ("oscar", "uniter", "m3p", "visualbert", "vilt", "clip")  # each in the module of its name
REMEMBERED = 1_000_000  # captions whose token ids are kept


class Backbone(nn.Module):
    """A single-stream Transformer over text and regions.

    config: of a model of the transformers library. region_width: feature values a region, without what `geometry` adds. max_tokens: of a text, `[CLS]` and
    `[SEP]` included; max_regions: of an image; what is beyond is left out.
    """

    kind: ClassVar[str]
    regions_first: ClassVar[bool] = False  # whether a pair's regions stand before its text
    _classes: ClassVar[dict[str, type[Backbone]]] = {}

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, max_tokens: int = 72, max_regions: int = 50) -> None:
        super().__init__()
        self.tokenizer, self.region_width = tokenizer, region_width
        self.max_tokens, self.max_regions = min(max_tokens, config.get_text_config().max_position_embeddings), max_regions
        self.transformer = AutoModel.from_config(config, dtype=torch.float32)
        self.config = self.transformer.config
        self.region_dropout = nn.Dropout(0.0)  # of input values, in training; see `Recipe.region_dropout`
        self.object_tags = False  # see `add_object_tags`
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self._token_ids: dict[str, list[int]] = {}

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            Backbone._classes[cls.kind] = cls

    # -- what an architecture defines ---------------------------------------------------------------------------------------------------------

    def embed_regions(self, regions: Tensor) -> Tensor:
        """What the encoder receives for region values (n, regions, region_width + values of `geometry`): (n, regions, width).

        In training `region_dropout` has set some of the values to 0 and raised the others, so a value must not serve as an index.
        """
        raise NotImplementedError

    def geometry(self, boxes: np.ndarray) -> np.ndarray:
        """Values (n, any) that stand behind the features of regions with these boxes (n, 4); none by default."""
        return boxes[:, :0]

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `__init__` beyond the usual ones, as JSON values."""
        return {}

    # -- what is usual ------------------------------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Width of a hidden state, and so of an embedding."""
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def skip_odd_layers(self) -> None:
        """Keep layers 0, 2, 4, ...: the paper's half-size model (section 6, 'Parameter Efficiency')."""
        self.transformer.encoder.layer = self.transformer.encoder.layer[::2]
        self.config.num_hidden_layers = len(self.transformer.encoder.layer)

    def checkpoint_gradients(self) -> None:
        """In training, keep of each layer its input alone and compute the rest again on the way back: the same gradients from less memory, in more time.

        Raises InputError where the Transformer has no such layers.
        """
        if not self.transformer.supports_gradient_checkpointing:
            raise InputError(f"a {self.config.model_type} model knows no gradient checkpointing; train it with gradient_checkpointing off")
        self.transformer.activation_checkpointing_enable()

    def add_object_tags(self) -> None:
        """From now on the names of an image's objects stand as words before its regions, `tags [SEP]` (OSCAR's input; footnote 10)."""
        if type(self).inputs is not Backbone.inputs:
            raise InputError(f"a {self.kind} model takes no object tags; train it with object_tags off")
        self.object_tags = True

    def tokenize(self, captions: list[str]) -> list[list[int]]:
        """Token ids of captions, `[CLS]` and `[SEP]` included, at most `max_tokens` each."""
        return self.tokenizer(captions, truncation=True, max_length=self.max_tokens, add_special_tokens=True)["input_ids"]

    def token_ids(self, captions: Sequence[str]) -> list[list[int]]:
        """What `tokenize` gives for each caption; remembered, since training and grids see captions many times."""
        new = list({caption for caption in captions if caption not in self._token_ids})
        if new:
            if len(self._token_ids) > REMEMBERED:
                self._token_ids.clear()
                new = list(set(captions))
            self._token_ids.update(zip(new, self.tokenize(new), strict=True))
        return [self._token_ids[caption] for caption in captions]

    def tag_ids(self, images: Sequence[Regions]) -> list[list[int]]:
        """Token ids of each image's object tags, `[SEP]` included; none where the model takes no tags."""
        if not self.object_tags:
            return [[]] * len(images)
        return [ids[1:] for ids in self.token_ids([" ".join(image.tags) for image in images])]

    def lengths(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> np.ndarray:
        """Positions each input takes, (n,): what a caller sorts by to waste little on padding."""
        text = np.array([len(ids) for ids in self.token_ids(captions)]) if captions is not None else 1
        if images is None:
            return np.asarray(text)
        tags = np.array([len(ids) for ids in self.tag_ids(images)], dtype=np.int64)
        return np.minimum(text + tags, self.max_tokens) + np.array([min(len(image.features), self.max_regions) for image in images])

    def region_values(self, image: Regions) -> np.ndarray:
        """Input values of an image's regions, float32: features (n, region_width), then what `geometry` makes of the boxes."""
        self.check_width(image)
        return np.hstack([image.features, self.geometry(image.boxes)])

    def check_width(self, image: Regions) -> None:
        """Raise InputError where the features have another width than the model was made for."""
        if image.features.shape[1] != self.region_width:
            raise InputError(f"region features are {image.features.shape[1]} wide, this model was made for {self.region_width}: "
                             "use the features that the model was trained on, or train a model on these")

    def inputs(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> dict[str, Tensor]:
        """Padded tensors of n texts, n images (behind a single `[CLS]`) or n pairs: token_ids and token_mask (n, tokens), regions (n, regions, values)
        and region_mask."""
        ids = self.token_ids(captions) if captions is not None else [[self.tokenizer.cls_token_id]] * len(images or ())
        if images is not None:
            ids = [(row + tags)[: self.max_tokens] for row, tags in zip(ids, self.tag_ids(images), strict=True)]
        tensors = self.padded_tokens(ids) if images is None else {**self.padded_tokens(ids), **self.padded_regions(images)}
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def padded_tokens(self, ids: list[list[int]]) -> dict[str, Tensor]:
        """token_ids (n, tokens) and token_mask, True where a token is real."""
        tokens = max(map(len, ids))
        return {"token_ids": torch.tensor([row + [self.pad_id] * (tokens - len(row)) for row in ids]),
                "token_mask": torch.arange(tokens) < torch.tensor([[len(row)] for row in ids])}

    def padded_regions(self, images: Sequence[Regions]) -> dict[str, Tensor]:
        """regions (n, regions, values), padded with 0, and region_mask, True where a region is real."""
        values = [self.region_values(image)[: self.max_regions] for image in images]
        padded = np.zeros((len(values), max(map(len, values)), values[0].shape[1]), dtype=np.float32)
        for row, value in zip(padded, values, strict=True):
            row[: len(value)] = value
        return {"regions": torch.from_numpy(padded), "region_mask": torch.arange(padded.shape[1]) < torch.tensor([[len(value)] for value in values])}

    def embed_text(self, ids: Tensor) -> Tensor:
        """What the encoder receives for token ids (n, tokens): (n, tokens, width); positions from 0, token type 0."""
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return self.transformer.embeddings(input_ids=ids, position_ids=positions, token_type_ids=torch.zeros_like(ids))

    def encode(self, states: Tensor, mask: Tensor) -> Tensor:
        """Hidden states (n, positions, width) after the last layer, and after what follows it; padding is not attended to."""
        return self.through_layers(states, mask)

    def through_layers(self, states: Tensor, mask: Tensor) -> Tensor:
        """What the library's layers make of states (n, positions, width); `engine.Engine` puts its own way of computing the same in this place."""
        from transformers.masking_utils import create_bidirectional_mask  # here, as it brings the models along

        attention = create_bidirectional_mask(config=self.config, inputs_embeds=states, attention_mask=mask)
        return self.transformer.encoder(states, attention_mask=attention).last_hidden_state

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden states (n, positions, width) and mask (n, positions), True where a position is real; text first, then regions."""
        states, mask = self.embed_text(inputs["token_ids"]), inputs["token_mask"]
        if "regions" in inputs:
            states = torch.cat([states, self.embed_regions(self.region_dropout(inputs["regions"]))], dim=1)
            mask = torch.cat([mask, inputs["region_mask"]], dim=1)
        return self.encode(states, mask), mask

    def summary(self, states: Tensor) -> Tensor:
        """What the match head reads of hidden states: the pooled first position, tanh(dense(h0)), (n, width)."""
        return self.transformer.pooler(states)

    # -- files --------------------------------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> dict[str, Any]:
        """Write config and tokenizer; returns what `load` needs beside them."""
        self.config.save_pretrained(folder / "transformer")
        self.tokenizer.save_pretrained(folder / "transformer")
        tags = {"object_tags": True} if self.object_tags else {}
        return {"kind": self.kind, "region_width": self.region_width, "max_tokens": self.max_tokens, "max_regions": self.max_regions, **tags, **self.options()}

    @classmethod
    def load(cls, folder: Path, description: dict[str, Any]) -> Self:
        """The architecture that `save` described, with fresh weights."""
        config = AutoConfig.from_pretrained(folder / "transformer", local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder / "transformer", local_files_only=True, trust_remote_code=False)
        backbone = cls(config, tokenizer, **{name: value for name, value in description.items() if name not in ("kind", "object_tags")})
        if description.get("object_tags"):
            backbone.add_object_tags()
        return backbone

    @classmethod
    def from_checkpoint(cls, name_or_folder: str, tokenizer: str = "") -> Self:
        """A pretrained model of this architecture in the layout of the transformers library: a folder, or a hub id where the user is online."""
        config, words, weights = read_checkpoint(name_or_folder, f"a {cls.kind} model", tokenizer)
        backbone = cls(config, words, **cls.checkpoint_options(name_or_folder, config))
        backbone.transformer.load_state_dict(weights.state_dict())
        return backbone

    @classmethod
    def checkpoint_options(cls, name_or_folder: str, config: PretrainedConfig) -> dict[str, Any]:
        """Keyword arguments of `__init__`, region_width among them, for a checkpoint; of kinds that the transformers library has, too."""
        raise NotImplementedError

    def fresh_linear(self, values: int) -> nn.Linear:
        """A new linear layer from so many values to `width`, drawn as the config says."""
        layer = nn.Linear(values, self.width)
        nn.init.normal_(layer.weight, std=self.config.initializer_range)
        nn.init.zeros_(layer.bias)
        return layer


def backbone_class(kind: str) -> type[Backbone]:
    """The class of a kind: one of the kit's own, or one that a program has defined. Raises InputError for any other."""
    if kind in OWN:
        import_module(f"mmr_kit.models.{kind}")
    if kind not in Backbone._classes:
        raise InputError(f"no backbone of the kind {kind!r} is known; there are {', '.join(sorted({*OWN, *Backbone._classes}))}; "
                         "import the module that defines another one first")
    return Backbone._classes[kind]


def read_checkpoint(name_or_folder: str, what: str, tokenizer: str = "") -> tuple[PretrainedConfig, PreTrainedTokenizerBase, PreTrainedModel]:
    """Config, tokenizer (from elsewhere where named) and weights, in float32, of a checkpoint of the transformers library: a folder, or a hub id where the
    user is online. Raises InputError where that fails; `what` says in it what was expected."""
    folder = Path(name_or_folder)
    if folder.exists() and not (folder / "config.json").is_file():
        raise InputError(f"{folder / 'config.json'}: missing; name a folder with a transformers checkpoint")
    try:
        return (AutoConfig.from_pretrained(name_or_folder, trust_remote_code=False),
                AutoTokenizer.from_pretrained(tokenizer or name_or_folder, trust_remote_code=False),
                AutoModel.from_pretrained(name_or_folder, dtype=torch.float32, trust_remote_code=False))
    except Exception as error:  # tokenizers and safetensors raise bare Exceptions
        raise InputError(f"{name_or_folder}: not {what} that can be loaded ({first_line(error)}); name the folder of a "
                         "transformers checkpoint (config.json, tokenizer, model.safetensors) or, online, a hub id") from None


def first_line(error: Exception) -> str:
    """The first line of what a library says; its type where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]
