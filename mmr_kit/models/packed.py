"""The layers of a Transformer over real positions only, in the precision that is asked for: how `engine.Engine` computes, and how a CPU trains.

The positions of all inputs stand one behind the other, without padding; only attention takes them apart again, inputs of equal length together. The query, key
and value projections of a layer are one product, weights are prepared once, and where only the first position of each input is needed, the last layer computes
nothing else. What is added up and normalised (residuals, LayerNorm, softmax) stays in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmr_kit.data.regions import Regions
from mmr_kit.models.backbone import Backbone
from mmr_kit.models.int8 import int8_product

Product = Callable[[Tensor], Tensor]
LIVE = "live"  # in the place of a precision: the weights as they are at each call, with gradients and dropout, for training
FLOATS_IN_A_VECTOR = {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 4)


class Linear:
    """x -> x W + b for one linear layer, or several side by side, each scaled, and GELU of that where asked for. Takes float32 or the type of its products;
    gives float32, or that type where `raw`."""

    def __init__(self, layers: Iterable[nn.Linear], precision: str = "no", scales: Iterable[float] = (1.0,), raw: bool = False, gelu: bool = False) -> None:
        parts = list(zip(layers, scales, strict=True))
        if precision == LIVE:
            self._product: Product = lambda x: F.linear(x, *_side_by_side(parts))
        else:
            weight, bias = _side_by_side(parts)
            self._product = PRODUCTS[precision](weight.detach(), bias.detach(), gelu)
        self._raw = raw

    def __call__(self, x: Tensor) -> Tensor:
        return self._product(x) if self._raw else self._product(x).float()


def _side_by_side(parts: list[tuple[nn.Linear, float]]) -> tuple[Tensor, Tensor]:
    """Weight and bias of scaled linear layers as those of one."""
    weights = [layer.weight * scale for layer, scale in parts]
    biases = [(layer.bias if layer.bias is not None else layer.weight.new_zeros(layer.out_features)) * scale for layer, scale in parts]
    return torch.cat(weights), torch.cat(biases)


def _as_floats(weight: Tensor, bias: Tensor, gelu: bool) -> Product:
    if weight.device.type == "cpu" and torch.backends.mkldnn.is_available():
        reordered = torch.ops.mkldnn._reorder_linear_weight(weight, None)  # as the processor wants it, once instead of at every call
        then, algorithm = ("gelu", "none") if gelu else ("none", "")
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, reordered, bias, then, [], algorithm)
    return lambda x: F.gelu(F.linear(x, weight, bias)) if gelu else F.linear(x, weight, bias)


def _as_halves(weight: Tensor, bias: Tensor, gelu: bool, kind: torch.dtype) -> Product:
    product = _as_floats(weight.to(kind), bias.to(kind), gelu)
    return lambda x: product(x.to(kind))


PRODUCTS: dict[str, Callable[[Tensor, Tensor, bool], Product]] = {
    "no": _as_floats,
    "bf16": partial(_as_halves, kind=torch.bfloat16),
    "fp16": partial(_as_halves, kind=torch.float16),
    "int8": lambda weight, bias, gelu: int8_product(weight, bias),
}


def is_fast(precision: str, device: torch.device) -> bool:
    """Whether the device has instructions for products of half precision; where it has none they are slower than those of float32."""
    return device.type != "cpu" or precision not in ("bf16", "fp16") or (precision == "bf16" and torch.cpu._is_avx512_bf16_supported())


def beside_int8(precision: str, device: torch.device, otherwise: str) -> str:
    """The precision of products that gain nothing from 8 bits: bf16 in the place of int8 where it is fast, else `otherwise`; other precisions as they are."""
    return precision if precision != "int8" else "bf16" if is_fast("bf16", device) else otherwise


@dataclass(frozen=True)
class Layer:
    """One layer: attention and a feed-forward part, each added to what it read. pre: it normalises what these two read; else what they gave.

    drops: dropout of the shares of attention, of what attention gives, and of what the feed-forward part gives."""

    heads: int
    pre: bool
    qkv: Linear
    out: Linear
    up: Linear
    activation: Callable[[Tensor], Tensor]
    down: Linear
    norms: tuple[nn.LayerNorm, nn.LayerNorm]
    drops: tuple[nn.Module, nn.Module, nn.Module]

    @classmethod
    def read(cls, layer: nn.Module, precision: str) -> Layer:
        """The parts of a layer of the transformers library that is built like BERT's or ViT's; AttributeError for one that is not."""
        from transformers.activations import GELUActivation  # here: it takes seconds to import

        parts: Any = layer
        inner = getattr(parts.attention, "self", None) or parts.attention.attention
        before = getattr(layer, "layernorm_before", None) or getattr(parts.attention, "LayerNorm", None)
        after = getattr(layer, "layernorm_after", None) or getattr(parts.intermediate, "LayerNorm", None)
        qkv = Linear([inner.query, inner.key, inner.value], precision, (inner.attention_head_size**-0.5, 1, 1), raw=True)
        narrow = beside_int8(precision, inner.query.weight.device, "int8")  # with no more outputs than inputs, bf16 is as fast as int8, and more accurate
        out, down = Linear([parts.attention.output.dense], narrow), Linear([parts.output.dense], narrow)
        activation = parts.intermediate.intermediate_act_fn
        is_gelu = isinstance(activation, GELUActivation | nn.GELU) and getattr(activation, "approximate", "none") == "none"
        along = is_gelu and precision not in ("int8", LIVE)  # computed along with the product; in int8 that gains nothing
        up = Linear([parts.intermediate.dense], precision, raw=True, gelu=along)
        norms = (before, after) if before and after else (parts.attention.output.LayerNorm, parts.output.LayerNorm)
        dropped = (inner.dropout, parts.attention.output.dropout, parts.output.dropout) if precision == LIVE else (nn.Identity(),) * 3
        return cls(inner.num_attention_heads, before is not None, qkv, out, up, nn.Identity() if along else activation, down, norms, dropped)

    def __call__(self, states: Tensor, runs: list[Run], firsts: Tensor | None = None) -> Tensor:
        """States (positions, width) -> the same after this layer, of the positions `firsts` alone where they are given."""
        attended = self.attend(self.qkv(self.norms[0](states) if self.pre else states), runs, firsts)
        kept = (states if firsts is None else states.index_select(0, firsts)) + self.drops[1](self.out(attended))
        if self.pre:
            return kept + self.feed_forward(self.norms[1](kept))
        kept = self.norms[0](kept)
        return self.norms[1](kept + self.feed_forward(kept))

    def feed_forward(self, states: Tensor) -> Tensor:
        return self.drops[2](self.down(self.activation(self.up(states))))

    def attend(self, qkv: Tensor, runs: list[Run], firsts: Tensor | None) -> Tensor:
        """Attention of each input to itself: (positions, 3 * width) -> (positions, width), or (inputs, width) where only first positions ask."""
        qkv = qkv.float() if qkv.device.type == "cpu" else qkv
        parts = []
        for run, of_run in zip(runs, qkv.split([run.count * run.length for run in runs]), strict=True):
            query, key, value = of_run.view(run.count, run.length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            query = query if firsts is None else query[:, :, :1]
            attended = dot_product_attention(query, key, value, self.drops[0])
            parts.append(attended.transpose(1, 2).reshape(-1, qkv.shape[1] // 3))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor, drop: nn.Module) -> Tensor:
    """Of scaled queries, each (inputs, heads, positions, width of a head); `drop` acts on a CPU."""
    if query.device.type == "cpu":  # inputs are short: three plain steps are up to twice as fast here as the fused kernel
        return drop(softmax(query @ key.transpose(-1, -2))) @ value
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)


def softmax(scores: Tensor) -> Tensor:
    """Over the last dimension, on a CPU. Rows shorter than a processor's vector PyTorch takes value by value, in up to six times as long as these steps
    (which keep nothing that a gradient needs)."""
    if scores.shape[-1] >= FLOATS_IN_A_VECTOR or scores.requires_grad:
        return scores.softmax(-1)
    powers = (scores - scores.amax(-1, keepdim=True)).exp_()
    return powers.div_(powers @ powers.new_ones(powers.shape[-1], 1))


@dataclass(frozen=True)
class Run:
    """Inputs of one length that stand one behind the other."""

    count: int
    length: int


class PackedLayers:
    """The layers of an encoder; in the place of `Backbone.through_layers`."""

    def __init__(self, layers: Iterable[nn.Module], precision: str = "no", checkpointed: bool = False) -> None:
        read = [Layer.read(layer, precision) for layer in layers]
        self._layers = [partial(checkpoint, layer, use_reentrant=False) for layer in read] if checkpointed else read
        self._first_only = False

    def reading(self, first_only: bool) -> PackedLayers:
        """The same layers; they give the first position of each input alone, (n, 1, width), where `first_only`."""
        layers = copy.copy(self)
        layers._first_only = first_only
        return layers

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        lengths, flat = mask.sum(1), states.flatten(0, 1)
        runs, places = find_runs(lengths.tolist()), mask.flatten().nonzero().squeeze(1)
        packed = flat.index_select(0, places)
        for layer in self._layers[:-1]:
            packed = layer(packed, runs)
        if self._first_only:
            return self._layers[-1](packed, runs, lengths.cumsum(0) - lengths)[:, None]
        return flat.new_zeros(flat.shape).index_copy(0, places, self._layers[-1](packed, runs)).view(states.shape)


def find_runs(lengths: list[int]) -> list[Run]:
    """Neighbours of equal length together."""
    return [Run(len(list(alike)), length) for length, alike in groupby(lengths)]


def through(backbone: Backbone, layers: PackedLayers) -> Backbone:
    """The backbone with these layers in the place of its own."""
    shortened = copy.copy(backbone)
    shortened.through_layers = layers  # type: ignore[method-assign]
    return shortened


def without_padding(backbone: Backbone) -> dict[bool, Backbone]:
    """For training on a CPU: {whether the first position of each input is all that is read: the backbone over real positions only, with gradients}.

    Empty where it would be slower (a GPU), or where the backbone computes otherwise.
    """
    if backbone.device.type != "cpu" or not same_states(backbone, lambda images: through(backbone, PackedLayers(backbone.transformer.encoder.layer, LIVE))):
        return {}
    layers = PackedLayers(backbone.transformer.encoder.layer, LIVE, getattr(backbone.transformer, "is_activation_checkpointing", False))
    return {first_only: through(backbone, layers.reading(first_only)) for first_only in (False, True)}


@torch.inference_mode()
def same_states(backbone: Backbone, shorten: Callable[[list[Regions]], Backbone]) -> bool:
    """Whether a shorter way leads to the same states: tried on two pairs, with whose images `shorten` makes it, since a backbone may be anyone's."""
    captions, rng, corners = ["a", "a b c"], np.random.default_rng(0), np.array([[0, 0, 0.5, 0.5]], dtype=np.float32)
    images = [Regions(rng.random((count, backbone.region_width), dtype=np.float32), corners.repeat(count, axis=0)) for count in (3, 1)]
    was_training = backbone.training
    backbone.eval()
    try:
        expected, mask = backbone(backbone.inputs(captions, images))
        shortened = shorten(images)
        states, _ = shortened(shortened.inputs(captions, images))
        return torch.allclose(states[mask], expected[mask], atol=1e-3)
    except Exception:  # whatever a backbone raises that has other layers, or refuses these images
        return False
    finally:
        backbone.train(was_training)
