#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cleans and segments a stream of image tiles as they come in, with pyopencl.

An ordinary program: it uses the first OpenCL device and knows nothing of how that device came to
be there.

    python image_stream.py --inputs 100 --wait 0.03

It is a job that needs only a part of a GPU, because its host part *waits for its input*: a service
delivers one tile of a photograph at a time, and between two tiles the program sleeps, as one that
listens to a camera or to a data service does. The device then smooths the tile without blurring its
edges (a bilateral filter) and gives every pixel the nearest of eight colours, in one kernel. The
part of the time in which the device computes for it is its duty cycle, which is told at the end.

How tiles arrive (`--arrivals`):
  fixed        the service needs `--wait` seconds from being asked to the delivery; it is asked when the
               tile before is done
  exponential  the same with random times of that mean
  camera       a tile every `--wait` seconds, whether or not the one before is done

The photographs are the two that scikit-learn ships. The same seed gives the same segments, to the
last bit, on every run on a device.

Exit status: 0, 1 without an OpenCL device, or 2 for arguments that make no sense.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyopencl as cl
from PIL import Image

COLOURS = 8
ARRIVALS = ("fixed", "exponential", "camera")
LARGEST_SIDE = 416  # a tile of either photograph

SOURCE = """
__kernel void segment(__global const uchar4 *tile, __constant float4 *palette,
                      __global uchar *labels, int side, int radius) {
  const int x = get_global_id(0), y = get_global_id(1);
  const float4 centre = convert_float4(tile[y * side + x]);
  const float nearness = 4.0f / (radius * radius), likeness = 1.0f / (24.0f * 24.0f);
  float4 sum = 0.0f;
  float weights = 0.0f;
  for (int dy = -radius; dy <= radius; ++dy) {
    const int row = clamp(y + dy, 0, side - 1) * side;
    for (int dx = -radius; dx <= radius; ++dx) {
      const float4 other = convert_float4(tile[row + clamp(x + dx, 0, side - 1)]);
      const float4 gap = other - centre;
      const float weight =
          1.0f / ((1.0f + nearness * (dx * dx + dy * dy)) * (1.0f + likeness * dot(gap, gap)));
      sum += weight * other;
      weights += weight;
    }
  }
  const float4 smooth = sum / weights;
  int best = 0;
  float least = INFINITY;
  for (int colour = 0; colour < 8; ++colour) {
    const float4 gap = smooth - palette[colour];
    const float distance = dot(gap, gap);
    best = distance < least ? colour : best;
    least = fmin(distance, least);
  }
  labels[y * side + x] = best;
}
"""


@dataclass(frozen=True)
class Options:
    """What to do: tiles of `side` by `side` pixels, a filter that looks `radius` pixels far."""

    inputs: int = 100
    wait: float = 0.03
    arrivals: str = "fixed"
    side: int = 128
    radius: int = 4
    seed: int = 0
    report_every: int = 25
    json_lines: bool = False


class Service:
    """Delivers tiles of the photographs, one at a time, and lets the program wait for each.

    `wait` is in seconds and may be changed between two tiles; so may `arrivals`.
    """

    def __init__(self, options: Options) -> None:
        self.wait = options.wait
        self.arrivals = options.arrivals
        self.photographs = [_with_alpha(image) for image in load_photographs()]
        self._side = options.side
        self._choice = random.Random(options.seed)
        self._delay = random.Random(options.seed + 1)
        self._next_shot: float | None = None

    def restart(self) -> None:
        """Lets a camera begin anew, with a shot at the next question."""
        self._next_shot = None

    def next(self) -> tuple[np.ndarray, float]:
        """A tile of uchar4 pixels, and the moment (of time.perf_counter) at which it arrived."""
        arrival = self._arrival()
        while (left := arrival - time.perf_counter()) > 0:
            time.sleep(left)
        photograph = self._choice.choice(self.photographs)
        top, left_edge = (
            self._choice.randrange(extent - self._side + 1) for extent in photograph.shape[:2]
        )
        tile = photograph[top : top + self._side, left_edge : left_edge + self._side]
        return np.ascontiguousarray(tile), arrival

    def _arrival(self) -> float:
        now = time.perf_counter()
        if self.arrivals == "camera":
            shot = now if self._next_shot is None else self._next_shot
            self._next_shot = shot + self.wait
            return shot
        if self.arrivals == "exponential" and self.wait > 0:
            return now + self._delay.expovariate(1 / self.wait)
        return now + self.wait


def load_photographs() -> list[np.ndarray]:
    """The two that scikit-learn ships, which need not be imported for them. Raises FileNotFoundError."""
    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        if files := sorted(Path(folder, "datasets", "images").glob("*.jpg")):
            return [np.asarray(Image.open(file)) for file in files]
    raise FileNotFoundError("scikit-learn is not installed")


def _with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 255, dtype=np.uint8)])


