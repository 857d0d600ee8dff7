# SPDX-License-Identifier: MIT
"""From nodes to layers: those of one layer stand in a row, under one name."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy
import onnx

from .._library import Error
from ._arithmetic import read_arithmetic, read_hard_sigmoid, read_normalization
from ._commands import Windows
from ._file import OWN, Node, Unsupported, constants_of
from ._functions import Table, read_function, read_softmax
from ._layers import (Activation, Alone, Average, Layer, Product, Slopes, Sum, Transposed, turned)
from ._moves import Move, read_move
from ._resize import read_resize

_ENOTSUP = 95


def _rows(nodes: list[Node]) -> Iterator[list[Node]]:
    """The nodes of each layer: each reads what the one before wrote, which has no name."""
    row: list[Node] = []
    for node in nodes:
        if row and not (node.name == row[-1].name and node.inputs[0] == row[-1].outputs[0] and
                        row[-1].outputs[0].startswith(OWN)):
            yield row
            row = []
        row.append(node)
    if row:
        yield row


def _activation(nodes: list[Node]) -> Activation:
    kind, slope, limits = 0, 0.0, None
    for node in nodes:
        if node.op == "Relu":
            kind = 1
        elif node.op == "LeakyRelu":
            kind, slope = 2, float(node.attribute("alpha", 0.01))
        elif node.op == "Clip":
            limits = (node.number(1, "min", -numpy.inf), node.number(2, "max", numpy.inf))
        else:
            raise Unsupported(f"{node.op} behind it")
    return Activation(kind, slope, limits)


def _by_channel(node: Node) -> numpy.ndarray[Any, Any]:
    """Slopes of a PRelu."""
    slopes = node.constant(1)
    if slopes is None or slopes.ndim not in (1, 3) or slopes.size != slopes.shape[0]:
        raise Unsupported("slopes that are not one for each channel")
    return slopes.reshape(-1)


def _folded(row: list[Node]) -> tuple[list[str], Activation, Any]:
    """What the layer adds, its activation, and the slopes of that."""
    rest, added, slopes = row[1:], [], None
    if rest and rest[0].op == "Add":
        added = [rest.pop(0).inputs[1]]
    if rest and rest[0].op == "PRelu":
        slopes = _by_channel(rest.pop(0))
    return added, _activation(rest), slopes


def _parameters(node: Node) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any] | None]:
    """Weights and biases of a convolution."""
    weight, bias = node.constant(1), node.constant(2)
    if weight is None or (len(node.inputs) > 2 and node.inputs[2] and bias is None):
        raise Unsupported("weights that are computed")
    return weight, bias


def _convolution(row: list[Node]) -> Layer:
    node = row[0]
    added, activation, slopes = _folded(row)
    weight, bias = _parameters(node)
    _, stride, dilation, padding = node.windows()
    windows = Windows(stride, dilation, (padding[0], padding[2]), node.attribute("group", 1))
    rank = weight.ndim
    if rank == 3:
        weight = weight[:, :, None]
    return Product(node.name, [node.inputs[0], *added], row[-1].outputs[0], activation, slopes,
                   weight, bias, windows, padding, rank, False, node.inputs[1])


def _transposed(row: list[Node]) -> Layer:
    node = row[0]
    added, activation, slopes = _folded(row)
    weight, bias = _parameters(node)
    if weight.ndim != 4 or node.attribute("output_shape", None):
        raise Unsupported("one axis, or output_shape")
    kernel, stride, dilation, (above, below, left, right) = node.windows()
    more = node.attribute("output_padding", [0, 0])
    reach = [d * (k - 1) for d, k in zip(dilation, kernel)]
    padding = (reach[0] - above, reach[0] - below + more[0],
               reach[1] - left, reach[1] - right + more[1])
    if min(padding) < 0:
        raise Unsupported("padding that is wider than the kernel")
    groups = node.attribute("group", 1)
    windows = Windows((1, 1), dilation, (padding[0], padding[2]), groups)
    return Transposed(node.name, [node.inputs[0], *added], row[-1].outputs[0], activation, slopes,
                      turned(weight, groups), bias, windows, padding, 4, False, node.inputs[1],
                      spread=stride)


def _matrix(row: list[Node]) -> Layer:
    """Gemm, or MatMul with a constant matrix."""
    node, weight, bias = row[0], row[0].constant(1), row[0].constant(2)
    added, activation, slopes = _folded(row)
    if weight is None or weight.ndim != 2 or len(node.tensors()) != 1:
        raise Unsupported("weights that are no constant matrix")
    if node.attribute("alpha", 1.0) != 1 or node.attribute("beta", 1.0) != 1 or \
            node.attribute("transA", 0):
        raise Unsupported("alpha, beta or transA")
    if not node.attribute("transB", 0):
        weight = weight.T
    return Product(node.name, [node.inputs[0], *added], row[-1].outputs[0], activation, slopes,
                   numpy.ascontiguousarray(weight)[:, :, None, None], bias, Windows(),
                   (0, 0, 0, 0), 2 if node.op == "Gemm" else 3, True, node.inputs[1], node.op == "Gemm")


def _average(row: list[Node]) -> Layer:
    node = row[0]
    activation = _activation(row[1:])
    if node.op == "GlobalAveragePool":
        return Average(node.name, node.tensors(), row[-1].outputs[0], activation, None, (1, 1))
    kernel, stride, dilation, padding = node.windows()
    if any(padding) or dilation != (1, 1) or node.attribute("ceil_mode", 0):
        raise Unsupported("padding, dilation or ceil_mode")
    return Average(node.name, node.tensors(), row[-1].outputs[0], activation, kernel, stride)


def _mean(row: list[Node]) -> Layer:
    node = row[0]
    if sorted(axis % 4 for axis in node.integers(1, "axes")) != [2, 3]:
        raise Unsupported("axes other than lines and columns of channels")
    return Average(node.name, node.tensors(), row[-1].outputs[0], _activation(row[1:]), None,
                   (1, 1), bool(node.attribute("keepdims", 1)))


def _slopes(row: list[Node]) -> Layer:
    return Slopes(row[0].name, row[0].tensors(), row[-1].outputs[0], _activation(row[1:]),
                  _by_channel(row[0]))


def _alone(row: list[Node]) -> Layer:
    return Alone(row[0].name, row[0].tensors(), row[-1].outputs[0], _activation(row))


def _arithmetic(row: list[Node]) -> Layer:
    return read_arithmetic(row, _activation(row[1:]))


def _normalization(row: list[Node]) -> Layer:
    return read_normalization(row, _activation(row[1:]))


def _sum(row: list[Node]) -> Layer:
    if len(row[0].tensors()) != 2:
        return _arithmetic(row)
    return Sum(row[0].name, row[0].tensors(), row[-1].outputs[0], _activation(row[1:]))


_LAYERS: dict[str, Callable[[list[Node]], Layer]] = {
    "Conv": _convolution, "Gemm": _matrix, "MatMul": _matrix, "AveragePool": _average,
    "GlobalAveragePool": _average, "ReduceMean": _mean, "PRelu": _slopes, "Relu": _alone,
    "LeakyRelu": _alone, "Clip": _alone, "Add": _sum, "ConvTranspose": _transposed,
    "Sub": _arithmetic, "Mul": _arithmetic, "Div": _arithmetic,
    "BatchNormalization": _normalization, "Softmax": read_softmax,
    "HardSigmoid": read_hard_sigmoid,
}


def _read_row(row: list[Node]) -> Layer | Move:
    if row[0].op in _LAYERS:
        return _LAYERS[row[0].op](row)
    if row[0].op == "Resize" and row[0].attribute("mode", b"nearest") != b"nearest":
        return read_resize(row, _activation(row[1:]))
    function = read_function(row[0])
    if function:
        return Table(row, _activation(row[1:]), function)
    move = read_move(row[0])
    if not move or len(row) > 1:
        raise Unsupported("the operator" if not move else f"{row[1].op} behind it")
    return move


def read_layers(name: str, model: onnx.ModelProto) -> list[Layer | Move]:
    """The network's layers in their order; all that training has not is listed at once."""
    constants: dict[str, numpy.ndarray[Any, Any]] = constants_of(model.graph)
    opset = model.opset_import[0].version
    layers, complaints = [], []
    for row in _rows([Node(proto, constants, opset) for proto in model.graph.node]):
        try:
            layers.append(_read_row(row))
        except Unsupported as what:
            complaints.append(f"{row[0].name} ({row[0].op}): {what}")
    if complaints:
        raise Error(_ENOTSUP, f"{name}: training has not: " + "; ".join(complaints))
    return layers
