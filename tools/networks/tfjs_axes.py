# SPDX-License-Identifier: MIT
"""How operators along axes, and those of shapes, are written in ONNX."""
import math

import numpy as np

from tfjs_convert import BATCH, FREE, Unsupported, fixed, positive, transposed

ALL = np.iinfo(np.int64).max


# ---- along axes ----------------------------------------------------------

def without(layout, axes):
    """The layout when these axes of TensorFlow's are gone."""
    left = [a for a in layout if a not in axes]
    return tuple(sorted(left).index(a) for a in left)


def squeezed(c, x, axes, name):
    places = c.constant(name + "/axes", sorted(x.layout.index(a) for a in axes))
    return c.emit("Squeeze", [x, places], name, without(x.layout, axes))


def reduction(operator):
    def convert(c, node):
        x = c.value(node, 0)
        axes = [positive(a, len(x.shape)) for a in c.numbers(node, 1)]
        keep = node.get("keep_dims", False)
        places = sorted(x.layout.index(a) for a in axes)
        layout = x.layout if keep else without(x.layout, axes)
        if operator == "ReduceSum":
            return c.emit(operator, [x, c.integers(node, "axes", places)], node.name, layout,
                          keepdims=int(keep))
        return c.emit(operator, [x], node.name, layout, axes=places, keepdims=int(keep))
    return convert


def arg_max(c, node):
    x = c.value(node, 0)
    axis = positive(c.number(node, 1), len(x.shape))
    return c.emit("ArgMax", [x], node.name, without(x.layout, [axis]),
                  axis=x.layout.index(axis), keepdims=0)


def top_k(c, node):
    x = c.arranged(c.value(node, 0))
    count = c.integers(node, "k", [c.number(node, 1)])
    return c.emit("TopK", [x, count], node.name, outputs=2, axis=-1)


def softmax(c, node):
    x = c.value(node, 0)
    return c.emit("Softmax", [x], node.name, x.layout, axis=x.layout.index(len(x.shape) - 1))


def concat(c, node):
    count = node.get("N", len(node.inputs) - 1)
    values = [c.value(node, i) for i in range(count)]
    layout = next(v for v in values if v.array is None).layout
    axis = positive(c.number(node, count), len(layout))
    return c.emit("Concat", [c.arranged(v, layout) for v in values], node.name, layout,
                  axis=layout.index(axis))


def pack(c, node):
    values = [c.arranged(v) for v in c.inputs(node)]
    axis = positive(node.get("axis", 0), len(values[0].shape) + 1)
    place = c.integers(node, "axes", [axis])
    values = [c.emit("Unsqueeze", [v, place], f"{node.name}/part{i}")
              for i, v in enumerate(values)]
    return c.emit("Concat", values, node.name, axis=axis)


def unpack(c, node):
    x = c.value(node, 0)
    axis = positive(node.get("axis", 0), len(x.shape))
    made = []
    for i in range(node.get("num")):
        index = c.constant(f"constant/index{i}", np.int64(i))
        made.append(c.emit("Gather", [x, index], f"{node.name}.{i}" if i else node.name,
                           without(x.layout, [axis]), axis=x.layout.index(axis)))
    return made


def split(c, node):
    x = c.value(node, 0)
    axis = positive(c.number(node, 2), len(x.shape))
    sizes = c.numbers(node, 1)
    rest = fixed([x.shape[axis]])[0] - sum(s for s in sizes if s >= 0)
    sizes = c.integers(node, "sizes", [rest if s < 0 else s for s in sizes])
    return c.emit("Split", [x, sizes], node.name, x.layout, outputs=len(sizes.array),
                  axis=x.layout.index(axis))


def sliced(c, node, x, bounds):
    """BOUNDS: (axis, begin, end, step) of the axes that are cut."""
    if not bounds:
        return c.emit("Identity", [x], node.name, x.layout)
    axes, begins, ends, steps = zip(*((x.layout.index(a), b, e, s) for a, b, e, s in bounds))
    parts = [c.integers(node, what, values) for what, values in
             (("begin", begins), ("end", ends), ("axes", axes), ("steps", steps))]
    return c.emit("Slice", [x, *parts], node.name, x.layout)


