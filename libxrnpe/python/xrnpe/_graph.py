# SPDX-License-Identifier: MIT
"""Networks as they come, in binary32, and compiling them."""
from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from ctypes import Array, byref, c_char_p
from ctypes import pointer as pointer_to

import numpy
from numpy.typing import ArrayLike

from . import _structures as c
from ._info import ByteInput, Format, OperatorInfo, TensorInfo
from ._library import (XRNPE_NOTE, Handle, Object, Progress, Reporter, call, encode, handle_of,
                       lib, made, path, text, xrnpe_compile_options)
from ._model import Model, energy_figures, tensor_infos
from ._tensors import (Floats, Inputs, by_name, new_outputs, pointer, pointers, read_inputs)


def operators() -> tuple[OperatorInfo, ...]:
    """ONNX's operators that networks may have; besides them, Constant and If."""
    info = c.xrnpe_operator_info()
    found: list[OperatorInfo] = []
    while lib.xrnpe_operator(len(found), byref(info)):
        found.append(OperatorInfo._of(info))
    return tuple(found)


def _byte_inputs(inputs: Mapping[str, ByteInput]) -> Array[c.xrnpe_byte_input]:
    array = (c.xrnpe_byte_input * len(inputs))()
    for to, (name, given) in zip(array, inputs.items()):
        try:
            # One number, or as many as there are channels.
            numbers = numpy.broadcast_arrays(numpy.atleast_1d(given.mean),
                                             numpy.atleast_1d(given.scale))
        except ValueError:
            raise ValueError(f"input {name}: means and scales are not of as many channels") from None
        mean, scale = (numpy.ascontiguousarray(n, numpy.float32) for n in numbers)
        to.input, to.planar, to.channels = encode(name), given.planar, mean.size
        to.mean, to.scale = pointer(mean), pointer(scale)
    return array


def _options(shapes: Mapping[str, Sequence[int]] | None, outputs: Sequence[str] | None,
             byte_inputs: Mapping[str, ByteInput] | None) -> c.xrnpe_graph_options:
    items = list((shapes or {}).items())
    array = (c.xrnpe_shape * len(items))()
    for shape, (name, dims) in zip(array, items):
        if len(dims) > c.XRNPE_TENSOR_RANK:
            raise ValueError(f"shape of {name}: has {len(dims)} dimensions; "
                             f"{c.XRNPE_TENSOR_RANK} are the most")
        if not all(1 <= dim <= sys.maxsize for dim in dims):
            raise ValueError(f"shape of {name}: {tuple(dims)} are no dimensions")
        shape.input = encode(name)
        shape.rank = len(dims)
        shape.dims[:len(dims)] = dims
    if isinstance(outputs, str):
        raise TypeError("outputs is a sequence of names, not one")
    names = [encode(name) for name in outputs or ()]
    given = _byte_inputs(byte_inputs or {})
    return c.xrnpe_graph_options(array, len(items), (c_char_p * len(names))(*names), len(names),
                                 given, len(given))


class Graph(Object):
    """A network read from a file. Immutable; threads may share it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = made(handle, "Graph")
        #: What it takes and gives.
        self.inputs: tuple[TensorInfo, ...] = tensor_infos(
            lib.xrnpe_graph_input_count, lib.xrnpe_graph_input, handle)
        self.outputs: tuple[TensorInfo, ...] = tensor_infos(
            lib.xrnpe_graph_output_count, lib.xrnpe_graph_output, handle)

    @classmethod
    def load(cls, file: str | os.PathLike[str], *,
             shapes: Mapping[str, Sequence[int]] | None = None,
             outputs: Sequence[str] | None = None,
             byte_inputs: Mapping[str, ByteInput] | None = None) -> Graph:
        """Read a file of ONNX or TensorFlow Lite.

        ``shapes`` are those of inputs of which the file leaves dimensions open; an open first
        one is the batch and needs none. ``outputs`` are tensors of the file to be the
        outputs instead of its own. ``byte_inputs`` are inputs that programs give as bytes, such
        as a camera's pixels. All that is not supported is listed in one Error.
        """
        return cls(Handle(lib.xrnpe_graph_free, lib.xrnpe_graph_load, path(file),
                          byref(_options(shapes, outputs, byte_inputs))))

    @classmethod
    def parse(cls, data: bytes, *, name: str = "model.onnx",
              shapes: Mapping[str, Sequence[int]] | None = None,
              outputs: Sequence[str] | None = None,
              byte_inputs: Mapping[str, ByteInput] | None = None) -> Graph:
        """The same from memory; ``name`` is what messages call the file."""
        return cls(Handle(lib.xrnpe_graph_free, lib.xrnpe_graph_parse, encode(name), data,
                          len(data), byref(_options(shapes, outputs, byte_inputs))))

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write it as an ONNX file: what was read, with batch norms and the like folded."""
        call(lib.xrnpe_graph_save, self._open, path(file))

    @property
    def bytes(self) -> int:
        """Of its parameters in binary32, batch norms folded."""
        return int(lib.xrnpe_graph_bytes(self._open))

    def run(self, inputs: Inputs, *, outputs: Sequence[str] | None = None,
            progress: Progress | None = None) -> dict[str, Floats]:
        """Compute in binary32 on the CPU: the reference to measure quantised models against.

        Arrays and results are as those of Session.run(). ``outputs`` may name any tensors
        that tensor() knows, such as what layers of a model write: LayerInfo.output.
        """
        if isinstance(outputs, str):
            raise TypeError("outputs is a sequence of names, not one")
        infos = self.outputs if outputs is None else [self.tensor(name) for name in outputs]
        names = [encode(info.name) for info in infos]
        arrays, count = read_inputs(self.inputs, inputs)
        results = new_outputs(infos, count, None)
        reporter = Reporter(progress, short=count is None)
        reporter.call(lib.xrnpe_graph_run_tensors, self._open, 1 if count is None else count,
                      pointers(arrays), (c_char_p * len(names))(*names), len(names),
                      pointers(results), reporter.callback, None)
        return by_name(infos, results)

    def tensor(self, name: str) -> TensorInfo:
        """A tensor on the way from the inputs to the outputs.

        What is one with its neighbours is folded, and its tensor is no more: Error.
        """
        info = c.xrnpe_tensor_info()
        call(lib.xrnpe_graph_tensor, self._open, encode(name), byref(info))
        return TensorInfo._of(info)


