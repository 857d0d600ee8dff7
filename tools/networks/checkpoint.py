# SPDX-License-Identifier: MIT
"""Tensors of a PyTorch checkpoint, without PyTorch.

Both layouts of torch.save: a zip archive with a pickle and a file a storage (since
1.6), and before that a sequence of pickles with the storages behind it. Only what a
state dict consists of is unpickled; no other code can be named by a file.
"""
import collections
import io
import pickle
import zipfile

import numpy as np

STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2",
            "LongStorage": "<i8", "IntStorage": "<i4", "ByteStorage": "u1", "BoolStorage": "?"}
HEADERS = 3                     # magic, protocol and machine, before an old checkpoint's object
MAGIC = 0x1950a86a20f9469cfc6c


class Storage:
    def __init__(self, dtype, count):
        self.dtype, self.count, self.data = np.dtype(dtype), count, None

    def fill(self, data):
        if len(data) != self.count * self.dtype.itemsize:
            raise ValueError(f"a storage holds {len(data)} bytes instead of "
                             f"{self.count * self.dtype.itemsize}")
        self.data = np.frombuffer(data, self.dtype)


class Tensor(collections.namedtuple("Tensor", "storage offset shape strides")):
    def array(self):
        data = self.storage.data
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides))
        if 0 in self.shape or not 0 <= last < len(data) or min((0, *self.strides)) < 0:
            raise ValueError(f"a tensor of {self.shape} lies outside its storage")
        strides = [s * data.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(data[self.offset:], self.shape, strides).copy()


class Unpickler(pickle.Unpickler):
    def __init__(self, file, storages):
        super().__init__(file, encoding="utf-8")
        self.storages = storages

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: Tensor(storage, offset, shape,
                                                                      strides)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a state dict")

    def persistent_load(self, identity):
        kind, dtype, key, _, count, *_ = identity
        if kind != "storage":
            raise pickle.UnpicklingError(f"unknown kind of object '{kind}'")
        return self.storages.setdefault(key, Storage(dtype, count))


def read_zip(file):
    with zipfile.ZipFile(file) as archive:
        folder = next(n for n in archive.namelist() if n.endswith("data.pkl"))[:-len("data.pkl")]
        storages = {}
        found = Unpickler(io.BytesIO(archive.read(folder + "data.pkl")), storages).load()
        for key, storage in storages.items():
            storage.fill(archive.read(f"{folder}data/{key}"))
    return found


def read_sequence(file):
    storages = {}
    if Unpickler(file, storages).load() != MAGIC:
        raise ValueError("not a checkpoint")
    for _ in range(HEADERS - 1):
        Unpickler(file, storages).load()
    found = Unpickler(file, storages).load()
    for key in Unpickler(file, {}).load():
        count = int.from_bytes(file.read(8), "little")
        if key not in storages or count != storages[key].count:
            raise ValueError(f"storage {key} is not what the tensors say")
        storages[key].fill(file.read(count * storages[key].dtype.itemsize))
    return found


def read_checkpoint(path, prefix=""):
    """The state dict in the file: names, less PREFIX, to arrays. Raises ValueError."""
    try:
        with open(path, "rb") as file:
            read = read_zip if zipfile.is_zipfile(file) else read_sequence
            file.seek(0)
            found = read(file)
        found = found.get("state_dict", found)
        return {name.removeprefix(prefix): tensor.array() for name, tensor in found.items()}
    except (ValueError, TypeError, AttributeError, KeyError, StopIteration, EOFError,
            pickle.UnpicklingError) as e:
        raise ValueError(f"{path}: {e}") from e
