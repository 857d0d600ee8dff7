# SPDX-License-Identifier: MIT
"""What the compiler makes of a network whose formats are given."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .._graph import Graph, compile
from .._info import Format, LayerInfo, Place
from .._library import Error
from .._tensors import Floats
from ._functions import Table
from ._layers import Layer, Product
from ._moves import Move

_EINVAL = 22
# What lies in memory otherwise than its reader wants it is copied, under the name of the tensor.
_RELAYOUT = "Relayout"


@dataclass(frozen=True)
class Plan:
    """In which formats tensors are, and which have the same scale."""
    #: By tensor: the format that is written; others are converted from it. What has none is
    #: another name of its input, or made of parts of its inputs in each format.
    written: Mapping[str, Format]
    #: By tensor: the one whose scales it has, since codes that only move keep theirs.
    root: Mapping[str, str]


def _set_formats(name: str, step: Layer, info: LayerInfo,
                 formats: Mapping[str | None, str]) -> None:
    if info.place is Place.CPU:
        # In binary32, as the library computes it; of what is trained nothing is left there.
        if isinstance(step, Table):
            step.format = Format.F32
            return
        raise Error(_EINVAL, f"{name}: layer {step.name} runs on the CPU: {info.why}")
    if step.name not in formats and None not in formats:
        raise Error(_EINVAL, f"{name}: no formats are given for layer {step.name}")
    step.format = info.format
    if isinstance(step, Product):
        step.weight_format, step.added_format = info.weight_format, info.added_format


def _find_roots(inputs: Iterable[str], steps: Sequence[Layer | Move]) -> dict[str, str]:
    root = {name: name for name in inputs}
    for step in steps:
        root[step.output] = step.output
        for other in step.inputs if isinstance(step, Move) else ():
            old, new = root[other], root[step.output]
            root.update({name: new for name in root if root[name] == old})
    return root


def make_plan(name: str, graph: Graph, steps: Sequence[Layer | Move],
              formats: Mapping[str | None, str], calibration: Mapping[str, Floats]) -> Plan:
    """Compile the graph, whose layers ``steps`` are, and set their formats."""
    # A few inputs will do, since its errors are not looked at.
    model = compile(graph, calibration, formats=formats, note=lambda words: None)
    layers = {layer.name: layer for layer in model.layers if layer.op != _RELAYOUT}
    for twin, times in Counter(step.name for step in steps).items():
        if times > 1:
            raise Error(_EINVAL, f"{name}: {times} layers are called {twin}")
    written = {info.name: Format.F32 for info in graph.inputs}
    for step in steps:
        info = layers.get(step.name)
        if isinstance(step, Layer):
            if not info:
                raise Error(_EINVAL, f"{name}: layer {step.name} is compiled to something else")
            _set_formats(name, step, info, formats)
        if info:
            written[step.output] = info.out_format
    return Plan(written, _find_roots(written, steps))
