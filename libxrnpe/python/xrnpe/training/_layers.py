# SPDX-License-Identifier: MIT
"""Layers that compute: each as PyTorch has it, and exactly, as a command of the device."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch
from torch import nn
from torch.nn import functional

from .._info import Format
from .._numbers import fit_scales, fit_weights
from .._tensors import Floats
from ._commands import (Image, Output, Windows, addition, convert, convolution, decode, encode)
from ._fake import fake_quantize, log_scales, scales_of, set_log_scales


@dataclass(frozen=True)
class Activation:
    """What is applied to a layer's sum."""
    kind: int = 0                   # enum xrnpe_activation: none, relu, leaky
    slope: float = 0.0
    limits: tuple[float, float] | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == 1:
            x = torch.relu(x)
        elif self.kind == 2:
            x = functional.leaky_relu(x, self.slope)
        return x.clamp(*self.limits) if self.limits else x

    def output(self, scale: Any, bias: Any, out_scale: float, added: float = 0.0) -> Output:
        """An output stage, of scales and biases for results in units of one."""
        def unit(value: Any) -> Any:
            return (numpy.asarray(value, numpy.float64) / out_scale).astype(numpy.float32)

        limits = self.limits and (float(unit(self.limits[0])), float(unit(self.limits[1])))
        return Output(unit(scale), unit(bias), self.kind, self.slope, limits, float(unit(added)))


@dataclass(frozen=True)
class Lattice:
    """The multiples of a scale that a format holds; binary32 as it is with a scale of one."""
    format: Format
    scale: float

    def codes(self, x: torch.Tensor) -> Image:
        """Values on the lattice, N x C x H x W, or of fewer dimensions, as the device has them."""
        x = x.detach().reshape(*x.shape, *(1,) * (4 - x.dim()))
        values = x.permute(0, 2, 3, 1).numpy() / numpy.float32(self.scale)
        return encode(values, self.format)

    def values(self, image: Image) -> torch.Tensor:
        """The way back, to N x C x H x W."""
        values = decode(image) * numpy.float32(self.scale)
        return torch.from_numpy(values).permute(0, 3, 1, 2)


class Layer(nn.Module):
    """A layer that reads its inputs in a format of its choice and rounds once, at its end."""

    def __init__(self, name: str, inputs: list[str], output: str, activation: Activation,
                 slopes: Floats | None = None) -> None:
        """@slopes: by channel, of what is negative before the activation limits it."""
        super().__init__()
        self.name, self.inputs, self.output = name, inputs, output
        self.activation = activation
        self.slopes = None if slopes is None else nn.Parameter(torch.from_numpy(slopes.copy()))
        #: Of its inputs; Network sets it from the choice of formats.
        self.format = Format.P16

    def input_formats(self) -> list[Format]:
        """Of each of its inputs."""
        return [self.format] * len(self.inputs)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """What its sums become."""
        return self.activation(x if self.slopes is None else functional.prelu(x, self.slopes))

    def stage(self, scale: Any, bias: Any, out_scale: float, added: float = 0.0) -> Output:
        """Its output stage, as Activation.output()."""
        output = self.activation.output(scale, bias, out_scale, added)
        return output if self.slopes is None else \
            replace(output, slopes=self.slopes.detach().numpy())

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        """What the device gives of inputs on their lattices, as forward() else."""
        raise NotImplementedError


