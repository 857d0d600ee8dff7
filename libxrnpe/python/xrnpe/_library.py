# SPDX-License-Identifier: MIT
"""The shared library: its functions, errors, and objects that it makes."""
from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import (CDLL, CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char_p, c_double,
                    c_float, c_int, c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p)
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from . import _structures as c

# Of the library that the structures are those of.
VERSION = "0.1.0"

XRNPE_PROGRESS = CFUNCTYPE(c_int, c_void_p, c_size_t, c_size_t)
XRNPE_NOTE = CFUNCTYPE(None, c_void_p, c_char_p)
XRNPE_ENDED = CFUNCTYPE(None, c_void_p)


class xrnpe_compile_options(Structure):
    _fields_ = [("calibration", POINTER(c.xrnpe_array)), ("labels", POINTER(c.xrnpe_array)),
                ("limits", c.xrnpe_limits), ("trials", c_uint), ("points", c_uint),
                ("formats", POINTER(c.xrnpe_layer_formats)), ("format_count", c_size_t),
                ("energy", POINTER(c.xrnpe_energy)), ("progress", XRNPE_PROGRESS), ("progress_data", c_void_p),
                ("note", XRNPE_NOTE), ("note_data", c_void_p)]


_OBJECT = c_void_p
_NEW = POINTER(c_void_p)
_ERROR = POINTER(c.xrnpe_error)
_FLOATS = POINTER(c_float)
_ARRAYS = POINTER(_FLOATS)
_NAMES = POINTER(c_char_p)

