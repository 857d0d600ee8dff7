# SPDX-License-Identifier: MIT
"""What networks, devices and results are: plain data, copied from the library's."""
from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import Any, Self

from . import _structures as c
from ._library import encode, text


class Format(StrEnum):
    """A number format. Its value is what the library calls it; the order is C's."""
    FP4 = "fp4"
    P4 = "p4"
    P8 = "p8"
    P16 = "p16"
    F32 = "f32"
    U8 = "u8"
    S8 = "s8"


class Type(StrEnum):
    """What elements of a tensor are in the network's file. Arrays are float32 for all."""
    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    #: 0..255: see ByteInput.
    BYTE = "byte"


class Place(StrEnum):
    """Where a layer runs: on the device, or in the library, in binary32."""
    DEVICE = "device"
    CPU = "cpu"


class Priority(StrEnum):
    """Which sessions go first; the order is C's."""
    NORMAL = "normal"
    #: What cannot wait, such as gaze.
    URGENT = "urgent"
    BACKGROUND = "background"


class Operand(IntEnum):
    """Operands of a command, which Counters.bytes is indexed by."""
    IFM = 0
    IFM2 = 1
    WEIGHT = 2
    SCALE = 3
    OFM = 4


def _member(kind: type[StrEnum], index: int) -> Any:
    return list(kind)[index]


def _fields(kind: type, structure: Structure) -> dict[str, Any]:
    """The fields that a dataclass and a structure share, texts and arrays converted."""
    def convert(value: Any) -> Any:
        if isinstance(value, bytes):
            return text(value)
        return tuple(map(convert, value)) if hasattr(value, "__len__") else value

    names = {name for name, *_ in structure._fields_}
    return {field.name: convert(getattr(structure, field.name)) for field in fields(kind)
            if field.name in names}


class _Copied:
    """A dataclass whose fields are those of a structure."""

    @classmethod
    def _of(cls, structure: Structure) -> Self:
        return cls(**_fields(cls, structure))


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a network."""
    name: str
    type: Type
    #: As in the network's file; a batch dimension that it leaves open is 1.
    shape: tuple[int, ...]

    @property
    def has_batch(self) -> bool:
        """Whether the first dimension is 1, so that a batch may have its size in place of it."""
        return self.shape[:1] == (1,)

    @classmethod
    def _of(cls, info: c.xrnpe_tensor_info) -> Self:
        return cls(text(info.name), _member(Type, info.type), tuple(info.dims[:info.rank]))


@dataclass(frozen=True)
class ByteInput:
    """How programs give an input, an image, as bytes: what the network takes is
    ``(byte - mean) * scale``, by channel. The device computes that."""
    #: Channel by channel, not pixel by pixel.
    planar: bool = False
    mean: float | Sequence[float] = 0.0
    scale: float | Sequence[float] = 1.0


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a model, as the compiler made it."""
    name: str
    #: ONNX operators that it stands for: "Conv+Relu".
    op: str
    place: Place
    #: On the CPU: why not on the device.
    why: str
    #: Of its first output, and the name of that.
    shape: tuple[int, ...]
    output: str
    #: Products summed for one inference.
    macs: int
    #: Of its inputs; of a Conv+Add: of what it multiplies.
    format: Format
    weight_format: Format
    #: Of what a Conv+Add adds; of all others as format.
    added_format: Format
    out_format: Format
    #: Weights, scales and biases as stored, and the same parameters in binary32.
    bytes: int
    float_bytes: int
    #: RMS of (output - FP32 output) over that of the FP32 output, on the calibration data.
    error: float
    #: The same with its weights, or its inputs, alone in each of the first four formats;
    #: negative: not measured.
    weight_error: tuple[float, ...]
    input_error: tuple[float, ...]

    @classmethod
    def _of(cls, info: c.xrnpe_layer_info) -> Self:
        values = _fields(cls, info)
        for name in "format", "weight_format", "added_format", "out_format":
            values[name] = _member(Format, values[name])
        values["place"] = _member(Place, values["place"])
        return cls(shape=tuple(info.dims[:info.rank]), **values)


@dataclass(frozen=True)
class Counters(_Copied):
    """What the array did, by the device's cycle model; hardware.rst defines every counter."""
    cycles: int
    stall_cycles: int
    commands: int
    blocks_active: int
    blocks_gated: int
    #: Over the bus, by Operand.
    bytes: tuple[int, ...]
    bytes_other: int
    #: By the format of inputs, then of weights.
    products: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Quality(_Copied):
    """How much a model differs from the network in binary32."""
    #: Root mean square of the differences over that of the outputs, of that which differs most.
    error: float
    #: Standard error of it, as it differs from input to input; infinite: there was but one.
    spread: float
    #: Calibration inputs that it was measured on.
    inputs: int
    #: Nothing was fitted to these: on others like them the error will be the same.
    unseen: bool


