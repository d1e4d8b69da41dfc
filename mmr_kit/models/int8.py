"""Linear layers with 8-bit weights and activations, computed by OpenVINO (extra `int8`).

Weights are rounded once, with one scale an output; activations at every call, with one scale a GROUP of neighbouring values, which OpenVINO calls dynamic
quantisation. One scale for all activations of a call would be faster and misplace one top candidate in eight on Flickr8k.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmr_kit.errors import InputError

GROUP = 128


def int8_product(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """x -> x W + b for weight (outputs, inputs) and bias (outputs,), on the CPU; float32 in and out."""
    openvino, opset = _openvino()
    grouped = weight.cpu().reshape(len(weight), -1, math.gcd(weight.shape[1], GROUP))
    scale = (grouped.abs().amax(2, keepdim=True) / 127).clamp_min(1e-12)
    x = opset.parameter([-1, weight.shape[1]], np.float32)
    rounded = opset.convert(opset.constant((grouped / scale).round().to(torch.int8).numpy()), "f32")
    scaled = opset.reshape(opset.multiply(rounded, opset.constant(scale.numpy())), opset.constant(np.array(weight.shape)), False)
    product = opset.matmul(x, scaled, False, True)
    model = openvino.Model([opset.add(product, opset.constant(bias[None].cpu().numpy()))], [x])
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(GROUP), "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = openvino.compile_model(model, "CPU", options).create_infer_request()

    def product_of(x: Tensor) -> Tensor:
        found = request.infer([x.contiguous().numpy()], share_inputs=True, share_outputs=True)  # the next call overwrites it: it is used before
        return torch.from_numpy(found[0])

    return product_of


def _openvino() -> Any:
    try:
        import openvino
        from openvino import opset13
    except ImportError:
        raise InputError("int8 needs OpenVINO, which is not installed: pip install 'mmr-kit[int8]'") from None
    return openvino, opset13
