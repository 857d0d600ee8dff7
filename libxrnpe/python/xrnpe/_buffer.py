# SPDX-License-Identifier: MIT
"""Memory that a device uses where it lies."""
from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_char
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from . import _structures as c
from ._info import Format, TensorInfo
from ._library import Handle, Object, call, handle_of, lib

if TYPE_CHECKING:
    from ._session import Device

_FOR_CPU, _FOR_DEVICE = range(2)

_DTYPES = {Format.F32: numpy.float32, Format.U8: numpy.uint8}


class Buffer(Object):
    """Memory of a device's, zeroed. Requests may have their inputs and outputs in it."""

    def __init__(self, device: Device, size: int) -> None:
        self._memory: object = None
        self._handle = Handle(lib.xrnpe_buffer_free, lib.xrnpe_buffer_new,
                              handle_of(device, "Device"), size)

    @classmethod
    def _made(cls, memory: object, new: Callable[..., int], *arguments: Any) -> Buffer:
        self = cls.__new__(cls)
        self._memory = memory
        self._handle = Handle(lib.xrnpe_buffer_free, new, *arguments)
        return self

    @classmethod
    def from_fd(cls, device: Device, fd: int) -> Buffer:
        """Memory that is there already: a dma-buf, such as a camera's frame.

        The descriptor stays the caller's. The emulator takes those of ``os.memfd_create()``,
        too.
        """
        return cls._made(None, lib.xrnpe_buffer_import, handle_of(device, "Device"), fd)

    @classmethod
    def wrap(cls, device: Device, array: NDArray[Any]) -> Buffer:
        """The memory of an array, aligned to 64 bytes, which it keeps; for the emulator only."""
        if not array.flags.c_contiguous or not array.flags.writeable:
            raise ValueError("an array that is wrapped is contiguous and may be written")
        return cls._made(array, lib.xrnpe_buffer_wrap, handle_of(device, "Device"),
                         array.ctypes.data, array.nbytes)

    @property
    def size(self) -> int:
        """Bytes."""
        return int(lib.xrnpe_buffer_size(self._open))

    def for_device(self) -> None:
        """Hand it to the device: after the CPU wrote, before a request is submitted."""
        call(lib.xrnpe_buffer_sync, self._open, _FOR_DEVICE, 0, self.size)

    def for_cpu(self) -> None:
        """Hand it to the CPU: after a request has ended, before the CPU reads."""
        call(lib.xrnpe_buffer_sync, self._open, _FOR_CPU, 0, self.size)


def view(buffer: Buffer, offset: int, model: Handle, info: TensorInfo,
         layout_of: Callable[..., int], i: int) -> NDArray[Any] | None:
    """A tensor in a buffer as an array in the tensor's shape; None: it cannot be mapped."""
    handle = buffer._open
    layout = c.xrnpe_layout()
    call(layout_of, model, i, byref(layout))
    address = lib.xrnpe_buffer_data(handle)
    if not address:
        return None
    memory = (c_char * buffer.size).from_address(address)
    # Both live as long as the array.
    memory.owner = handle, buffer._memory  # type: ignore[attr-defined]
    return numpy.ndarray(info.shape, _DTYPES[list(Format)[layout.format]], memory, offset,
                         layout.strides[:len(info.shape)])