def strided(node, begins, ends, steps):
    """(axis, begin, end, step) and the axes that go, as StridedSlice's bits say."""
    for mask in ("ellipsis_mask", "new_axis_mask"):
        if node.get(mask):
            raise Unsupported(f"with {mask}")
    begin_mask, end_mask, shrink = (node.get(m, 0) for m in
                                    ("begin_mask", "end_mask", "shrink_axis_mask"))
    bounds, gone = [], []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps)):
        if shrink >> axis & 1:
            gone.append(axis)
            end, step = begin + 1 or ALL, 1
        elif begin_mask >> axis & 1:
            begin = 0 if step > 0 else ALL
        if not shrink >> axis & 1 and end_mask >> axis & 1:
            end = ALL if step > 0 else -ALL
        bounds.append((axis, begin, end, step))
    return bounds, gone


def strided_slice(c, node):
    x = c.value(node, 0)
    bounds, gone = strided(node, *(c.numbers(node, i) for i in (1, 2, 3)))
    bounds = [b for b in bounds if b[1:] != (0, ALL, 1)]
    if not gone:
        return sliced(c, node, x, bounds)
    x = sliced(c, node._replace(name=node.name + "/cut"), x, bounds)
    return squeezed(c, x, gone, node.name)


def evaluate_strided_slice(node, x, *parts):
    bounds, gone = strided(node, *([int(v) for v in p] for p in parts))
    cuts = [slice(None if b == ALL else b, None if abs(e) == ALL else e, s)
            for _, b, e, s in bounds]
    return np.squeeze(x[tuple(cuts)], tuple(gone))


def pad(c, node):
    x = c.value(node, 0)
    pads = c.integers(node, "pads", c.array(node, 1)[list(x.layout)].T.ravel())
    return c.emit("Pad", [x, pads, *c.inputs(node)[2:]], node.name, x.layout, mode="constant")


def gather(c, node):
    if node.get("batch_dims"):
        raise Unsupported("with batch_dims")
    x, indices = (c.arranged(c.value(node, i)) for i in (0, 1))
    return c.emit("Gather", [x, indices], node.name,
                  axis=positive(c.number(node, 2), len(x.shape)))


def gather_nd(c, node):
    return c.emit("GatherND", [c.arranged(c.value(node, i)) for i in (0, 1)], node.name)


# ---- shapes --------------------------------------------------------------

def transpose(c, node):
    perm = c.numbers(node, 1)
    return transposed(c.value(node, 0), [positive(p, len(perm)) for p in perm])


def reshape_target(shape, wanted):
    """ONNX's target: its 0 keeps a free batch."""
    if shape[0] != BATCH:
        return wanted
    first, *others = wanted
    same_size = -1 in others or math.prod(others) == math.prod(fixed(shape[1:]))
    if FREE not in others and (first == FREE or same_size and first == 1 or
                               same_size and first == -1 and -1 not in others):
        return [0, *others]
    raise Unsupported(f"from {shape} to {wanted} with a free batch")


def reshape(c, node):
    x = c.arranged(c.value(node, 0))
    target = reshape_target(x.shape, c.numbers(node, 1)) if x.shape else c.numbers(node, 1)
    return c.emit("Reshape", [x, c.integers(node, "shape", target)], node.name)


def squeeze(c, node):
    x = c.value(node, 0)
    axes = [positive(a, len(x.shape)) for a in node.get("squeeze_dims", [])] or \
        [a for a, n in enumerate(fixed(x.shape)) if n == 1]
    return squeezed(c, x, axes, node.name)


def expand_dims(c, node):
    x = c.arranged(c.value(node, 0))
    axis = positive(c.number(node, 1), len(x.shape) + 1)
    return c.emit("Unsqueeze", [x, c.integers(node, "axes", [axis])], node.name)


def shape_of(c, node):
    shape = c.value(node, 0).shape
    return c.constant(node.name, np.array([FREE if n == BATCH else n for n in shape], np.int64))


def constant_only(c, node):
    raise Unsupported("of what is not constant")


def same(c, node):
    return c.value(node, 0)
