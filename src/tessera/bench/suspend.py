# SPDX-License-Identifier: Apache-2.0
"""Suspending a lease to disk and resuming it, beside `cp` there and back of the same bytes.

Both sides use the same disk, turn by turn, and both are durable where they promise it: a state file is
synced before the device is given up, so the copy is synced too (`sync FILE`). The way back is read from
what the way there left, in the page cache or not, and needs no sync on either side.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import tessera
from tessera.bench.contest import Played, Say
from tessera.bench.errors import SideFailed
from tessera.bench.host import commit, describe_host
from tessera.bench.result import MACHINE, Report, Series, Target, make_series, make_target
from tessera.bench.sides import private_daemon, side_command
from tessera.client.rest import Client
from tessera.model.suspension import Keep
from tessera.paths import SOCKET_NAME

THERE, BACK, BOTH = "there", "back", "there_and_back"
SIDES = (MACHINE, "shm")
_TARGET = 1.5
_PIECE = 64 * 1024 * 1024

# Holds bytes that no compression and no clever file system makes fewer.
_HOLD = """
import sys
import numpy as np
import pyopencl as cl
context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)
size, piece = int(sys.argv[1]), int(sys.argv[2])
held = [cl.Buffer(context, cl.mem_flags.READ_WRITE, piece) for _ in range(size // piece)]
noise = np.random.default_rng(0).bytes(piece)
for buffer in held:
    cl.enqueue_copy(commands, buffer, np.frombuffer(noise, np.uint8))
commands.finish()
print("ready", flush=True)
sys.stdin.read()
seen = np.empty(piece, np.uint8)
for buffer in held:
    cl.enqueue_copy(commands, seen, buffer)
    assert seen.tobytes() == noise
print("whole", flush=True)
"""


@dataclass(frozen=True)
class SuspendPlan:
    """`pairs` times there and back with `size` bytes of device memory; `folder` is on the disk."""

    folder: Path
    pairs: int = 5
    size: int = 1 << 30
    fraction: str = "1"


def run_suspend(plan: SuspendPlan, say: Say, played: Played | None = None) -> Report:
    """Measures. Raises SideFailed and what the daemon answers."""
    started, host = datetime.now(UTC), describe_host()
    samples: dict[str, dict[str, list[list[float]]]] = {
        name: {side: [] for side in SIDES} for name in (THERE, BACK, BOTH)
    }
    with (
        TemporaryDirectory(prefix="tessera-bench-", dir=plan.folder) as folder,
        private_daemon(needed=True, state=Path(folder) / "state") as environment,
        _holding(plan, environment, say),
        Client(f"{environment['TESSERA_RUNTIME_DIR']}/{SOCKET_NAME}") as daemon,
    ):
        source = _source(Path(folder), plan.size)
        (lease,) = daemon.leases()
        for pair in range(plan.pairs + 1):
            for side in SIDES if pair % 2 == 0 else reversed(SIDES):
                if side == MACHINE:
                    there, back = _copy(source)
                else:
                    there = _timed(lambda: daemon.suspend(lease.id, Keep.DISK))
                    back = _timed(lambda: daemon.resume(lease.id))
                if pair == 0:  # the first one of each warms up caches and pages
                    continue
                for name, value in ((THERE, there), (BACK, back), (BOTH, there + back)):
                    samples[name][side].append([value])
                if played is not None:
                    played(side, pair, {})
    series = tuple(make_series(name, sides) for name, sides in samples.items())
    return Report(
        experiment="suspend",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers={},
        parameters={"pairs": plan.pairs, "size": plan.size},
        series=series,
        targets=suspend_targets(series[-1]),
    )


def suspend_targets(both: Series) -> tuple[Target, ...]:
    """The median of the pairs' ratios."""
    pairs = zip(both.samples["shm"], both.samples[MACHINE], strict=True)
    ratio = median(median(leased) / median(copied) for leased, copied in pairs)
    name = "suspend and resume of a lease / cp there and back"
    return (make_target(name, "shm", ratio, _TARGET, "", at_most=True),)


@contextmanager
def _holding(plan: SuspendPlan, environment: Mapping[str, str], say: Say) -> Iterator[None]:
    """A program that holds the memory, and looks at the end whether all of it is still there."""
    program = [sys.executable, "-c", _HOLD, str(plan.size), str(min(plan.size, _PIECE))]
    say(f"filling {plan.size >> 20} MiB of device memory")
    with subprocess.Popen(
        side_command("shm", program, plan.fraction),
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            _expect(process, "ready")
            yield
            process.stdin.close()
            _expect(process, "whole")
        finally:
            process.terminate()


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != word + "\n":
        raise SideFailed(
            "The program that holds the memory failed.",
            "Its output is above; try a smaller --size.",
        )


def _source(folder: Path, size: int) -> Path:
    source = folder / "source"
    with source.open("wb") as out:
        for left in range(size, 0, -_PIECE):
            out.write(os.urandom(min(left, _PIECE)))
        out.flush()
        os.fsync(out.fileno())
    return source


def _copy(source: Path) -> tuple[float, float]:
    copy, back = source.with_name("copy"), source.with_name("back")
    there = _timed(lambda: _command(f"cp '{source}' '{copy}' && sync '{copy}'"))
    home = _timed(lambda: _command(f"cp '{copy}' '{back}'"))
    copy.unlink()
    back.unlink()
    return there, home


def _command(line: str) -> None:
    subprocess.run(["/bin/sh", "-c", line], check=True)


def _timed(work: Callable[[], object]) -> float:
    """Nanoseconds."""
    begin = time.perf_counter_ns()
    work()
    return float(time.perf_counter_ns() - begin)
