# SPDX-License-Identifier: MIT
"""Rounding to the device's formats."""
from __future__ import annotations

import os
from ctypes import POINTER, c_double

import numpy
from numpy.typing import ArrayLike

from ._info import Format
from ._library import Error, lib
from ._tensors import Floats, pointer


def _floats(values: ArrayLike) -> Floats:
    return numpy.ascontiguousarray(values, numpy.float32)


def _call(result: int) -> None:
    """What the functions here return, which have no message."""
    if result:
        raise Error(-result, os.strerror(-result))


def _number(format: Format) -> int:
    """The library's number of a format that multiplies."""
    number = list(Format).index(Format(format))
    if number > list(Format).index(Format.P16):
        raise ValueError(f"{format} is no format that multiplies")
    return number


def quantize(format: Format, values: ArrayLike, scales: ArrayLike) -> Floats:
    """Values as the device rounds them: to multiples of a scale that the format holds.

    ``scales`` are one for each of ``values[0]``, ``values[1]``, ..., or a single one for all.
    A NaN stays one, but in FP4, which has none.
    """
    values, scales = _floats(values), _floats(scales).reshape(-1)
    if len(scales) not in (1, len(values) if values.ndim else 1):
        raise ValueError(f"{len(scales)} scales are given for {len(values)} rows")
    rounded = numpy.empty_like(values)
    _call(lib.xrnpe_quantize(_number(format), len(scales), values.size // len(scales),
                             pointer(scales), pointer(values), pointer(rounded)))
    return rounded


def fit_scales(format: Format, values: ArrayLike, importance: ArrayLike | None = None) -> Floats:
    """For each row of ``values`` the scale with which quantize() loses least.

    ``importance`` weighs the squared errors, by column; it is what compile() looks for.
    """
    values = _floats(values)
    if values.ndim != 2:
        raise ValueError(f"values are rows of columns, not of {values.ndim} dimensions")
    weights = None
    if importance is not None:
        weights = numpy.ascontiguousarray(importance, numpy.float64)
        if weights.shape != values.shape[1:]:
            raise ValueError(f"importance is of {weights.shape}, not of {values.shape[1]} columns")
    scales = numpy.empty(len(values), numpy.float32)
    _call(lib.xrnpe_fit_scales(_number(format), *values.shape, pointer(values),
                               None if weights is None else
                               weights.ctypes.data_as(POINTER(c_double)), pointer(scales)))
    return scales


def fit_weights(format: Format, weights: ArrayLike, products: ArrayLike) -> tuple[Floats, Floats]:
    """Rows of weights, rounded so that errors of their sums are small, and the scale of each row.

    ``products`` are the means of the products of what any two columns are multiplied by, a
    symmetric matrix. It is how compile() rounds.
    """
    weights, products = _floats(weights), _floats(products)
    if weights.ndim != 2 or products.shape != weights.shape[1:] * 2:
        raise ValueError(f"weights of {weights.shape} have no products of {products.shape}")
    rounded, scales = numpy.empty_like(weights), numpy.empty(len(weights), numpy.float32)
    _call(lib.xrnpe_fit_weights(_number(format), *weights.shape, pointer(weights),
                                pointer(products), pointer(scales), pointer(rounded)))
    return rounded, scales
