# SPDX-License-Identifier: Apache-2.0
"""Kills of everything that a machine is made of, at random moments, 200 times."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.machines import BOOT, children, words
from helpers.processes import eventually, is_running

KILLS = 200
SPREAD = 6.0  # seconds: from before QEMU starts to after the program has
DONE, KILLED = 7, 9
PROGRAM = "tessera-bench-tenant interactive --ms 2000 >/dev/null; exit 7"
# What the guest does to itself: its program, and all of it.
INSIDE = {"program": "kill -KILL $$", "init": "echo b >/proc/sysrq-trigger; sleep 60"}


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def workers_of(host: Host, _command: subprocess.Popen[str]) -> list[int]:
    return [pid for keeper in host.processes() for pid in children(keeper, "tessera-worker")]


def none_runs(pids: Sequence[int]) -> bool:
    return not any(map(is_running, pids))


VICTIMS: dict[str, Callable[[Host, subprocess.Popen[str]], list[int]]] = {
    "qemu": lambda _host, command: children(command.pid, "qemu"),
    "relay": lambda _host, command: children(command.pid, "tessera-vm-rela"),
    "command": lambda _host, command: [command.pid],
    "worker": workers_of,
    "daemon": lambda host, _command: [pid for pid in [host.daemon_pid()] if pid],
}


@pytest.mark.slow
def test_two_hundred_kills_leave_nothing(vm_host: Host, image: Path) -> None:
    dice = random.Random(20)
    for number in range(KILLS):
        victim = dice.choice([*VICTIMS, *INSIDE])
        script = f"sleep {2 * dice.random():.2f}; {INSIDE[victim]}" if victim in INSIDE else PROGRAM
        with vm_host.start(*words(image, "sh", "-c", script)) as command:
            parts: list[int] = []
            if victim in VICTIMS:
                time.sleep(SPREAD * dice.random())
                parts = children(command.pid, "")
                for pid in VICTIMS[victim](vm_host, command):
                    kill(pid)
            code = command.wait(BOOT)
            errors = command.stderr.read() if command.stderr else ""
        told = f"{number}: {victim}, {code}: {errors}"
        assert code in codes(victim), told
        assert "Traceback" not in errors, told
        if victim == "command":  # nobody waits for its children any more
            eventually(partial(none_runs, parts), f"none of {parts} runs, {told}")
        assert none_runs(parts), told
        if victim == "daemon":
            vm_host.leases()  # by the next daemon, which ends what ended while there was none
        eventually(lambda: vm_host.processes() == [], f"nothing is left, {told}")
        assert vm_host.leases() == [], told
        assert vm_host.lease_folders() == [], told


def codes(victim: str) -> tuple[int, ...]:
    """How the command may end: by the kill, or undisturbed where that came too early or too late."""
    match victim:
        case "program":
            return (128 + KILLED,)
        case "init":
            return (1,)
        case "command":
            return (-KILLED, DONE)
        case "worker":
            return (DONE, 1)  # the program says itself what it makes of a lost device
        case "daemon":
            return (DONE, 5)
        case _:
            return (DONE, 1)