class Product(Layer):
    """A convolution, or a matrix as a convolution of one tap, that may add a second input."""

    def __init__(self, name: str, inputs: list[str], output: str, activation: Activation,
                 slopes: Floats | None, weight: Floats, bias: Floats | None, windows: Windows,
                 padding: tuple[int, int, int, int], rank: int, last: bool,
                 weight_name: str, trains_bias: bool = True) -> None:
        """@weight: output channels x input channels of a group x lines x columns.

        @padding: above, below, left, right. @rank: of what it reads; @last: channels last.
        """
        super().__init__(name, inputs, output, activation, slopes)
        self.weight = nn.Parameter(torch.from_numpy(weight.copy()))
        values = numpy.zeros(1, numpy.float32) if bias is None else bias.reshape(-1)
        self.bias = nn.Parameter(torch.from_numpy(numpy.broadcast_to(values, len(weight)).copy()),
                                 requires_grad=trains_bias)
        #: In the file.
        self.weight_name = weight_name
        self.log_scales = log_scales(len(weight))
        self.weight_format = Format.P16
        #: Of the second input.
        self.added_format = Format.P16
        self.windows, self.padding, self.rank, self.last = windows, padding, rank, last

    def input_formats(self) -> list[Format]:
        return [self.format, self.added_format][:len(self.inputs)]

    # ---- images: N x C x H x W of what the network has --------------------

    def image(self, x: torch.Tensor) -> torch.Tensor:
        """What a convolution reads."""
        return self.arranged(x)

    def arranged(self, x: torch.Tensor) -> torch.Tensor:
        if self.rank == 2:
            return x.reshape(*x.shape, 1, 1)
        if self.rank == 3:
            return (x.transpose(1, 2) if self.last else x).unsqueeze(2)
        return x

    def _tensor(self, image: torch.Tensor) -> torch.Tensor:
        if self.rank == 2:
            return image.reshape(image.shape[:2])
        if self.rank == 3:
            return image.squeeze(2).transpose(1, 2) if self.last else image.squeeze(2)
        return image

    # ---- weights ----------------------------------------------------------

    def scales(self) -> torch.Tensor:
        """Of the weights, by output channel."""
        return scales_of(self.log_scales)

    def fit(self) -> None:
        """Find scales."""
        rows = self.weight.detach().numpy().reshape(len(self.weight), -1)
        self.set_scales(fit_scales(self.weight_format, rows))

    def windows_of(self, x: torch.Tensor) -> torch.Tensor:
        """What each of its sums multiplies of @x: groups x products x sums."""
        kernel = self.weight.shape[2:]
        parts = functional.unfold(self._padded(self.image(x)), kernel, self.windows.dilation, 0,
                                  self.windows.stride)
        return parts.transpose(0, 1).reshape(self.windows.groups, -1, parts[:, 0].numel())

    def round(self, windows: torch.Tensor) -> None:
        """Round weights so that sums over @windows err least, as the compiler does."""
        with torch.no_grad():
            groups = self.weight.reshape(self.windows.groups, -1, windows.shape[1])
            found = [fit_weights(self.weight_format, group.numpy(),
                                 (seen @ seen.T / seen.shape[1]).numpy())
                     for group, seen in zip(groups, windows)]
            rounded, scales = (numpy.concatenate(parts) for parts in zip(*found))
            self.weight.copy_(torch.from_numpy(rounded).reshape(self.weight.shape))
        self.set_scales(scales)

    def set_scales(self, scales: Floats) -> None:
        set_log_scales(self.log_scales, scales)

    def quantized(self) -> torch.Tensor:
        """The weights as they are exported: multiples of their scales."""
        return fake_quantize(self.weight, self.scales(), self.weight_format, weights=True)

    def rounded(self) -> Floats:
        """The same as an array."""
        values: Floats = self.quantized().detach().numpy()
        return values

    # ---- computing --------------------------------------------------------

    def _padded(self, image: torch.Tensor) -> torch.Tensor:
        above, below, left, right = self.padding
        return functional.pad(image, (left, right, above, below)) if any(self.padding) else image

    def forward(self, x: torch.Tensor, added: torch.Tensor | None = None,
                quantizes: bool = True) -> torch.Tensor:
        weight = self.quantized() if quantizes else self.weight
        above, below, left, right = self.padding
        image, padding = self.image(x), (above, left)
        if padding != (below, right):
            image, padding = self._padded(image), (0, 0)    # which takes longer
        y = self._tensor(functional.conv2d(image, weight, self.bias, self.windows.stride, padding,
                                           self.windows.dilation, self.windows.groups))
        return self.activated(y if added is None else y + added)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        image = self.image(inputs[0])
        scales = self.scales().detach().numpy()
        codes = self.rounded() / scales.reshape(-1, 1, 1, 1)
        weights = encode(codes.transpose(0, 2, 3, 1).reshape(1, len(codes), -1, codes.shape[1]),
                         self.weight_format)
        kernel = (codes.shape[2], codes.shape[3])
        above, below, left, right = self.padding
        size = [(n + pad - d * (k - 1) - 1) // s + 1 for n, pad, d, k, s in
                zip(image.shape[2:], (above + below, left + right), self.windows.dilation, kernel,
                    self.windows.stride)]
        output = self.stage(
            lattices[0].scale * scales.astype(numpy.float64), self.bias.detach().numpy(), out.scale,
            lattices[1].scale if len(inputs) > 1 else 0.0)
        added = lattices[1].codes(self.arranged(inputs[1])) if len(inputs) > 1 else None
        result = convolution(lattices[0].codes(image), weights, kernel, self.windows,
                             (size[0], size[1]), output, out.format, added)
        return self._tensor(out.values(result))


