# SPDX-License-Identifier: MIT
"""Layers computed exactly: as commands of the device, run on the datapath in this process."""
from __future__ import annotations

from ctypes import byref, c_uint32, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy

from .. import _structures as c
from .._info import Format
from .._library import call, lib
from .._tensors import Floats

Bytes = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]

# struct xrnpe_cmd with the dimensions of commands on images.
_OPERAND = numpy.dtype([("offset", "<u8"), ("row_stride", "<u4"), ("pixel_stride", "<u4"),
                        ("batch_stride", "<u4"), ("region", "u1"), ("format", "u1"),
                        ("reserved", "V2")])
_IMAGE = numpy.dtype([(name, "<u2") for name in ("in_h", "in_w", "in_c", "out_h", "out_w", "out_c",
                                                 "groups")] +
                     [(name, "u1") for name in ("kernel_h", "kernel_w", "stride_h", "stride_w",
                                                "dilation_h", "dilation_w", "pad_top", "pad_left")] +
                     [("reserved", "V10")])
_COMMAND = numpy.dtype([("opcode", "u1"), ("activation", "u1"), ("order", "u1"), ("reserved", "u1"),
                        ("flags", "<u4"), ("slope", "<f4"), ("lo", "<f4"), ("hi", "<f4"),
                        ("residual", "<f4"), ("operand", _OPERAND, 5), ("image", _IMAGE),
                        ("reserved2", "V16")])
_BITS = {Format.FP4: 4, Format.P4: 4, Format.P8: 8, Format.P16: 16, Format.F32: 32}
_CONV2D, _ADD, _CONVERT, _MUL = 2, 4, 5, 6
_IFM, _IFM2, _WEIGHT, _SCALE, _OFM = range(5)
_PRELU = 3
_CLAMP, _RESIDUAL = 1, 2
_READ_WRITE = 3


@dataclass(frozen=True)
class Output:
    """What a command does behind its sum: scales and biases by channel, then an activation."""
    scale: Floats
    bias: Floats
    activation: int = 0             # enum xrnpe_activation
    slope: float = 0.0
    limits: tuple[float, float] | None = None
    residual: float = 0.0           # factor of what is added
    slopes: Floats | None = None    # by channel, which is an activation, too


@dataclass(frozen=True)
class Image:
    """A batch of images in memory: N x H x W x C codes, each pixel from a byte on."""
    data: Bytes
    shape: tuple[int, ...]
    format: Format

    @property
    def pixel(self) -> int:
        """Bytes of a pixel."""
        return _pixel(self.format, self.shape[3])

    def operand(self, region: int) -> Any:
        """It, but for the offset of an image in the batch."""
        operand = numpy.zeros((), _OPERAND)
        operand["row_stride"] = self.shape[2] * self.pixel
        operand["pixel_stride"] = self.pixel
        operand["region"] = region
        operand["format"] = _index(self.format)
        return operand


def _index(format: Format) -> int:
    """The number that the library has for a format."""
    return list(Format).index(format)


def _pixel(format: Format, channels: int) -> int:
    return (channels * _BITS[format] + 7) // 8


def new_image(format: Format, shape: tuple[int, ...]) -> Image:
    """Room for a batch."""
    return Image(numpy.zeros(shape[0] * shape[1] * shape[2] * _pixel(format, shape[3]),
                             numpy.uint8), shape, format)


def _run(commands: numpy.ndarray[Any, Any], regions: list[Any]) -> None:
    memory = (c.xrnpe_memory * len(regions))()
    for to, region in zip(memory, regions):
        to.data, to.size, to.flags = region.ctypes.data, region.nbytes, _READ_WRITE
    call(lib.xrnpe_commands_run, commands.ctypes.data_as(c_void_p), len(commands), memory,
         len(regions), byref(c_uint32()))


