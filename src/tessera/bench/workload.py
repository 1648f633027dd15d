# SPDX-License-Identifier: Apache-2.0
"""`python -m tessera.bench.workload EXAMPLE WARM_UP [ARGUMENT...]`: an example that takes turns.

The example is imported as it is; turning its steps into slices happens here, so that the program
which is measured is the one that users read. The protocol is that of `player.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from math import isnan, nan

from tessera.bench.counters import NAMES, Counters, driver_facts, session_counters
from tessera.bench.examples import Work, open_example
from tessera.model.errors import TesseraError


def tell(message: dict[str, object]) -> None:
    """One line of the protocol."""
    print(json.dumps(message), flush=True)


def device_seconds(work: Work) -> float:
    """What the device has computed for an example so far; not a number where it keeps no account of it."""
    return float(getattr(work, "device_seconds", nan))


def turn(work: Work, steps: int, counters: Callable[[], Counters]) -> dict[str, object]:
    """Runs `steps` steps and returns the slice."""
    before, device = counters(), device_seconds(work)
    began = time.perf_counter()
    result = work.run(steps)
    seconds = time.perf_counter() - began
    after = counters()
    samples = {"step": [seconds / steps * 1e9]}
    if not isnan(device):
        samples["device"] = [(device_seconds(work) - device) / steps * 1e9]
    return {
        "event": "slice",
        "steps": steps,
        "seconds": seconds,
        "samples": samples,
        "counters": {name: after[name] - before[name] for name in NAMES},
        "result": result.hex(),
        "shown": result,
    }


def main(arguments: Sequence[str]) -> int:
    """Serves turns until standard input ends; returns the exit status."""
    name, warm_up, *rest = arguments
    work = open_example(name, rest)
    work.run(int(warm_up))
    counters = session_counters()
    tell(
        {
            "event": "ready",
            "pid": os.getpid(),
            "lease": os.environ.get("TESSERA_LEASE"),
            "unit": work.unit,
            **driver_facts(),
        }
    )
    for line in sys.stdin:
        command, _, count = line.strip().partition(" ")
        if command != "run" or not count.isdecimal() or int(count) < 1:
            print(f"not a command: {line.strip()} (known: run N)", file=sys.stderr)
            return 2
        tell(turn(work, int(count), counters))
    tell({"event": "end", "sha256": work.checksum()})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TesseraError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
