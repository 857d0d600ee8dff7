# SPDX-License-Identifier: MIT
"""The graph of TensorFlow.js to that of ONNX, node by node.

TensorFlow has channels last, ONNX's convolutions want them behind the batch. Every
value has its shape as TensorFlow sees it and a layout, which says for each dimension
of the ONNX value the axis of TensorFlow's that lies there. A Transpose is made only
where an operator wants another layout than its input has.
"""
import collections

import numpy as np
from onnx import TensorProto

from graph import Graph
from tfjs_model import whole

OPSET = 13
BATCH = "N"
CHANNELS_FIRST = (0, 3, 1, 2)
INPUTS = {"DT_FLOAT": TensorProto.FLOAT, "DT_INT32": TensorProto.INT32,
          "DT_UINT8": TensorProto.UINT8}

# The size of a free batch in a constant that is computed from a shape.
FREE = np.iinfo(np.int64).min
# SHAPE and ARRAY, of what is constant, are in TensorFlow's order.
Value = collections.namedtuple("Value", "name shape layout array")


class Unsupported(Exception):
    """Names the node and what about it cannot be converted."""


def positive(axis, rank):
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} of {rank} dimensions")
    return axis % rank


def fixed(sizes):
    if any(isinstance(s, str) for s in sizes):
        raise Unsupported(f"the shape {sizes} is not known")
    return sizes


def transposed(x, perm):
    """The same ONNX value seen in another order."""
    return Value(x.name, [x.shape[p] for p in perm], tuple(perm.index(a) for a in x.layout),
                 None if x.array is None else x.array.transpose(perm))


class Converter:
    """Its methods are what the rows of the table of operators are written with."""

    def __init__(self, name, weights, ends, batch, operators):
        self.graph = Graph(name, OPSET)
        self.weights, self.ends, self.batch, self.operators = weights, ends, batch, operators
        self.values = {}                # by node and output
        self.transposed = {}            # names, by name and permutation

    # ---- what a node reads ----------------------------------------------

    def value(self, node, i):
        if i >= len(node.inputs):
            raise Unsupported("an input is missing")
        return self.values[whole(node.inputs[i])]

    def inputs(self, node):
        return [self.value(node, i) for i in range(len(node.inputs))]

    def array(self, node, i):
        """An input that must be known now."""
        array = self.value(node, i).array
        if array is None:
            raise Unsupported(f"input {i} is not a constant")
        return array

    def numbers(self, node, i):
        return [int(v) for v in np.ravel(self.array(node, i))]

    def number(self, node, i):
        return self.array(node, i).item()

    # ---- what it makes --------------------------------------------------

    def constant(self, name, array):
        """Integers are int64 throughout, as ONNX wants its shapes and indices."""
        array = np.asarray(array)
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)
        return Value(name, list(array.shape), tuple(range(array.ndim)), array)

    def integers(self, node, what, values):
        """A shape, axes, sizes ... that a node reads."""
        return self.constant(f"{node.name}/{what}", np.array(values, np.int64))

    def scalar(self, number):
        return self.constant(f"constant/{number:g}", np.float32(number))

    def use(self, value):
        """The ONNX name of a value; a constant is stored when something reads it."""
        if value.array is not None:
            self.graph.constant(value.name, value.array.transpose(value.layout))
        return value.name

    def emit(self, operator, inputs, name, layout=None, outputs=1, **attributes):
        """A node. INPUTS: values, or None; LAYOUT: of its outputs, by default as TensorFlow's."""
        names = ["" if v is None else self.use(v) for v in inputs]
        if name in self.ends and layout and layout != tuple(range(len(layout))):
            name += "/arranged"         # output() makes what has the name
        found = self.graph.node(operator, names, name, outputs, **attributes)
        made = []
        for output in found if outputs > 1 else [found]:
            shape = self.graph.shape(output)
            order = tuple(range(len(shape))) if layout is None else layout
            made.append(Value(output, [shape[order.index(a)] for a in range(len(order))], order,
                              None))
        return made if outputs > 1 else made[0]

    # ---- layouts --------------------------------------------------------

    def arranged(self, value, layout=None):
        """The value in another layout, by default TensorFlow's own."""
        layout = layout or tuple(range(len(value.shape)))
        if value.layout == layout:
            return value
        if len(value.shape) != len(layout):
            raise Unsupported(f"{value.name} has {len(value.shape)} dimensions")
        perm = tuple(value.layout.index(a) for a in layout)
        key = value.name, perm
        if key not in self.transposed:
            name = f"{value.name}/transposed_{''.join(map(str, perm))}"
            if value.array is None:
                self.emit("Transpose", [value], name, perm=perm)
            self.transposed[key] = name
            self.transposed[name, tuple(perm.index(a) for a in range(len(perm)))] = value.name
        return Value(self.transposed[key], value.shape, layout, value.array)

    def broadcast(self, values):
        """Operands of element-wise arithmetic, in one layout."""
        rank = max(len(v.shape) for v in values)
        variables = [v for v in values if v.array is None]
        layout = tuple(range(rank))
        if variables and all(len(v.shape) == rank for v in variables):
            layout = variables[0].layout
        return [self.fitted(v, layout) for v in values], layout

    def fitted(self, value, layout):
        """A constant of fewer dimensions, too, without leading ones."""
        if value.array is None:
            return self.arranged(value, layout if len(value.shape) == len(layout) else None)
        if value.array.size == 1 or layout == tuple(range(len(layout))):
            return value
        array = value.array.reshape((1,) * (len(layout) - value.array.ndim) + value.array.shape)
        array = array.transpose(layout)
        while array.shape[0] == 1:
            array = array[0]
        name = f"{value.name}/for_{''.join(map(str, layout))}"
        return self.constant(name, array)

    # ---- the whole ------------------------------------------------------

    def weight(self, node):
        return self.constant(node.name, self.weights[node.name])

    def placeholder(self, node):
        """An input of the network, whose first dimension is the batch."""
        shape, kind = node.get("shape", []), node.get("dtype")
        if kind not in INPUTS:
            raise Unsupported(f"an input of type {kind}")
        shape = [self.batch, *shape[1:]]
        if any(d == -1 for d in shape):
            raise Unsupported(f"an input of free dimensions, {shape}")
        name = self.graph.input(node.name, shape, INPUTS[kind])
        return Value(name, shape, tuple(range(len(shape))), None)

    def convert(self, node):
        operator = self.operators[node.operator]
        arrays = [v.array for v in self.inputs(node)]
        if operator.evaluate and all(a is not None for a in arrays):
            made = self.constant(node.name, operator.evaluate(node, *arrays))
        else:
            made = operator.convert(self, node)
        for i, value in enumerate(made if isinstance(made, list) else [made]):
            self.values[f"{node.name}:{i}"] = value

    def output(self, name, node):
        """An Identity gives it the name where the node that made the value has another."""
        value = self.values[whole(node)]
        order = range(len(value.shape))
        if value.layout != tuple(order):
            self.emit("Transpose", [value], name, perm=[value.layout.index(a) for a in order])
        elif value.name != name:
            self.emit("Identity", [value], name)
        self.graph.output(name)


