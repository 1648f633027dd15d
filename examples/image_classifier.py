#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a convolutional network to read handwritten digits, with tinygrad.

An ordinary program: it uses whatever OpenCL device tinygrad finds first and knows nothing of how
that device came to be there.

    python image_classifier.py --steps 300

The images are the 1,797 scanned digits (8 x 8 pixels) that scikit-learn ships. 360 of them are held
out, and the accuracy on those is what the program ends with. The same seed gives the same weights,
to the last bit, on every run on a device.

Exit status: 0, or 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("CL", "1")

import numpy as np
from sklearn.datasets import load_digits
from tinygrad import Tensor, TinyJit, dtypes, nn
from tinygrad.nn.optim import Adam
from tinygrad.nn.state import get_parameters, get_state_dict

JIT_STEPS = 3  # tinygrad runs a step as it is, then records one, then replays: timings settle here
HELD_OUT = 360


@dataclass(frozen=True)
class Options:
    """What to train; sizes are counts, the learning rate has no unit."""

    steps: int = 300
    warmup: int = JIT_STEPS
    seed: int = 0
    channels: int = 16
    batch: int = 64
    learning_rate: float = 2e-3
    report_every: int = 25
    json_lines: bool = False


class Digits:
    """The images, split once into those to learn from and those held out."""

    def __init__(self, seed: int) -> None:
        digits = load_digits()
        order = np.random.default_rng(seed).permutation(len(digits.target))
        images = (digits.images[order, None] / 16.0).astype(np.float32)
        labels = digits.target[order].astype(np.int32)
        self.held_out = images[:HELD_OUT], labels[:HELD_OUT]
        self._images, self._labels = images[HELD_OUT:], labels[HELD_OUT:]
        self._random = np.random.default_rng(seed + 1)

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """`rows` images to learn from, and what they show."""
        chosen = self._random.integers(0, len(self._labels), size=rows)
        return self._images[chosen], self._labels[chosen]


class Network:
    """Two convolutions, a pooling after each, one linear layer."""

    def __init__(self, channels: int) -> None:
        self.edges = nn.Conv2d(1, channels, 3, padding=1)
        self.shapes = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.out = nn.Linear(2 * channels * 4, 10)

    def __call__(self, images: Tensor) -> Tensor:
        x = self.edges(images).relu().max_pool2d(2)
        x = self.shapes(x).relu().max_pool2d(2)
        return self.out(x.flatten(1))


class Training:
    """One network and its optimizer. Steps are queued; only reading a result waits."""

    unit = "loss"

    def __init__(self, options: Options) -> None:
        Tensor.manual_seed(options.seed)
        self.options = options
        self.digits = Digits(options.seed)
        self.network = Network(options.channels)
        self._optimizer = Adam(get_parameters(self.network), lr=options.learning_rate)
        self._compiled = TinyJit(self._learn)
        self._loss: Tensor | None = None

    def _learn(self, images: Tensor, labels: Tensor) -> Tensor:
        with Tensor.train():
            self._optimizer.zero_grad()
            loss = self.network(images).sparse_categorical_crossentropy(labels).backward()
            return loss.realize(*self._optimizer.schedule_step())

    def step(self) -> None:
        """Queues one training step."""
        images, labels = self.digits.batch(self.options.batch)
        self._loss = self._compiled(
            Tensor(images).realize(), Tensor(labels, dtype=dtypes.int32).realize()
        )

    def run(self, steps: int) -> float:
        """Queues `steps` steps and waits for the loss of the last, in nats per image."""
        for _ in range(steps):
            self.step()
        return self.loss()

    def loss(self) -> float:
        """The loss of the last step, in nats per image; waits for the device."""
        if self._loss is None:
            raise RuntimeError("no step was made yet: call step() first")
        return float(self._loss.item())

    def accuracy(self) -> float:
        """The part of the held-out images that is read rightly, 0 to 1; waits for the device."""
        images, labels = self.digits.held_out
        guesses = self.network(Tensor(images)).argmax(axis=1).numpy()
        return float((guesses == labels).mean())

    def checksum(self) -> str:
        """SHA-256 of every weight, in the order of their names."""
        digest = hashlib.sha256()
        for name, tensor in sorted(get_state_dict(self.network).items()):
            digest.update(name.encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def create(arguments: Sequence[str] = ()) -> Training:
    """The training that the command line `arguments` describe, before its first step."""
    return Training(parse(arguments))


def train(options: Options) -> None:
    """Runs the whole program: warm-up, timed steps with reports, and the result."""
    training = Training(options)
    say(
        options,
        {"event": "start", "images": len(training.digits), "held_out": HELD_OUT},
        f"{len(training.digits)} images to learn from, {HELD_OUT} held out",
    )
    if options.warmup:
        print("compiling kernels at their first use", file=sys.stderr, flush=True)
        began = time.perf_counter()
        loss = training.run(options.warmup)
        seconds = time.perf_counter() - began
        say(
            options,
            {"event": "warmup", "steps": options.warmup, "loss": loss, "seconds": seconds},
            f"warm-up    {options.warmup} steps, loss {loss:.4f}, {seconds:.1f} s",
        )
    total = 0.0
    for first in range(0, options.steps, options.report_every):
        steps = min(options.report_every, options.steps - first)
        began = time.perf_counter()
        loss = training.run(steps)
        seconds = time.perf_counter() - began
        total += seconds
        say(
            options,
            {"event": "step", "step": first + steps, "loss": loss, "seconds": seconds / steps},
            f"step {first + steps:5d}  loss {loss:.4f}  {steps / seconds:6.1f} steps/s",
        )
    loss, accuracy, checksum = training.loss(), training.accuracy(), training.checksum()
    rate = options.steps / total
    say(
        options,
        {
            "event": "result",
            "steps": options.steps,
            "loss": loss,
            "accuracy": accuracy,
            "steps_per_second": rate,
            "sha256": checksum,
        },
        f"final loss {loss!r}  {rate:.1f} steps/s\n"
        f"held-out accuracy {accuracy:.4f}\nweights sha256 {checksum}",
    )


def say(options: Options, record: dict[str, object], text: str) -> None:
    """One line to stdout: a JSON object when asked for, else text for people."""
    print(json.dumps(record) if options.json_lines else text, flush=True)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the program with status 2 where it makes no sense."""
    default = Options()
    parser = argparse.ArgumentParser(description="Train a network to read handwritten digits.")
    parser.add_argument("--steps", type=int, default=default.steps, help="timed training steps")
    parser.add_argument(
        "--warmup", type=int, default=default.warmup, help="steps before the timed ones"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--channels", type=int, default=default.channels)
    parser.add_argument("--batch", type=int, default=default.batch, help="images per step")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument(
        "--report-every",
        type=int,
        default=default.report_every,
        help="steps between two readings of the loss, each of which waits for the device",
    )
    parser.add_argument("--json-lines", action="store_true", help="one JSON object per report")
    options = Options(**vars(parser.parse_args(arguments)))
    for name in ("steps", "channels", "batch", "report_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if options.warmup < 0:
        parser.error("--warmup cannot be negative")
    return options


if __name__ == "__main__":
    train(parse())
