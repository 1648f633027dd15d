# SPDX-License-Identifier: Apache-2.0
"""Processes that the daemon watches but did not necessarily start.

A pid alone says nothing: it is given to somebody else once its process is gone. A process is known here
by pid, start time and boot, and is watched and signalled through a pidfd, which keeps meaning the same
process. The start time is checked after the pidfd is open; before it, the pid could change hands between
the two steps.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

from tessera.model.lease import ProcessId


@cache
def boot_id() -> str:
    """The random id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold anything, brackets too.
    return text[text.rindex(")") + 2 :].split()


def identify(pid: int) -> ProcessId | None:
    """The process that has `pid` now, or None when there is none (one that only waits to be reaped is none).

    Asks a pidfd and not the state in /proc: there a process whose first thread has ended looks dead
    while its other threads work on.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        fields = _stat_fields(pid)
        if fields is None or has_ended(pidfd):
            return None
        return ProcessId(pid=pid, started=int(fields[19]), boot=boot_id())
    finally:
        os.close(pidfd)


def started_at(process: ProcessId, now: datetime) -> datetime:
    """When a process of this boot started."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / os.sysconf("SC_CLK_TCK")
    return now - timedelta(seconds=age)


def has_ended(pidfd: int) -> bool:
    """Whether all threads of a process are gone."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def owner(pid: int) -> int | None:
    """The user id of a process, or None when it is gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def lock_limit(pid: int) -> int | None:
    """The most bytes of memory that a process may lock, after raising what it may raise; None: no limit,
    or no process."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Max locked memory"):
            hard = line.split()[-2]
            return int(hard) if hard.isdecimal() else None
    return None


def is_alive(process: ProcessId) -> bool:
    return process.boot == boot_id() and identify(process.pid) == process


def open_pidfd(process: ProcessId) -> int | None:
    """A pidfd of exactly this process, or None when it is gone. The caller closes it."""
    if process.boot != boot_id():
        return None
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return None
    if identify(process.pid) == process:
        return pidfd
    os.close(pidfd)
    return None


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Signals exactly this process; False when it is gone or belongs to somebody else."""
    pidfd = open_pidfd(process)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def reap(pid: int) -> int | None:
    """Collects an ended child and gives its exit code (negative for a signal); None if not a child."""
    with suppress(ChildProcessError):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
    return None


def serving(program: str, option: str) -> Iterator[tuple[ProcessId, Path]]:
    """Every process that runs `program`, with the path that follows `option` on its command line."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            path = _path_of(words, program, option)
            identity = identify(int(entry.name)) if path else None
            if path and identity:
                yield identity, path


def _path_of(words: list[bytes], program: str, option: str) -> Path | None:
    # An interpreter may stand before the program.
    if not any(os.path.basename(word) == program.encode() for word in words[:3]):
        return None
    for name, value in pairwise(words):
        if name == option.encode():
            return Path(os.fsdecode(value))
    return None
