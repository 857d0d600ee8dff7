# SPDX-License-Identifier: MIT
"""Resize: nearest moves numbers, linear interpolation makes sums of up to four."""
from __future__ import annotations

from typing import Any

import numpy
import torch

from .._info import Format
from ._commands import Windows, convolution, encode
from ._file import Node, Unsupported, graph_of
from ._layers import Activation, Lattice, Layer


# Of one axis, so many elements are looked at a time.
_AT_ONCE = 8


def _along(node: Node, shape: tuple[int, ...], axis: int) -> torch.Tensor:
    """What each element along an axis of N x C x H x W is made of: output x input."""
    graph, rows = graph_of([node], shape[1:]), []
    for first in range(0, shape[axis], _AT_ONCE):
        elements = numpy.arange(first, min(first + _AT_ONCE, shape[axis]))
        ones = numpy.zeros((len(elements), *shape[1:]), numpy.float32)
        # The first of the other axis is made of itself alone.
        ones[(numpy.arange(len(elements)), 0, *((elements, 0) if axis == 2 else (0, elements)))] = 1
        y, = graph.run(ones).values()
        rows.append(y[:, 0, :, 0] if axis == 2 else y[:, 0, 0, :])
    return torch.from_numpy(numpy.ascontiguousarray(numpy.concatenate(rows).T))


class Resize(Layer):
    """Of images N x C x H x W, along lines and columns, by linear interpolation."""

    def __init__(self, row: list[Node], activation: Activation) -> None:
        super().__init__(row[0].name, row[0].tensors(), row[-1].outputs[0], activation)
        self._node = row[0]
        self._weights: tuple[torch.Tensor, torch.Tensor] | None = None

    def weights(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of lines and of columns, each of the output from each of the input."""
        if self._weights is None:
            shape = tuple(x.shape)
            self._weights = _along(self._node, shape, 2), _along(self._node, shape, 3)
        lines, columns = self._weights
        # They stay where they are wanted.
        self._weights = lines.to(x.device), columns.to(x.device)
        return self._weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lines, columns = self.weights(x)
        return self.activated(lines @ x @ columns.T)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        x = inputs[0]
        count, channels = x.shape[:2]
        (line, along), (column, across) = (_two_of(w) for w in self.weights(x))
        at = (line[:, None, :, None] * x.shape[3] + column[None, :, None, :]).reshape(-1, 4)
        share = (along[:, None, :, None] * across[None, :, None, :]).reshape(-1, 4)
        output = self.stage(numpy.full(channels, lattices[0].scale), numpy.zeros(channels), out.scale)
        result = torch.empty(count, channels, len(at))
        kinds, kind = torch.unique(share, dim=0, return_inverse=True)
        for i, four in enumerate(kinds):
            # Elements of the same weights: of four lines, which are what they are made of, one.
            which = (kind == i).nonzero().reshape(-1)
            parts = x.flatten(2)[:, :, at[which].T]
            weights = encode(numpy.broadcast_to(four.numpy()[None, None, :, None],
                                                (1, channels, 4, 1)), Format.P16)
            made = convolution(lattices[0].codes(parts), weights, (4, 1), Windows(groups=channels),
                               (1, len(which)), output, out.format)
            result[:, :, which] = out.values(made)[:, :, 0]
        return result.reshape(count, channels, len(line), len(column))


def _two_of(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two inputs that each output is made of, and their weights."""
    share, at = weights.topk(min(2, weights.shape[1]), 1)
    if at.shape[1] == 1:
        at, share = at.repeat(1, 2), torch.cat([share, torch.zeros_like(share)], 1)
    return at, share


def nearest(node: Node) -> Any:
    """A function that picks elements as Resize does that repeats them."""
    found: dict[tuple[int, ...], torch.Tensor] = {}

    def pick(x: torch.Tensor) -> torch.Tensor:
        shape = (1, *x.shape[2:])
        if shape not in found:
            places = numpy.arange(x[0, 0].numel(), dtype=numpy.float32)
            full = numpy.broadcast_to(places.reshape(1, 1, *shape[1:]), (1, *x.shape[1:]))
            y, = graph_of([node], tuple(x.shape[1:])).run(numpy.ascontiguousarray(full)).values()
            found[shape] = torch.from_numpy(y[0, 0].astype(numpy.int64))
        # It stays where it is wanted.
        index = found[shape] = found[shape].to(x.device)
        return x.flatten(2)[:, :, index.reshape(-1)].reshape(*x.shape[:2], *index.shape)
    return pick


def read_resize(row: list[Node], activation: Activation) -> Layer:
    if row[0].attribute("mode", b"nearest") != b"linear":
        raise Unsupported("a mode other than nearest and linear")
    return Resize(row, activation)
