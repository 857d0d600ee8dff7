# SPDX-License-Identifier: MIT
"""TensorFlow Lite's own implementation, in binary32 on the CPU, by its C interface."""
import ctypes
import os
import platform

import numpy as np

import npm

# It carries the library for the common hosts.
PACKAGE = (
    "tfjs-tflite-node@0.0.2",
    "sha512-Zed9biOz9lkWsekvPwdEmxXnsjXJnZO8iOV0s2Y20QU15cwiPedzFEBYiGbK7smYpkJpQNNY9SukoKmUi9bk9w==")
FOLDERS = {"x86_64": "linux_amd64", "aarch64": "linux_arm64"}
TYPES = {1: np.float32, 2: np.int32, 4: np.int64, 6: np.bool_}      # TfLiteType
POINTER, INT = ctypes.c_void_p, ctypes.c_int32
FUNCTIONS = {
    "ModelCreateFromFile": (POINTER, ctypes.c_char_p),
    "ModelDelete": (None, POINTER),
    "InterpreterOptionsCreate": (POINTER,),
    "InterpreterOptionsSetNumThreads": (None, POINTER, INT),
    "InterpreterOptionsDelete": (None, POINTER),
    "InterpreterCreate": (POINTER, POINTER, POINTER),
    "InterpreterDelete": (None, POINTER),
    "InterpreterAllocateTensors": (INT, POINTER),
    "InterpreterInvoke": (INT, POINTER),
    "InterpreterGetInputTensorCount": (INT, POINTER),
    "InterpreterGetInputTensor": (POINTER, POINTER, INT),
    "InterpreterGetOutputTensorCount": (INT, POINTER),
    "InterpreterGetOutputTensor": (POINTER, POINTER, INT),
    "TensorName": (ctypes.c_char_p, POINTER),
    "TensorType": (INT, POINTER),
    "TensorNumDims": (INT, POINTER),
    "TensorDim": (INT, POINTER, INT),
    "TensorData": (POINTER, POINTER),
    "TensorByteSize": (ctypes.c_size_t, POINTER),
}


class Refused(Exception):
    """A model that it does not take."""


class Library:
    def __init__(self):
        folder = FOLDERS.get(platform.machine())
        if not folder:
            raise npm.Failed(f"{PACKAGE[0]} has no library for {platform.machine()}")
        library = ctypes.CDLL(os.path.join(npm.unpacked(*PACKAGE), "cc_deps", folder,
                                           "libtensorflowlite_c.so"))
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(library, "TfLite" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def array(self, tensor):
        """Of the tensor's own memory."""
        shape = [self.TensorDim(tensor, i) for i in range(self.TensorNumDims(tensor))]
        size = self.TensorByteSize(tensor)
        memory = (ctypes.c_char * size).from_address(self.TensorData(tensor))
        return np.frombuffer(memory, TYPES[self.TensorType(tensor)]).reshape(shape)


class Model:
    """Use it with "with"."""

    def __init__(self, path):
        self.library = lite = Library()
        self.model = lite.ModelCreateFromFile(os.fsencode(path))
        if not self.model:
            raise Refused(f"{path}: TensorFlow Lite does not read it")
        options = lite.InterpreterOptionsCreate()
        lite.InterpreterOptionsSetNumThreads(options, 1)
        self.interpreter = lite.InterpreterCreate(self.model, options)
        lite.InterpreterOptionsDelete(options)
        if not self.interpreter or lite.InterpreterAllocateTensors(self.interpreter):
            self.close()
            raise Refused(f"{path}: TensorFlow Lite does not take it")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.interpreter:
            self.library.InterpreterDelete(self.interpreter)
        self.library.ModelDelete(self.model)

    def inputs(self):
        """Arrays that hold them, in the file's order."""
        count = self.library.InterpreterGetInputTensorCount(self.interpreter)
        return [self.library.array(self.library.InterpreterGetInputTensor(self.interpreter, i))
                for i in range(count)]

    def run(self, *values):
        """Outputs by name, in the file's order."""
        for array, value in zip(self.inputs(), values, strict=True):
            array[...] = value
        if self.library.InterpreterInvoke(self.interpreter):
            raise Refused("TensorFlow Lite does not run it")
        tensors = [self.library.InterpreterGetOutputTensor(self.interpreter, i) for i in
                   range(self.library.InterpreterGetOutputTensorCount(self.interpreter))]
        return {self.library.TensorName(t).decode(): self.library.array(t).copy() for t in tensors}
