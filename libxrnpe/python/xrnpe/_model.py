# SPDX-License-Identifier: MIT
"""Compiled models."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ctypes import byref, c_size_t, create_string_buffer
from errno import ENOSPC
from typing import Any, SupportsFloat

from . import _structures as c
from ._info import (Cost, DeviceInfo, Footprint, LayerInfo, Prediction, Quality, Task,
                    TensorInfo, Trial)
from ._library import Error, Handle, Object, Part, call, encode, lib, made, path


def tensor_infos(count_of: Callable[[Handle], int], info_of: Callable[[Handle, int], Any],
                 handle: Handle) -> tuple[TensorInfo, ...]:
    """Inputs or outputs of an object, by the functions that tell them."""
    return tuple(TensorInfo._of(info_of(handle, i).contents) for i in range(count_of(handle)))


def energy_figures(changes: Mapping[str, float] | None) -> c.xrnpe_energy:
    """Those by default, with changes by name."""
    figures = c.xrnpe_energy()
    lib.xrnpe_energy_init(byref(figures))
    for name, value in (changes or {}).items():
        if not isinstance(value, SupportsFloat):
            raise TypeError(f"{name} takes a number, not {type(value).__name__}")
        call(lib.xrnpe_energy_set, byref(figures), encode(name), value)
    return figures


class Model(Object):
    """A compiled model. Immutable; threads and devices may share it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = made(handle, "Model")
        #: What it takes and gives.
        self.inputs: tuple[TensorInfo, ...] = tensor_infos(
            lib.xrnpe_model_input_count, lib.xrnpe_model_input, handle)
        self.outputs: tuple[TensorInfo, ...] = tensor_infos(
            lib.xrnpe_model_output_count, lib.xrnpe_model_output, handle)

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> Model:
        """Read a .xrnpe file and check all of it."""
        return cls(Handle(lib.xrnpe_model_free, lib.xrnpe_model_load, path(file)))

    @classmethod
    def parse(cls, data: bytes, *, name: str = "model.xrnpe") -> Model:
        """The same from memory; ``name`` is what messages call it."""
        return cls(Handle(lib.xrnpe_model_free, lib.xrnpe_model_parse, encode(name), data,
                          len(data)))

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write a .xrnpe file, which appears only when it is complete."""
        call(lib.xrnpe_model_save, self._open, path(file))

    def pack(self) -> bytes:
        """The bytes of such a file, which parse() reads."""
        size = c_size_t()
        try:
            call(lib.xrnpe_model_pack, self._open, None, byref(size))
        except Error as error:
            if error.code != ENOSPC:
                raise
        data = create_string_buffer(size.value)
        call(lib.xrnpe_model_pack, self._open, data, byref(size))
        return data.raw

    @property
    def footprint(self) -> Footprint:
        """What it needs on a device."""
        footprint = c.xrnpe_footprint()
        lib.xrnpe_model_footprint(self._open, byref(footprint))
        return Footprint._of(footprint)

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """What the compiler made of the network, in the order in which it runs."""
        handle = self._open
        return tuple(LayerInfo._of(lib.xrnpe_model_layer(handle, i).contents)
                     for i in range(lib.xrnpe_model_layer_count(handle)))

    @property
    def quality(self) -> Quality:
        """How much it differs from the network in binary32, as the compiler measured it."""
        return Quality._of(lib.xrnpe_model_quality(self._open).contents)

    @property
    def task(self) -> Task | None:
        """What it loses of what the network is for; None: there were no labels."""
        task = lib.xrnpe_model_task(self._open)
        return Task._of(task.contents) if task else None

    @property
    def points(self) -> tuple[Model, ...]:
        """The same network in other formats, from the fastest to the most exact: models that
        share what is equal, and between which Session.point switches. Itself is one of them."""
        handle = self._open
        return tuple(Model(Part(handle, lib.xrnpe_model_point(handle, i)))
                     for i in range(lib.xrnpe_model_point_count(handle)))

    @property
    def point(self) -> int:
        """Which of the points it is."""
        return int(lib.xrnpe_model_point_index(self._open))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What the compiler tried, from the smallest on; nothing of a model from a file."""
        handle = self._open
        return tuple(Trial._of(lib.xrnpe_model_trial(handle, i).contents)
                     for i in range(lib.xrnpe_model_trial_count(handle)))

    def predict(self, device: DeviceInfo | None = None, *,
                energy: Mapping[str, float] | None = None) -> Prediction:
        """What it costs by the device's cycle model, without running it.

        ``device`` tells array, bus, memory and clock; without, they are the emulator's.
        ``dataclasses.replace(device.info, clock_khz=...)`` asks about another one. ``energy``
        are figures that are not those by default, in picojoules: ``{"memory_byte": 40.0,
        "fp4/p8": 0.2}``, of a byte over the bus and of a product of weights in FP4.
        """
        handle = self._open
        total = c.xrnpe_cost()
        layers = (c.xrnpe_cost * max(1, lib.xrnpe_model_layer_count(handle)))()
        if device is not None and not isinstance(device, DeviceInfo):
            raise TypeError(f"a DeviceInfo is taken, not {type(device).__name__}; Device.info is one")
        info = device and byref(device._structure())
        lib.xrnpe_model_predict(handle, info, byref(energy_figures(energy)), byref(total), layers)
        return Prediction(Cost._of(total), tuple(
            Cost._of(layers[i]) for i in range(lib.xrnpe_model_layer_count(handle))))