@dataclass(frozen=True)
class Task(_Copied):
    """How well a model does what the network is for, by labels of inputs kept aside."""
    #: Labels are classes; else outputs, as they should be.
    classes: bool
    #: Share of inputs whose class it tells; or root mean square of output - label.
    score: float
    #: The same of the network in binary32.
    float_score: float
    #: float_score - score; or score / float_score - 1.
    loss: float
    #: Standard error of the loss.
    spread: float
    #: That it was measured on.
    inputs: int


@dataclass(frozen=True)
class Trial:
    """A choice that the compiler tried: what it takes, and how much it differs."""
    #: Of weights, scales and biases together.
    bytes: int
    #: Of one inference, on the default array.
    cycles: float
    picojoules: float
    quality: Quality
    #: None: there were no labels.
    task: Task | None
    #: No other is as good in bytes, cycles, energy and error, and better in one.
    best: bool
    #: This one was taken.
    chosen: bool
    #: It is a point of the model.
    carried: bool

    @classmethod
    def _of(cls, trial: c.xrnpe_trial) -> Self:
        return cls(trial.bytes, trial.cycles, trial.picojoules, Quality._of(trial.quality),
                   Task._of(trial.task) if trial.task.inputs else None, trial.best, trial.chosen,
                   trial.carried)


@dataclass(frozen=True)
class Cost:
    """What a layer or a model costs on a device, for one inference."""
    counters: Counters
    #: Share of the array's multiply-adds that was used, 0..1.
    utilisation: float
    seconds: float
    picojoules: float

    @classmethod
    def _of(cls, cost: c.xrnpe_cost) -> Self:
        return cls(Counters._of(cost.counters), cost.utilisation, cost.seconds, cost.picojoules)


@dataclass(frozen=True)
class Footprint(_Copied):
    """What a model needs on a device, bytes: all of its points together, and one."""
    #: Once a session.
    constants: int
    commands: int
    #: For each request.
    arena: int
    inputs: int
    outputs: int
    #: Of the constants: what this point uses, and what no other does.
    used_constants: int
    own_constants: int
    #: Of the commands: this point's.
    own_commands: int


@dataclass(frozen=True)
class Prediction:
    """What a model costs, in all and layer by layer."""
    total: Cost
    layers: tuple[Cost, ...]


@dataclass(frozen=True)
class DeviceInfo(_Copied):
    """What a device is."""
    backend: str
    path: str
    driver: str
    #: Of the programming model: major << 16 | minor.
    version: int
    rows: int
    cols: int
    #: Hardware queues; 0 is served first.
    queues: int
    max_cmds: int
    max_regions: int
    max_buffer_size: int
    job_timeout_ms: int
    threads: int
    bus_bytes: int
    sram_kib: int
    clock_khz: int

    def _structure(self) -> c.xrnpe_device_info:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return c.xrnpe_device_info(**{name: encode(value) if isinstance(value, str) else value
                                      for name, value in values.items()})


@dataclass(frozen=True)
class OperatorInfo:
    """An operator of ONNX that networks may have."""
    name: str
    min_inputs: int
    #: None: any number.
    max_inputs: int | None
    max_outputs: int | None
    #: Names of all that it may have.
    attributes: tuple[str, ...]

    @classmethod
    def _of(cls, info: c.xrnpe_operator_info) -> Self:
        def most(number: int) -> int | None:
            return None if number == c.XRNPE_OPERATOR_ANY else number

        return cls(text(info.name), info.min_inputs, most(info.max_inputs),
                   most(info.max_outputs), tuple(text(info.attributes).split()))


@dataclass(frozen=True)
class Fault:
    """Why the device ended a job early: struct xrnpe_fault of drm/xrnpe_cmd.h."""
    kind: int
    cmd: int
    operand: int
    region: int
    offset: int


@dataclass(frozen=True)
class LayerProfile:
    """What a layer took in a request."""
    #: On the CPU: zero.
    counters: Counters
    seconds: float

    @classmethod
    def _of(cls, profile: c.xrnpe_layer_profile) -> Self:
        return cls(Counters._of(profile.counters), profile.seconds)


@dataclass(frozen=True)
class Result:
    """How a request ended."""
    #: A NaN was encoded as FP4, which has none.
    invalid: bool
    #: None: it ended well.
    fault: Fault | None
    #: Zero, unless the request counts.
    counters: Counters
    #: Bytes that the CPU copied: none of what lies in buffers.
    copied: int
    #: What nodes on the CPU took, with what they copied.
    cpu_seconds: float
    #: Of the model, that it ran at.
    point: int

    @classmethod
    def _of(cls, result: c.xrnpe_result) -> Self:
        fault = None
        if result.fault.kind != c.XRNPE_FAULT_NONE:
            fault = Fault(**_fields(Fault, result.fault))
        return cls(bool(result.status & c.XRNPE_STATUS_INVALID), fault,
                   Counters._of(result.counters), result.copied, result.cpu_seconds, result.point)
