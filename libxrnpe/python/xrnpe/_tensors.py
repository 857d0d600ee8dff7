# SPDX-License-Identifier: MIT
"""NumPy arrays as a network's inputs and outputs."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import POINTER, c_float
from typing import Any, cast

import numpy
from numpy.typing import ArrayLike, NDArray

from ._info import TensorInfo, Type

Floats = NDArray[numpy.float32]
Inputs = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]

# Integers are exact in binary32 up to here.
_EXACT = 1 << 24


def _takes(info: TensorInfo) -> str:
    """What an input is, for messages."""
    shape = " x ".join(map(str, info.shape)) or "a single number"
    rest = " x ".join(["N", *map(str, info.shape[info.has_batch:])])
    return f"{shape}, or {rest} for N of them"


def _convert(info: TensorInfo, value: ArrayLike, keep_bytes: bool = False) -> NDArray[Any]:
    """@value as float32 in C order; the same memory if it is that already. With @keep_bytes
    bytes for what takes them are kept."""
    array = numpy.asarray(value)
    kind = array.dtype.kind
    if kind in "US":
        raise TypeError(f"input {info.name}: takes an array, not text; numpy.load() reads a file")
    if keep_bytes and info.type is Type.BYTE and array.dtype == numpy.uint8:
        return numpy.require(array, None, "C")
    if kind in "iu":
        if array.size and not -_EXACT <= int(array.min()) <= int(array.max()) <= _EXACT:
            raise ValueError(f"input {info.name}: has an integer beyond +-2^24, which float32 "
                             "cannot hold")
    elif kind != "b" and (kind != "f" or array.dtype.itemsize > 4):
        raise TypeError(f"input {info.name}: takes float32, or integers and bool, which are "
                        f"converted; not {array.dtype}")
    # ascontiguousarray() would make a vector of a single number.
    return numpy.require(array, numpy.float32, "C")


def _count(info: TensorInfo, array: NDArray[Any]) -> int | None:
    """How many inputs @array holds; None: a single one, a first 1 left out or not."""
    if array.shape in (info.shape, info.shape[info.has_batch:]):
        return None
    if array.shape[1:] == info.shape or \
            info.has_batch and array.ndim == len(info.shape) and array.shape[1:] == info.shape[1:]:
        return array.shape[0]
    shape = " x ".join(map(str, array.shape)) or "a single number"
    raise ValueError(f"input {info.name}: takes {_takes(info)}; not {shape}")


def _by_name(infos: Sequence[TensorInfo], inputs: Inputs) -> list[ArrayLike]:
    """The arrays of @inputs, in the order of @infos."""
    names = ", ".join(info.name for info in infos)
    if isinstance(inputs, Mapping):
        for name in inputs:
            if name not in {info.name for info in infos}:
                raise ValueError(f"there is no input {name}; the inputs are {names}")
        for info in infos:
            if info.name not in inputs:
                raise ValueError(f"input {info.name} is missing")
        return [inputs[info.name] for info in infos]
    if len(infos) == 1 and not isinstance(inputs, (list, tuple)):
        return [cast(ArrayLike, inputs)]
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(f"{len(infos)} inputs are taken, as a list or by name: {names}")
    if len(inputs) != len(infos):
        raise ValueError(f"{len(inputs)} arrays are given for {len(infos)} inputs: {names}")
    return list(inputs)


def read_one(info: TensorInfo, value: ArrayLike) -> NDArray[Any]:
    """The array of a single input: of float32, or of bytes for what takes them."""
    array = _convert(info, value, keep_bytes=True)
    if _count(info, array) not in (None, 1):
        raise ValueError(f"input {info.name}: {array.shape[0]} are given, where one is taken")
    return array


def read_inputs(infos: Sequence[TensorInfo], inputs: Inputs, *,
                keep_bytes: bool = False) -> tuple[list[NDArray[Any]], int | None]:
    """Arrays of inputs, and how many each holds; None: one, without a batch dimension."""
    arrays = [_convert(info, value, keep_bytes)
              for info, value in zip(infos, _by_name(infos, inputs))]
    counts = [_count(info, array) for info, array in zip(infos, arrays)]
    for info, count in zip(infos[1:], counts[1:]):
        if (1 if count is None else count) != (1 if counts[0] is None else counts[0]):
            raise ValueError(f"input {info.name}: holds {1 if count is None else count}, "
                             f"{infos[0].name} holds {1 if counts[0] is None else counts[0]}")
    return arrays, next((count for count in counts if count is not None), None)


def new_outputs(infos: Sequence[TensorInfo], count: int | None,
                wanted: Sequence[str] | None) -> list[Floats | None]:
    """Room for @count of each output, or for those that are @wanted."""
    names = [info.name for info in infos]
    for name in () if wanted is None else wanted:
        if name not in names:
            raise ValueError(f"there is no output {name}; the outputs are {', '.join(names)}")
    return [new_output(info, count) if wanted is None or info.name in wanted else None
            for info in infos]


def new_output(info: TensorInfo, count: int | None = None) -> Floats:
    """Room for @count of an output: the number is in front, or in place of a 1."""
    shape = info.shape if count is None else (count, *info.shape[info.has_batch:])
    return numpy.empty(shape, numpy.float32)


def by_name(infos: Sequence[TensorInfo], outputs: Sequence[Floats | None]) -> dict[str, Floats]:
    """Outputs that there are."""
    return {info.name: output for info, output in zip(infos, outputs) if output is not None}


def pointer(array: Floats | None) -> Any:
    """Where its elements are, for C; NULL without."""
    return None if array is None else array.ctypes.data_as(POINTER(c_float))


def pointers(arrays: Sequence[Floats | None]) -> Any:
    """The same of several, as an array in C, which keeps them alive."""
    result = (POINTER(c_float) * max(1, len(arrays)))(*map(pointer, arrays))
    result.arrays = arrays  # type: ignore[attr-defined]
    return result
