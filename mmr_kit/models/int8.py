"""Linear layers with 8-bit weights and activations, computed by OpenVINO (extra `int8`).

Weights are rounded once; activations at every call, which OpenVINO calls dynamic quantisation. Each GROUP of neighbouring values has a scale of its own: one
scale for all activations of a call is half as fast again, but then every eighth query of Flickr8k has another first candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmr_kit.errors import InputError

GROUP = 32


def int8_product(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """x -> x W + b for weight (outputs, inputs) and bias (outputs,), on the CPU; float32 in and out."""
    openvino, opset = _openvino()
    if weight.device.type != "cpu":
        raise InputError(f"int8 is computed on the CPU, the model is on {weight.device}: move it, or choose bf16")
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
