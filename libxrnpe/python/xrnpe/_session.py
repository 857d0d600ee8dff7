# SPDX-License-Identifier: MIT
"""Devices, and models that run on them."""
from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from ctypes import byref, c_int, c_size_t, c_uint32, c_void_p
from ctypes import pointer as pointer_to
from errno import ETIME
from time import monotonic
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

from . import _structures as c
from ._buffer import Buffer, view
from ._info import DeviceInfo, LayerInfo, LayerProfile, Priority, Result, TensorInfo
from ._library import (XRNPE_ENDED, Error, Handle, Object, Progress, Reporter, call, encode,
                       handle_of, lib, path)
from ._model import Model, energy_figures
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
    """A model made ready on a device: constants and commands are there. Threads may share it.

    ``priority`` says whose requests go first where several sessions want the device; ``energy``
    are figures that a governor goes by, as for Model.predict().
    """

    def __init__(self, device: Device, model: Model, *,
                 priority: Priority | str = Priority.NORMAL,
                 energy: Mapping[str, float] | None = None) -> None:
        options = c.xrnpe_session_options(list(Priority).index(Priority(priority)),
                                          pointer_to(energy_figures(energy)))
        self._handle = Handle(lib.xrnpe_session_free, lib.xrnpe_session_new,
                              handle_of(device, "Device"), handle_of(model, "Model"),
                              byref(options))
        #: What the model takes and gives.
        self.inputs: tuple[TensorInfo, ...] = model.inputs
        self.outputs: tuple[TensorInfo, ...] = model.outputs
        #: What runs there.
        self.layers: tuple[LayerInfo, ...] = model.layers
        self._model = model._open

    @property
    def point(self) -> int:
        """Which of Model.points a submission runs at from now on; at first that of the model.

        It may be set at any time, in any thread: what was submitted before is not touched. A
        governor that there is governs no more.
        """
        return int(lib.xrnpe_session_point(self._open))

    @point.setter
    def point(self, point: int) -> None:
        if point < 0:
            raise ValueError(f"there is no point {point}")
        call(lib.xrnpe_session_set_point, self._open, point)

    def govern(self, *budget: str) -> None:
        """Let a governor pick the point of each submission: of those that keep the budget the
        most exact; if none does, that which exceeds it least.

        ``budget`` is what an inference may take: time on the device, ``"2ms"``, energy,
        ``"80uJ"``, and error, ``"1%"``. Time and energy are those of Model.predict(), with the
        session's ``energy``; on a device time follows what inferences really take. Without a
        budget there is no governor any more, and the point stays what it is.
        """
        governor = c.xrnpe_governor()
        for limit in budget:
            call(lib.xrnpe_governor_parse, encode(limit), byref(governor))
        call(lib.xrnpe_session_govern, self._open, byref(governor) if budget else None)

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


def _has_ended(function: Callable[..., int], *arguments: Any) -> bool:
    """call() of a function that waits; False: the time was up."""
    try:
        call(function, *arguments)
    except Error as error:
        if error.code != ETIME:
            raise
        return False
    return True


def _wait(wait: Callable[[int], bool], timeout: float | None) -> bool:
    """Call what waits so many nanoseconds until it returns True, or ``timeout`` seconds."""
    end = None if timeout is None else monotonic() + max(0.0, timeout)
    while True:
        left = _SLICE if end is None else min(_SLICE, max(0.0, end - monotonic()))
        if wait(int(left * 1e9)):
            return True
        if end is not None and monotonic() >= end:
            return False


