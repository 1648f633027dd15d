# SPDX-License-Identifier: Apache-2.0
"""`python -m tessera.bench.stream [--device-ms N] [ARGUMENT...]`: the image stream, in turns of a given time.

The example is imported as it is. With `--device-ms` it first looks for the size of tile and filter that
keep this device busy for about that long; the other processes of the experiment are then told that
size. Spoken is the protocol of `player.py`, where `run N` is a turn of N milliseconds, and

    wait SECONDS      changes how long the service needs for a tile, and is not answered

A turn begins at a random moment of the job's cycle: jobs that all began at once would meet at the
device in every cycle.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol, cast

from tessera.bench.counters import driver_facts
from tessera.bench.examples import Work, open_example
from tessera.bench.workload import tell
from tessera.model.errors import TesseraError

EXAMPLE = "image_stream"
ARRIVALS = ("fixed", "exponential", "camera")
FIRST_SIDE, FIRST_RADIUS = 64, 4
SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 32, 416, 8
LARGEST_RADIUS = 64
WARM_UP, MEASURED = 3, 15  # inputs


class _Service(Protocol):
    wait: float

    def restart(self) -> None: ...


class StreamWork(Work, Protocol):
    """What the example offers beyond every example; both times are sums over all inputs so far."""

    service: _Service
    device_seconds: float
    response_seconds: float
    inputs: int


@dataclass(frozen=True)
class Size:
    """Of a tile and of the filter, in pixels."""

    side: int
    radius: int

    def arguments(self) -> list[str]:
        return ["--side", str(self.side), "--radius", str(self.radius)]


def find_size(target_ms: float, device_ms: Callable[[Size], float]) -> Size:
    """The size whose kernel takes about `target_ms` on the device; `device_ms` measures one.

    The time goes with the area of the tile and with that of the filter, and the tile is the finer
    knob: the filter changes only where no tile would do.
    """
    radius = FIRST_RADIUS
    while True:
        measured = device_ms(Size(FIRST_SIDE, radius))
        side = FIRST_SIDE * (target_ms / measured) ** 0.5
        if side > LARGEST_SIDE and radius < LARGEST_RADIUS:
            radius *= 2
        elif side < SMALLEST_SIDE and radius > 1:
            radius //= 2
        else:
            break
    stepped = SIDE_STEP * round(side / SIDE_STEP)
    return Size(min(LARGEST_SIDE, max(SMALLEST_SIDE, stepped)), radius)


def open_stream(arguments: Sequence[str]) -> StreamWork:
    """The example, before its first input. Raises what `open_example` raises."""
    return cast(StreamWork, open_example(EXAMPLE, arguments))


def measure(work: StreamWork) -> tuple[float, float]:
    """Seconds of one input without any wait: on the device, and in all. Medians."""
    work.service.wait, wait = 0.0, work.service.wait
    work.run(WARM_UP)
    on_device, in_all = [], []
    for _ in range(MEASURED):
        device, began = work.device_seconds, time.perf_counter()
        work.run(1)
        in_all.append(time.perf_counter() - began)
        on_device.append(work.device_seconds - device)
    work.service.wait = wait
    return median(on_device), median(in_all)


def turn(work: StreamWork, milliseconds: int, busy: float) -> dict[str, object]:
    """Works for so long, one input at the least; `busy` is what an input takes without its wait."""
    until = time.perf_counter() + milliseconds / 1e3
    time.sleep(random.uniform(0, work.service.wait + busy))
    work.service.restart()
    device, response, inputs = work.device_seconds, work.response_seconds, work.inputs
    began = time.perf_counter()
    while True:
        work.run(1)
        ended = time.perf_counter()
        if ended >= until:
            break
    return {
        "event": "slice",
        "inputs": work.inputs - inputs,
        "elapsed_ns": (ended - began) * 1e9,
        "device_ns": (work.device_seconds - device) * 1e9,
        "response_ns": (work.response_seconds - response) * 1e9,
    }


def main(arguments: Sequence[str]) -> int:
    """Serves turns until standard input ends; returns the exit status."""
    given = list(arguments)
    if given[:1] == ["--device-ms"]:
        target, given = float(given[1]), given[2:]
        size = find_size(
            target, lambda size: 1e3 * measure(open_stream([*given, *size.arguments()]))[0]
        )
        given += size.arguments()
    work = open_stream(given)
    device, busy = measure(work)
    tell(
        {
            "event": "ready",
            "pid": os.getpid(),
            "lease": os.environ.get("TESSERA_LEASE"),
            "arguments": given,
            "device_ns": device * 1e9,
            "busy_ns": busy * 1e9,
            **driver_facts(),
        }
    )
    for line in sys.stdin:
        command, _, amount = line.strip().partition(" ")
        if command == "run" and amount.isdecimal() and int(amount) > 0:
            tell(turn(work, int(amount), busy))
        elif command == "wait":
            work.service.wait = float(amount)
        else:
            print(f"not a command: {line.strip()} (known: run N, wait S)", file=sys.stderr)
            return 2
    tell({"event": "end", "sha256": work.checksum()})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TesseraError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
