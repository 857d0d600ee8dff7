# SPDX-License-Identifier: MIT
"""A network as a module of PyTorch that computes what the device computes."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from .._graph import Graph
from .._info import Format
from .._library import Error
from .._numbers import fit_scales
from .._tensors import Floats
from ._commands import Output, convert
from ._export import Weights
from ._fake import fake_quantize, log_scales, replace_values, scales_of, set_log_scales
from ._file import read_scales, write_scales
from ._formats import formats_text
from ._functions import Softmax
from ._layers import Lattice, Layer, Product
from ._moves import Move
from ._plan import make_plan
from ._read import read_layers

_EINVAL = 22
# Inputs that are compiled with, to learn which formats are written.
_PLANNING = 4
# Values of a tensor that its scales are fitted to.
_SAMPLES = 1 << 14
# Inputs that are computed at a time.
_BATCH = 64
# Typical inputs that weights are rounded for, computed so many at a time, and of each layer at
# least so many sums: for each product that is rounded together with others, so many.
_ROUNDING, _ROUNDING_BATCH = 64, 4
_WINDOWS, _WINDOWS_EACH, _BLOCK = 1024, 4, 640


class Mode(Enum):
    """How a Network computes."""
    #: In binary32, nothing rounded: the network as it came, with what was trained since.
    FLOAT = "float"
    #: Rounded to the formats; sums in binary32, which is fast, and nearly always the device's.
    ROUNDED = "rounded"
    #: The device's bits.
    EXACT = "exact"


class _Tensors:
    """The tensors of one pass through a network, each in the formats that somebody reads."""

    def __init__(self, network: Network, inputs: Mapping[str, torch.Tensor]) -> None:
        self._network = network
        self._written = network._plan.written
        self._maker = {step.output: step for step in network._steps}
        self._found = {(name, Format.F32): x for name, x in inputs.items()}

    def get(self, name: str, format: Format = Format.F32) -> torch.Tensor:
        """A tensor in a format; in binary32 what it is in the format that is written."""
        if (name, format) not in self._found:
            self._found[name, format] = self._make(name, format)
        return self._found[name, format]

    def _make(self, name: str, format: Format) -> torch.Tensor:
        step = self._maker.get(name)        # of the network's inputs none
        written = self._written.get(name)
        if isinstance(step, Move) and not (step.copies and written):
            format = written if written and format is Format.F32 else format
            return step(*(self.get(other, format) for other in step.inputs))
        assert written, name
        if format not in (written, Format.F32):
            return self._network._convert(name, self.get(name), written, format)
        if isinstance(step, Layer):
            inputs = [self.get(*read) for read in zip(step.inputs, step.input_formats())]
            return self._network._layer(step, inputs)
        assert step, name
        return step(*(self.get(other, written) for other in step.inputs))


class Network(nn.Module):
    """A network whose layers round as they will on the device, and can be trained so.

    It is made of a graph (batch norms are folded into the layers), formats by layer as
    ``xrnpe.compile()`` takes them, and typical inputs, to which scales are fitted where the
    graph's file gives none. Each layer that computes has formats, by its name or ``None``.

    ``forward(x)`` takes a tensor, or several by name, N in front, and gives the outputs by
    name. ``mode`` says how it computes, see Mode. ``export()`` writes an ONNX file of which
    ``xrnpe.compile()`` with the same formats makes the codes that EXACT computes with.
    """

    def __init__(self, graph: Graph, formats: Mapping[str | None, str],
                 calibration: Mapping[str, Floats]) -> None:
        super().__init__()
        self.mode = Mode.ROUNDED
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "folded.onnx")
            graph.save(file)
            self._model = onnx.load(file)
        name = self._model.graph.name
        folded = Graph.parse(self._model.SerializeToString(), name=name)
        for info in graph.inputs:
            if not info.has_batch:
                raise Error(_EINVAL, f"input {info.name}: its first dimension is no batch")
        self._inputs = [info.name for info in graph.inputs]
        self._outputs = [info.name for info in graph.outputs]
        self._steps = read_layers(name, self._model)
        self.layers = nn.ModuleList(step for step in self._steps if isinstance(step, Layer))
        self._plan = make_plan(name, folded, self._steps, formats, {
            name: values[:_PLANNING] for name, values in calibration.items()})
        self._given = read_scales(self._model.graph, {
            t.name: numpy_helper.to_array(t) for t in self._model.graph.initializer})
        self._make_scales()
        self._fit(calibration)

    def _make_scales(self) -> None:
        """A scale for each root and each format that its tensors are read or written in."""
        used = {(self._plan.root[name], format) for name, format in self._plan.written.items()}
        used |= {(self._plan.root[name], format) for layer in self.layers
                 for name, format in zip(layer.inputs, layer.input_formats())}
        used = {(root, format) for root, format in used if format is not Format.F32}
        self._index = {key: i for i, key in enumerate(sorted(used))}
        self.log_scales = nn.ParameterList(log_scales(1) for _ in self._index)

    # ---- scales -----------------------------------------------------------

    def _fit(self, calibration: Mapping[str, Floats]) -> None:
        random = numpy.random.default_rng(1)
        samples: dict[str, list[Floats]] = {root: [] for root, _ in self._index}
        for tensors, share in self._plain(calibration, _BATCH):
            self._sample(tensors, samples, int(_SAMPLES * share), random)
        for (root, format), i in self._index.items():
            scale = self._given.get((root, format.value))
            if scale is None:
                values = numpy.concatenate(samples[root])
                scale = fit_scales(format, values[None] if values.size else [[0]])
            set_log_scales(self.log_scales[i], scale)
        for layer in self._products():
            scales = self._given.get((layer.weight_name, layer.weight_format.value))
            if scales is None:
                layer.fit()
            else:
                layer.set_scales(scales)

    def _products(self) -> list[Product]:
        return [layer for layer in self.layers if isinstance(layer, Product)]

    def _plain(self, inputs: Mapping[str, Floats], batch: int) -> Iterator[tuple[_Tensors, float]]:
        """In binary32, tensors of @batch inputs at a time, and which share of all these are."""
        count = len(next(iter(inputs.values())))
        mode, self.mode = self.mode, Mode.FLOAT
        with torch.no_grad():
            for i in range(0, count, batch):
                part = {name: torch.from_numpy(values[i:i + batch])
                        for name, values in inputs.items()}
                yield self._compute(part), min(batch, count - i) / count
        self.mode = mode

    def round_weights(self, inputs: Mapping[str, Floats]) -> None:
        """Begin where xrnpe.compile() does: with weights rounded such that their errors cancel in
        sums over typical inputs, and scales that fit. Where the file gives scales, it has been.
        On the CPU only."""
        self._check_cpu("rounding of weights")
        layers = [layer for layer in self._products() if layer.weight_format is not Format.P16 and
                  (layer.weight_name, layer.weight_format.value) not in self._given]
        seen: dict[Product, list[torch.Tensor]] = {layer: [] for layer in layers}
        random = torch.Generator().manual_seed(1)
        count = len(next(iter(inputs.values())))
        some = {name: values[::max(1, count // _ROUNDING)] for name, values in inputs.items()}
        for tensors, share in self._plain(some, _ROUNDING_BATCH):
            for layer in layers:
                windows = layer.windows_of(tensors.get(layer.inputs[0]))
                wanted = max(_WINDOWS, _WINDOWS_EACH * min(windows.shape[1], _BLOCK))
                at = torch.randperm(windows.shape[2], generator=random)[:int(wanted * share) + 1]
                seen[layer].append(windows[:, :, at])
        for layer in layers:
            layer.round(torch.cat(seen.pop(layer), 2))

    def _sample(self, tensors: _Tensors, samples: dict[str, list[Floats]],
                quota: int, random: numpy.random.Generator) -> None:
        for name, root in self._plan.root.items():
            if root in samples:
                values = tensors.get(name).numpy().reshape(-1)
                if values.size > quota:
                    values = random.choice(values, quota)
                # Every format holds zero exactly.
                samples[root].append(values[values != 0])

    @property
    def device(self) -> torch.device:
        """Where it computes: on any that PyTorch has (to()), in modes other than EXACT."""
        return next(self.parameters()).device

    def _check_cpu(self, what: str) -> None:
        if self.device.type != "cpu":
            raise Error(_EINVAL, f"{what} is done on the CPU, and the network is on {self.device}: "
                                 "call to(\"cpu\") before")

    @property
    def gives_probabilities(self) -> bool:
        """Whether all outputs are those of a Softmax."""
        return all(isinstance(step, Softmax) for step in self._steps
                   if step.output in self._outputs)

    def scale(self, name: str, format: Format) -> torch.Tensor:
        """The scale of a tensor in a format; of binary32 one."""
        if format is Format.F32:
            return torch.ones(1)
        scale = scales_of(self.log_scales[self._index[self._plan.root[name], format]])
        return scale

    def _lattice(self, name: str, format: Format) -> Lattice:
        return Lattice(format, float(self.scale(name, format).detach()))

    # ---- computing --------------------------------------------------------

    def _convert(self, name: str, x: torch.Tensor, format: Format, to: Format) -> torch.Tensor:
        """A tensor, which is in @format, in another."""
        if self.mode is Mode.FLOAT or to is format or to is Format.F32:
            return x
        rounded = fake_quantize(x, self.scale(name, to), to)
        if self.mode is Mode.ROUNDED:
            return rounded
        before, after = self._lattice(name, format), self._lattice(name, to)
        ratio = numpy.float32(before.scale / after.scale)
        output = Output(numpy.full(1, ratio), numpy.zeros(1, numpy.float32))
        exact = after.values(convert(before.codes(x), to, output)).reshape(x.shape)
        return replace_values(rounded, exact)

    def _layer(self, layer: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
        if self.mode is Mode.FLOAT and isinstance(layer, Product):
            return layer(*inputs, quantizes=False)  # type: ignore[no-any-return]
        y: torch.Tensor = layer(*inputs)
        if self.mode is Mode.FLOAT:
            return y
        written = self._plan.written[layer.output]
        if written is not Format.F32:
            y = fake_quantize(y, self.scale(layer.output, written), written)
        if self.mode is Mode.ROUNDED:
            return y
        exact = layer.exact(inputs, [self._lattice(*read) for read in
                                     zip(layer.inputs, layer.input_formats())],
                            self._lattice(layer.output, written))
        return replace_values(y, exact)

    def _compute(self, inputs: Mapping[str, torch.Tensor]) -> _Tensors:
        tensors = _Tensors(self, inputs)
        for step in self._steps:
            tensors.get(step.output)
        return tensors

    def forward(self, inputs: torch.Tensor | Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if isinstance(inputs, torch.Tensor):
            inputs = {self._inputs[0]: inputs}
        if self.mode is Mode.EXACT:
            self._check_cpu("what is exact")
        tensors = self._compute(inputs)
        return {name: tensors.get(name) for name in self._outputs}

    # ---- the way back -----------------------------------------------------

    def formats(self) -> dict[str, str]:
        """Of every layer that the device computes, as xrnpe.compile() takes them."""
        return {layer.name: formats_text(getattr(layer, "weight_format", layer.format),
                                         *layer.input_formats())
                for layer in self.layers if layer.format is not Format.F32}

    def export(self, file: str | os.PathLike[str]) -> None:
        """Write an ONNX file: weights rounded, and the scales of weights and of tensors. On the
        CPU only."""
        self._check_cpu("export")
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        weights, scales = Weights(model), {}
        for layer in self.layers:
            if isinstance(layer, Product):
                scales[weights.write(layer), layer.weight_format.value] = \
                    layer.scales().detach().numpy()
            weights.write_slopes(layer)
        for name, root in self._plan.root.items():
            for (of, format), i in self._index.items():
                if of == root:
                    scales[name, format.value] = scales_of(self.log_scales[i]).detach().numpy()
        write_scales(model.graph, scales)
        onnx.save(model, os.fspath(file))


def outputs_of(network: Network, inputs: Mapping[str, Floats],
               batch: int = _BATCH) -> dict[str, Floats]:
    """The outputs of many inputs, without gradients, as arrays."""
    count = len(next(iter(inputs.values())))
    with torch.no_grad():
        parts: Sequence[dict[str, torch.Tensor]] = [
            network({name: torch.from_numpy(values[i:i + batch]).to(network.device)
                     for name, values in inputs.items()})
            for i in range(0, count, batch)]
    return {name: numpy.concatenate([part[name].cpu().numpy() for part in parts]) for name in parts[0]}
