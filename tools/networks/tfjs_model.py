# SPDX-License-Identifier: MIT
"""A graph model of TensorFlow.js: model.json and the weights beside it."""
import base64
import collections
import json
import os

import numpy as np

DTYPES = {"float32": np.float32, "int32": np.int32, "bool": np.bool_, "uint8": np.uint8,
          "uint16": np.uint16, "float16": np.float16}


class Node(collections.namedtuple("Node", "name operator inputs attributes")):
    """Inputs are names of nodes, behind a colon the output if it is not the first."""

    def get(self, key, default=None):
        """An attribute as a number, a text, a list of them, or the name of a type."""
        value = self.attributes.get(key)
        if value is None:
            return default
        (kind, value), = value.items() or [("list", {})]
        if kind == "list":
            (kind, values), = value.items() or [("i", [])]
            return [plain(kind, v) for v in values]
        return plain(kind, value)


def plain(kind, value):
    if kind == "s":
        return base64.b64decode(value).decode()
    if kind == "i":
        return int(value)
    if kind == "shape":
        return [int(d.get("size", 0)) for d in value.get("dim", [])]
    return value


def whole(name):
    """An input's name in full: node:output. "^name" is a wish about the order alone."""
    name, _, output = name.partition(":")
    return f"{name}:{output or 0}"


def dequantized(entry, data):
    how = entry.get("quantization")
    array = np.frombuffer(data, DTYPES[how["dtype"] if how else entry["dtype"]])
    if how and "scale" in how:
        array = array * np.float64(how["scale"]) + np.float64(how["min"])
    return array.astype(DTYPES[entry["dtype"]]).reshape(entry["shape"])


def read_weights(manifest, folder):
    weights = {}
    for group in manifest:
        data, offset = b"", 0
        for path in group["paths"]:
            with open(os.path.join(folder, path), "rb") as f:
                data += f.read()
        for entry in group["weights"]:
            kind = entry.get("quantization", {}).get("dtype", entry["dtype"])
            if kind not in DTYPES:
                raise ValueError(f"weight {entry['name']} is of type {kind}")
            size = np.dtype(DTYPES[kind]).itemsize * int(np.prod(entry["shape"], dtype=np.int64))
            if offset + size > len(data):
                raise ValueError(f"weight {entry['name']} lies behind the end of the file")
            weights[entry["name"]] = dequantized(entry, data[offset:offset + size])
            offset += size
    return weights


def output_names(model, nodes):
    """Nodes by the names of the signature, else those that no other node reads."""
    signature = model.get("signature") or model.get("userDefinedMetadata", {}).get("signature")
    if signature:
        return {key.removesuffix(":0"): o["name"] for key, o in signature["outputs"].items()}
    read = {whole(i) for n in nodes.values() for i in n.inputs}
    return {n: n for n in nodes if f"{n}:0" not in read}


def read_model(path):
    """Nodes, weights, and nodes of the outputs, each by name. Raises ValueError."""
    try:
        with open(path) as f:
            model = json.load(f)
        nodes = {n["name"]: Node(n["name"], n["op"],
                                 [i for i in n.get("input", []) if not i.startswith("^")],
                                 n.get("attr", {})) for n in model["modelTopology"]["node"]}
        weights = read_weights(model["weightsManifest"], os.path.dirname(path))
    except KeyError as e:
        raise ValueError(f"{path}: not a graph model, it has no {e}") from e
    except (TypeError, ValueError) as e:
        raise ValueError(f"{path}: {e}") from e
    return nodes, weights, output_names(model, nodes)
