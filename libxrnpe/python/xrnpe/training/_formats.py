# SPDX-License-Identifier: MIT
"""Formats of layers: of a model, and as files, which `xrnpe compile` reads and writes, too."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._info import Format, Place
from .._model import Model


def formats_text(weight: Format, first: Format, *others: Format) -> str:
    """Of a layer's weights and of each of its inputs."""
    return f"{weight}/{first}" + "".join(f"+{other}" for other in others if other is not first)


def formats_of(model: Model) -> dict[str | None, str]:
    """The formats of a model's layers that have a choice, as compile() and Network() take them."""
    return {layer.name: formats_text(layer.weight_format, layer.format, layer.added_format)
            for layer in model.layers
            if layer.place is Place.DEVICE and max(layer.input_error) >= 0}


def read_formats(file: str) -> dict[str | None, str]:
    """Lines of LAYER=WEIGHT/INPUT+ADDED, or without LAYER= for all other layers.

    A # that begins a line, or is behind a space, begins a comment.
    """
    found: dict[str | None, str] = {}
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            layer, equals, text = re.split(r"(?:^|[ \t])#", line)[0].strip().rpartition("=")
            if text:
                found[layer if equals else None] = text
    return found


def write_formats(formats: Mapping[Any, str], file: str) -> None:
    """Write such a file."""
    with open(file, "w", encoding="utf-8") as lines:
        for layer, text in formats.items():
            lines.write(f"{layer}={text}\n" if layer is not None else f"{text}\n")
