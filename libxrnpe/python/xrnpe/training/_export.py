# SPDX-License-Identifier: MIT
"""Writing what was trained: rounded weights, biases and scales into the network's file."""
from __future__ import annotations

from collections import Counter

import numpy
import onnx
from onnx import numpy_helper

from .._tensors import Floats
from ._file import OWN
from ._layers import Layer, Product, turned


class Weights:
    """Puts parameters of layers into a model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._readers = Counter(name for node in model.graph.node for name in node.input)
        self._nodes = {node.name: node for node in reversed(model.graph.node)}
        self._prelus = {node.name: node for node in model.graph.node if node.op_type == "PRelu"}

    def _set(self, node: onnx.NodeProto, i: int, kind: str, values: Floats) -> None:
        """Input @i becomes @values; a constant that others read, too, stays as it is."""
        if len(node.input) == i:
            node.input.append("")
        if self._readers[node.input[i]] != 1 or not node.input[i]:
            node.input[i] = f"{OWN}{kind}:{node.name}"
        tensor = next((t for t in self._graph.initializer if t.name == node.input[i]), None) or \
            self._graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(numpy.ascontiguousarray(values), node.input[i]))

    def write_slopes(self, layer: Layer) -> None:
        """Slopes of a layer, if it has any, in the shape that they had."""
        if layer.slopes is None:
            return
        node = self._prelus[layer.name]
        old, = (tensor for tensor in self._graph.initializer if tensor.name == node.input[1])
        self._set(node, 1, "slopes", layer.slopes.detach().numpy().reshape(tuple(old.dims)))

    def write(self, layer: Product) -> str:
        """Weights, rounded, and biases of a layer. Returns the name of its weights."""
        node = self._nodes[layer.name]
        weight = layer.rounded()
        if node.op_type == "Conv":
            weight = weight if layer.rank == 4 else weight.squeeze(2)
        elif node.op_type == "ConvTranspose":
            weight = turned(weight, layer.windows.groups)
        else:
            weight = weight.reshape(weight.shape[:2])
            if not any(a.name == "transB" and a.i for a in node.attribute):
                weight = weight.T
        self._set(node, 1, "weight", weight)
        if node.op_type != "MatMul":
            self._set(node, 2, "bias", layer.bias.detach().numpy())
        return str(node.input[1])
