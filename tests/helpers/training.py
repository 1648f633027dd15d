# SPDX-License-Identifier: Apache-2.0
"""Trains two layers on made-up data with tinygrad: a program by itself, small enough for an emulated machine.

One JSON object for each step, with the time that it took by the monotonic clock, and one at the end with the
SHA-256 of the weights, which is the same on every run on a device: the processor rounds nothing, for
another one, or one that is emulated, may round in other ways.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("CL", "1")

import numpy as np
from tinygrad.engine.jit import TinyJit
from tinygrad.nn.optim import SGD
from tinygrad.tensor import Tensor

ROWS, INPUTS, HIDDEN, OUTPUTS = 32, 64, 48, 8


def main(steps: int) -> None:
    """Trains, and tells."""
    random = np.random.default_rng(0)

    def numbers(*size: int) -> Any:
        return random.integers(-256, 256, size).astype(np.float32) / 1024

    inputs, targets = numbers(steps, ROWS, INPUTS), numbers(steps, ROWS, OUTPUTS)
    layers: list[Any] = [
        Tensor(numbers(*size), requires_grad=True) for size in ((INPUTS, HIDDEN), (HIDDEN, OUTPUTS))
    ]
    optimizer = SGD(layers, lr=0.05, momentum=0.9)

    def learn(rows: Any, wanted: Any) -> Any:
        with Tensor.train():
            optimizer.zero_grad()
            guess = (rows @ layers[0]).tanh() @ layers[1]
            loss = (guess - wanted).square().mean().backward()
            return loss.realize(*optimizer.schedule_step())

    compiled = TinyJit(learn)
    began = time.monotonic()
    for step in range(steps):
        loss = compiled(Tensor(inputs[step]).realize(), Tensor(targets[step]).realize()).item()
        now = time.monotonic()
        print(json.dumps({"step": step, "loss": loss, "seconds": now - began}), flush=True)
        began = now
    weights = b"".join(layer.numpy().tobytes() for layer in layers)
    print(json.dumps({"sha256": hashlib.sha256(weights).hexdigest()}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
