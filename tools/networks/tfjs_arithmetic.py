# SPDX-License-Identifier: MIT
"""How arithmetic of TensorFlow.js is written in ONNX: element by element, and products."""
from onnx import TensorProto

from tfjs_convert import Unsupported, transposed

TYPES = {"DT_FLOAT": TensorProto.FLOAT, "DT_INT32": TensorProto.INT64,
         "DT_INT64": TensorProto.INT64, "DT_BOOL": TensorProto.BOOL}


# ---- element by element --------------------------------------------------

def unary(operator, *parameters, **attributes):
    def convert(c, node, x=None, name=None):
        x = x or c.value(node, 0)
        return c.emit(operator, [x, *(c.scalar(p) for p in parameters)], name or node.name,
                      x.layout, **attributes)
    return convert


def leaky_relu(attribute):
    def convert(c, node, x=None, name=None):
        return unary("LeakyRelu", alpha=node.get(attribute, 0.2))(c, node, x, name)
    return convert


def elementwise(operator):
    def convert(c, node):
        values, layout = c.broadcast(c.inputs(node))
        return c.emit(operator, values, node.name, layout)
    return convert


def prelu(c, node):
    (x, slope), layout = c.broadcast(c.inputs(node)[:2])
    return c.emit("PRelu", [x, slope], node.name, layout)


def square(c, node):
    x = c.value(node, 0)
    return c.emit("Mul", [x, x], node.name, x.layout)


def squared_difference(c, node):
    values, layout = c.broadcast(c.inputs(node))
    x = c.emit("Sub", values, node.name + "/difference", layout)
    return c.emit("Mul", [x, x], node.name, layout)


def rsqrt(c, node):
    x = c.value(node, 0)
    root = c.emit("Sqrt", [x], node.name + "/root", x.layout)
    return c.emit("Reciprocal", [root], node.name, x.layout)


def floor_div(c, node):
    """Towards minus infinity, also of integers, whose Div would cut towards zero."""
    values, layout = c.broadcast(c.inputs(node))
    if node.get("T") == "DT_FLOAT":
        x = c.emit("Div", values, node.name + "/quotient", layout)
        return c.emit("Floor", [x], node.name, layout)
    rest = c.emit("Mod", values, node.name + "/rest", layout)
    x = c.emit("Sub", [values[0], rest], node.name + "/multiple", layout)
    return c.emit("Div", [x, values[1]], node.name, layout)


def floor_mod(c, node):
    if node.get("T") == "DT_FLOAT":
        raise Unsupported("of floating-point numbers")
    return elementwise("Mod")(c, node)


def cast(c, node):
    kind = node.get("DstT")
    if kind not in TYPES:
        raise Unsupported(f"to type {kind}")
    x = c.value(node, 0)
    return c.emit("Cast", [x], node.name, x.layout, to=TYPES[kind])


# ---- what follows a product in the same node ------------------------------

ACTIVATIONS = {
    "Relu": unary("Relu"),
    "Relu6": unary("Clip", 0, 6),
    "Elu": unary("Elu"),
    "Sigmoid": unary("Sigmoid"),
    "LeakyRelu": leaky_relu("leakyrelu_alpha"),
}


def fused(c, node, make):
    """MAKE(name, bias) and what _Fused nodes do with its result."""
    parts = node.get("fused_ops", [])
    bias = c.value(node, 2) if parts[:1] == ["BiasAdd"] else None
    rest = parts[1:] if bias else parts
    if not rest:
        return make(node.name, bias)
    x = make(node.name + "/sum", bias)
    if rest == ["Prelu"]:
        (x, slope), layout = c.broadcast([x, c.value(node, 3)])
        return c.emit("PRelu", [x, slope], node.name, layout)
    if len(rest) > 1 or rest[0] not in ACTIVATIONS:
        raise Unsupported(f"fused with {', '.join(rest)}")
    return ACTIVATIONS[rest[0]](c, node, x, node.name)


# ---- products ------------------------------------------------------------

def matmul(c, node):
    x, w = (c.arranged(c.value(node, i)) for i in (0, 1))
    turned = {key: 1 for key, name in (("transA", "transpose_a"), ("transB", "transpose_b"))
              if node.get(name)}

    def make(name, bias):
        if turned or bias:
            return c.emit("Gemm", [x, w, *([bias] if bias else [])], name, **turned)
        return c.emit("MatMul", [x, w], name)
    return fused(c, node, make)


def batch_matmul(c, node):
    operands = []
    for i, attribute in enumerate(("adj_x", "adj_y")):
        x = c.value(node, i)
        last = len(x.shape) - 1
        turned = (*range(last - 1), last, last - 1)
        operands.append(transposed(c.arranged(x, turned), turned) if node.get(attribute) else
                        c.arranged(x))
    return c.emit("MatMul", operands, node.name)
