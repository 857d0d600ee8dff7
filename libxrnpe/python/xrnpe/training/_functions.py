# SPDX-License-Identifier: MIT
"""Functions of one number, which the device has as tables, and Softmax, which the CPU computes."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy
import torch
from torch.nn import functional

from .._info import Format
from .._numbers import quantize
from .._tensors import Floats
from ._file import Node, Unsupported, graph_of
from ._layers import Activation, Lattice, Layer

Function = Callable[..., Any]

_LARGEST = numpy.finfo(numpy.float32).max

# Of x, and of attributes, as steps of a Function have them: two numbers, 0 where there is none.
_ONE: dict[str, Callable[[torch.Tensor, float, float], Any]] = {
    "Relu": lambda x, a, b: torch.relu(x),
    "LeakyRelu": lambda x, a, b: functional.leaky_relu(x, a),
    "Clip": lambda x, a, b: x.clamp(a, b),
    "HardSigmoid": lambda x, a, b: (a * x + b).clamp(0, 1),
    "HardSwish": lambda x, a, b: functional.hardswish(x),
    "Sigmoid": lambda x, a, b: torch.sigmoid(x),
    "Swish": lambda x, a, b: x * torch.sigmoid(a * x),
    "Tanh": lambda x, a, b: torch.tanh(x),
    "Erf": lambda x, a, b: torch.erf(x),
    "Gelu": lambda x, a, b: functional.gelu(x, approximate="tanh" if a else "none"),
    "Softplus": lambda x, a, b: functional.softplus(x),
    "Elu": lambda x, a, b: functional.elu(x, a),
    "Neg": lambda x, a, b: -x,
    "Abs": lambda x, a, b: x.abs(),
    "Reciprocal": lambda x, a, b: x.reciprocal(),
    "Sqrt": lambda x, a, b: x.sqrt(),
    "Exp": lambda x, a, b: x.exp(),
    "Log": lambda x, a, b: x.log(),
}
_TWO: dict[str, Function] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Max": torch.maximum,
    "Min": torch.minimum, "Pow": torch.pow,
    "PRelu": lambda x, slope: torch.where(x < 0, x * slope, x),
}
# Those that are nodes of their own, with their attributes and what these are by default.
_ALONE: dict[str, tuple[tuple[str, float], ...]] = {
    "HardSwish": (), "Sigmoid": (),
    "Swish": (("alpha", 1.0),), "Tanh": (), "Erf": (), "Softplus": (), "Elu": (("alpha", 1.0),),
    "Reciprocal": (), "Sqrt": (), "Exp": (), "Log": (),
}


def _steps(node: Node) -> Function:
    """The library's own Function: steps of values, which are x, the constants, the results."""
    names = node.attribute("operators", b"").decode().split()
    operands, parameters = node.attribute("operands", []), node.attribute("parameters", [])
    constants = [float(value) for value in node.attribute("constants", [])]
    for name in names:
        if name not in _ONE and name not in _TWO:
            raise Unsupported(f"{name} in a function")

    def compute(x: torch.Tensor) -> torch.Tensor:
        values = [x, *(torch.full((), value, device=x.device) for value in constants)]
        for i, name in enumerate(names):
            a, b = operands[2 * i:2 * i + 2]
            values.append(_TWO[name](values[a], values[b]) if name in _TWO else
                          _ONE[name](values[a], *parameters[2 * i:2 * i + 2]))
        return values[-1]
    return compute


def read_function(node: Node) -> Function | None:
    """What a node is to PyTorch; None: no function of one number."""
    if node.op == "Function":
        return _steps(node)
    if node.op == "Gelu":
        return partial(functional.gelu, approximate=node.attribute("approximate", b"none").decode())
    if node.op not in _ALONE:
        return None
    numbers = [float(node.attribute(*each)) for each in _ALONE[node.op]]
    return partial(_ONE[node.op], a=(numbers + [0.0, 0.0])[0], b=(numbers + [0.0, 0.0])[1])


class Table(Layer):
    """A function of one number: a table of what each code becomes."""

    def __init__(self, row: list[Node], activation: Activation, function: Function) -> None:
        super().__init__(row[0].name, row[0].tensors(), row[-1].outputs[0], activation)
        self._function, self._row = function, row

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activated(self._function(x))

    def _compute(self, x: torch.Tensor) -> Floats:
        y, = graph_of(self._row, (1,)).run(x.detach().numpy().reshape(-1, 1)).values()
        return y.reshape(x.shape)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        y = self._compute(inputs[0])
        if out.format is not Format.F32:
            # What is too large for binary32 is as large as the format has.
            y = quantize(out.format, y.clip(-_LARGEST, _LARGEST), out.scale)
        return torch.from_numpy(y)


class Softmax(Table):
    """Along an axis other than the batch; at the end of a network, where the CPU computes it."""

    def _compute(self, x: torch.Tensor) -> Floats:
        y, = graph_of(self._row, tuple(x.shape[1:])).run(x.detach().numpy()).values()
        return y


def read_softmax(row: list[Node]) -> Softmax:
    node = row[0]
    axis = node.attribute("axis", -1)
    if axis == 0 or len(row) > 1:
        raise Unsupported("the batch as its axis" if axis == 0 else f"{row[1].op} behind it")
    return Softmax(row, Activation(), lambda x: x.softmax(axis))
