# SPDX-License-Identifier: Apache-2.0
"""Suspending a virtual machine with its lease to disk, and resuming it.

Half of the machine's memory and all that was asked for of the device hold noise, which no file system makes
smaller. The program in the machine writes a line every millisecond, so its first line after a resume tells
when it runs again; at the end it looks whether every byte is still there.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import tessera
from tessera.bench.contest import Say
from tessera.bench.errors import SideFailed
from tessera.bench.host import commit, describe_host
from tessera.bench.result import Report, make_series
from tessera.bench.sides import private_daemon
from tessera.client.rest import Client
from tessera.images.build import from_folder
from tessera.images.cache import Cache
from tessera.images.config import ImageConfig
from tessera.images.progress import Silent
from tessera.model.suspension import Keep
from tessera.model.units import MIB
from tessera.native import find
from tessera.paths import SOCKET_NAME

SUSPEND, RESUME, FIRST = "suspend", "resume", "resume_to_first_instruction"
HOLDER = "tessera-bench-holder"
_SIDE = "vm"
_PATIENCE = 300.0
# What Tessera's driver finds in any image that has a C library.
_DRIVER_NEEDS = ("libm.so.6", "libpthread.so.0")


@dataclass(frozen=True)
class SuspendVmPlan:
    """`rounds` times there and back; `device` and `guest` are bytes of memory, `folder` is on the disk."""

    folder: Path
    rounds: int = 5
    device: int = 256 * MIB
    guest: int = 512 * MIB


class Ticks:
    """The lines of a program that runs in a machine, each noted when it comes."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program
        self._came = threading.Condition()
        self._latest = 0.0
        self._words: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._program.stdout is not None
        for line in self._program.stdout:
            with self._came:
                self._latest = time.perf_counter_ns()
                if line != "tick\n":
                    self._words.append(line.strip())
                self._came.notify_all()
        with self._came:
            self._words.append("the end")
            self._came.notify_all()

    def first_after(self, moment: float) -> float:
        """When the first line after a moment came. Raises SideFailed."""
        with self._came:
            self._wait(lambda: self._latest > moment)
            return self._latest

    def expect(self, word: str) -> None:
        """Waits for a word that is no tick. Raises SideFailed."""
        with self._came:
            self._wait(lambda: word in self._words)

    def _wait(self, condition: object) -> None:
        assert callable(condition)
        until = time.monotonic() + _PATIENCE
        while not condition():
            left = until - time.monotonic()
            if left <= 0 or self._words[-1:] == ["the end"] or not self._came.wait(left):
                raise SideFailed("The program in the machine failed.", "Its output is above.")


def run_suspend_vm(plan: SuspendVmPlan, say: Say) -> Report:
    """Measures. Raises SideFailed and what the daemon answers."""
    started, host = datetime.now(UTC), describe_host()
    samples: dict[str, list[list[float]]] = {SUSPEND: [], RESUME: [], FIRST: []}
    on_disk: list[int] = []
    with (
        TemporaryDirectory(prefix="tessera-bench-", dir=plan.folder) as folder,
        private_daemon(needed=True, state=Path(folder) / "state") as environment,
        _machine(plan, environment, Path(folder), say) as ticks,
        Client(f"{environment['TESSERA_RUNTIME_DIR']}/{SOCKET_NAME}") as daemon,
    ):
        (lease,) = daemon.leases()
        for turn in range(plan.rounds + 1):
            say(f"suspending and resuming: {turn} of {plan.rounds}")
            began = time.perf_counter_ns()
            daemon.suspend(lease.id, Keep.DISK)
            there = time.perf_counter_ns()
            on_disk.append(_bytes_on_disk(Path(folder) / "state" / "suspended"))
            back = time.perf_counter_ns()
            daemon.resume(lease.id)
            resumed = time.perf_counter_ns()
            first = ticks.first_after(back)
            if turn == 0:  # it warms up caches and pages
                continue
            samples[SUSPEND].append([float(there - began)])
            samples[RESUME].append([float(resumed - back)])
            samples[FIRST].append([float(first - back)])
    return Report(
        experiment="suspend-vm",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers={},
        parameters={
            "rounds": plan.rounds,
            "guest_memory_mib": plan.guest // MIB,
            "device_memory_mib": plan.device // MIB,
            "bytes_on_disk": int(median(on_disk)),
        },
        series=tuple(make_series(name, {_SIDE: pieces}) for name, pieces in samples.items()),
    )


def _bytes_on_disk(folder: Path) -> int:
    """What the file system has given, which is less than the files' lengths where they have holes."""
    return sum(file.stat().st_blocks * 512 for file in folder.glob("[!.]*/*"))


@contextmanager
def _machine(
    plan: SuspendVmPlan, environment: Mapping[str, str], folder: Path, say: Say
) -> Iterator[Ticks]:
    image = _image(folder)
    say("booting a machine")
    line = [sys.executable, "-m", "tessera", "run", "--vm", "--image", str(image)]
    line += [
        "--memory",
        f"{plan.device // MIB + 32}MiB",
        "--guest-memory",
        f"{plan.guest // MIB}MiB",
    ]
    line += ["--", "/holder", str(plan.device // MIB), str(plan.guest // MIB // 2)]
    with subprocess.Popen(
        line, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        ticks = Ticks(process)
        try:
            ticks.expect("ready")
            yield ticks
            process.stdin.close()
            ticks.expect("whole")
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


def _image(folder: Path) -> Path:
    """An image with the program and what it needs, and nothing else."""
    root = folder / "root"
    for name in ("tmp", "proc", "etc"):
        (root / name).mkdir(parents=True)
    program = find(HOLDER)
    (root / "holder").write_bytes(program.read_bytes())
    (root / "holder").chmod(0o755)
    for file in _libraries(program):
        target = root / str(file).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.resolve().read_bytes())
        target.chmod(0o755)
    cache, config = Cache(folder / "images"), ImageConfig(cmd=("/holder",))
    return cache.path_of(from_folder(cache, root, config, "holder", False, Silent()).digest)


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True)
    found = [Path(path) for path in re.findall(r"(/\S+) \(0x", listed.stdout)]
    c_library = next(path for path in found if path.name == "libc.so.6")
    return [*found, *(c_library.with_name(name) for name in _DRIVER_NEEDS)]