def turned(weight: Floats, groups: int) -> Floats:
    """From weights of a convolution to those of the transposed one, or the way back."""
    parts = [part.transpose(1, 0, 2, 3) for part in numpy.split(weight, groups)]
    return numpy.ascontiguousarray(numpy.concatenate(parts)[:, :, ::-1, ::-1])


class Transposed(Product):
    """A transposed convolution: a convolution of its input with zeros between the elements."""

    def __init__(self, *arguments: Any, spread: tuple[int, int]) -> None:
        """@spread: elements of the result from one of the input to the next."""
        super().__init__(*arguments)
        self._spread = spread

    def image(self, x: torch.Tensor) -> torch.Tensor:
        lines, columns = self._spread
        image = self.arranged(x)
        size = [(n - 1) * step + 1 for n, step in zip(image.shape[2:], self._spread)]
        wide = image.new_zeros(*image.shape[:2], *size)
        wide[:, :, ::lines, ::columns] = image
        return wide


def _by_one(lattice: Lattice, channels: int, taps: int) -> Image:
    """Weights of one for each channel alone."""
    return encode(numpy.ones((1, channels, taps, 1), numpy.float32), lattice.format)


class Average(Layer):
    """AveragePool; without a kernel, of all lines and columns, which are then left out or one."""

    def __init__(self, name: str, inputs: list[str], output: str, activation: Activation,
                 kernel: tuple[int, int] | None, stride: tuple[int, int],
                 keeps: bool = True) -> None:
        super().__init__(name, inputs, output, activation)
        self.kernel, self.stride, self.keeps = kernel, stride, keeps

    def _kernel(self, x: torch.Tensor) -> tuple[int, int]:
        return self.kernel or (x.shape[2], x.shape[3])

    def _kept(self, y: torch.Tensor) -> torch.Tensor:
        return y if self.keeps else y.flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.avg_pool2d(x, self._kernel(x), self.stride)
        return self._kept(self.activation(y))

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        x = inputs[0]
        kernel = self._kernel(x)
        channels, taps = x.shape[1], kernel[0] * kernel[1]
        size = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, self.stride)]
        share = numpy.full(channels, numpy.float32(1) / numpy.float32(taps), numpy.float64)
        output = self.activation.output(lattices[0].scale * share, numpy.zeros(channels),
                                        out.scale)
        result = convolution(lattices[0].codes(x), _by_one(lattices[0], channels, taps), kernel,
                             Windows(stride=self.stride, groups=channels), (size[0], size[1]),
                             output, out.format)
        return self._kept(out.values(result))


class Slopes(Layer):
    """PRelu by channel of N x C x H x W: what is negative times the channel's slope."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activated(x)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        x = inputs[0]
        channels = x.shape[1]
        output = self.stage(numpy.full(channels, lattices[0].scale), numpy.zeros(channels), out.scale)
        result = convolution(lattices[0].codes(x), _by_one(lattices[0], channels, 1), (1, 1),
                             Windows(groups=channels), (x.shape[2], x.shape[3]), output, out.format)
        return out.values(result)


class Alone(Layer):
    """An activation of a tensor that is no layer's sum."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(x)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        output = self.activation.output([lattices[0].scale], [0.0], out.scale)
        codes = lattices[0].codes(inputs[0])
        return out.values(convert(codes, out.format, output)).reshape(inputs[0].shape)


class Sum(Layer):
    """The sum of two tensors of one shape."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.activation(a + b)

    def exact(self, inputs: list[torch.Tensor], lattices: list[Lattice],
              out: Lattice) -> torch.Tensor:
        output = self.activation.output([lattice.scale for lattice in lattices], [0.0, 0.0],
                                        out.scale)
        first, second = (lattice.codes(x) for lattice, x in zip(lattices, inputs))
        return out.values(addition(first, second, output, out.format)).reshape(inputs[0].shape)
