# SPDX-License-Identifier: MIT
"""Networks run by others' implementations, in a process of node."""
import json
import os
import subprocess
import tempfile

import numpy as np

import npm

FOLDER = os.path.dirname(os.path.realpath(__file__))
ONNXRUNTIME = "onnxruntime-node@1.30.0"


def run(script, search, model, inputs):
    """Arrays by name through SCRIPT, which reads and writes a file for each."""
    with tempfile.TemporaryDirectory() as work:
        listing = []
        for i, (name, array) in enumerate(inputs.items()):
            listing.append({"name": name, "type": str(array.dtype), "shape": array.shape})
            array.tofile(os.path.join(work, f"input{i}"))
        with open(os.path.join(work, "inputs.json"), "w") as f:
            json.dump(listing, f)
        done = subprocess.run(["node", os.path.join(FOLDER, script), model, work],
                              env={**os.environ, "NODE_PATH": search}, capture_output=True,
                              text=True)
        if done.returncode:
            raise npm.Failed(f"{script}: {done.stderr.strip()}")
        with open(os.path.join(work, "outputs.json")) as f:
            listing = json.load(f)
        return {o["name"]: np.fromfile(os.path.join(work, f"output{i}"), o["type"])
                .reshape(o["shape"]) for i, o in enumerate(listing)}


def onnxruntime(model, inputs):
    """The outputs of an ONNX file by ONNX Runtime, in binary32 on the CPU."""
    search = os.path.join(npm.installed(ONNXRUNTIME), "node_modules")
    return run("onnxruntime.js", search, model, inputs)
