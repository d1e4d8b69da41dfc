"""The OSCAR architecture (Li et al., 2020): one BERT-like Transformer over [CLS] text [SEP] regions.

Inputs, as the published models build them:
- text alone: `[CLS] t [SEP]`, at most 70 word pieces between the two, so `max_tokens` 72 (over-long text is cut, `[SEP]` kept); image alone: one `[CLS]`,
  then the regions; pair: the text, then the regions.
- a region: its features, then x1, y1, x2, y2, width, height as shares of the image; one linear layer, and a LayerNorm where the checkpoint has one.
  Regions have neither position nor type embedding, and do not pass the embedding LayerNorm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase
from transformers.masking_utils import create_bidirectional_mask

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError

BOX_VALUES = 6


class Oscar(nn.Module):
    """Backbone: input construction and forward pass, nothing of retrieval.

    transformer: any BERT-like model of the transformers library (modules `embeddings`, `encoder.layer` and `pooler`; a `LayerNorm` after the
    last layer where the architecture is pre-LN). region_width: feature values a region, without the six box values.
    """

    kind = "oscar"

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, region_width: int, region_layer_norm: bool = False,
                 max_tokens: int = 72, max_regions: int = 50) -> None:
        super().__init__()
        self.tokenizer, self.region_width = tokenizer, region_width
        self.max_tokens, self.max_regions = min(max_tokens, config.max_position_embeddings), max_regions
        self.transformer = AutoModel.from_config(config, dtype=torch.float32)
        self.config = self.transformer.config
        self.region_projection = nn.Linear(region_width + BOX_VALUES, self.width)
        self.region_layer_norm = nn.LayerNorm(self.width, eps=config.layer_norm_eps) if region_layer_norm else None
        self.region_dropout = nn.Dropout(0.0)  # of input values, in training; see `Recipe.region_dropout`
        self._token_ids: dict[str, list[int]] = {}
        nn.init.normal_(self.region_projection.weight, std=self.config.initializer_range)
        nn.init.zeros_(self.region_projection.bias)

    @property
    def width(self) -> int:
        """Width of a hidden state, and so of an embedding."""
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        return self.region_projection.weight.device

    def skip_odd_layers(self) -> None:
        """Keep layers 0, 2, 4, ...: the paper's half-size model (section 6, 'Parameter Efficiency')."""
        self.transformer.encoder.layer = self.transformer.encoder.layer[::2]
        self.config.num_hidden_layers = len(self.transformer.encoder.layer)

    def token_ids(self, captions: Sequence[str]) -> list[list[int]]:
        """Token ids of each caption, `[CLS]` and `[SEP]` included; remembered, since training and grids see captions many times."""
        new = list({caption for caption in captions if caption not in self._token_ids})
        if new:
            if len(self._token_ids) > 1_000_000:
                self._token_ids.clear()
                new = list(set(captions))
            ids = self.tokenizer(new, truncation=True, max_length=self.max_tokens, add_special_tokens=True)["input_ids"]
            self._token_ids.update(zip(new, ids, strict=True))
        return [self._token_ids[caption] for caption in captions]

    def lengths(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> np.ndarray:
        """Positions each input takes, (n,): what a caller sorts by to waste little on padding."""
        text = np.array([len(ids) for ids in self.token_ids(captions)]) if captions is not None else 1
        regions = np.array([min(len(image.features), self.max_regions) for image in images]) if images is not None else 0
        return np.asarray(text + regions)

    def region_values(self, image: Regions) -> np.ndarray:
        """Input values of an image's regions, float32 (n, region_width + 6): features, then x1, y1, x2, y2, width, height."""
        if image.features.shape[1] != self.region_width:
            raise InputError(f"region features are {image.features.shape[1]} wide, this model was made for {self.region_width}: "
                             "use the features that the model was trained on, or train a model on these")
        return np.hstack([image.features, image.boxes, image.boxes[:, 2:] - image.boxes[:, :2]])

    def inputs(self, captions: Sequence[str] | None, images: Sequence[Regions] | None) -> dict[str, Tensor]:
        """Padded tensors of n texts, n images or n pairs: token_ids and token_mask (n, tokens), regions (n, regions, values) and region_mask."""
        ids = self.token_ids(captions) if captions is not None else [[self.tokenizer.cls_token_id]] * len(images or ())
        tokens = max(map(len, ids))
        tensors = {"token_ids": torch.tensor([row + [self.tokenizer.pad_token_id or 0] * (tokens - len(row)) for row in ids]),
                   "token_mask": torch.arange(tokens) < torch.tensor([[len(row)] for row in ids])}
        if images is not None:
            counts = [min(len(image.features), self.max_regions) for image in images]
            padded = np.zeros((len(images), max(counts), self.region_width + BOX_VALUES), dtype=np.float32)
            for row, image, count in zip(padded, images, counts, strict=True):
                row[:count] = self.region_values(image)[:count]
            tensors["regions"] = torch.from_numpy(padded)
            tensors["region_mask"] = torch.arange(padded.shape[1]) < torch.tensor(counts)[:, None]
        return {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden states (n, positions, width) and mask (n, positions), True where a position is real; text first, then regions."""
        ids = inputs["token_ids"]
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        states = self.transformer.embeddings(input_ids=ids, position_ids=positions, token_type_ids=torch.zeros_like(ids))
        mask = inputs["token_mask"]
        if "regions" in inputs:
            regions = self.region_projection(self.region_dropout(inputs["regions"]))
            if self.region_layer_norm is not None:
                regions = self.region_layer_norm(regions)
            states = torch.cat([states, self.transformer.embeddings.dropout(regions)], dim=1)
            mask = torch.cat([mask, inputs["region_mask"]], dim=1)
        attention = create_bidirectional_mask(config=self.config, inputs_embeds=states, attention_mask=mask)
        states = self.transformer.encoder(states, attention_mask=attention).last_hidden_state
        return getattr(self.transformer, "LayerNorm", nn.Identity())(states), mask  # pre-LN models normalise once more at the end

    def summary(self, states: Tensor) -> Tensor:
        """The pooled [CLS]: tanh(dense(h0)), (n, width)."""
        return self.transformer.pooler(states)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write config and tokenizer; returns what `load` needs beside them."""
        self.config.save_pretrained(folder / "transformer")
        self.tokenizer.save_pretrained(folder / "transformer")
        return {"kind": self.kind, "region_width": self.region_width, "region_layer_norm": self.region_layer_norm is not None,
                "max_tokens": self.max_tokens, "max_regions": self.max_regions}

    @classmethod
    def load(cls, folder: Path, description: dict[str, Any]) -> Oscar:
        """The architecture that `save` described, with fresh weights."""
        config = AutoConfig.from_pretrained(folder / "transformer", local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder / "transformer", local_files_only=True)
        return cls(config, tokenizer, **{name: value for name, value in description.items() if name != "kind"})

    @classmethod
    def from_language_model(cls, name_or_folder: str, region_width: int, max_tokens: int = 72, max_regions: int = 50) -> Oscar:
        """Start from a BERT-like checkpoint (a folder, or a hub id where the user is online) with a fresh region projection."""
        folder = Path(name_or_folder)
        if folder.exists() and not (folder / "config.json").is_file():
            raise InputError(f"{folder / 'config.json'}: missing; name a folder with a transformers checkpoint")
        try:
            config = AutoConfig.from_pretrained(name_or_folder)
            tokenizer = AutoTokenizer.from_pretrained(name_or_folder)
            weights = AutoModel.from_pretrained(name_or_folder, use_safetensors=True, dtype=torch.float32)
        except Exception as error:  # tokenizers and safetensors raise bare Exceptions
            raise InputError(f"{name_or_folder}: not a language model that can be loaded ({first_line(error)}); name the folder of a "
                             "transformers checkpoint (config.json, tokenizer, model.safetensors) or, online, a hub id") from None
        parts = [hasattr(weights, "embeddings"), hasattr(weights, "pooler"), hasattr(getattr(weights, "encoder", None), "layer")]
        if not all(parts) or weights.get_input_embeddings().embedding_dim != config.hidden_size:
            raise InputError(f"{name_or_folder}: a {config.model_type} model is not built like BERT (embeddings of full width, encoder.layer, pooler); "
                             "oscar needs one that is")
        backbone = cls(config, tokenizer, region_width, max_tokens=max_tokens, max_regions=max_regions)
        backbone.transformer.load_state_dict(weights.state_dict())
        return backbone


def first_line(error: Exception) -> str:
    """The first line of what a library says; its type where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def describe(folder: Path) -> dict[str, Any]:
    """The json of a saved model's folder; raises InputError where it is missing or not JSON."""
    path = Path(folder) / "mmr_kit.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; name a folder that `RetrievalModel.save` or `mmr train` wrote") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); train or copy the model again") from None
    if not isinstance(description, dict) or not isinstance(description.get("backbone"), dict):
        raise InputError(f"{path}: describes no backbone; train or copy the model again")
    return description
