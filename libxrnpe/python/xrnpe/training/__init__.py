# SPDX-License-Identifier: MIT
"""Training of networks with the device's numbers, in PyTorch. Documentation/training.rst.

    from xrnpe import training

    network = training.Network(graph, training.formats_of(model), {"image": images})
    ... train network like any other module ...
    network.export("trained.onnx")
    model = xrnpe.compile(xrnpe.Graph.load("trained.onnx"), images, formats=network.formats())
"""
from ._fake import fake_quantize
from ._formats import formats_of, read_formats, write_formats
from ._network import Mode, Network, outputs_of

__all__ = ["Mode", "Network", "fake_quantize", "formats_of", "outputs_of", "read_formats",
           "write_formats"]