# What is used of xrnpe.h: function, its result, its arguments.
PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "xrnpe_version": (c_char_p, []),
    "xrnpe_buffer_data": (c_void_p, [_OBJECT]),
    "xrnpe_buffer_free": (None, [_OBJECT]),
    "xrnpe_buffer_import": (c_int, [_OBJECT, c_int, _NEW, _ERROR]),
    "xrnpe_buffer_new": (c_int, [_OBJECT, c_size_t, _NEW, _ERROR]),
    "xrnpe_buffer_size": (c_size_t, [_OBJECT]),
    "xrnpe_buffer_sync": (c_int, [_OBJECT, c_uint, c_size_t, c_size_t, _ERROR]),
    "xrnpe_buffer_wrap": (c_int, [_OBJECT, c_void_p, c_size_t, _NEW, _ERROR]),
    "xrnpe_commands_run": (c_int, [c_void_p, c_size_t, POINTER(c.xrnpe_memory), c_uint,
                                   POINTER(c_uint32), _ERROR]),
    "xrnpe_compile": (c_int, [_OBJECT, POINTER(xrnpe_compile_options), _NEW, _ERROR]),
    "xrnpe_device_close": (None, [_OBJECT]),
    "xrnpe_device_info": (POINTER(c.xrnpe_device_info), [_OBJECT]),
    "xrnpe_device_open": (c_int, [c_char_p, _NEW, _ERROR]),
    "xrnpe_energy_init": (None, [POINTER(c.xrnpe_energy)]),
    "xrnpe_energy_set": (c_int, [POINTER(c.xrnpe_energy), c_char_p, c_double, _ERROR]),
    "xrnpe_fit_scales": (c_int, [c_uint, c_size_t, c_size_t, _FLOATS, POINTER(c_double), _FLOATS]),
    "xrnpe_fit_weights": (c_int, [c_uint, c_size_t, c_size_t, _FLOATS, _FLOATS, _FLOATS, _FLOATS]),
    "xrnpe_governor_parse": (c_int, [c_char_p, POINTER(c.xrnpe_governor), _ERROR]),
    "xrnpe_graph_bytes": (c_uint64, [_OBJECT]),
    "xrnpe_graph_free": (None, [_OBJECT]),
    "xrnpe_graph_input": (POINTER(c.xrnpe_tensor_info), [_OBJECT, c_uint]),
    "xrnpe_graph_input_count": (c_uint, [_OBJECT]),
    "xrnpe_graph_load": (c_int, [c_char_p, POINTER(c.xrnpe_graph_options), _NEW, _ERROR]),
    "xrnpe_graph_output": (POINTER(c.xrnpe_tensor_info), [_OBJECT, c_uint]),
    "xrnpe_graph_output_count": (c_uint, [_OBJECT]),
    "xrnpe_graph_parse": (c_int, [c_char_p, c_char_p, c_size_t, POINTER(c.xrnpe_graph_options),
                                  _NEW, _ERROR]),
    "xrnpe_graph_run_tensors": (c_int, [_OBJECT, c_size_t, _ARRAYS, _NAMES, c_size_t, _ARRAYS,
                                        XRNPE_PROGRESS, c_void_p, _ERROR]),
    "xrnpe_graph_save": (c_int, [_OBJECT, c_char_p, _ERROR]),
    "xrnpe_graph_tensor": (c_int, [_OBJECT, c_char_p, POINTER(c.xrnpe_tensor_info), _ERROR]),
    "xrnpe_limits_parse": (c_int, [c_char_p, _OBJECT, POINTER(c.xrnpe_limits), _ERROR]),
    "xrnpe_model_free": (None, [_OBJECT]),
    "xrnpe_model_input": (POINTER(c.xrnpe_tensor_info), [_OBJECT, c_uint]),
    "xrnpe_model_input_count": (c_uint, [_OBJECT]),
    "xrnpe_model_input_layout": (c_int, [_OBJECT, c_uint, POINTER(c.xrnpe_layout), _ERROR]),
    "xrnpe_model_layer": (POINTER(c.xrnpe_layer_info), [_OBJECT, c_uint]),
    "xrnpe_model_layer_count": (c_uint, [_OBJECT]),
    "xrnpe_model_load": (c_int, [c_char_p, _NEW, _ERROR]),
    "xrnpe_model_footprint": (None, [_OBJECT, POINTER(c.xrnpe_footprint)]),
    "xrnpe_model_output": (POINTER(c.xrnpe_tensor_info), [_OBJECT, c_uint]),
    "xrnpe_model_output_count": (c_uint, [_OBJECT]),
    "xrnpe_model_output_layout": (c_int, [_OBJECT, c_uint, POINTER(c.xrnpe_layout), _ERROR]),
    "xrnpe_model_pack": (c_int, [_OBJECT, c_void_p, POINTER(c_size_t), _ERROR]),
    "xrnpe_model_parse": (c_int, [c_char_p, c_char_p, c_size_t, _NEW, _ERROR]),
    "xrnpe_model_point": (c_void_p, [_OBJECT, c_uint]),
    "xrnpe_model_point_count": (c_uint, [_OBJECT]),
    "xrnpe_model_point_index": (c_uint, [_OBJECT]),
    "xrnpe_model_trial": (POINTER(c.xrnpe_trial), [_OBJECT, c_uint]),
    "xrnpe_model_trial_count": (c_uint, [_OBJECT]),
    "xrnpe_model_predict": (None, [_OBJECT, POINTER(c.xrnpe_device_info), POINTER(c.xrnpe_energy),
                                   POINTER(c.xrnpe_cost), POINTER(c.xrnpe_cost)]),
    "xrnpe_model_quality": (POINTER(c.xrnpe_quality), [_OBJECT]),
    "xrnpe_model_save": (c_int, [_OBJECT, c_char_p, _ERROR]),
    "xrnpe_model_task": (POINTER(c.xrnpe_task), [_OBJECT]),
    "xrnpe_operator": (c_bool, [c_uint, POINTER(c.xrnpe_operator_info)]),
    "xrnpe_quantize": (c_int, [c_uint, c_size_t, c_size_t, _FLOATS, _FLOATS, _FLOATS]),
    "xrnpe_request_bind_input": (c_int, [_OBJECT, c_uint, _OBJECT, c_size_t, _ERROR]),
    "xrnpe_request_bind_output": (c_int, [_OBJECT, c_uint, _OBJECT, c_size_t, _ERROR]),
    "xrnpe_request_cancel": (None, [_OBJECT]),
    "xrnpe_request_count": (None, [_OBJECT, c_bool]),
    "xrnpe_request_fd": (c_int, [_OBJECT, POINTER(c_int), _ERROR]),
    "xrnpe_request_free": (None, [_OBJECT]),
    "xrnpe_request_get_layer": (c_int, [_OBJECT, c_uint, _FLOATS, c_size_t, _ERROR]),
    "xrnpe_request_get_output": (c_int, [_OBJECT, c_uint, _FLOATS, c_size_t, _ERROR]),
    "xrnpe_request_keep_layer": (c_int, [_OBJECT, c_uint, c_bool, _ERROR]),
    "xrnpe_request_layers": (POINTER(c.xrnpe_layer_profile), [_OBJECT]),
    "xrnpe_request_new": (c_int, [_OBJECT, _NEW, _ERROR]),
    "xrnpe_request_profile": (c_int, [_OBJECT, c_bool, _ERROR]),
    "xrnpe_request_result": (POINTER(c.xrnpe_result), [_OBJECT]),
    "xrnpe_request_set_bytes": (c_int, [_OBJECT, c_uint, c_void_p, c_size_t, _ERROR]),
    "xrnpe_request_set_callback": (c_int, [_OBJECT, XRNPE_ENDED, c_void_p, _ERROR]),
    "xrnpe_request_set_input": (c_int, [_OBJECT, c_uint, _FLOATS, c_size_t, _ERROR]),
    "xrnpe_request_set_deadline": (None, [_OBJECT, c_int64]),
    "xrnpe_request_submit": (c_int, [_OBJECT, _ERROR]),
    "xrnpe_request_wait": (c_int, [_OBJECT, c_int64, _ERROR]),
    "xrnpe_request_wait_any": (c_int, [_NEW, c_size_t, c_int64, POINTER(c_size_t), _ERROR]),
    "xrnpe_session_free": (None, [_OBJECT]),
    "xrnpe_session_new": (c_int, [_OBJECT, _OBJECT, POINTER(c.xrnpe_session_options), _NEW,
                                  _ERROR]),
    "xrnpe_session_govern": (c_int, [_OBJECT, POINTER(c.xrnpe_governor), _ERROR]),
    "xrnpe_session_point": (c_uint, [_OBJECT]),
    "xrnpe_session_set_point": (c_int, [_OBJECT, c_uint, _ERROR]),
    "xrnpe_session_run": (c_int, [_OBJECT, c_size_t, _ARRAYS, _ARRAYS, XRNPE_PROGRESS, c_void_p,
                                  POINTER(c_uint32), _ERROR]),
}


