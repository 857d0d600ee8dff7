# SPDX-License-Identifier: MIT
"""Devices, and models that run on them."""
from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from ctypes import byref, c_uint32
from errno import ETIME
from time import monotonic

from numpy.typing import ArrayLike

from . import _structures as c
from ._info import DeviceInfo, Result, TensorInfo
from ._library import Error, Handle, Object, Progress, Reporter, call, lib, path
from ._model import Model
from ._tensors import (Floats, Inputs, by_name, new_output, new_outputs, pointer, pointers,
                       read_inputs, read_one)

# How long wait() stays in the library, so that Python can answer signals.
_SLICE = 0.05


class Device(Object):
    """An opened device: "emu" is the emulator, "drm" the first one found, else a node's path.

    Threads may share it.
    """

    def __init__(self, name: str | os.PathLike[str] = "emu") -> None:
        self._handle = Handle(lib.xrnpe_device_close, lib.xrnpe_device_open, path(name))

    @property
    def info(self) -> DeviceInfo:
        """What it is."""
        return DeviceInfo._of(lib.xrnpe_device_info(self._open).contents)


class Session(Object):
    """A model made ready on a device: constants and commands are there. Threads may share it."""

    def __init__(self, device: Device, model: Model) -> None:
        self._handle = Handle(lib.xrnpe_session_free, lib.xrnpe_session_new, device._open,
                              model._open)
        #: What the model takes and gives.
        self.inputs: tuple[TensorInfo, ...] = model.inputs
        self.outputs: tuple[TensorInfo, ...] = model.outputs

    def run(self, inputs: Inputs, *, outputs: Sequence[str] | None = None,
            progress: Progress | None = None) -> dict[str, Floats]:
        """Run one input or a batch, and wait.

        ``inputs`` is the array of the only input, or arrays by name or in order. Each has the
        input's shape, of which a first 1 may be left out; or, for a batch of N, N in front of
        it, or in place of the 1.
        float32 in C order is read where it is; integers and bool are converted, which must
        be exact. The outputs come by name, shaped in the same manner; with ``outputs`` only
        those named there. ``progress(done, total)`` is called as inputs are done; an
        exception stops the batch and is passed on.

        Warns (RuntimeWarning) if a NaN was encoded as FP4, which has none.
        """
        arrays, count = read_inputs(self.inputs, inputs)
        results = new_outputs(self.outputs, count, outputs)
        reporter = Reporter(progress, short=count is None)
        status = c_uint32()
        reporter.call(lib.xrnpe_session_run, self._open, 1 if count is None else count,
                      pointers(arrays), pointers(results), reporter.callback, None, byref(status))
        if status.value & c.XRNPE_STATUS_INVALID:
            warnings.warn("a NaN was encoded as FP4, which has none", RuntimeWarning,
                          stacklevel=2)
        return by_name(self.outputs, results)


class Request(Object):
    """One inference, submitted now and waited for later. With ``count``, its results count.

    It serves one thread at a time: others wait.
    """

    def __init__(self, session: Session, *, count: bool = False) -> None:
        self._handle = Handle(lib.xrnpe_request_free, lib.xrnpe_request_new, session._open)
        self._lock = threading.RLock()
        self.inputs: tuple[TensorInfo, ...] = session.inputs
        self.outputs: tuple[TensorInfo, ...] = session.outputs
        lib.xrnpe_request_count(self._handle, count)

    def set_input(self, name: str, value: ArrayLike) -> None:
        """Copy a single input. Inputs are kept from one submission to the next."""
        for i, info in enumerate(self.inputs):
            if info.name == name:
                array = read_one(info, value)
                with self._lock:
                    call(lib.xrnpe_request_set_input, self._open, i, pointer(array), array.size)
                return
        names = ", ".join(info.name for info in self.inputs)
        raise ValueError(f"there is no input {name}; the inputs are {names}")

    def submit(self, inputs: Inputs | None = None, *, queue: int = 0) -> None:
        """Submit it and return at once, with ``inputs`` (as Session.run() takes a single one)
        or with those set before. ``queue`` is the hardware queue; 0 is served first.
        """
        with self._lock:
            if inputs is not None:
                arrays, count = read_inputs(self.inputs, inputs)
                if count not in (None, 1):
                    raise ValueError(f"{count} inputs are given, where one is taken")
                for i, array in enumerate(arrays):
                    call(lib.xrnpe_request_set_input, self._open, i, pointer(array), array.size)
            call(lib.xrnpe_request_submit, self._open, queue)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended: True. False: it has not, after ``timeout`` seconds.

        Raises Error if it ended badly. Asking again gives the same answer.
        """
        end = None if timeout is None else monotonic() + max(0.0, timeout)
        while True:
            left = _SLICE if end is None else min(_SLICE, max(0.0, end - monotonic()))
            try:
                with self._lock:
                    call(lib.xrnpe_request_wait, self._open, int(left * 1e9))
                return True
            except Error as error:
                if error.code != ETIME:
                    raise
            if end is not None and monotonic() >= end:
                return False

    def output(self, name: str | None = None) -> Floats:
        """The output of that name, or the only one, after wait()."""
        names = [info.name for info in self.outputs]
        if name is None and len(names) != 1 or name is not None and name not in names:
            raise ValueError(f"there is no output {name}; the outputs are {', '.join(names)}"
                             if name else f"one of the outputs is to be named: {', '.join(names)}")
        i = 0 if name is None else names.index(name)
        array = new_output(self.outputs[i])
        with self._lock:
            call(lib.xrnpe_request_get_output, self._open, i, pointer(array), array.size)
        return array

    @property
    def result(self) -> Result:
        """How it ended, after wait()."""
        with self._lock:
            return Result._of(lib.xrnpe_request_result(self._open).contents)
