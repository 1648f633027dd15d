#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Learns to read handwritten digits from scans as they come in, with pyopencl.

An ordinary program: it uses the first OpenCL device and knows nothing of how that device came to
be there.

    python online_digits.py --deliveries 200 --wait 0.1

It trains a network of one hidden layer, and needs only a part of a GPU, because its host part *waits
for its input*: a service delivers a batch of scans every `--wait` seconds after it was asked, as a
scanner or a data service would, and the program sleeps until then. Each delivery is then learnt from in
`--passes` passes on the device. The part of the time in which the device computes for it, its duty cycle,
is told at the end.

The images are the 1,797 scanned digits (8 x 8 pixels) that scikit-learn ships, read from its file, which
`--data` may name. 360 of them are held out, and the accuracy on those is what the program ends with. The
same seed gives the same weights, to the last bit, on every run on a device.

Exit status: 0, 1 without an OpenCL device or the images, or 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyopencl as cl

PIXELS, DIGITS = 64, 10
HELD_OUT = 360

# One work-item computes each number, in one order, so that a sum is the same on every run.
SOURCE = """
__kernel void hidden(__global const float *scans, __global const float *first,
                     __global float *activity, int units) {
  const int unit = get_global_id(0), scan = get_global_id(1);
  float sum = first[PIXELS * units + unit];
  for (int i = 0; i < PIXELS; ++i) sum += scans[scan * PIXELS + i] * first[i * units + unit];
  activity[scan * units + unit] = fmax(sum, 0.0f);
}

__kernel void outputs(__global const float *activity, __global const float *second,
                      __global const int *labels, __global float *errors, __global float *losses,
                      int units) {
  const int scan = get_global_id(0);
  float score[DIGITS], most = -INFINITY, total = 0.0f;
  for (int digit = 0; digit < DIGITS; ++digit) score[digit] = second[units * DIGITS + digit];
  for (int unit = 0; unit < units; ++unit) {
    const float value = activity[scan * units + unit];
    for (int digit = 0; digit < DIGITS; ++digit) score[digit] += value * second[unit * DIGITS + digit];
  }
  for (int digit = 0; digit < DIGITS; ++digit) most = fmax(most, score[digit]);
  for (int digit = 0; digit < DIGITS; ++digit) total += exp(score[digit] - most);
  const int label = labels[scan];
  losses[scan] = log(total) - (score[label] - most);
  for (int digit = 0; digit < DIGITS; ++digit)
    errors[scan * DIGITS + digit] = exp(score[digit] - most) / total - (digit == label ? 1.0f : 0.0f);
}

__kernel void backwards(__global const float *activity, __global const float *second,
                        __global const float *errors, __global float *slopes, int units) {
  const int unit = get_global_id(0), scan = get_global_id(1);
  float sum = 0.0f;
  for (int digit = 0; digit < DIGITS; ++digit)
    sum += errors[scan * DIGITS + digit] * second[unit * DIGITS + digit];
  slopes[scan * units + unit] = activity[scan * units + unit] > 0.0f ? sum : 0.0f;
}

__kernel void learn_first(__global const float *scans, __global const float *slopes,
                          __global float *first, int units, int batch, float rate) {
  const int unit = get_global_id(0), input = get_global_id(1);
  float sum = 0.0f;
  for (int scan = 0; scan < batch; ++scan) {
    const float value = input < PIXELS ? scans[scan * PIXELS + input] : 1.0f;
    sum += value * slopes[scan * units + unit];
  }
  first[input * units + unit] -= rate / batch * sum;
}

__kernel void learn_second(__global const float *activity, __global const float *errors,
                           __global float *second, int units, int batch, float rate) {
  const int digit = get_global_id(0), unit = get_global_id(1);
  float sum = 0.0f;
  for (int scan = 0; scan < batch; ++scan) {
    const float value = unit < units ? activity[scan * units + unit] : 1.0f;
    sum += value * errors[scan * DIGITS + digit];
  }
  second[unit * DIGITS + digit] -= rate / batch * sum;
}
"""


@dataclass(frozen=True)
class Options:
    """What to do: batches of `batch` scans, learnt from in `passes` passes by `units` hidden units."""

    deliveries: int = 200
    wait: float = 0.1
    batch: int = 64
    passes: int = 2
    units: int = 512
    learning_rate: float = 0.1
    seed: int = 0
    report_every: int = 10
    data: Path | None = None
    json_lines: bool = False


def find_scans() -> Path:
    """The file of scikit-learn, which need not be imported for it. Raises FileNotFoundError."""
    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, "datasets", "data", "digits.csv.gz")).is_file():
            return path
    raise FileNotFoundError("scikit-learn is not installed; name its digits.csv.gz with --data")