def _load() -> CDLL:
    path = os.environ.get("XRNPE_LIBRARY") or "libxrnpe.so.0"
    library = CDLL(path)
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    version = library.xrnpe_version().decode()
    if version != VERSION:
        raise ImportError(f"{path} has version {version}; this module is for {VERSION}")
    return library


lib = _load()


class Error(Exception):
    """What the library could not do.

    ``code`` is an errno number (``errno.ENOENT``, ...; xrnpe.h says when which), ``message``
    a sentence that names the file, layer, operator, command or region concerned.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Call a function that returns 0 or an error, for which it has a last argument."""
    error = c.xrnpe_error()
    result = function(*arguments, byref(error))
    if result:
        raise Error(-result, error.message.decode(errors="replace"))


# ---- text -----------------------------------------------------------------

def text(value: bytes | None) -> str:
    """A name of the library's. Names may come from a file and be anything."""
    return (value or b"").decode(errors="surrogateescape")


def _whole(value: bytes) -> bytes:
    if b"\0" in value:
        raise ValueError("embedded null character")
    return value


def encode(value: str) -> bytes:
    """A name for the library: what text() made of it, or any other."""
    return _whole(value.encode(errors="surrogateescape"))


def path(value: str | os.PathLike[str]) -> bytes:
    """The name of a file."""
    return _whole(os.fsencode(value))