def palette(photographs: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Eight colours that stand for all pixels: a few rounds of k-means over a sample of them."""
    draw = np.random.default_rng(seed)
    pixels = np.concatenate([photo.reshape(-1, 4) for photo in photographs]).astype(np.float32)
    sample = pixels[draw.integers(0, len(pixels), 2000)]
    colours = sample[:COLOURS].copy()
    for _ in range(10):
        nearest = ((sample[:, None] - colours) ** 2).sum(axis=2).argmin(axis=1)
        for colour in range(COLOURS):
            if (nearest == colour).any():
                colours[colour] = sample[nearest == colour].mean(axis=0)
    return colours


class Stream:
    """The job: waits for a tile, has it segmented by the device, and counts the segments."""

    unit = "largest segment"

    def __init__(self, options: Options) -> None:
        self.options = options
        self.service = Service(options)
        device = cl.get_platforms()[0].get_devices()[0]
        self.device_name = device.name
        context = cl.Context([device])
        self._queue = cl.CommandQueue(
            context, properties=cl.command_queue_properties.PROFILING_ENABLE
        )
        self._segment = cl.Kernel(cl.Program(context, SOURCE).build(), "segment")
        flags, pixels = cl.mem_flags, options.side**2
        colours = palette(self.service.photographs, options.seed)
        self._palette = cl.Buffer(context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=colours)
        self._tile = cl.Buffer(context, flags.READ_ONLY, 4 * pixels)
        self._labels = cl.Buffer(context, flags.WRITE_ONLY, pixels)
        self._segment.set_args(
            self._tile,
            self._palette,
            self._labels,
            np.int32(options.side),
            np.int32(options.radius),
        )
        self._read = np.empty(pixels, dtype=np.uint8)
        self._digest = hashlib.sha256()
        self.device_seconds = 0.0
        self.response_seconds = 0.0
        self.inputs = 0

    def step(self) -> float:
        """Waits for one tile and has it segmented; returns the part of it in the largest segment."""
        tile, arrived = self.service.next()
        cl.enqueue_copy(self._queue, self._tile, tile, is_blocking=False)
        shape = (self.options.side, self.options.side)
        ran = cl.enqueue_nd_range_kernel(self._queue, self._segment, shape, None)
        cl.enqueue_copy(self._queue, self._read, self._labels)
        self.response_seconds += time.perf_counter() - arrived
        self.device_seconds += (ran.profile.end - ran.profile.start) * 1e-9
        self.inputs += 1
        counts = np.bincount(self._read, minlength=COLOURS)
        self._digest.update(counts.tobytes())
        return float(counts.max() / self._read.size)

    def run(self, steps: int) -> float:
        """Works on `steps` tiles, one after the other."""
        largest = 0.0
        for _ in range(steps):
            largest = self.step()
        return largest

    def checksum(self) -> str:
        """SHA-256 over the sizes of all segments so far."""
        return self._digest.hexdigest()


def create(arguments: Sequence[str] = ()) -> Stream:
    """The job that the command line `arguments` describe, before its first tile."""
    return Stream(parse(arguments))


def work(options: Options) -> None:
    """Runs the whole program: the tiles with reports, and the result."""
    stream = Stream(options)
    stream.service.wait, wait = 0.0, stream.service.wait
    stream.run(2)  # compiles the kernel and touches all memory
    stream.service.wait = wait
    stream.device_seconds = stream.response_seconds = 0.0
    say(
        options,
        {"event": "start", "device": stream.device_name},
        f"tiles of {options.side} x {options.side} on {stream.device_name}",
    )
    began = time.perf_counter()
    for first in range(0, options.inputs, options.report_every):
        tiles = min(options.report_every, options.inputs - first)
        largest = stream.run(tiles)
        rate = (first + tiles) / (time.perf_counter() - began)
        say(
            options,
            {"event": "step", "step": first + tiles, "largest": largest, "steps_per_second": rate},
            f"tile {first + tiles:5d}  largest segment {largest:6.1%}  {rate:6.1f} tiles/s",
        )
    seconds = time.perf_counter() - began
    duty = stream.device_seconds / seconds
    response = stream.response_seconds / options.inputs
    say(
        options,
        {
            "event": "result",
            "steps": options.inputs,
            "steps_per_second": options.inputs / seconds,
            "duty": duty,
            "response_seconds": response,
            "sha256": stream.checksum(),
        },
        f"{options.inputs / seconds:.1f} tiles/s, {1e3 * response:.1f} ms from arrival to result, "
        f"duty cycle {duty:.2f}\nsegments sha256 {stream.checksum()}",
    )


def say(options: Options, record: dict[str, object], text: str) -> None:
    """One line to stdout: a JSON object when asked for, else text for people."""
    print(json.dumps(record) if options.json_lines else text, flush=True)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the program with status 2 where it makes no sense."""
    default = Options()
    parser = argparse.ArgumentParser(description="Segment a stream of image tiles.")
    parser.add_argument("--inputs", type=int, default=default.inputs, help="tiles to work on")
    parser.add_argument(
        "--wait", type=float, default=default.wait, help="seconds until the next tile is there"
    )
    parser.add_argument("--arrivals", choices=ARRIVALS, default=default.arrivals)
    parser.add_argument("--side", type=int, default=default.side, help="of a tile, in pixels")
    parser.add_argument(
        "--radius", type=int, default=default.radius, help="of the filter, in pixels"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--report-every", type=int, default=default.report_every, help="tiles")
    parser.add_argument("--json-lines", action="store_true", help="one JSON object per report")
    options = Options(**vars(parser.parse_args(arguments)))
    for name in ("inputs", "radius", "report_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if not 8 <= options.side <= LARGEST_SIDE:
        parser.error(f"--side must be between 8 and {LARGEST_SIDE}")
    if not 0 <= options.wait <= 3600:
        parser.error("--wait must be between 0 and 3600 seconds")
    return options


if __name__ == "__main__":
    try:
        work(parse())
    except FileNotFoundError as error:
        print(f"no photographs: {error}", file=sys.stderr)
        sys.exit(1)
    except cl.LogicError as error:
        print(f"no OpenCL device can be used: {error}", file=sys.stderr)
        sys.exit(1)
