# SPDX-License-Identifier: MIT
"""Operators that only move or compare numbers: they keep their scale."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ._file import Node, Unsupported
from ._resize import nearest

Function = Callable[..., Any]


@dataclass(frozen=True)
class Move:
    """What one of them does to its inputs."""
    name: str
    inputs: list[str]
    output: str
    function: Function
    #: Whether the device writes codes of its own, in one format, if it does not just rename the
    #: input; else each format of the result is made of the inputs in that format.
    copies: bool

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.function(*inputs)
        return result


def _max_pool(node: Node) -> Function:
    kernel, stride, dilation, (above, below, left, right) = node.windows()
    if (above, left) != (below, right) or node.attribute("ceil_mode", 0):
        # Outside the image nothing is as large as anything.
        edge = (left, right, above, below)
        if node.attribute("ceil_mode", 0):
            raise Unsupported("ceil_mode")
        return lambda x: functional.max_pool2d(functional.pad(x, edge, value=-torch.inf), kernel,
                                               stride, 0, dilation)
    return lambda x: functional.max_pool2d(x, kernel, stride, (above, left), dilation)


def _reshape(node: Node) -> Function:
    shape = node.integers(1, "shape")
    if not shape or shape[0] not in (0, 1, -1):
        raise Unsupported("a shape whose first dimension is not the batch")
    rest = shape[1:]
    return lambda x: x.reshape(-1 if shape[0] == -1 else len(x),
                               *(x.shape[i] if n == 0 else n for i, n in enumerate(rest, 1)))


def _flatten(node: Node) -> Function:
    if node.attribute("axis", 1) != 1:
        raise Unsupported("an axis other than 1")
    return lambda x: x.flatten(1)


def _axes(node: Node) -> list[int]:
    axes = node.integers(1, "axes")
    if not axes or 0 in axes:
        raise Unsupported("axes that are not given, or have the batch among them")
    return axes


def _squeeze(node: Node) -> Function:
    axes = _axes(node)

    def squeeze(x: torch.Tensor) -> torch.Tensor:
        for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
            x = x.squeeze(axis)
        return x
    return squeeze


def _unsqueeze(node: Node) -> Function:
    axes = _axes(node)

    def unsqueeze(x: torch.Tensor) -> torch.Tensor:
        rank = x.dim() + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x
    return unsqueeze


def _transpose(node: Node) -> Function:
    order = node.attribute("perm", None)
    if not order or order[0] != 0:
        raise Unsupported("an order that moves the batch")
    return lambda x: x.permute(*order)


def _slice(node: Node) -> Function:
    starts, ends = node.integers(1, "starts"), node.integers(2, "ends")
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4, "steps") or [1] * len(starts)
    if 0 in axes or min(steps) < 1:
        raise Unsupported("parts of the batch, or backwards")

    def cut(x: torch.Tensor) -> torch.Tensor:
        for start, end, axis, step in zip(starts, ends, axes, steps):
            picked: list[Any] = [slice(None)] * x.dim()
            picked[axis] = slice(start, end, step)
            x = x[tuple(picked)]
        return x
    return cut


def _concat(node: Node) -> Function:
    axis = node.attribute("axis", 0)
    if axis == 0:
        raise Unsupported("the batch as its axis")
    return lambda *inputs: torch.cat(inputs, axis)


def _pad(node: Node) -> Function:
    pads, mode = node.integers(1, "pads"), node.attribute("mode", b"constant")
    if mode != b"constant" or node.number(2, "value", 0.0) or node.integers(3, "axes"):
        raise Unsupported("padding with anything but zeros")
    rank = len(pads) // 2
    ends = [n for i in reversed(range(rank)) for n in (pads[i], pads[rank + i])]
    return lambda x: functional.pad(x, ends)


def _depth_to_space(node: Node) -> Function:
    size, mode = node.attribute("blocksize", 1), node.attribute("mode", b"DCR")

    def spread(x: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        kept = channels // size ** 2
        if mode == b"DCR":
            parts = x.reshape(count, size, size, kept, height, width).permute(0, 3, 4, 1, 5, 2)
        else:
            parts = x.reshape(count, kept, size, size, height, width).permute(0, 1, 4, 2, 5, 3)
        return parts.reshape(count, kept, height * size, width * size)
    return spread


# How each is made, and whether it copies.
_MOVES: dict[str, tuple[Callable[[Node], Function], bool]] = {
    "MaxPool": (_max_pool, True), "Pad": (_pad, True), "Reshape": (_reshape, False),
    "Flatten": (_flatten, False), "Squeeze": (_squeeze, False), "Unsqueeze": (_unsqueeze, False),
    "Transpose": (_transpose, True), "Slice": (_slice, False), "Concat": (_concat, False),
    "Resize": (nearest, True), "DepthToSpace": (_depth_to_space, False),
    "Identity": (lambda node: lambda x: x, False),
}


def read_move(node: Node) -> Move | None:
    """What the node moves; None: it computes."""
    if node.op not in _MOVES:
        return None
    make, copies = _MOVES[node.op]
    return Move(node.name, node.tensors(), node.outputs[0], make(node), copies)
