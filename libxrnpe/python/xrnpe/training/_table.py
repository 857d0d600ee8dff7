# SPDX-License-Identifier: MIT
"""Rounding by a table of what is rounded to which value, for processors that the library does
not compute on."""
from __future__ import annotations

import functools
from typing import Any

import numpy
import torch

from .._info import Format
from .._numbers import quantize
from .._tensors import Floats
from ._commands import Image, decode

Integers = numpy.ndarray[Any, numpy.dtype[numpy.int64]]


def _held(format: Format) -> Floats:
    """The numbers that a format holds, in their order."""
    # As bytes in memory, these are all codes, however many bits each has.
    codes = numpy.arange(1 << 16 if format is Format.P16 else 1 << 8,
                         dtype=numpy.uint16 if format is Format.P16 else numpy.uint8)
    count = len(codes) * (2 if format in (Format.FP4, Format.P4) else 1)
    values = decode(Image(codes.view(numpy.uint8), (1, 256, 1, count // 256), format))
    held: Floats = numpy.unique(values[numpy.isfinite(values)])
    return held


def _ranks(values: Floats) -> Integers:
    """Integers that stand in the order of the numbers, without a gap."""
    bits = values.view(numpy.int32).astype(numpy.int64)
    return numpy.where(bits < 0, -(bits & 0x7fffffff), bits)


def _of_ranks(ranks: Integers) -> Floats:
    bits = numpy.where(ranks < 0, -ranks | 0x80000000, ranks)
    return bits.astype(numpy.uint32).view(numpy.float32)


@functools.cache
def _table(format: Format, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """What numbers become, rising, and of each but the first the least that becomes it."""
    held = _held(format)
    below, above = _ranks(held[:-1]), _ranks(held[1:])
    while (above - below > 1).any():
        middle = (below + above) // 2
        reached = quantize(format, _of_ranks(middle), 1) >= held[1:]
        above, below = numpy.where(reached, middle, above), numpy.where(reached, below, middle)
    least = _of_ranks(above)
    if format is not Format.FP4:
        # Infinities become NaR, and so do NaNs, which are found behind all numbers.
        held = numpy.pad(held, 1, constant_values=numpy.nan)
        least = numpy.pad(least, 1, constant_values=(numpy.finfo(numpy.float32).min, numpy.inf))
    return torch.from_numpy(held).to(device), torch.from_numpy(least).to(device)


def round_by_table(values: torch.Tensor, scales: torch.Tensor, format: Format) -> torch.Tensor:
    """What quantize() gives, wherever the values are; scales have as many dimensions, or are one."""
    held, least = _table(format, values.device)
    return held[torch.bucketize(values / scales, least, right=True)] * scales
