# SPDX-License-Identifier: MIT
"""Fine-tuning: a network that rounds learns to do what it did in binary32."""
from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch.nn import functional

from .._tensors import Floats
from ._network import Mode, Network, outputs_of

# Share of a class that is the label's; the rest is what binary32 makes of the input.
_LABEL_SHARE = 0.5
# Typical inputs that scales are fitted to, and weights rounded for, at first.
_CALIBRATION = 256
# Probabilities below it are as small as it.
_LEAST = 1e-12
# What networks of all kinds learnt well with. Labels ask for larger steps: a network that follows
# only its own outputs is there already, but for what rounding lost.
RATE, RATE_WITH_LABELS = 1e-4, 5e-4


@dataclass(frozen=True)
class Data:
    """Inputs by name, N of each, and their classes, if they are known."""
    inputs: Mapping[str, Floats]
    labels: numpy.ndarray[Any, Any] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def part(self, which: Any) -> Data:
        return Data({name: values[which] for name, values in self.inputs.items()},
                    None if self.labels is None else self.labels[which])

    @property
    def typical(self) -> Mapping[str, Floats]:
        """Inputs to fit numbers to at first."""
        return self.part(slice(_CALIBRATION)).inputs


@dataclass(frozen=True)
class Options:
    """How to train."""
    epochs: int = 10
    batch: int = 128
    rate: float | None = None   # of learning, at first; None: what suits the data
    seed: int = 1
    mirror: bool = False        # half of the images, left to right
    shift: int = 0              # images by up to so many lines and pixels
    device: str = "cpu"         # where to train, as PyTorch names it


@dataclass(frozen=True)
class Score:
    """How good outputs are: the smaller the better."""
    loss: float
    text: str


def _norm(values: Floats) -> float:
    return float(numpy.linalg.norm(values))


def score(outputs: Mapping[str, Floats], exact: Mapping[str, Floats], data: Data) -> Score:
    """By the labels, if there are any, else by the error of the worst output."""
    if data.labels is not None:
        right = float(numpy.mean(next(iter(outputs.values())).argmax(1) == data.labels))
        return Score(1 - right, f"{right:.2%} right")
    error = max(_norm(outputs[name] - exact[name]) / max(_norm(exact[name]), 1e-30)
                for name in exact)
    return Score(error, f"error {error:.3%}")


def _augmented(images: Floats, options: Options, random: numpy.random.Generator) -> Floats:
    """Images, some mirrored, each shifted; what comes in repeats the edge. Of the last and the
    second axis the shorter one is their channels."""
    last = images.shape[3] < images.shape[1]
    first = images.transpose(0, 3, 1, 2) if last else images
    count, channels, height, width = first.shape
    across = numpy.arange(width) + random.integers(-options.shift, options.shift + 1, (count, 1))
    down = numpy.arange(height) + random.integers(-options.shift, options.shift + 1, (count, 1))
    if options.mirror:
        across = numpy.where(random.random((count, 1)) < 0.5, width - 1 - across, across)
    moved: Floats = first[numpy.arange(count)[:, None, None, None],
                          numpy.arange(channels)[None, :, None, None],
                          down.clip(0, height - 1)[:, None, :, None],
                          across.clip(0, width - 1)[:, None, None, :]]
    return numpy.ascontiguousarray(moved.transpose(0, 2, 3, 1)) if last else moved


