# SPDX-License-Identifier: MIT
"""Arithmetic with constants, and products of two tensors."""
from __future__ import annotations

from typing import Any

import numpy
import torch

from ._commands import convert, multiplication
from ._file import Node, Unsupported
from ._layers import Activation, Lattice, Layer


class Affine(Layer):
    """x times a factor plus an offset, which are one, or one for each channel."""

    _factor: torch.Tensor
    _offset: torch.Tensor

    def __init__(self, row: list[Node], activation: Activation, factor: Any, offset: Any) -> None:
        super().__init__(row[0].name, row[0].tensors(), row[-1].outputs[0], activation)
        each = numpy.broadcast_arrays(*(numpy.asarray(values, numpy.float32).reshape(-1)
                                        for values in (factor, offset)))
        for name, values in zip(("_factor", "_offset"), each):
            self.register_buffer(name, torch.from_numpy(values.copy()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factor, offset = (values.reshape(-1, *(1,) * (x.dim() - 2))
                          for values in (self._factor, self._offset))
        return self.activated(x * factor + offset)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        output = self.stage(lattices[0].scale * self._factor.double().numpy(), self._offset.numpy(),
                            out.scale)
        codes = lattices[0].codes(inputs[0])
        return out.values(convert(codes, out.format, output)).reshape(inputs[0].shape)


class Pair(Layer):
    """The product of two tensors, of which one may be repeated along lines and columns."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.activated(a * b)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        shape = torch.broadcast_shapes(*(x.shape for x in inputs))  # type: ignore[no-untyped-call]
        first, second = (lattice.codes(x.expand(shape)) for lattice, x in zip(lattices, inputs))
        output = self.stage([numpy.float64(lattices[0].scale) * lattices[1].scale], [0.0], out.scale)
        return out.values(multiplication(first, second, output, out.format)).reshape(shape)


def _constant(node: Node) -> tuple[int, Any]:
    """Which input is a constant, and it: one number, or one for each channel."""
    i, = (i for i in (0, 1) if node.constant(i) is not None)
    value = node.constant(i)
    assert value is not None
    if value.size > 1 and (value.ndim < 3 or value.size != value.shape[-3]):
        raise Unsupported("a constant that is not one for each channel")
    return i, value


def read_arithmetic(row: list[Node], activation: Activation) -> Layer:
    """Add, Sub, Mul and Div, with a constant; Mul of two tensors."""
    node = row[0]
    if len(node.tensors()) == 2:
        if node.op != "Mul":
            raise Unsupported("two tensors")
        return Pair(node.name, node.tensors(), row[-1].outputs[0], activation)
    i, value = _constant(node)
    if node.op == "Div" and i == 0:
        raise Unsupported("a constant that is divided")
    if node.op == "Div" and not value.all():
        raise Unsupported("a division by zero")
    if node.op == "Div":
        value = numpy.float32(1) / value
    factor: Any = value if node.op in ("Mul", "Div") else -1 if node.op == "Sub" and i == 0 else 1
    offset: Any = 0 if node.op in ("Mul", "Div") else -value if node.op == "Sub" and i else value
    return Affine(row, activation, factor, offset)


def read_hard_sigmoid(row: list[Node]) -> Layer:
    """A factor, an offset, and limits."""
    node = row[0]
    if len(row) > 1:
        raise Unsupported(f"{row[1].op} behind it")
    return Affine(row, Activation(limits=(0.0, 1.0)), node.attribute("alpha", 0.2),
                  node.attribute("beta", 0.5))


def read_normalization(row: list[Node], activation: Activation) -> Layer:
    """A BatchNormalization that could not be folded."""
    node = row[0]
    scale, bias, mean, variance = (node.constant(i) for i in range(1, 5))
    if scale is None or bias is None or mean is None or variance is None:
        raise Unsupported("parameters that are computed")
    epsilon = numpy.float32(node.attribute("epsilon", 1e-5))
    factor = scale / numpy.sqrt(variance.astype(numpy.float64) + epsilon)
    return Affine(row, activation, factor, bias - mean * factor)