class Request(Object):
    """One inference, submitted now and waited for later. With ``count``, its results count.
    With ``profile`` it tells what each layer took, and with ``keep`` what the layers of these
    names wrote, or of all where it is ``"all"``; either takes longer itself.

    It serves one thread at a time: others wait. It has a ``fileno()`` for event loops, and
    can be awaited with asyncio.
    """

    def __init__(self, session: Session, *, count: bool = False, profile: bool = False,
                 keep: str | Sequence[str] = ()) -> None:
        self._handle = Handle(lib.xrnpe_request_free, lib.xrnpe_request_new,
                              handle_of(session, "Session"))
        self._lock = threading.RLock()
        self.inputs: tuple[TensorInfo, ...] = session.inputs
        self.outputs: tuple[TensorInfo, ...] = session.outputs
        self._model = session._model
        lib.xrnpe_request_count(self._handle, count)
        call(lib.xrnpe_request_profile, self._handle, profile)
        self._layers = tuple(session.layers)
        self._keep(keep)

    def _keep(self, layers: str | Sequence[str]) -> None:
        if isinstance(layers, str) and layers != "all":
            raise TypeError('keep is a sequence of names, or "all"')
        for i in range(len(self._layers)) if layers == "all" else map(self._find_layer, layers):
            call(lib.xrnpe_request_keep_layer, self._handle, i, True)

    def _find_layer(self, name: str) -> int:
        names = [layer.name for layer in self._layers]
        if name not in names:
            raise ValueError(f"there is no layer {name}; the layers are {', '.join(names)}")
        return names.index(name)

    def bind_input(self, name: str, buffer: Buffer | None, offset: int = 0) -> NDArray[Any] | None:
        """Let an input lie in a buffer, from byte ``offset`` on, a multiple of 64; without a
        buffer in the request's own memory again.

        Returns that memory as an array in the input's shape: what is written there is
        computed from, after Buffer.for_device(), and no byte is copied. None: the CPU cannot
        reach it.
        """
        return self._bind(self.inputs, name, "input", lib.xrnpe_request_bind_input,
                          lib.xrnpe_model_input_layout, buffer, offset)

    def bind_output(self, name: str, buffer: Buffer | None,
                    offset: int = 0) -> NDArray[Any] | None:
        """The same of an output; before it is read from the array comes Buffer.for_cpu()."""
        return self._bind(self.outputs, name, "output", lib.xrnpe_request_bind_output,
                          lib.xrnpe_model_output_layout, buffer, offset)

    def _bind(self, infos: Sequence[TensorInfo], name: str, kind: str, bind: Callable[..., int],
              layout_of: Callable[..., int], buffer: Buffer | None,
              offset: int) -> NDArray[Any] | None:
        names = [info.name for info in infos]
        if name not in names:
            raise ValueError(f"there is no {kind} {name}; the {kind}s are {', '.join(names)}")
        i = names.index(name)
        with self._lock:
            call(bind, self._open, i, None if buffer is None else handle_of(buffer, "Buffer"),
                 offset)
        if buffer is None:
            return None
        return view(buffer, offset, self._model, infos[i], layout_of, i)

    def set_input(self, name: str, value: ArrayLike) -> None:
        """Copy a single input. Inputs are kept from one submission to the next."""
        for i, info in enumerate(self.inputs):
            if info.name == name:
                array = read_one(info, value)
                with self._lock:
                    self._set(i, array)
                return
        names = ", ".join(info.name for info in self.inputs)
        raise ValueError(f"there is no input {name}; the inputs are {names}")

    def _set(self, i: int, array: NDArray[Any]) -> None:
        if array.dtype == numpy.uint8:
            call(lib.xrnpe_request_set_bytes, self._open, i, array.ctypes.data, array.size)
        else:
            call(lib.xrnpe_request_set_input, self._open, i, pointer(array), array.size)

    def submit(self, inputs: Inputs | None = None, *, deadline: float | None = None) -> None:
        """Submit it and return at once, with ``inputs`` (as Session.run() takes a single one)
        or with those set before. After ``deadline`` seconds it is cancelled, if it has not ended.
        """
        if deadline is not None and not 0 < deadline < 1e9:
            raise ValueError(f"a deadline of {deadline} seconds is none")
        with self._lock:
            if inputs is not None:
                arrays, count = read_inputs(self.inputs, inputs, keep_bytes=True)
                if count not in (None, 1):
                    raise ValueError(f"{count} inputs are given, where one is taken")
                for i, array in enumerate(arrays):
                    self._set(i, array)
            lib.xrnpe_request_set_deadline(
                self._open, 0 if deadline is None else max(1, int(deadline * 1e9)))
            call(lib.xrnpe_request_submit, self._open)

    def set_callback(self, callback: Callable[[], object] | None) -> None:
        """Call ``callback`` once for each submission when it has ended, from the next one on;
        None: no more.

        It is called in a thread of the library's, and wait() returns when it has returned: it
        passes the news on, as ``queue.put`` or ``loop.call_soon_threadsafe`` do, and calls
        nothing of this module. What it raises is printed.
        """
        ended = XRNPE_ENDED(lambda data: callback()) if callback else XRNPE_ENDED()
        with self._lock:
            call(lib.xrnpe_request_set_callback, self._open, ended, None)
            # It lives as long as what may call it.
            self._handle.callback = ended

    def cancel(self) -> None:
        """Cancel it, from any thread; it is waited for all the same, and raises Error then."""
        lib.xrnpe_request_cancel(self._open)

    def fileno(self) -> int:
        """A descriptor that is readable when it has ended, until it is submitted again.

        It is closed with the request; nobody reads from it.
        """
        fd = c_int()
        with self._lock:
            call(lib.xrnpe_request_fd, self._open, byref(fd))
        return fd.value

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended: True. False: it has not, after ``timeout`` seconds.

        Raises Error if it ended badly. Asking again gives the same answer.
        """
        def wait(slice_ns: int) -> bool:
            with self._lock:
                return _has_ended(lib.xrnpe_request_wait, self._open, slice_ns)

        return _wait(wait, timeout)

    async def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        fd = self.fileno()
        loop.add_reader(fd, lambda: ended.done() or ended.set_result(None))
        try:
            await ended
        finally:
            loop.remove_reader(fd)
        self.wait(0)

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until it has ended, which raises Error if it ended badly."""
        return self._ended().__await__()

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

    def layer(self, name: str) -> Floats:
        """What the layer of that name wrote, in the shape that its LayerInfo tells, after wait().

        For what it is in binary32 ask Graph.run() for the tensor ``LayerInfo.output``. It is
        there of a request that ended badly, too, if it got so far.
        """
        i = self._find_layer(name)
        array = numpy.empty(self._layers[i].shape, numpy.float32)
        with self._lock:
            call(lib.xrnpe_request_get_layer, self._open, i, pointer(array), array.size)
        return array

    @property
    def layers(self) -> tuple[LayerProfile, ...]:
        """What each layer took, after wait(), in the order of Model.layers; empty unless it profiles."""
        with self._lock:
            layers = lib.xrnpe_request_layers(self._open)
            count = lib.xrnpe_model_layer_count(self._model) if layers else 0
            return tuple(LayerProfile._of(layers[i]) for i in range(count))

    @property
    def result(self) -> Result:
        """How it ended, after wait()."""
        with self._lock:
            return Result._of(lib.xrnpe_request_result(self._open).contents)


def wait_any(requests: Sequence[Request], timeout: float | None = None) -> Request | None:
    """Wait for the first of several requests to end, which its wait() then tells how.

    Those that are not submitted, or were waited for, are left out. None: none has ended
    after ``timeout`` seconds.
    """
    handles = [handle_of(request, "Request") for request in requests]
    array = (c_void_p * max(1, len(handles)))(*(handle._as_parameter_ for handle in handles))
    index = c_size_t()

    def wait(slice_ns: int) -> bool:
        with ExitStack() as stack:
            # In one order, whatever order other threads have them in.
            for request in sorted(requests, key=id):
                stack.enter_context(request._lock)
            return _has_ended(lib.xrnpe_request_wait_any, array, len(handles), slice_ns,
                              byref(index))

    return requests[index.value] if _wait(wait, timeout) else None