def _for_each(command: Any, images: list[tuple[int, Image]]) -> numpy.ndarray[Any, Any]:
    """The command for each image of a batch. @images: which operands are images."""
    count = images[0][1].shape[0]
    commands = numpy.repeat(command.reshape(1), count)
    for operand, image in images:
        commands["operand"]["offset"][:, operand] = numpy.arange(count) * (image.data.nbytes // count)
    return commands


def _records(output: Output) -> tuple[Floats, Any]:
    """Records of scales and biases, and the operand that they are in region 0."""
    parts = [output.scale, output.bias] + ([] if output.slopes is None else [output.slopes])
    records = numpy.ascontiguousarray(numpy.stack(parts, 1), numpy.float32)
    operand = numpy.zeros((), _OPERAND)
    operand["row_stride"] = records.strides[0] if len(records) > 1 else 0
    operand["format"] = _index(Format.F32)
    return records, operand


def _command(opcode: int, output: Output, images: list[tuple[int, Image]]) -> tuple[Any, list[Any]]:
    """A command without its dimensions, and its regions."""
    command = numpy.zeros((), _COMMAND)
    records, scale = _records(output)
    command["opcode"] = opcode
    command["activation"] = output.activation if output.slopes is None else _PRELU
    command["slope"] = output.slope
    command["residual"] = output.residual
    if output.limits:
        command["flags"] = _CLAMP
        command["lo"], command["hi"] = output.limits
    command["operand"][_SCALE] = scale
    for region, (operand, image) in enumerate(images, 1):
        command["operand"][operand] = image.operand(region)
    return command, [records, *(image.data for _, image in images)]


def _set_input(command: Any, image: Image) -> None:
    for name, size in zip(("in_h", "in_w", "in_c"), image.shape[1:]):
        command["image"][name] = size


_AS_IT_IS = Output(numpy.ones(1, numpy.float32), numpy.zeros(1, numpy.float32))


def convert(image: Image, format: Format, output: Output = _AS_IT_IS) -> Image:
    """A batch in another format."""
    result = new_image(format, image.shape)
    images = [(_IFM, image), (_OFM, result)]
    command, regions = _command(_CONVERT, output, images)
    _set_input(command, image)
    _run(_for_each(command, images), regions)
    return result


def encode(values: Floats, format: Format) -> Image:
    """A batch N x H x W x C of values that the format holds."""
    values = numpy.ascontiguousarray(values, numpy.float32)
    return convert(Image(values.view(numpy.uint8).reshape(-1), values.shape, Format.F32), format)


def decode(image: Image) -> Floats:
    """The values of a batch."""
    values = image if image.format is Format.F32 else convert(image, Format.F32)
    return values.data.view(numpy.float32).reshape(image.shape)


@dataclass(frozen=True)
class Windows:
    """How a convolution's windows lie: (lines, columns) of each."""
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)       # above and on the left
    groups: int = 1


def convolution(image: Image, weights: Image, kernel: tuple[int, int], windows: Windows,
                size: tuple[int, int], output: Output, format: Format,
                added: Image | None = None) -> Image:
    """CONV2D. @weights: 1 x output channels x taps x input channels. @size: of the result."""
    channels = weights.shape[1]
    result = new_image(format, (image.shape[0], *size, channels))
    images = [(_IFM, image), (_OFM, result)] + ([(_IFM2, added)] if added else [])
    command, regions = _command(_CONV2D, output, images)
    _set_input(command, image)
    command["operand"][_WEIGHT] = weights.operand(len(regions))
    if added:
        command["flags"] = command["flags"] | _RESIDUAL
    for name, value in {"out_h": size[0], "out_w": size[1], "out_c": channels,
                        "groups": windows.groups, "kernel_h": kernel[0], "kernel_w": kernel[1],
                        "stride_h": windows.stride[0], "stride_w": windows.stride[1],
                        "dilation_h": windows.dilation[0], "dilation_w": windows.dilation[1],
                        "pad_top": windows.padding[0], "pad_left": windows.padding[1]}.items():
        command["image"][name] = value
    _run(_for_each(command, images), [*regions, weights.data])
    return result


def _pair(opcode: int, first: Image, second: Image, output: Output, format: Format) -> Image:
    result = new_image(format, first.shape)
    images = [(_IFM, first), (_IFM2, second), (_OFM, result)]
    command, regions = _command(opcode, output, images)
    _set_input(command, first)
    _run(_for_each(command, images), regions)
    return result


def addition(first: Image, second: Image, output: Output, format: Format) -> Image:
    """ADD; @output has a scale for each."""
    return _pair(_ADD, first, second, output, format)


def multiplication(first: Image, second: Image, output: Output, format: Format) -> Image:
    """MUL; @output has one scale."""
    return _pair(_MUL, first, second, output, format)
