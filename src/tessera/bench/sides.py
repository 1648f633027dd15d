# SPDX-License-Identifier: Apache-2.0
"""How a program is started on each side, and the daemon that an experiment keeps to itself.

A private daemon, not the user's: its gatekeepers inherit the cores that the experiment was given,
its lease cannot be refused because of someone else's, and nothing of it is left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tessera.bench.errors import SideFailed
from tessera.bench.machines import VM, machine_command
from tessera.bench.player import READY_SECONDS
from tessera.bench.result import BARE, MACHINE
from tessera.client import wire
from tessera.client.exchange import NoDaemon
from tessera.model.errors import InvalidRequest, UnreachableError
from tessera.paths import SOCKET_NAME

LEASED = ("shm", "unix", "tcp")
SIDES = (BARE, *LEASED, VM)
START_SECONDS = 60.0
STOP_SECONDS = 20.0
# The daemon ends by itself after this, should the experiment have been killed. It is without a lease,
# too, while a bare side warms up, for as long as READY_SECONDS.
IDLE_SECONDS = str(2 * READY_SECONDS)
_SYSTEM_VENDORS = "/etc/OpenCL/vendors"


def clean_up_when_terminated() -> None:
    """Lets SIGTERM unwind the stack as an exit does: no process and no folder stays behind."""

    def leave(_number: int, _frame: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def parse_sides(text: str) -> tuple[str, ...]:
    """'bare,shm' as sides in the order given. Raises InvalidRequest for one that is not known."""
    sides = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [side for side in sides if side not in SIDES]
    if unknown or not sides:
        raise InvalidRequest(
            f"'{text}' does not name sides to measure on.",
            f"Write some of {', '.join(SIDES)} with commas between them.",
        )
    return sides


def bare_environment() -> dict[str, str]:
    """The environment of a program on the bare device.

    pyopencl's wheel carries a loader that looks for drivers in its own folder unless told
    otherwise.
    """
    environment = dict(os.environ)
    environment.setdefault("OCL_ICD_VENDORS", _SYSTEM_VENDORS)
    return environment


def side_command(
    side: str, command: Sequence[str], fraction: str, weight: int | None = None
) -> list[str]:
    """`command` as it is started on `side`; `fraction` is the lease's part of the GPU."""
    if side in (BARE, MACHINE):
        return list(command)
    if side == VM:
        return machine_command(command, fraction, weight)
    run = [sys.executable, "-m", "tessera", "run", "--fraction", fraction, "--transport", side]
    return [*run, *(["--weight", str(weight)] if weight is not None else []), "--", *command]


@contextmanager
def private_daemon(
    needed: bool, state: Path | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Mapping[str, str]]:
    """The environment in which `tessera run` finds a daemon of this experiment's own.

    `state` is where it keeps what lasts, unless that is to go with the experiment; `variables` are for the daemon
    and for all programs. Without need no daemon is started. Raises SideFailed when the daemon does not start.
    """
    environment = bare_environment() | dict(variables or {})
    if not needed:
        yield environment
        return
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir="/tmp") as folder:
        environment["TESSERA_RUNTIME_DIR"] = f"{folder}/run"
        environment["TESSERA_STATE_DIR"] = str(state or f"{folder}/state")
        environment["TESSERA_AUTOSTART"] = "0"  # a second daemon would outlive the experiment
        log = Path(folder) / "daemon.log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "tessera", "daemon", "--idle-exit", IDLE_SECONDS],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_listening(daemon, Path(folder) / "run" / SOCKET_NAME, log)
            yield environment
        finally:
            _stop(daemon)


def _wait_listening(daemon: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(str(path)):
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
            raise SideFailed(
                f"The experiment's own daemon did not start.\n{tail}", "Run `tessera doctor`."
            )
        time.sleep(0.02)


def _answers(path: str) -> bool:
    try:
        wire.call(path, "GET", "/v1/health")
    except (NoDaemon, UnreachableError):
        return False
    return True


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
