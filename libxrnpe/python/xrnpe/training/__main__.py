# SPDX-License-Identifier: MIT
"""Fine-tune a network for the device's formats.

It learns to do in narrow formats what it does in binary32, on inputs without labels, or to
classify, with them. What is written is an ONNX file whose weights and scales `xrnpe compile`
takes as they are, and the formats that it was trained for.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

import numpy
import torch

from .. import Error, Graph, compile
from .._tensors import Floats, read_inputs
from ._formats import formats_of, read_formats, write_formats
from ._network import Mode, Network
from ._train import RATE, RATE_WITH_LABELS, Data, Options, Score, Trainer

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
    p.add_argument("--labels", metavar="FILE", help="classes of the inputs, a .npy file; without, "
                   "the network learns to give what it gives in binary32")
    p.add_argument("--formats", metavar="FILE",
                   help="formats of layers, as `xrnpe compile --save-formats` writes them")
    p.add_argument("--budget", help="else these are chosen by the compiler within this budget")
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="the trained ONNX file")
    p.add_argument("--save-formats", metavar="FILE", help="write the formats")
    p.add_argument("--checkpoint", metavar="FILE", help="kept up to date; if it is there, "
                   "training goes on from it")
    p.add_argument("--epochs", metavar="N", type=int, default=Options.epochs,
                   help="how often all inputs are gone through; %(default)s")
    p.add_argument("--batch", metavar="N", type=int, default=Options.batch,
                   help="inputs of a step; %(default)s")
    p.add_argument("--rate", type=float, help="of learning, at first; "
                   f"{RATE_WITH_LABELS} with labels, {RATE} without")
    p.add_argument("--seed", metavar="N", type=int, default=Options.seed,
                   help="of the order of inputs, and of what varies them")
    p.add_argument("--mirror", action="store_true", help="mirror half of the images")
    p.add_argument("--shift", type=int, metavar="N", default=0,
                   help="shift images by up to N lines and pixels")
    p.add_argument("--held-out", type=int, metavar="N",
                   help="the last N inputs are not trained on, but choose the best epoch; "
                   "a tenth, if not given")
    p.add_argument("--device", metavar="NAME", default=Options.device,
                   help="where to train, as PyTorch names it, as in cuda; %(default)s")
    p.add_argument("--json", action="store_true", help="the results as JSON on standard output")
    return p.parse_args(arguments)


def _load(file: str) -> Any:
    """An array, or those of an archive by their names."""
    try:
        content = numpy.load(file)
    except (ValueError, EOFError):
        raise ValueError(f"{file}: is no .npy or .npz file") from None
    return dict(content) if isinstance(content, numpy.lib.npyio.NpzFile) else content


def _check(file: str, name: str, array: Floats) -> None:
    bad = numpy.flatnonzero(~numpy.isfinite(array.reshape(len(array), -1)).all(1))
    if len(bad):
        raise ValueError(f"{file}: of {name}, input {bad[0]} has a NaN or an infinity")


def _read_arrays(graph: Graph, files: list[str]) -> dict[str, Floats]:
    """The arrays of all inputs."""
    found: dict[str, Any] = {}
    for file in files:
        name, equals, path = file.partition("=")
        content = _load(path if equals else file)
        if isinstance(content, dict):
            found.update(content)
        else:
            found[name if equals else graph.inputs[0].name] = content
    where = " and ".join(files)
    try:
        arrays, count = read_inputs(graph.inputs, found)
    except (TypeError, ValueError) as e:
        raise ValueError(f"{where}: {e}") from None
    if count is None:
        raise ValueError(f"{where}: inputs are one, where many are wanted")
    for info, array in zip(graph.inputs, arrays):
        _check(where, info.name, array)
    return {info.name: array for info, array in zip(graph.inputs, arrays)}


def _read_labels(graph: Graph, file: str, count: int) -> Any:
    labels = _load(file)
    if isinstance(labels, dict):
        if len(labels) != 1:
            raise ValueError(f"{file}: holds {', '.join(labels)}, where one array is wanted")
        labels, = labels.values()
    classes = graph.outputs[0].shape[-1]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(f"{file}: holds no class for each of {count} inputs, but "
                         f"{labels.dtype} of {' x '.join(map(str, labels.shape)) or 'no'} elements")
    if len(graph.outputs) != 1 or not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"{file}: the network has no one output of classes {labels.min()} to "
                         f"{labels.max()}")
    return labels


def _read_data(graph: Graph, options: argparse.Namespace) -> Data:
    data = Data(_read_arrays(graph, options.data))
    if (options.mirror or options.shift) and any(x.ndim != 4 for x in data.inputs.values()):
        raise ValueError("--mirror and --shift are for images, which are of three dimensions each")
    if options.labels:
        data = Data(data.inputs, _read_labels(graph, options.labels, len(data)))
    return data


def _check_device(name: str) -> None:
    try:
        torch.zeros(1).to(name)
    except (AssertionError, RuntimeError) as e:
        raise ValueError(f"--device {name}: {str(e).splitlines()[0]}") from None


def _train(trainer: Trainer, held: Data, options: argparse.Namespace) -> dict[str, Any]:
    """Train, and tell how good the network was and is, on what is held out."""
    binary32, before = trainer.score_teacher(held), trainer.score(held)
    _say(f"held out, in binary32: {binary32.text}, rounded: {before.text}")
    trainer.keep(before)
    if options.checkpoint and os.path.exists(options.checkpoint):
        trainer.load(options.checkpoint)
    epochs = []
    while trainer.epoch < options.epochs:
        epoch = _Epoch(trainer, options)
        trainer.train(epoch)
        epochs.append(trainer.score(held))
        epoch.end(epochs[-1])
    trainer.take_best()
    exact = trainer.score(held, Mode.EXACT)
    _say(f"held out, with the device's bits: {exact.text}")
    return {"measure": "error" if held.labels is None else "wrong", "held_out": len(held),
            "binary32": binary32.loss, "rounded": before.loss,
            "epochs": [score.loss for score in epochs], "exact": exact.loss}


def main(arguments: list[str] | None = None) -> None:
    options = _arguments(arguments)
    _check_device(options.device)
    # Else GPUs round what a convolution multiplies to 11 bits; Posit(16,1) has up to 13.
    torch.backends.cudnn.allow_tf32 = False
    for file in (options.output, options.save_formats, options.checkpoint):
        folder = os.path.dirname(file or "") or "."
        if not os.path.isdir(folder):
            raise ValueError(f"{file}: there is no folder {folder}")
    graph = Graph.load(options.model)
    data = _read_data(graph, options)
    count = len(data) // 10 if options.held_out is None else options.held_out
    if not 0 < count < len(data):
        raise ValueError(f"of {len(data)} inputs, {count} cannot be held out")
    if options.batch < 1 or options.epochs < 0 or options.shift < 0:
        raise ValueError("--batch is at least 1, --epochs and --shift are not negative")
    held, data = data.part(slice(len(data) - count, None)), data.part(slice(len(data) - count))
    formats = read_formats(options.formats) if options.formats else \
        formats_of(compile(graph, data.typical, budget=options.budget, note=_say))
    network = Network(graph, formats, data.typical)
    how = Options(options.epochs, min(options.batch, len(data)), options.rate, options.seed,
                  options.mirror, options.shift, options.device)
    results = _train(Trainer(network, data, how), held, options)
    network.export(options.output)
    if options.save_formats:
        write_formats(network.formats(), options.save_formats)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    try:
        main()
    except (Error, OSError, TypeError, ValueError) as e:
        sys.exit(f"qat: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
