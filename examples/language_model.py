#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small GPT on the English text that comes with every Python, with tinygrad.

An ordinary program: it uses whatever OpenCL device tinygrad finds first and knows nothing of how
that device came to be there.

    python language_model.py --steps 100
    python language_model.py --steps 100 --json-lines

The text is the language reference in `pydoc_data.topics` (465,000 characters in Python 3.11), one
token per character. The same seed gives the same loss, to the last bit, on every run on a device.

The loss is read every `--report-every` steps (10 unless told). Reading it makes the host wait for
the device; a loop that reads it at each step measures that wait, and real loops log more rarely.

Exit status: 0, or 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import pydoc_data.topics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

os.environ.setdefault("CL", "1")

import numpy as np
from tinygrad import Tensor, TinyJit, dtypes, nn
from tinygrad.helpers import GlobalCounters
from tinygrad.nn.optim import Adam
from tinygrad.nn.state import get_parameters, get_state_dict

JIT_STEPS = 3  # tinygrad runs a step as it is, then records one, then replays: timings settle here


@dataclass(frozen=True)
class Options:
    """What to train; sizes are counts, the learning rate has no unit."""

    steps: int = 100
    warmup: int = JIT_STEPS
    seed: int = 0
    layers: int = 2
    width: int = 64
    heads: int = 4
    context: int = 64
    batch: int = 8
    learning_rate: float = 1e-3
    report_every: int = 10
    json_lines: bool = False


class Text:
    """The corpus as token numbers, and the batches drawn from it."""

    def __init__(self, seed: int) -> None:
        text = "\n".join(pydoc_data.topics.topics[key] for key in sorted(pydoc_data.topics.topics))
        self.alphabet = sorted(set(text))
        number = {character: index for index, character in enumerate(self.alphabet)}
        self.tokens = np.array([number[character] for character in text], dtype=np.int32)
        self._random = np.random.default_rng(seed)

    def batch(self, rows: int, length: int) -> np.ndarray:
        """Rows of `length` + 1 tokens; the model must predict the last `length` of each."""
        starts = self._random.integers(0, len(self.tokens) - length - 1, size=rows)
        return np.stack([self.tokens[start : start + length + 1] for start in starts])


