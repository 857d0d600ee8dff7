# SPDX-License-Identifier: MIT
"""Fine-tune a network for the device's formats.

It learns to do in narrow formats what it does in binary32, on inputs without labels, or to
classify, with them. What is written is an ONNX file whose weights and scales `xrnpe compile`
takes as they are, and the formats that it was trained for.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any

import numpy

from .. import Error, Graph, compile
from .._tensors import Floats, read_inputs
from ._formats import formats_of, read_formats, write_formats
from ._network import Mode, Network
from ._train import Data, Options, Score, Trainer

# Typical inputs that scales are fitted to at first.
_CALIBRATION = 256
# Seconds from one checkpoint to the next.
_SAVE = 30
_CLEAR = "\r\033[K"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


class _Epoch:
    """Says how far an epoch is, on a terminal in one line, and keeps a checkpoint."""

    def __init__(self, trainer: Trainer, options: argparse.Namespace) -> None:
        self._trainer, self._checkpoint = trainer, options.checkpoint
        self._what = f"epoch {trainer.epoch + 1} of {options.epochs}"
        self._first, self._mean = trainer.step % trainer.steps, 0.0
        self._start = self._saved = time.monotonic()
        self._shows = sys.stderr.isatty()

    def __call__(self, step: int, loss: float) -> None:
        now, done = time.monotonic(), step - self._first
        self._mean += (loss - self._mean) / done
        if self._shows:
            left = (now - self._start) / done * (self._trainer.steps - step)
            print(f"{_CLEAR}{self._what}: step {step} of {self._trainer.steps}, "
                  f"loss {self._mean:.4f}, {left:.0f} s left", end="", file=sys.stderr, flush=True)
        if self._checkpoint and now - self._saved > _SAVE:
            self._trainer.save(self._checkpoint)
            self._saved = now

    def end(self, score: Score) -> None:
        self._trainer.keep(score)
        if self._checkpoint:
            self._trainer.save(self._checkpoint)
        _say(f"{_CLEAR if self._shows else ''}{self._what}: loss {self._mean:.4f}, "
             f"held out {score.text}, {time.monotonic() - self._start:.0f} s")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(prog="qat", description=__doc__.split("\n\n")[0])
    p.add_argument("model", help="ONNX file")
    p.add_argument("--data", metavar="FILE", action="append", required=True,
                   help="inputs, a .npy file: count x input shape; NAME=FILE for each of "
                   "several inputs, or an .npz file with their arrays")
    p.add_argument("--labels", metavar="FILE", help="classes of the inputs, a .npy file")
    p.add_argument("--formats", metavar="FILE",
                   help="formats of layers, as `xrnpe compile --save-formats` writes them")
    p.add_argument("--budget", help="else these are chosen by the compiler within this budget")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="the trained ONNX file")
    p.add_argument("--save-formats", metavar="FILE", help="write the formats")
    p.add_argument("--checkpoint", metavar="FILE", help="kept up to date; if it is there, "
                   "training goes on from it")
    p.add_argument("--epochs", type=int, default=Options.epochs)
    p.add_argument("--batch", type=int, default=Options.batch)
    p.add_argument("--rate", type=float, default=Options.rate, help="of learning, at first")
    p.add_argument("--seed", type=int, default=Options.seed)
    p.add_argument("--mirror", action="store_true", help="mirror half of the images")
    p.add_argument("--shift", type=int, metavar="N", default=0,
                   help="shift images by up to N lines and pixels")
    p.add_argument("--held-out", type=int, metavar="N",
                   help="the last N inputs are not trained on, but choose the best epoch; "
                   "a tenth, if not given")
    return p.parse_args(arguments)


def _read_arrays(graph: Graph, files: list[str]) -> dict[str, Floats]:
    """The arrays of all inputs."""
    found: dict[str, Any] = {}
    for file in files:
        name, equals, path = file.partition("=")
        content = numpy.load(path if equals else file)
        if isinstance(content, numpy.lib.npyio.NpzFile):
            found.update(content)
        else:
            found[name if equals else graph.inputs[0].name] = content
    arrays, count = read_inputs(graph.inputs, found)
    if count is None:
        raise ValueError("inputs are one, where many are wanted")
    return {info.name: array for info, array in zip(graph.inputs, arrays)}


def _read_data(graph: Graph, options: argparse.Namespace) -> Data:
    inputs = _read_arrays(graph, options.data)
    if not options.labels:
        return Data(inputs)
    data = Data(inputs, numpy.load(options.labels))
    assert data.labels is not None
    classes = graph.outputs[0].shape[-1]
    if data.labels.shape != (len(data),) or data.labels.dtype.kind not in "iu":
        raise ValueError(f"{options.labels}: holds no class for each of {len(data)} inputs")
    if len(graph.outputs) != 1 or not 0 <= data.labels.min() <= data.labels.max() < classes:
        raise ValueError(f"{options.labels}: the network has no one output of classes up to "
                         f"{data.labels.max()}")
    return data


def _train(trainer: Trainer, held: Data, options: argparse.Namespace) -> None:
    if options.checkpoint and os.path.exists(options.checkpoint):
        trainer.load(options.checkpoint)
    else:
        _say(f"held out, in binary32: {trainer.score(held, Mode.FLOAT).text}, "
             f"rounded: {trainer.score(held).text}")
    while trainer.epoch < options.epochs:
        epoch = _Epoch(trainer, options)
        trainer.train(epoch)
        epoch.end(trainer.score(held))
    trainer.take_best()
    _say(f"held out, with the device's bits: {trainer.score(held, Mode.EXACT).text}")


def main(arguments: list[str] | None = None) -> None:
    options = _arguments(arguments)
    graph = Graph.load(options.model)
    data = _read_data(graph, options)
    count = len(data) // 10 if options.held_out is None else options.held_out
    if not 0 < count < len(data) or options.batch < 1 or options.epochs < 0:
        raise ValueError(f"of {len(data)} inputs, {count} cannot be held out")
    held, data = data.part(slice(len(data) - count, None)), data.part(slice(len(data) - count))
    calibration = data.part(slice(_CALIBRATION)).inputs
    formats = read_formats(options.formats) if options.formats else \
        formats_of(compile(graph, calibration, budget=options.budget, note=_say))
    network = Network(graph, formats, calibration)
    how = Options(options.epochs, min(options.batch, len(data)), options.rate, options.seed,
                  options.mirror, options.shift)
    _train(Trainer(network, data, how), held, options)
    network.export(options.output)
    if options.save_formats:
        write_formats(network.formats(), options.save_formats)


if __name__ == "__main__":
    try:
        main()
    except (Error, OSError, TypeError, ValueError) as e:
        sys.exit(f"qat: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
