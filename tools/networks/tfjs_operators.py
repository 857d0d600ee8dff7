# SPDX-License-Identifier: MIT
"""The operators of TensorFlow.js: how each is written in ONNX.

A row's first part makes nodes: it gets the converter and TensorFlow's node, and
returns the value or values of the node. The second, where there is one, computes
the result of constants.
"""
import collections

import numpy as np

import tfjs_arithmetic as arithmetic
import tfjs_axes as axes
import tfjs_windows as windows
from tfjs_convert import FREE, Converter, Unsupported

Operator = collections.namedtuple("Operator", "convert evaluate", defaults=[None])


def known(compute):
    """Of constants; a free batch among them can be moved, not computed with."""
    def evaluate(node, *arrays):
        if any((a == FREE).any() for a in arrays):
            raise Unsupported("computes with the size of a free batch")
        return compute(*arrays)
    return evaluate


def sparse_to_dense(node, indices, shape, values, rest):
    dense = np.full(shape, rest)
    dense[tuple(np.transpose(indices))] = values
    return dense


OPERATORS = {
    "Abs": Operator(arithmetic.unary("Abs")),
    "Add": Operator(arithmetic.elementwise("Add")),
    "AddN": Operator(arithmetic.elementwise("Sum")),
    "AddV2": Operator(arithmetic.elementwise("Add"), known(np.add)),
    "ArgMax": Operator(axes.arg_max),
    "AvgPool": Operator(windows.pool("AveragePool", count_include_pad=0)),
    "BatchMatMulV2": Operator(arithmetic.batch_matmul),
    "BiasAdd": Operator(arithmetic.elementwise("Add")),
    "Cast": Operator(arithmetic.cast),
    "Ceil": Operator(arithmetic.unary("Ceil")),
    "ConcatV2": Operator(axes.concat),
    "Const": Operator(Converter.weight),
    "Conv2D": Operator(windows.conv),
    "Conv2DBackpropInput": Operator(windows.conv_transpose),
    "Cos": Operator(arithmetic.unary("Cos")),
    "DepthToSpace": Operator(windows.depth_to_space),
    "DepthwiseConv2dNative": Operator(windows.conv),
    "Elu": Operator(arithmetic.unary("Elu")),
    "Equal": Operator(arithmetic.elementwise("Equal")),
    "Exp": Operator(arithmetic.unary("Exp")),
    "ExpandDims": Operator(axes.expand_dims),
    "Floor": Operator(arithmetic.unary("Floor")),
    "FloorDiv": Operator(arithmetic.floor_div),
    "FloorMod": Operator(arithmetic.floor_mod),
    "FusedDepthwiseConv2dNative": Operator(windows.conv),
    "GatherNd": Operator(axes.gather_nd),
    "GatherV2": Operator(axes.gather),
    "Greater": Operator(arithmetic.elementwise("Greater")),
    "GreaterEqual": Operator(arithmetic.elementwise("GreaterOrEqual")),
    "Identity": Operator(axes.same),
    "LeakyRelu": Operator(arithmetic.leaky_relu("alpha")),
    "Less": Operator(arithmetic.elementwise("Less")),
    "Log": Operator(arithmetic.unary("Log")),
    "LogicalAnd": Operator(arithmetic.elementwise("And")),
    "MatMul": Operator(arithmetic.matmul),
    "Max": Operator(axes.reduction("ReduceMax")),
    "MaxPool": Operator(windows.pool("MaxPool")),
    "Maximum": Operator(arithmetic.elementwise("Max")),
    "Mean": Operator(axes.reduction("ReduceMean")),
    "Min": Operator(axes.reduction("ReduceMin")),
    "Minimum": Operator(arithmetic.elementwise("Min")),
    "Mul": Operator(arithmetic.elementwise("Mul"), known(np.multiply)),
    "Neg": Operator(arithmetic.unary("Neg")),
    "Pack": Operator(axes.pack, lambda node, *x: np.stack(x, node.get("axis", 0))),
    "Pad": Operator(axes.pad),
    "PadV2": Operator(axes.pad),
    "Placeholder": Operator(Converter.placeholder),
    "Pow": Operator(arithmetic.elementwise("Pow")),
    "Prelu": Operator(arithmetic.prelu),
    "Prod": Operator(axes.reduction("ReduceProd")),
    "RealDiv": Operator(arithmetic.elementwise("Div")),
    "Reciprocal": Operator(arithmetic.unary("Reciprocal")),
    "Relu": Operator(arithmetic.unary("Relu")),
    "Relu6": Operator(arithmetic.unary("Clip", 0, 6)),
    "Reshape": Operator(axes.reshape),
    "ResizeBilinear": Operator(windows.resize_bilinear),
    "Rsqrt": Operator(arithmetic.rsqrt),
    "Shape": Operator(axes.shape_of),
    "Sigmoid": Operator(arithmetic.unary("Sigmoid")),
    "Sin": Operator(arithmetic.unary("Sin")),
    "Softmax": Operator(axes.softmax),
    "Softplus": Operator(arithmetic.unary("Softplus")),
    "SparseToDense": Operator(axes.constant_only, sparse_to_dense),
    "SplitV": Operator(axes.split),
    "Sqrt": Operator(arithmetic.unary("Sqrt")),
    "Square": Operator(arithmetic.square),
    "SquaredDifference": Operator(arithmetic.squared_difference),
    "Squeeze": Operator(axes.squeeze),
    "StridedSlice": Operator(axes.strided_slice, axes.evaluate_strided_slice),
    "Sub": Operator(arithmetic.elementwise("Sub")),
    "Sum": Operator(axes.reduction("ReduceSum")),
    "Tanh": Operator(arithmetic.unary("Tanh")),
    "TopKV2": Operator(axes.top_k),
    "Transpose": Operator(axes.transpose),
    "Unpack": Operator(axes.unpack),
    "_FusedConv2D": Operator(windows.conv),
    "_FusedMatMul": Operator(arithmetic.matmul),
}