class Block:
    """Attention over the past, then a feed-forward layer, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.norm_forward = nn.LayerNorm(width)
        self.forward_in = nn.Linear(width, 4 * width)
        self.forward_out = nn.Linear(4 * width, width)

    def attend(self, x: Tensor) -> Tensor:
        rows, length, width = (int(size) for size in x.shape)
        split = self.query_key_value(x).reshape(rows, length, 3, self.heads, width // self.heads)
        query, key, value = (split[:, :, part].transpose(1, 2) for part in range(3))
        mixed = query.scaled_dot_product_attention(key, value, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).reshape(rows, length, width))

    def __call__(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm_attention(x))
        return x + self.forward_out(self.forward_in(self.norm_forward(x)).gelu())


class GPT:
    """Predicts the next character."""

    def __init__(self, alphabet: int, options: Options) -> None:
        self.tokens = nn.Embedding(alphabet, options.width)
        self.places = nn.Embedding(options.context, options.width)
        self.blocks = [Block(options.width, options.heads) for _ in range(options.layers)]
        self.norm = nn.LayerNorm(options.width)
        self.out = nn.Linear(options.width, alphabet, bias=False)

    def __call__(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places(Tensor.arange(int(tokens.shape[1])))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


class Training:
    """One model and its optimizer. Steps are queued; only reading a result waits for the device."""

    unit = "loss"

    def __init__(self, options: Options) -> None:
        Tensor.manual_seed(options.seed)
        self.options = options
        self.text = Text(options.seed)
        self.model = GPT(len(self.text.alphabet), options)
        self._optimizer = Adam(get_parameters(self.model), lr=options.learning_rate)
        self._compiled = TinyJit(self._learn)
        self._loss: Tensor | None = None

    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(math.prod(map(int, tensor.shape)) for tensor in get_parameters(self.model))

    def _learn(self, batch: Tensor) -> Tensor:
        with Tensor.train():
            self._optimizer.zero_grad()
            guess = self.model(batch[:, :-1])
            loss = guess.sparse_categorical_crossentropy(batch[:, 1:]).backward()
            return loss.realize(*self._optimizer.schedule_step())

    def step(self) -> None:
        """Queues one training step."""
        rows = self.text.batch(self.options.batch, self.options.context)
        self._loss = self._compiled(Tensor(rows, dtype=dtypes.int32).realize())

    def run(self, steps: int) -> float:
        """Queues `steps` steps and waits for the loss of the last, in nats per character."""
        for _ in range(steps):
            self.step()
        return self.loss()

    def loss(self) -> float:
        """The loss of the last step, in nats per character; waits for the device."""
        if self._loss is None:
            raise RuntimeError("no step was made yet: call step() first")
        return float(self._loss.item())

    def checksum(self) -> str:
        """SHA-256 of every weight, in the order of their names."""
        digest = hashlib.sha256()
        for name, tensor in sorted(get_state_dict(self.model).items()):
            digest.update(name.encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def create(arguments: Sequence[str] = ()) -> Training:
    """The training that the command line `arguments` describe, before its first step."""
    return Training(parse(arguments))


@contextmanager
def compilation_shown(every: float = 2.0) -> Iterator[None]:
    """Says on stderr, every `every` seconds, how many kernels have run while the block is busy."""
    done = threading.Event()

    def report() -> None:
        start, first = time.monotonic(), GlobalCounters.kernel_count
        while not done.wait(every):
            launched = GlobalCounters.kernel_count - first
            print(
                f"compiling kernels: {time.monotonic() - start:.0f} s, {launched} launched",
                file=sys.stderr,
                flush=True,
            )

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()


def train(options: Options) -> None:
    """Runs the whole program: warm-up, timed steps with reports, and the result."""
    training = Training(options)
    say(
        options,
        {
            "event": "start",
            "parameters": training.parameters(),
            "characters": len(training.text.tokens),
            "alphabet": len(training.text.alphabet),
        },
        f"{training.parameters():,} parameters, {len(training.text.tokens):,} characters of text",
    )
    if options.warmup:
        began = time.perf_counter()
        with compilation_shown():
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
    loss, checksum = training.loss(), training.checksum()
    rate = options.steps / total
    say(
        options,
        {
            "event": "result",
            "steps": options.steps,
            "loss": loss,
            "steps_per_second": rate,
            "sha256": checksum,
        },
        f"final loss {loss!r}  {rate:.1f} steps/s\nweights sha256 {checksum}",
    )


def say(options: Options, record: dict[str, object], text: str) -> None:
    """One line to stdout: a JSON object when asked for, else text for people."""
    print(json.dumps(record) if options.json_lines else text, flush=True)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the program with status 2 where it makes no sense."""
    default = Options()
    parser = argparse.ArgumentParser(description="Train a small GPT on English text.")
    parser.add_argument("--steps", type=int, default=default.steps, help="timed training steps")
    parser.add_argument(
        "--warmup", type=int, default=default.warmup, help="steps before the timed ones"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--layers", type=int, default=default.layers)
    parser.add_argument("--width", type=int, default=default.width, help="numbers per token")
    parser.add_argument("--heads", type=int, default=default.heads)
    parser.add_argument("--context", type=int, default=default.context, help="characters seen")
    parser.add_argument("--batch", type=int, default=default.batch, help="texts per step")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument(
        "--report-every",
        type=int,
        default=default.report_every,
        help="steps between two readings of the loss, each of which waits for the device",
    )
    parser.add_argument("--json-lines", action="store_true", help="one JSON object per report")
    options = Options(**vars(parser.parse_args(arguments)))
    positive = ("steps", "layers", "width", "heads", "context", "batch", "report_every")
    for name in positive:
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if options.warmup < 0:
        parser.error("--warmup cannot be negative")
    if options.width % options.heads:
        parser.error(f"--width {options.width} cannot be split among {options.heads} heads")
    return options


if __name__ == "__main__":
    train(parse())
