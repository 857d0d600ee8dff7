# SPDX-License-Identifier: MIT
"""Networks run by others' implementations, in a process of node."""
import json
import os
import subprocess
import tempfile

import numpy as np

import npm

FOLDER = os.path.dirname(os.path.realpath(__file__))
TFJS = (
    "@tensorflow/tfjs@4.22.0",
    "sha512-0TrIrXs6/b7FLhLVNmfh8Sah6JgjBPH4mZ8JGb7NU6WW+cx00qK5BcAZxw7NCzxj6N8MRAIfHq+oNbPUNG5VAg==")


def node(script, *arguments, search=""):
    """Runs SCRIPT of this folder; SEARCH is where it finds packages."""
    done = subprocess.run(["node", os.path.join(FOLDER, script), *arguments],
                          env={**os.environ, "NODE_PATH": search}, capture_output=True, text=True)
    if done.returncode:
        raise npm.Failed(f"{script}: {done.stderr.strip()}")


def run(script, search, model, inputs):
    """Arrays by name through SCRIPT, which reads and writes a file for each."""
    with tempfile.TemporaryDirectory() as work:
        listing = []
        for i, (name, array) in enumerate(inputs.items()):
            listing.append({"name": name, "type": str(array.dtype), "shape": array.shape})
            array.tofile(os.path.join(work, f"input{i}"))
        with open(os.path.join(work, "inputs.json"), "w") as f:
            json.dump(listing, f)
        node(script, model, work, search=search)
        with open(os.path.join(work, "outputs.json")) as f:
            listing = json.load(f)
        return {o["name"]: np.fromfile(os.path.join(work, f"output{i}"), o["type"])
                .reshape(o["shape"]) for i, o in enumerate(listing)}


def onnxruntime(model, inputs):
    """The outputs of an ONNX file by ONNX Runtime, in binary32 on the CPU."""
    search = os.path.join(npm.installed(npm.ONNXRUNTIME), "node_modules")
    return run("onnxruntime.js", search, model, inputs)


def in_parts(model, inputs, count):
    """The same, COUNT inputs at a time."""
    whole = len(next(iter(inputs.values())))
    parts = [onnxruntime(model, {k: v[i:i + count] for k, v in inputs.items()})
             for i in range(0, whole, count)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def tfjs(model, inputs):
    """The outputs of a graph model by TensorFlow.js, in binary32 on the CPU."""
    return run("tfjs.js", npm.unpacked(*TFJS), model, inputs)


def faceapi(package, manifest, inputs):
    """The output of a network by face-api, whose PACKAGE lies in that folder."""
    return run("faceapi.js", os.pathsep.join([npm.unpacked(*TFJS), package]), manifest, inputs)