def needed(nodes, outputs):
    """The nodes that the outputs need, each behind its inputs."""
    order, seen = [], set()
    stack = [(name_of(o), False) for o in reversed(outputs)]
    while stack:
        name, done = stack.pop()
        if name not in nodes:
            raise ValueError(f"there is no node {name}")
        if done:
            order.append(nodes[name])
        elif name not in seen:
            seen.add(name)
            stack.append((name, True))
            stack += [(name_of(i), False) for i in reversed(nodes[name].inputs)]
    return order


def name_of(value):
    return value.partition(":")[0]


def complaint(reasons):
    """One line for each operator and reason, with a node and how many more there are."""
    for (operator, reason), names in reasons.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{operator} {names[0]}{more}: {reason}"


def converted(name, model, operators, batch=BATCH, outputs=None):
    """An ONNX graph of MODEL, as read_model() gives it. Raises ValueError.

    BATCH is a name, for one that is free, or a number. OUTPUTS are names of nodes,
    by default the model's own."""
    nodes, weights, ends = model
    ends = {o: o for o in outputs} if outputs else ends
    converter = Converter(name, weights, ends, batch, operators)
    reasons = collections.defaultdict(list)
    for node in needed(nodes, list(ends.values())):
        if node.operator not in converter.operators:
            reasons[node.operator, "no such operator is known"].append(node.name)
        elif all(whole(i) in converter.values for i in node.inputs):
            try:
                converter.convert(node)
            except (Unsupported, ValueError) as e:
                reasons[node.operator, str(e)].append(node.name)
    if reasons:
        raise ValueError("\n  ".join([f"{name} cannot be converted:", *complaint(reasons)]))
    for end in ends.items():
        converter.output(*end)
    return converter.graph
