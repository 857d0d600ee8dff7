# SPDX-License-Identifier: MIT
"""Files that the program reads and writes: .npy, .npz, ONNX, .xrnpe."""
import array
import os
import random
import re
import struct
import zipfile
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
ONNX = os.path.join(TOP, "models/fashion-resnet.onnx")
SHAPE = (1, 28, 28)
# Sections of a .xrnpe file, as Documentation/model-format.rst describes them.
POINT_SECTION, COMMAND_SECTION, CONSTANT_SECTION = 1, 3, 10
# Of a command record: where its operands start (ifm, ifm2, weight, scale, ofm), and their size.
OPERANDS, OPERAND_BYTES = 24, 24
RECORD = 192            # bytes of it


def write(name, data):
    with open(name, "wb") as f:
        f.write(data)
    return name


def read(name):
    with open(name, "rb") as f:
        return f.read()


def write_npy(name, shape, values, typecode="f", descr="<f4"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)}, }}\n"
    return write(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) +
                 header.encode() + array.array(typecode, values).tobytes())


def write_npz(name, packing=zipfile.ZIP_STORED, **files):
    """An archive of .npy files, given by name and file."""
    with zipfile.ZipFile(name, "w", packing) as archive:
        for name_of, file in files.items():
            archive.write(file, name_of + ".npy")
    return name


def field(number, value):
    """Of a protobuf message: an integer, or bytes or text with their length."""
    if isinstance(value, int):
        return bytes((number << 3, value))
    value = value.encode() if isinstance(value, str) else value
    return bytes((number << 3 | 2, len(value))) + value


def write_sum(name, size, op="Add", right=b""):
    """An ONNX model of 1 x @size: sum = left + right, or another @op of two; @right: a constant's
    binary32 numbers, as many, or the file that has them. Numbers are ONNX's of its fields."""
    shape = b"".join(field(1, field(1, n)) for n in (1, size))
    kind = field(2, field(1, field(1, 1) + field(2, shape)))
    node = field(1, "left") + field(1, "right") + field(2, "sum") + field(4, op)
    data = field(9, right) if isinstance(right, bytes) else (
        field(13, field(1, "location") + field(2, right)) + field(14, 1))
    constant = field(1, 1) + field(1, size) + field(2, 1) + field(8, "right") + data
    graph = field(1, node) + field(2, "g") + (field(5, constant) if right else b"") + b"".join(
        field(number, field(1, tensor) + kind)
        for number, tensor in ((11, "left"), (11, "right"), (12, "sum"))
        if not (right and tensor == "right"))
    return write(name, field(1, 8) + field(7, graph) + field(8, field(2, 13)))


def read_npy(name):
    return parse_npy(read(name))


def parse_npy(data):
    """(shape, bytes of the elements) of a .npy file of version 1 and float32."""
    start = 10 + struct.unpack_from("<H", data, 8)[0]
    shape = re.search(rb"'shape': \(([\d, ]*)\)", data[:start]).group(1)
    return tuple(int(n) for n in shape.split(b",") if n.strip()), data[start:]


def images(seed, n):
    rng = random.Random(seed)
    return [rng.uniform(-1, 2) for _ in range(n * 28 * 28)]


def sections(data):
    """[(offset, size)] of the sections of a .xrnpe file."""
    return [struct.unpack_from("<QQ", data, 32 + 24 * i)
            for i in range(struct.unpack_from("<I", data, 24)[0])]


def sign(data):
    """The file with all its checksums right."""
    data = bytearray(data)
    table = sections(data)
    for i, (offset, size) in enumerate(table):
        struct.pack_into("<I", data, 32 + 24 * i + 16, zlib.crc32(data[offset:offset + size]))
    struct.pack_into("<I", data, 12, 0)
    struct.pack_into("<I", data, 12, zlib.crc32(data[:32 + 24 * len(table)]))
    return bytes(data)


def forge(data, section, at, form, value):
    data = bytearray(data)
    struct.pack_into(form, data, sections(data)[section][0] + at, value)
    return sign(data)
