# SPDX-License-Identifier: MIT
"""A graph of ONNX nodes, built one node at a time; types and shapes are known at once."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8
SMALL = 64              # constants up to this many values may be shapes, which inference needs


class Graph:
    """Nodes in order of execution. Every value has one name, a node that of its first output."""

    def __init__(self, name, opset):
        self.name, self.opsets = name, [helper.make_opsetid("", opset)]
        self.nodes, self.inputs, self.outputs = [], [], []
        self.constants, self.types = {}, {}

    def input(self, name, shape, kind=TensorProto.FLOAT):
        """SHAPE: numbers, and names for dimensions that are free."""
        self.types[name] = helper.make_tensor_value_info(name, kind, shape)
        self.inputs.append(name)
        return name

    def output(self, name):
        self.outputs.append(name)

    def constant(self, name, value):
        value = np.asarray(value, order="C")
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        before = self.constants.setdefault(name, value)
        if before is value:
            kind = numpy_helper.from_array(np.empty(0, value.dtype)).data_type
            self.types[name] = helper.make_tensor_value_info(name, kind, value.shape)
        elif not np.array_equal(before, value):
            raise ValueError(f"two constants are called {name}")
        return name

    def node(self, operator, inputs, name, outputs=1, shape=None, **attributes):
        """Its output's name, or the list of them. SHAPE where ONNX cannot tell it."""
        names = [name, *(f"{name}.{i}" for i in range(1, outputs))]
        node = helper.make_node(operator, inputs, names, name=name, **attributes)
        for value in self.infer(node):
            if value.name in self.types:
                raise ValueError(f"two values are called {value.name}")
            self.types[value.name] = value
            if shape:
                self.reshape(value.name, shape)
        self.nodes.append(node)
        return names if outputs > 1 else name

    def infer(self, node):
        """The types of a node's outputs, as ONNX says."""
        known = {n: v for n, v in self.constants.items() if n in node.input and v.size <= SMALL}
        outputs = [helper.make_empty_tensor_value_info(n) for n in node.output]
        graph = helper.make_graph([node], "infer", [self.types[n] for n in node.input if n],
                                  outputs, [numpy_helper.from_array(v, n)
                                            for n, v in known.items()])
        model = helper.make_model(graph, opset_imports=self.opsets, ir_version=IR_VERSION)
        try:
            return onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output
        except onnx.shape_inference.InferenceError as e:
            raise ValueError(f"{node.op_type} {node.name}: {e}") from e

    def shape(self, name):
        """Numbers, and the names of free dimensions."""
        dims = self.types[name].type.tensor_type.shape.dim
        return [d.dim_param or d.dim_value for d in dims]

    def reshape(self, name, shape):
        kind = self.types[name].type.tensor_type.elem_type
        self.types[name] = helper.make_tensor_value_info(name, kind, shape)

    def model(self):
        constants = [numpy_helper.from_array(v, n) for n, v in self.constants.items()]
        ends = {*self.inputs, *self.outputs, *self.constants}
        graph = helper.make_graph(
            self.nodes, self.name, [self.types[n] for n in self.inputs],
            [self.types[n] for n in self.outputs], constants,
            value_info=[t for n, t in self.types.items() if n not in ends])
        model = helper.make_model(graph, opset_imports=self.opsets, ir_version=IR_VERSION,
                                  producer_name="tools/networks")
        onnx.checker.check_model(model)
        return model

    def save(self, path):
        onnx.save(self.model(), path)