Budget = int | str


def _limits(graph: Handle, budget: Budget | Sequence[Budget] | None) -> c.xrnpe_limits:
    limits = c.xrnpe_limits()
    for limit in () if budget is None else (budget,) if isinstance(budget, Budget) else budget:
        call(lib.xrnpe_limits_parse, encode(str(limit)), graph, byref(limits))
    return limits


def _formats(formats: Mapping[str | None, str]) -> Array[c.xrnpe_layer_formats]:
    if not isinstance(formats, Mapping):
        raise TypeError(f"formats are given by layer, as in {{None: 'fp4/p8'}}; not {formats!r}")
    array = (c.xrnpe_layer_formats * len(formats))()
    for to, (layer, text) in zip(array, formats.items()):
        products, plus, added = text.partition("+")
        weight, _, read = products.partition("/")
        read = read or weight
        try:
            to.weight, to.input, to.added = (list(Format).index(Format(f)) for f in
                                             (weight, read, added if plus else read))
        except ValueError:
            raise ValueError(f"formats of {layer or 'all layers'}: {text!r} is not "
                             "WEIGHT/INPUT or WEIGHT/INPUT+ADDED, as in 'fp4/p8'") from None
        to.adds = bool(plus)
        to.layer = None if layer is None else encode(layer)
    return array


def _described(array: Floats) -> c.xrnpe_array:
    """The array for C, which lives as long."""
    if array.ndim > c.XRNPE_MAX_RANK:
        raise ValueError(f"{array.ndim} dimensions are too many")
    dims = (*array.shape, *(1,) * (c.XRNPE_MAX_RANK - array.ndim))
    described = c.xrnpe_array(array.ndim, dims, array.size, pointer(array))
    described.array = array  # type: ignore[attr-defined]
    return described


def compile(graph: Graph, calibration: Inputs, *,
            budget: Budget | Sequence[Budget] | None = None,
            labels: ArrayLike | None = None, max_loss: float | None = None,
            formats: Mapping[str | None, str] | None = None, trials: int = 0, points: int = 1,
            energy: Mapping[str, float] | None = None, progress: Progress | None = None,
            note: Callable[[str], object] = warnings.warn) -> Model:
    """Compile a network: choose formats, round weights, and write commands.

    ``calibration`` are typical inputs, as Graph.run() takes them: numbers are fitted to most of
    them, and errors measured on the others. ``budget`` is what the model may take, or
    several of that: bytes for weights, scales and biases, a number, ``"60KiB"`` or so many
    times smaller than in binary32, ``"5x"``; time or cycles, ``"2ms"``, ``"1.5Mcycles"``; energy,
    ``"80uJ"``; error, ``"1%"``. With a limit of error the model is the smallest and fastest
    that keeps it, else that of least error; without any the limit is ``"1%"``, or what comes
    closest. ``labels`` are what the network should say of each input, the number of its
    class or the first output as it should be: half of the inputs then tell what the model loses,
    Model.task, which ``max_loss`` limits (0.002: two inputs of 1000). ``formats`` are those of
    layers, by name, that are not to be chosen: ``{"conv1": "fp4/p8"}`` of weights and inputs,
    ``"fp4/p8+p16"`` of what it adds, too; ``None`` names all other layers. So many other
    ``trials`` are tried, too, to show what else there is: Model.trials. The model has so many
    ``points`` at most, from fast to exact: Model.points.
    ``energy`` are figures by which energy is told, as for Model.predict().
    ``progress(done, total)`` is called as it proceeds; an exception stops it and is passed on.
    ``note(text)`` is called for what a person should know: what is odd about the calibration
    data, what could not be reached. The same arguments always give the same model.
    """
    handle = handle_of(graph, "Graph")
    if not 0 <= trials <= 1000:
        raise ValueError(f"{trials} trials are not 0 to 1000")
    if not 1 <= points <= 1000:
        raise ValueError(f"{points} points are not 1 to 1000")
    arrays, _ = read_inputs(graph.inputs, calibration)
    # Past the end nothing is read; C has no arrays of none.
    described = (c.xrnpe_array * max(1, len(arrays)))(*map(_described, arrays))
    limits = _limits(handle, budget)
    if max_loss is not None:
        if not 0 < max_loss < 1:
            raise ValueError(f"a loss of {max_loss} is no share: 0.002 are two inputs of 1000")
        limits.loss = max_loss
    told = None if labels is None else _described(numpy.ascontiguousarray(labels, numpy.float32))
    reporter = Reporter(progress)
    given = _formats(formats or {})
    notes: list[str] = []
    add_note = XRNPE_NOTE(lambda data, words: notes.append(text(words)))
    options = xrnpe_compile_options(described, told and pointer_to(told), limits, trials, points,
                                    given, len(given), pointer_to(energy_figures(energy)),
                                    reporter.callback, None, add_note, None)
    model = Model(Handle(lib.xrnpe_model_free, lib.xrnpe_compile, handle, byref(options),
                         caller=reporter.call))
    for words in notes:
        note(words)
    return model
