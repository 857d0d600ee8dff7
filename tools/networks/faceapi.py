# SPDX-License-Identifier: MIT
"""Networks of face-api, of which only weights are in files; it has their layers in its code.

Their weights' names say of what kind a convolution is: filters, or one filter a channel
and then a sum of channels. Pixels come as 0 to 255, RGB, with channels last."""
import json
import os

import numpy as np

from graph import Graph
from tfjs_model import read_weights
from tfjs_windows import same_padding

OPSET = 13
SLOPE = 0.1
KINDS = "filters", "depthwise_filter"


class Network(Graph):
    def __init__(self, name, weights):
        super().__init__(name, OPSET)
        self.weights = weights

    def pixels(self, side, mean):
        x = self.input("image", ["N", side, side, 3])
        x = self.node("Sub", [x, self.constant("mean", np.array(mean, np.float32))], "centred")
        x = self.node("Div", [x, self.constant("range", np.float32(255))], "normalised")
        return self.node("Transpose", [x], "channels_first", perm=[0, 3, 1, 2])

    def conv(self, x, name, stride=1, pads=None):
        """PADS: by default such that the size is kept, or divided by STRIDE."""
        kind = next(k for k in KINDS if f"{name}/{k}" in self.weights)
        separable = kind != "filters"
        array = self.weights[f"{name}/{kind}"].transpose(*((2, 3) if separable else (3, 2)), 0, 1)
        filters = self.constant(f"{name}/{kind}", array)
        bias = self.constant(f"{name}/bias", self.weights[f"{name}/bias"])
        how = self.window(x, array.shape[2:], stride, pads)
        if not separable:
            return self.node("Conv", [x, filters, bias], name, **how)
        x = self.node("Conv", [x, filters], f"{name}/depthwise", group=len(array), **how)
        array = self.weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)
        filters = self.constant(f"{name}/pointwise_filter", array)
        return self.node("Conv", [x, filters, bias], name, kernel_shape=[1, 1])

    def window(self, x, kernel, stride, pads):
        if pads is None:
            pads = same_padding(self.shape(x)[2:], kernel, [stride] * 2, [1, 1])
        return {"kernel_shape": list(kernel), "strides": [stride] * 2, "pads": pads}

    def relu(self, x):
        return self.node("Relu", [x], x + "/relu")

    def dense_block(self, x, name, convolutions):
        """Every convolution but the first has the sum of those before as its input."""
        x = self.relu(self.conv(x, f"{name}/conv0", 2))
        terms = [x]
        for i in range(1, convolutions):
            terms.append(self.conv(x, f"{name}/conv{i}"))
            x = self.relu(self.node("Sum", terms, f"{name}/sum{i}"))
        return x

    def classifier(self, blocks, convolutions):
        x = self.pixels(112, (122.782, 117.001, 104.298))
        for i in range(blocks):
            x = self.dense_block(x, f"dense{i}", convolutions)
        x = self.node("AveragePool", [x], "pool", kernel_shape=self.shape(x)[2:])
        x = self.node("Flatten", [x], "features")
        parts = [self.constant(n, self.weights[n]) for n in ("fc/weights", "fc/bias")]
        return self.node("Gemm", [x, *parts], "fc")

    def detector(self, convolutions, last):
        x = self.pixels(224, (117.001, 114.697, 97.404))
        for i in range(convolutions):
            x = self.conv(x, f"conv{i}", pads=[1 if i else 0] * 4)
            x = self.node("LeakyRelu", [x], x + "/leaky", alpha=SLOPE)
            how = self.window(x, (2, 2), 2 if i < convolutions - 1 else 1, None)
            x = self.node("MaxPool", [x], f"pool{i}", **how)
        return self.node("Transpose", [self.conv(x, last)], "boxes", perm=[0, 2, 3, 1])


BUILD = {
    "face_landmark_68_tiny": lambda n: n.classifier(3, 3),
    "face_expression": lambda n: n.node("Softmax", [n.classifier(4, 4)], "expression", axis=1),
    "tiny_face_detector": lambda n: n.detector(6, "conv8"),
}


def manifest_file(name, folder):
    return os.path.join(folder, "model", name + "_model-weights_manifest.json")


def graph(name, folder):
    """The network NAME of the package in FOLDER."""
    path = manifest_file(name, folder)
    with open(path) as f:
        network = Network(name, read_weights(json.load(f), os.path.dirname(path)))
    network.output(BUILD[name](network))
    return network
