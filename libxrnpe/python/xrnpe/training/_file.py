# SPDX-License-Identifier: MIT
"""Networks as the library writes them: nodes of ONNX, those of one layer with one name."""
from __future__ import annotations

from typing import Any

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from .._graph import Graph

#: What the library's own names begin with.
OWN = "xrnpe:"


class Unsupported(Exception):
    """What of a node training has not."""


class Node:
    """A node with its attributes and constants at hand."""

    def __init__(self, proto: onnx.NodeProto, constants: dict[str, numpy.ndarray[Any, Any]],
                 opset: int) -> None:
        self.proto, self.opset = proto, opset
        self.name, self.op = proto.name, proto.op_type
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self._constants = constants

    def attribute(self, name: str, default: Any) -> Any:
        return self._attributes.get(name, default)

    def constant(self, i: int) -> numpy.ndarray[Any, Any] | None:
        """Input @i, if it is there and constant."""
        return self._constants.get(self.inputs[i]) if i < len(self.inputs) else None

    def tensors(self) -> list[str]:
        """Inputs that are computed."""
        return [name for name in self.inputs if name and name not in self._constants]

    def integers(self, i: int, attribute: str) -> list[int]:
        """Input @i, or an attribute in older files; empty: neither is there."""
        constant = self.constant(i)
        values = self.attribute(attribute, []) if constant is None else constant.reshape(-1)
        return [int(value) for value in values]

    def number(self, i: int, attribute: str, default: float) -> float:
        constant = self.constant(i)
        return float(self.attribute(attribute, default) if constant is None else
                     constant.reshape(-1)[0])

    def windows(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int],
                               tuple[int, int, int, int]]:
        """Kernel, stride and dilation over lines and columns; padding above, below, left, right."""
        weight = self.constant(1)
        kernel = self.attribute("kernel_shape", None) or list(weight.shape[2:] if weight is not None
                                                              else ())
        axes = len(kernel)
        if axes not in (1, 2):
            raise Unsupported(f"{axes} axes")
        if self.attribute("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise Unsupported("auto_pad")
        pads = self.attribute("pads", [0] * 2 * axes)

        def two(values: list[int], other: int) -> tuple[int, int]:
            return (other, values[0]) if axes == 1 else (values[0], values[1])

        begin, end = two(pads[:axes], 0), two(pads[axes:], 0)
        return (two(kernel, 1), two(self.attribute("strides", [1] * axes), 1),
                two(self.attribute("dilations", [1] * axes), 1),
                (begin[0], end[0], begin[1], end[1]))


def graph_of(nodes: list[Node], shape: tuple[int, ...]) -> Graph:
    """Nodes in a row of one input, of @shape without the batch, as a graph: what the library
    computes in binary32."""
    def value(name: str, dims: Any) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

    constants = {name: constant for node in nodes for i, name in enumerate(node.inputs)
                 if name and (constant := node.constant(i)) is not None}
    made = helper.make_graph(
        [node.proto for node in nodes], nodes[0].name,
        [value(nodes[0].inputs[0], ["N", *shape])], [value(nodes[-1].outputs[0], None)],
        [numpy_helper.from_array(constant, name) for name, constant in constants.items()])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", nodes[0].opset)])
    return Graph.parse(model.SerializeToString())


def constants_of(graph: onnx.GraphProto) -> dict[str, numpy.ndarray[Any, Any]]:
    """The initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def read_scales(graph: onnx.GraphProto,
                constants: dict[str, numpy.ndarray[Any, Any]]) -> dict[tuple[str, str], Any]:
    """The scales that the file gives, by tensor and format."""
    return {(annotation.tensor_name, entry.key.removeprefix(OWN)): constants[entry.value]
            for annotation in graph.quantization_annotation
            for entry in annotation.quant_parameter_tensor_names if entry.key.startswith(OWN)}


def write_scales(graph: onnx.GraphProto, scales: dict[tuple[str, str], Any]) -> None:
    """Replace the scales that the file gives."""
    old = {entry.value for annotation in graph.quantization_annotation
           for entry in annotation.quant_parameter_tensor_names if entry.key.startswith(OWN)}
    kept = [tensor for tensor in graph.initializer if tensor.name not in old]
    del graph.initializer[:], graph.quantization_annotation[:]
    graph.initializer.extend(kept)
    for (tensor, format), values in scales.items():
        name = f"{OWN}{format}:{tensor}"
        graph.initializer.append(numpy_helper.from_array(
            numpy.asarray(values, numpy.float32).reshape(-1), name))
        annotation = next((a for a in graph.quantization_annotation if a.tensor_name == tensor),
                          None) or graph.quantization_annotation.add(tensor_name=tensor)
        annotation.quant_parameter_tensor_names.add(key=OWN + format, value=name)