class Trainer:
    """Trains a network, whose binary32 values at the start are what it shall come to.

    It begins with weights that are rounded as the compiler does.
    """

    def __init__(self, network: Network, data: Data, options: Options) -> None:
        self.network, self._data, self._options = network, data, options
        self._teacher = copy.deepcopy(network).requires_grad_(False)
        self._teacher.mode = Mode.FLOAT
        network.round_weights(data.typical)
        for module in (network, self._teacher):
            module.to(options.device)
        #: In an epoch, and those that are done of all.
        self.steps = max(1, len(data) // options.batch)
        self.step = 0
        self._rate = options.rate if options.rate is not None else \
            RATE if data.labels is None else RATE_WITH_LABELS
        self._optimizer = torch.optim.Adam(network.parameters(), self._rate)
        self._best: tuple[float, dict[str, Any]] | None = None

    # ---- one epoch --------------------------------------------------------

    def _loss(self, batch: Data) -> torch.Tensor:
        device = self.network.device
        inputs = {name: torch.from_numpy(values).to(device) for name, values in batch.inputs.items()}
        outputs, wanted = self.network(inputs), self._teacher(inputs)
        if batch.labels is None:
            return sum(((outputs[name] - wanted[name]).square().sum() /
                        wanted[name].square().sum().clamp_min(1e-30) for name in wanted),
                       torch.zeros((), device=device))
        logits, target = (self._logits(y) for y in (outputs, wanted))
        target = target.softmax(1)
        labels = functional.one_hot(torch.from_numpy(batch.labels).long().to(device), logits.shape[1])
        return functional.cross_entropy(logits, torch.lerp(target, labels.float(), _LABEL_SHARE))

    def _logits(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Of the only output, which may be probabilities; softmax() gives these again."""
        y, = outputs.values()
        return y.clamp_min(_LEAST).log() if self.network.gives_probabilities else y

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.step // self.steps

    def _batch(self) -> Data:
        """What the next step takes: the same whether or not there was an interruption."""
        options, step = self._options, self.step % self.steps
        order = numpy.random.default_rng((options.seed, self.epoch)).permutation(len(self._data))
        batch = self._data.part(order[step * options.batch:(step + 1) * options.batch])
        if not options.mirror and not options.shift:
            return batch
        random = numpy.random.default_rng((options.seed, self.epoch, step))
        return Data({name: _augmented(values, options, random)
                     for name, values in batch.inputs.items()}, batch.labels)

    def _set_rate(self) -> None:
        """From the rate that is given to nothing, along half a cosine."""
        done = self.step / (self._options.epochs * self.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * (1 + math.cos(math.pi * done)) / 2

    def train(self, progress: Callable[[int, float], None]) -> None:
        """To the end of the epoch; progress(step, loss) is called after each step."""
        epoch = self.epoch
        while self.epoch == epoch:
            self._set_rate()
            loss = self._loss(self._batch())
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self.step += 1
            progress(self.step - epoch * self.steps, loss.item())

    # ---- the best ---------------------------------------------------------

    def score(self, data: Data, mode: Mode = Mode.ROUNDED) -> Score:
        """Of the network as it is now."""
        before, self.network.mode = self.network.mode, mode
        outputs = outputs_of(self.network, data.inputs)
        self.network.mode = before
        exact = {} if data.labels is not None else outputs_of(self._teacher, data.inputs)
        return score(outputs, exact, data)

    def score_teacher(self, data: Data) -> Score:
        """Of the network as it was in binary32."""
        outputs = outputs_of(self._teacher, data.inputs)
        return score(outputs, outputs, data)

    def keep(self, found: Score) -> None:
        """Remember the network if it has no better score than this so far."""
        if not self._best or found.loss <= self._best[0]:
            self._best = found.loss, copy.deepcopy(self.network.state_dict())

    def take_best(self) -> None:
        """Go back to what was kept, where the device's bits can be computed."""
        if self._best:
            self.network.load_state_dict(self._best[1])
        for module in (self.network, self._teacher):
            module.to("cpu")

    # ---- interruptions ----------------------------------------------------

    def save(self, file: str) -> None:
        """Write all that load() needs to go on."""
        torch.save({"step": self.step, "best": self._best, "network": self.network.state_dict(),
                    "optimizer": self._optimizer.state_dict()}, file + ".part")
        os.replace(file + ".part", file)

    def load(self, file: str) -> None:
        state = torch.load(file, map_location=self.network.device)
        self.step, self._best = state["step"], state["best"]
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