# ---- objects --------------------------------------------------------------

class Handle:
    """An object of the library, freed with the last reference to this one.

    Whoever calls the library with it holds a reference meanwhile, so that close() in one
    thread does not free what another one uses.
    """

    def __init__(self, free: Callable[[c_void_p], None], new: Callable[..., int],
                 *arguments: Any, caller: Callable[..., None] = call) -> None:
        # NULL, which is freed as well, until new() has made it.
        self._as_parameter_ = c_void_p()
        self._free = free
        #: A function that the object may call.
        self.callback: Any = None
        # new()'s last arguments are the object and the error.
        caller(new, *arguments, byref(self._as_parameter_))

    def __del__(self) -> None:
        self._free(self._as_parameter_)


class Part(Handle):
    """What lives as long as the object that it is a part of, and is not freed itself."""

    def __init__(self, whole: Handle, pointer: int) -> None:
        self._as_parameter_ = c_void_p(pointer)
        self._whole = whole

    def __del__(self) -> None:
        pass


class Object:
    """What has a handle: a context manager, closed at its end."""

    _handle: Handle | None = None

    @property
    def _open(self) -> Handle:
        handle = self._handle
        if handle is None:
            raise ValueError(f"the {type(self).__name__} is closed")
        return handle

    def close(self) -> None:
        """Give its memory back. What was made from it goes on, and closing twice is allowed."""
        self._handle = None

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle is None

    def __enter__(self) -> Self:
        self._open
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


# What to do instead of giving something else, a file's name mostly.
_HINTS = {
    "Graph": "; Graph.load() reads a file",
    "Model": "; Model.load() reads a file, compile() makes one of a Graph",
    "Device": '; Device("emu") opens one',
    "Session": "; Session(device, model) makes one",
}


def handle_of(value: object, kind: str) -> Handle:
    """The handle of an object of that class: the library takes no other for it."""
    if not isinstance(value, Object) or kind not in {c.__name__ for c in type(value).__mro__}:
        raise TypeError(f"a {kind} is taken, not {type(value).__name__}{_HINTS.get(kind, '')}")
    return value._open


def made(handle: object, kind: str) -> Handle:
    """What the library made, for an object of that class, which nobody makes otherwise."""
    if not isinstance(handle, Handle):
        raise TypeError(f"nobody makes a {kind} of {type(handle).__name__}{_HINTS[kind]}")
    return handle


# ---- progress -------------------------------------------------------------

Progress = Callable[[int, int], object]


class Reporter:
    """Runs the library in another thread, so that Python goes on answering signals here.

    Progress is told here, too. An exception, of its or of a signal's (Ctrl-C), stops the
    library and is passed on. What is @short and tells no progress is not worth a thread.
    """

    def __init__(self, progress: Progress | None, *, short: bool = False) -> None:
        self._progress = progress
        self._news: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        self._stop = False
        self._direct = short and progress is None
        self.callback = XRNPE_PROGRESS(0) if self._direct else XRNPE_PROGRESS(self._report)

    def _report(self, data: object, done: int, total: int) -> int:
        if self._progress:
            self._news.put((done, total))
        return self._stop

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        """call() of a function that is given the callback."""
        if self._direct:
            return call(function, *arguments)
        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(call, function, *arguments)
            job.add_done_callback(lambda job: self._news.put(None))
            try:
                while (step := self._news.get()) is not None:
                    if self._progress:
                        self._progress(*step)
            except BaseException:
                self._stop = True
                raise
            job.result()
