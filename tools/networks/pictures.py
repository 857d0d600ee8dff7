# SPDX-License-Identifier: MIT
"""Inputs that are like what networks see: parts of a photograph."""
import os

import numpy as np
from onnx import TensorProto
from PIL import Image

import npm
from networks import HUMAN

PHOTOGRAPH = "assets/samples.jpg"
SMALLEST = 100                  # pixels of the photograph a side


def crops(count, height, width):
    """COUNT parts of any place and size, RGB, count x height x width x 3 of 0 to 1."""
    rng = np.random.default_rng(0)
    photograph = Image.open(os.path.join(npm.unpacked(*HUMAN), PHOTOGRAPH)).convert("RGB")
    made = []
    for _ in range(count):
        scale = rng.uniform(SMALLEST, min(photograph.size)) / max(height, width)
        w, h = scale * width, scale * height
        x, y = (rng.uniform(0, n - m) for n, m in zip(photograph.size, (w, h)))
        part = photograph.resize((width, height), Image.Resampling.BILINEAR, (x, y, x + w, y + h))
        made.append(np.asarray(part, np.float32) / 255)
    return np.stack(made)


def inputs(model, pixels, count):
    """For an ONNX model with one image as input; PIXELS: their least and largest value."""
    info = model.graph.input[0].type.tensor_type
    shape = [d.dim_value for d in info.shape.dim][1:]
    first = shape[0] in (1, 3)
    height, width = shape[1:] if first else shape[:2]
    images = crops(count, height, width)
    if shape[0 if first else 2] == 1:
        images = images.mean(3, keepdims=True)
    images = images * (pixels[1] - pixels[0]) + pixels[0]
    if first:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images.astype(np.float32 if info.elem_type == TensorProto.FLOAT else np.int32)
