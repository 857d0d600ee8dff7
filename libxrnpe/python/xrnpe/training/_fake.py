# SPDX-License-Identifier: MIT
"""Rounding to the device's formats as a function that gradients pass."""
from __future__ import annotations

from typing import Any

import numpy
import torch
from torch import nn

from .._info import Format
from .._numbers import quantize
from .._tensors import Floats
from ._table import round_by_table

_PRODUCTS = (Format.FP4, Format.P4, Format.P8, Format.P16)
# Of the formats that multiply the largest value, and what a small number becomes: posits never
# round to zero.
_LARGEST = {format: float(quantize(format, [1e30], 1)[0]) for format in _PRODUCTS}
_LEAST = {format: float(quantize(format, [1e-30], 1)[0]) for format in _PRODUCTS}


def _rows(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return scales.reshape(-1, *(1,) * (values.dim() - 1)) if len(scales) > 1 else scales


def _round(values: torch.Tensor, scales: torch.Tensor, format: Format,
           weights: bool) -> torch.Tensor:
    rows = _rows(values, scales)
    if weights:     # Unlike what is computed, these may be zero.
        values = torch.where(values.abs() < _LEAST[format] / 2 * rows, torch.zeros_like(values), values)
    if values.device.type == "cpu":
        return torch.from_numpy(quantize(format, values.numpy(), scales.numpy()))
    return round_by_table(values, rows, format)


class _FakeQuantize(torch.autograd.Function):
    """Rounds forward. Backward, what is within the format's range passes unchanged."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any, **_: Any) -> torch.Tensor:
        values, scales, format, weights = arguments
        rounded = _round(values.detach(), scales.detach(), format, weights)
        ctx.save_for_backward(values, scales, rounded)
        ctx.largest = _LARGEST[format]
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor | None, ...]:
        grad, = gradients
        values, scales, rounded = ctx.saved_tensors
        rows = _rows(values, scales)
        inside = values.abs() <= ctx.largest * rows
        passed = grad * inside
        if not ctx.needs_input_grad[1]:
            return passed, None, None, None
        # Of what is clipped the result is a multiple of the scale, of the rest the error is.
        by_scale = (grad * rounded - passed * values) / rows
        return passed, by_scale.reshape(len(scales), -1).sum(1), None, None


def fake_quantize(values: torch.Tensor, scales: torch.Tensor, format: Format,
                  weights: bool = False) -> torch.Tensor:
    """Values rounded to multiples of ``scales`` that the format holds, as the library does.

    ``scales`` are one for each row of ``values``, or one. Gradients pass where the value is not
    beyond what the format holds; those of scales are what a larger scale would change.
    ``weights`` may become zero, which posits otherwise never do.
    """
    result: torch.Tensor = _FakeQuantize.apply(values.contiguous(), scales, format, weights)
    return result


class _Values(torch.autograd.Function):
    """Forward other values; backward as if they had not been replaced."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any, **_: Any) -> torch.Tensor:
        values: torch.Tensor = arguments[1]
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor | None, ...]:
        return gradients[0], None


def replace_values(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Other values of a tensor, with its gradients."""
    result: torch.Tensor = _Values.apply(x, values)
    return result


# Scales are learnt as their logarithms, so that a step changes small ones as much as large ones;
# in binary64, so that a scale comes back as it was.

def log_scales(count: int) -> nn.Parameter:
    """Logarithms of scales, which are one for now."""
    return nn.Parameter(torch.zeros(count, dtype=torch.float64))


def scales_of(logarithms: torch.Tensor) -> torch.Tensor:
    return logarithms.exp().float()


def set_log_scales(logarithms: torch.Tensor, scales: Floats) -> None:
    with torch.no_grad():
        logarithms.copy_(torch.from_numpy(numpy.log(scales.astype(numpy.float64))))
