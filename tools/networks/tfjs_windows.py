# SPDX-License-Identifier: MIT
"""How operators that move a window over an image are written in ONNX."""
import math

import numpy as np

from tfjs_arithmetic import fused
from tfjs_convert import BATCH, CHANNELS_FIRST, Unsupported, fixed


def spatial(node, attribute, default=None):
    """The two numbers for height and width of an attribute that has four."""
    values = node.get(attribute, default)
    if node.get("data_format", "NHWC") != "NHWC" or len(values) != 4 or \
            (values[0], values[3]) != (1, 1):
        raise Unsupported(f"{attribute} {values} in {node.get('data_format')}")
    return values[1:3]


def same_padding(sizes, kernel, strides, dilations):
    """What "same" adds: more at the end where it is odd."""
    total = [max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
             for n, k, s, d in zip(sizes, kernel, strides, dilations)]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


def window(node, sizes, kernel):
    """ONNX's attributes for a kernel moved over an image."""
    strides = spatial(node, "strides")
    dilations = spatial(node, "dilations", [1] * 4)
    padding = node.get("padding")
    if padding == "SAME":
        pads = same_padding(fixed(sizes), kernel, strides, dilations)
    elif padding == "VALID":
        pads = [0] * 4
    elif padding == "EXPLICIT":
        every = node.get("explicit_paddings")
        pads = [every[2], every[4], every[3], every[5]]
    else:
        raise Unsupported(f"padding {padding}")
    made = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    return made | ({"dilations": dilations} if dilations != [1, 1] else {})


def conv(c, node):
    x = c.arranged(c.value(node, 0), CHANNELS_FIRST)
    weights = c.array(node, 1)
    height, width, inputs, outputs = weights.shape
    groups = 1
    if "Depthwise" in node.operator:
        groups, weights = inputs, weights.reshape(height, width, 1, inputs * outputs)
    filters = c.constant(c.value(node, 1).name + "/oihw", weights.transpose(3, 2, 0, 1))
    where = window(node, x.shape[1:3], [height, width])

    def make(name, bias):
        return c.emit("Conv", [x, filters, *([bias] if bias else [])], name, CHANNELS_FIRST,
                      group=groups, **where)
    return fused(c, node, make)


def conv_transpose(c, node):
    """Conv2DBackpropInput: the gradient of a convolution for its input."""
    _, height, width, _ = c.numbers(node, 0)
    weights = c.array(node, 1)
    x = c.arranged(c.value(node, 2), CHANNELS_FIRST)
    filters = c.constant(c.value(node, 1).name + "/iohw", weights.transpose(3, 2, 0, 1))
    where = window(node, [height, width], list(weights.shape[:2]))
    reached = [(n - 1) * s + k - a - b for n, s, k, a, b in
               zip(fixed(x.shape[1:3]), where["strides"], where["kernel_shape"],
                   where["pads"][:2], where["pads"][2:])]
    more = [height - reached[0], width - reached[1]]
    if min(more) < 0:
        raise Unsupported(f"a result of {height} x {width}")
    return c.emit("ConvTranspose", [x, filters], node.name, CHANNELS_FIRST,
                  **where, **({"output_padding": more} if any(more) else {}))


def pool(operator, **attributes):
    def convert(c, node):
        x = c.arranged(c.value(node, 0), CHANNELS_FIRST)
        where = window(node, x.shape[1:3], spatial(node, "ksize"))
        return c.emit(operator, [x], node.name, CHANNELS_FIRST, **where, **attributes)
    return convert


def resize_bilinear(c, node):
    x = c.arranged(c.value(node, 0), CHANNELS_FIRST)
    old, new = fixed(x.shape[1:3]), c.numbers(node, 1)
    kind = "align_corners" if node.get("align_corners") else \
        "half_pixel" if node.get("half_pixel_centers") else "asymmetric"
    how = {"mode": "linear", "coordinate_transformation_mode": kind}
    if x.shape[0] != BATCH:
        sizes = c.integers(node, "sizes", [x.shape[0], x.shape[3], *new])
        return c.emit("Resize", [x, None, None, sizes], node.name, CHANNELS_FIRST, **how)
    scales = np.array([1, 1, new[0] / old[0], new[1] / old[1]], np.float32)
    if [math.floor(n * float(s)) for n, s in zip(old, scales[2:])] != new:
        raise Unsupported(f"from {old} to {new} with a free batch")
    scales = c.constant(f"{node.name}/scales", scales)
    return c.emit("Resize", [x, None, scales], node.name, CHANNELS_FIRST,
                  shape=[BATCH, x.shape[3], *new], **how)


def depth_to_space(c, node):
    x = c.arranged(c.value(node, 0), CHANNELS_FIRST)
    return c.emit("DepthToSpace", [x], node.name, CHANNELS_FIRST,
                  blocksize=node.get("block_size"), mode="DCR")
