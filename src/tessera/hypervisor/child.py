# SPDX-License-Identifier: Apache-2.0
"""Starts the processes that a machine is made of, so that none outlives the one that started them.

The kernel kills them when their parent ends, however that comes (PR_SET_PDEATHSIG). A change of user clears
that wish, so the user is changed first; and a parent that ended in between is noticed by its number.

Where root starts a machine, its hypervisor runs as a user that nobody else is: the number of the parent's
process, which is unique while it lives, above a base that no distribution gives to anybody. So one guest
that broke out of its hypervisor could signal, trace or read neither the host's processes nor another
guest's. Nobody ("nobody", 65534) serves where a container does not know such numbers.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tessera.model.errors import MachineFailed

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_FIRST_USER = 0x5453_0000
_NOBODY = 65534
_LOG_TAIL = 2000
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class User:
    """Whom a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What a process needs beyond others: bytes of memory that it may lock, processors to stay on."""

    locked: int = 0
    processors: frozenset[int] = frozenset()


NOTHING_MORE = Needs()


def own_user(device: Path | None = None) -> User | None:
    """A user for one hypervisor, who may open `device` where its group may; None: stay who we are."""
    if os.geteuid() != 0:
        return None
    number = _FIRST_USER + os.getpid()
    if not (_is_known(number, "uid_map") and _is_known(number, "gid_map")):
        number = _NOBODY
    groups = (device.stat().st_gid,) if device and device.exists() else ()
    return User(number, number, tuple(group for group in groups if group != 0))


def _is_known(number: int, table: str) -> bool:
    for line in Path("/proc/self", table).read_text(encoding="ascii").splitlines():
        first, _, count = map(int, line.split())
        if first <= number < first + count:
            return True
    return False


class Child:
    """A process that runs, and what it says on its standard streams. It never outlives this process."""

    def __init__(
        self,
        arguments: Sequence[str],
        descriptors: Sequence[int],
        user: User | None,
        needs: Needs = NOTHING_MORE,
        program: int | None = None,
    ) -> None:
        """Starts it with these descriptors and no others. `program` is one of them, where its user may not
        reach the path of the program. Raises MachineFailed."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        try:
            self._process = self._start(arguments, descriptors, user, needs, program)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._log.close()
            raise MachineFailed(f"{arguments[0]} cannot be started: {error}.") from error
        self._ended = asyncio.Event()
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._take_end)

    def _start(
        self,
        arguments: Sequence[str],
        descriptors: Sequence[int],
        user: User | None,
        needs: Needs,
        program: int | None,
    ) -> subprocess.Popen[bytes]:
        with _may_lock(needs.locked):
            return subprocess.Popen(
                arguments,
                executable=None if program is None else f"/proc/self/fd/{program}",
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=tuple(descriptors),
                # A Ctrl-C at the terminal is meant for the program in the guest.
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=user.groups if user else None,
                preexec_fn=_prepare(os.getpid(), needs),  # noqa: PLW1509 - other threads sleep
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> str:
        """Waits until it has ended; how it did, and what it said last."""
        await self._ended.wait()
        code = self._process.wait()
        how = f"ended with code {code}"
        if code < 0:
            how = f"was ended by signal {-code} ({signal.strsignal(-code)})"
        self._log.seek(0)
        said = self._log.read()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
        return f"{how}. {said}".rstrip()

    async def stop(self) -> None:
        """Keeps it from running; returns when it does not any more, or has ended."""
        self._process.send_signal(signal.SIGSTOP)
        changes = os.WSTOPPED | os.WEXITED | os.WNOWAIT
        with suppress(ChildProcessError):
            await asyncio.to_thread(os.waitid, os.P_PID, self.pid, changes)

    def go_on(self) -> None:
        """Lets it run again."""
        self._process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kills it, if it runs, and returns when it is gone."""
        self._process.kill()
        await self._ended.wait()
        self._log.close()

    def _take_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self._ended.set()


def _prepare(parent: int, needs: Needs) -> Callable[[], None]:
    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        if needs.processors:
            os.sched_setaffinity(0, needs.processors)

    return prepare


@contextmanager
def _may_lock(size: int) -> Iterator[None]:
    """A child that is started here may lock so many bytes. The limit is this process's for a moment, because
    a child that has changed its user may raise nothing any more."""
    soft, hard = before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if size <= soft or soft == resource.RLIM_INFINITY:
        yield
        return
    enough = hard == resource.RLIM_INFINITY or size <= hard
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, hard if enough else size))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
