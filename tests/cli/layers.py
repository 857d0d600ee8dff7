# SPDX-License-Identifier: MIT
"""What layers write, beside the reference."""
import array
import json
import os
import re

from command import fails, misused, result, succeeds
from files import ONNX, SHAPE, images, read_npy, write, write_npy, write_sum


def relative(values, exact):
    """Relative error of two files' elements."""
    values, exact = (array.array("f", data) for data in (values, exact))
    off = sum((a - b) ** 2 for a, b in zip(values, exact))
    return (off / sum(b * b for b in exact)) ** 0.5


def check_layers():
    write_npy("three.npy", (3, *SHAPE), images(8, 3))
    run = ("run", "m.xrnpe", "-i", "three.npy")
    plain = json.loads(succeeds("run the first two", *run, "-n", "2", "-o", "plain.npy", "--json"))
    got = json.loads(succeeds("with all layers", *run, "-n", "2", "--dump", "layers", "--reference",
                              ONNX, "--json"))
    layers = got["layers"]
    model = json.loads(succeeds("the model's layers", "info", "m.xrnpe", "--json"))["layers"]
    result(got["sha256"] == plain["sha256"], "the same bits", got["sha256"], plain["sha256"])
    result([layer["name"] for layer in layers] == [layer["name"] for layer in model],
           "all layers are there", layers)
    result(sorted(os.listdir("layers")) == sorted(
        os.path.basename(layer[key]) for layer in layers for key in ("file", "reference_file")),
        "a file for each, and one for the reference", os.listdir("layers"))
    for layer in layers:
        shape, data = read_npy(layer["file"])
        exact_shape, exact = read_npy(layer["reference_file"])
        result(shape == exact_shape == (2, *layer["shape"][1:]) and
               abs(relative(data, exact) - layer["error"]) < 1e-4 * max(layer["error"], 1e-4) and
               layer["error"] < 0.5 and layer["nans"] == 0 and
               abs(max(map(abs, array.array("f", data))) - layer["largest"]) < 1e-6 * layer["largest"],
               f"{layer['name']} is near the reference", layer, shape)
    result(read_npy(layers[-1]["file"])[1] == read_npy("plain.npy")[1],
           "the last layer is the output")

    text = succeeds("as text, of one input", *run, "--layers", layers[1]["name"])
    row = text.splitlines()[1]
    result(text.startswith("layer ") and row.startswith(layers[1]["name"]) and
           row.split()[-1] == "-" and "images    1 in" in text, "a table without a reference", text)
    some = json.loads(succeeds("two layers, one file each", *run, "--dump", "some", "--layers",
                               f"{layers[0]['name']},{layers[2]['name']}", "--json"))["layers"]
    result(len(some) == len(os.listdir("some")) == 2 and "error" not in some[0], "no others", some)
    result(re.fullmatch(r"some/002-\w[^/]*\.npy", some[1]["file"]), "with its number", some[1])
    fails("no such layer", "--layers: there is no layer x", *run, "--layers", "x")
    write_sum("other.onnx", 8)
    fails("a reference that is another network", "its input left is not one of the model's",
          *run, "--reference", "other.onnx")
    misused("a reference that is a model", "--reference is no network: m.xrnpe", *run, "--reference",
            "m.xrnpe")
    fails("no such reference", "none.onnx: cannot open", *run, "--reference", "none.onnx")
    write("file", b"")
    fails("a file for a folder", "file: cannot make the folder", *run, "--dump", "file")
    misused("layers of a network", "are for compiled models", "run", ONNX, "-i", "three.npy",
            "--dump", "layers")
