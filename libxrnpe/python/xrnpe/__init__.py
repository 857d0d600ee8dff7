# SPDX-License-Identifier: MIT
"""Neural networks on an XR-NPE co-processor, or on its emulator: libxrnpe with NumPy arrays.

    import numpy, xrnpe

    with xrnpe.Graph.load("net.onnx") as graph:
        model = xrnpe.compile(graph, numpy.load("calibration.npy"), budget="1%")
    with xrnpe.Device("emu") as device, xrnpe.Session(device, model) as session:
        outputs = session.run(numpy.load("images.npy"))     # arrays by name

What the library cannot do raises Error; wrong arguments TypeError or ValueError. Objects
keep alive what they were made from, and are freed when closed or no longer referenced.
The library is libxrnpe.so.0, or the file that the environment variable XRNPE_LIBRARY names.
"""
from ._buffer import Buffer
from ._graph import Graph, compile, operators
from ._info import (ByteInput, Cost, Counters, DeviceInfo, Fault, Footprint, Format, LayerInfo,
                    LayerProfile, Operand, OperatorInfo, Place, Prediction, Priority,
                    Quality, Result, Task, TensorInfo, Trial, Type)
from ._library import VERSION as __version__
from ._library import Error
from ._model import Model
from ._numbers import fit_scales, fit_weights, quantize
from ._session import Device, Request, Session, wait_any

__all__ = ["Buffer", "ByteInput", "Cost", "Counters", "Device", "DeviceInfo", "Error", "Fault",
           "Footprint", "Format", "Graph", "LayerInfo", "LayerProfile", "Model", "Operand",
           "OperatorInfo", "Place", "Prediction", "Priority", "Quality", "Request",
           "Result", "Session", "Task", "TensorInfo", "Trial", "Type", "__version__", "compile",
           "fit_scales", "fit_weights", "operators", "quantize", "wait_any"]