class Scans:
    """The images, split once into those to learn from and those held out."""

    def __init__(self, options: Options) -> None:
        table = np.loadtxt(options.data or find_scans(), delimiter=",", dtype=np.float32)
        order = np.random.default_rng(options.seed).permutation(len(table))
        images = np.ascontiguousarray(table[order, :PIXELS] / 16)
        labels = table[order, PIXELS].astype(np.int32)
        self.held_out = images[:HELD_OUT], labels[:HELD_OUT]
        self._known = images[HELD_OUT:], labels[HELD_OUT:]
        self._draw = np.random.default_rng(options.seed + 1)
        self._batch = options.batch

    def deliver(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch of scans with what they show."""
        images, labels = self._known
        chosen = self._draw.integers(0, len(labels), self._batch)
        return images[chosen], labels[chosen]


class Learner:
    """The job: waits for a delivery and learns from it on the device."""

    unit = "loss"

    def __init__(self, options: Options) -> None:
        self.options = options
        self.wait = options.wait
        self._scans = Scans(options)
        device = cl.get_platforms()[0].get_devices()[0]
        self.device_name = device.name
        self._context = cl.Context([device])
        self._queue = cl.CommandQueue(
            self._context, properties=cl.command_queue_properties.PROFILING_ENABLE
        )
        defines = [f"-DPIXELS={PIXELS}", f"-DDIGITS={DIGITS}"]
        self._program = cl.Program(self._context, SOURCE).build(defines)
        self._make_buffers(np.random.default_rng(options.seed + 2))
        self._kernels = self._make_kernels()
        self._losses = np.empty(options.batch, dtype=np.float32)
        self.device_seconds = 0.0
        self.steps = 0

    def _make_buffers(self, draw: np.random.Generator) -> None:
        units, rows = self.options.units, max(self.options.batch, HELD_OUT)
        first = draw.uniform(-1, 1, (PIXELS + 1, units)) * (6 / PIXELS) ** 0.5
        second = draw.uniform(-1, 1, (units + 1, DIGITS)) * (3 / units) ** 0.5
        first[PIXELS], second[units] = 0, 0
        self._first = self._buffer(first.astype(np.float32))
        self._second = self._buffer(second.astype(np.float32))
        self._images = self._buffer(np.zeros((rows, PIXELS), dtype=np.float32))
        self._labels = self._buffer(np.zeros(rows, dtype=np.int32))
        self._activity, self._slopes = (
            self._buffer(np.zeros((rows, units), dtype=np.float32)) for _ in range(2)
        )
        self._errors = self._buffer(np.zeros((rows, DIGITS), dtype=np.float32))
        self._loss = self._buffer(np.zeros(rows, dtype=np.float32))

    def _buffer(self, content: np.ndarray) -> cl.Buffer:
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        return cl.Buffer(self._context, flags, hostbuf=content)

    def _make_kernels(self) -> list[tuple[cl.Kernel, tuple[int, ...]]]:
        """The kernels of one pass, in order, with their sizes."""
        options = self.options
        units, batch = np.int32(options.units), np.int32(options.batch)
        rate = np.float32(options.learning_rate)
        activity, errors, slopes = self._activity, self._errors, self._slopes
        first, second = self._first, self._second
        arguments = {
            "hidden": (self._images, first, activity, units),
            "outputs": (activity, second, self._labels, errors, self._loss, units),
            "backwards": (activity, second, errors, slopes, units),
            "learn_first": (self._images, slopes, first, units, batch, rate),
            "learn_second": (activity, errors, second, units, batch, rate),
        }
        sizes: dict[str, tuple[int, ...]] = {
            "hidden": (options.units, options.batch),
            "outputs": (options.batch,),
            "backwards": (options.units, options.batch),
            "learn_first": (options.units, PIXELS + 1),
            "learn_second": (DIGITS, options.units + 1),
        }
        kernels = []
        for name, given in arguments.items():
            kernel = cl.Kernel(self._program, name)
            kernel.set_args(*given)
            kernels.append((kernel, sizes[name]))
        return kernels

    def step(self) -> float:
        """Waits for one delivery and learns from it; the mean loss in the last pass over it."""
        asked = time.perf_counter()
        images, labels = self._scans.deliver()
        while (left := asked + self.wait - time.perf_counter()) > 0:
            time.sleep(left)
        # pyopencl waits for a copy as soon as nobody holds its event any more.
        copied = [
            cl.enqueue_copy(self._queue, buffer, scans, is_blocking=False)
            for buffer, scans in ((self._images, images), (self._labels, labels))
        ]
        ran = [
            cl.enqueue_nd_range_kernel(self._queue, kernel, size, None)
            for _ in range(self.options.passes)
            for kernel, size in self._kernels
        ]
        cl.enqueue_copy(self._queue, self._losses, self._loss)
        del copied
        self.device_seconds += sum(one.profile.end - one.profile.start for one in ran) * 1e-9
        self.steps += 1
        return float(self._losses.mean())

    def run(self, steps: int) -> float:
        """Learns from `steps` deliveries, one after the other; the loss of the last."""
        loss = 0.0
        for _ in range(steps):
            loss = self.step()
        return loss

    def accuracy(self) -> float:
        """The part of the held-out scans that is read rightly."""
        images, labels = self._scans.held_out
        queue, units = self._queue, self.options.units
        cl.enqueue_copy(queue, self._images, images)
        cl.enqueue_copy(queue, self._labels, labels)
        (hidden, _), (outputs, _) = self._kernels[:2]
        cl.enqueue_nd_range_kernel(queue, hidden, (units, len(labels)), None)
        cl.enqueue_nd_range_kernel(queue, outputs, (len(labels),), None)
        errors = np.empty((len(labels), DIGITS), dtype=np.float32)
        cl.enqueue_copy(queue, errors, self._errors)
        # An error is the chance given to a digit, less one for the right digit.
        errors[np.arange(len(labels)), labels] += 1
        return float((errors.argmax(axis=1) == labels).mean())

    def checksum(self) -> str:
        """SHA-256 over all weights."""
        digest = hashlib.sha256()
        for buffer, rows in ((self._first, PIXELS + 1), (self._second, self.options.units + 1)):
            columns = self.options.units if buffer is self._first else DIGITS
            weights = np.empty((rows, columns), dtype=np.float32)
            cl.enqueue_copy(self._queue, weights, buffer)
            digest.update(weights.tobytes())
        return digest.hexdigest()


def create(arguments: Sequence[str] = ()) -> Learner:
    """The job that the command line `arguments` describe, before its first delivery."""
    return Learner(parse(arguments))


def work(options: Options) -> None:
    """Runs the whole program: the deliveries with reports, and the result."""
    learner = Learner(options)
    learner.wait, wait = 0.0, learner.wait
    learner.run(1)  # touches all memory
    learner.wait, learner.device_seconds = wait, 0.0
    say(options, {"event": "start", "device": learner.device_name}, f"on {learner.device_name}")
    began = time.perf_counter()
    for first in range(0, options.deliveries, options.report_every):
        loss = learner.run(min(options.report_every, options.deliveries - first))
        done = min(first + options.report_every, options.deliveries)
        rate = done / (time.perf_counter() - began)
        say(
            options,
            {"event": "step", "step": done, "loss": loss, "steps_per_second": rate},
            f"delivery {done:5d}  loss {loss:8.5f}  {rate:6.1f} deliveries/s",
        )
    seconds = time.perf_counter() - began
    duty, accuracy = learner.device_seconds / seconds, learner.accuracy()
    say(
        options,
        {
            "event": "result",
            "steps": options.deliveries,
            "steps_per_second": options.deliveries / seconds,
            "duty": duty,
            "device_seconds": learner.device_seconds,
            "accuracy": accuracy,
            "sha256": learner.checksum(),
        },
        f"{options.deliveries / seconds:.1f} deliveries/s, duty cycle {duty:.2f}, "
        f"accuracy {accuracy:.1%}\nweights sha256 {learner.checksum()}",
    )


def say(options: Options, record: dict[str, object], text: str) -> None:
    """One line to stdout: a JSON object when asked for, else text for people."""
    print(json.dumps(record) if options.json_lines else text, flush=True)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the program with status 2 where it makes no sense."""
    default = Options()
    parser = argparse.ArgumentParser(description="Learn to read digits from scans that come in.")
    parser.add_argument("--deliveries", type=int, default=default.deliveries, help="to learn from")
    parser.add_argument(
        "--wait", type=float, default=default.wait, help="seconds until a delivery is there"
    )
    parser.add_argument("--batch", type=int, default=default.batch, help="scans in a delivery")
    parser.add_argument("--passes", type=int, default=default.passes, help="over each delivery")
    parser.add_argument("--units", type=int, default=default.units, help="in the hidden layer")
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--report-every", type=int, default=default.report_every, help="deliveries")
    parser.add_argument("--data", type=Path, help="scikit-learn's digits.csv.gz")
    parser.add_argument("--json-lines", action="store_true", help="one JSON object per report")
    options = Options(**vars(parser.parse_args(arguments)))
    for name in ("deliveries", "batch", "passes", "units", "report_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not 0 <= options.wait <= 3600:
        parser.error("--wait must be between 0 and 3600 seconds")
    return options


if __name__ == "__main__":
    try:
        work(parse())
    except FileNotFoundError as error:
        print(f"no images: {error}", file=sys.stderr)
        sys.exit(1)
    except cl.LogicError as error:
        print(f"no OpenCL device can be used: {error}", file=sys.stderr)
        sys.exit(1)
