# SPDX-License-Identifier: MIT
"""A graph of ONNX nodes, built one node at a time."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8


class Graph:
    """Nodes in order of execution. Every value has one name, a node that of its first output."""

    def __init__(self, name, opset):
        self.name, self.opset = name, opset
        self.nodes, self.inputs, self.outputs, self.constants = [], [], [], {}

    def input(self, name, shape, kind=TensorProto.FLOAT):
        """SHAPE: numbers, and names for dimensions that are free."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, shape=None, kind=TensorProto.FLOAT):
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, name, value):
        value = np.ascontiguousarray(value).reshape(np.shape(value))
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        before = self.constants.setdefault(name, value)
        if before is not value and not np.array_equal(before, value):
            raise ValueError(f"two constants are called {name}")
        return name

    def node(self, operator, inputs, name, outputs=1, **attributes):
        """Its output's name, or the list of them."""
        names = [name, *(f"{name}.{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return names if outputs > 1 else name

    def model(self):
        constants = [numpy_helper.from_array(v, n) for n, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                  producer_name="tools/networks", ir_version=IR_VERSION)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model)
        return model

    def save(self, path):
        onnx.save(self.model(), path)
