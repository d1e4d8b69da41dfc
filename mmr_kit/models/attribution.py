"""Which words look at which regions: the gradient times the attention of a cross-encoder's match score.

Attention alone says where information may flow, not whether it matters. Each attention weight is therefore multiplied by what the score would lose, to first
order, without it: its gradient. Summed over layers, heads and both ways (a word reads a region, a region reads a word) that is one signed number a word and
region: positive where the two together speak for a match, negative where they speak against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmr_kit.data.regions import Regions
from mmr_kit.errors import InputError
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.retrieval_model import RetrievalModel


@dataclass(frozen=True)
class WordRegions:
    """The words of a caption (as it is split at white space) and, float32 (words, regions), gradient times attention of each with each region of an image.

    Unit: that of the log odds of a match. Regions beyond the model's `max_regions` are never read and have 0.
    """

    words: list[str]
    values: np.ndarray


def word_regions(model: RetrievalModel, caption: str, image: Regions) -> WordRegions:
    """Explain the match score of a pair. Raises InputError for a model whose attention cannot be read."""
    backbone, words = model.backbone, caption.split()
    word_of = torch.tensor(_word_of_token(backbone, caption), device=backbone.device)
    regions = min(len(image.features), backbone.max_regions)
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad(), _attention_of(backbone) as attention:
            no_match, match = model.match_logits([caption], [image])[0]
            gradients = torch.autograd.grad(match - no_match, attention)
    finally:
        model.train(was_training)
    one_way = torch.stack([(weights.detach() * gradient).sum((0, 1)) for weights, gradient in zip(attention, gradients, strict=True)]).sum(0)
    both_ways = one_way + one_way.T
    text, shown = (slice(regions, None), slice(regions)) if backbone.regions_first else (slice(len(word_of)), slice(len(one_way) - regions, None))
    of_words = both_ways.new_zeros(len(words) + 1, regions).index_add(0, word_of, both_ways[text, shown])
    values = np.zeros((len(words), len(image.features)), dtype=np.float32)
    values[:, :regions] = of_words[:-1].cpu().numpy()
    return WordRegions(words, values)


def _word_of_token(backbone: Backbone, caption: str) -> list[int]:
    """For each token the number of the word it belongs to; for [CLS] and [SEP] one more than the last word's."""
    word_at, word = [], -1
    for place, letter in enumerate(caption):
        word += not letter.isspace() and (place == 0 or caption[place - 1].isspace())
        word_at.append(word)
    ids = backbone.token_ids([caption])[0]
    spans = backbone.tokenizer(caption, return_offsets_mapping=True)["offset_mapping"][: len(ids)]
    found = [word_at[end - 1] if end > start else word + 1 for start, end in spans]
    return [*found[:-1], word + 1] if ids[-1] == backbone.tokenizer.sep_token_id else found  # where the caption was cut, too


@contextmanager
def _attention_of(backbone: Backbone) -> Iterator[list[Tensor]]:
    """A list that takes the attention weights (1, heads, positions, positions) of each layer, in the graph of what is computed meanwhile."""
    transformer, kept = backbone.transformer, []
    before = transformer.config._attn_implementation

    def keep(module: torch.nn.Module, inputs: object, output: tuple[Tensor, ...]) -> None:
        if len(output) < 2 or output[1] is None:
            raise InputError(f"a {backbone.kind} model does not tell its attention weights; explain an oscar, uniter or m3p model")
        kept.append(output[1])

    try:
        hooks = [layer.attention.self.register_forward_hook(keep) for layer in transformer.encoder.layer]
    except AttributeError:
        raise InputError(f"a {backbone.kind} model is not built like BERT; explain an oscar, uniter or m3p model") from None
    transformer.set_attn_implementation("eager")  # the fused kernels never hold the weights
    try:
        yield kept
    finally:
        transformer.set_attn_implementation(before)
        for hook in hooks:
            hook.remove()
