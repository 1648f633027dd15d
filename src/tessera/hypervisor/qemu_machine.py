# SPDX-License-Identifier: Apache-2.0
"""A machine of QEMU's, and the QEMU processes that run it one after another.

Suspending to a file ends QEMU, and resuming starts another one. What lasts is here: both ends of the ports
and the console, and the disk. A program's bytes are in three places then, and none may be lost or come twice:

- in the sockets between QEMU and the others: they stay there, as this process keeps both ends open;
- in the guest's memory: saved with it, as is the memory that it shares with the relay, which stands still;
- in QEMU, which has taken a piece from the guest's ring and could not write all of it: part of its own state.

So no byte may pass between the sockets and QEMU once its state is being written. QEMU does not promise that
for a stopped guest: it goes on moving what there is room for. pause() therefore waits until nothing moves any
more (those at the other ends keep still), and save() looks at the end whether it stayed so.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tessera.hypervisor import migration
from tessera.hypervisor.base import Machine
from tessera.hypervisor.child import Child
from tessera.hypervisor.console import Console
from tessera.hypervisor.monitor import Monitor
from tessera.model.errors import MachineFailed, SuspendFailed

_NAME = "state"
_PIPE = 1 << 20
_FAST = 1 << 40  # bytes per second: no limit
_OTHER_STATE = 1 << 20  # bytes, about: what is not the guest's memory
_BLOCK = 512
_SAME_LOOKS = 3
_MOST_LOOKS = 2000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_EXIT_LIMIT = 5.0

# Starts a QEMU with its ends of the monitor, the console and the ports, and with saved memory or none.
# Raises MachineFailed.
Launch = Callable[[int, int, Sequence[int], int | None], Child]


@dataclass(frozen=True)
class _Qemu:
    """A process, and the connection to it."""

    child: Child
    monitor: Monitor

    async def end(self) -> None:
        # In this order: a monitor that still answers is waited for.
        await self.child.end()
        await self.monitor.close()

    async def fate(self) -> str:
        """How it ended, if it did."""
        try:
            return f"it {await asyncio.wait_for(self.child.wait(), _EXIT_LIMIT)}"
        except TimeoutError:
            return "it runs on"


class QemuMachine(Machine):
    """See above. `size` is the guest's memory in bytes."""

    def __init__(
        self, launch: Launch, ports: int, size: int, window: int | None, owned: ExitStack
    ) -> None:
        """`window` is the file of the shared memory, if there is one; `owned` is closed with the machine."""
        pairs = [socket.socketpair() for _ in range(ports + 1)]
        self._theirs = [theirs for _, theirs in pairs]
        super().__init__(dict(enumerate((ours for ours, _ in pairs[1:]), 1)), window)
        self._console = Console(pairs[0][0])
        self._launch = launch
        self._size = size
        self._owned = owned
        self._running: _Qemu | None = None
        self._loaded: tuple[_Qemu, bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._rest: tuple[int, ...] = ()
        self._backed = 0

    async def power_on(self) -> None:
        """Starts the machine. Raises MachineFailed."""
        self._run(await self._begin(None))

    @property
    def console(self) -> str:
        return self._console.text

    @property
    def pid(self) -> int | None:
        """Of the QEMU that runs, if one does."""
        return self._running.child.pid if self._running else None

    async def wait(self) -> str:
        return await asyncio.shield(self._gone)

    async def pause(self) -> None:
        monitor = self._monitor()
        await monitor.ask("stop")
        self._rest = await self._come_to_rest(monitor)

    async def obstacle(self) -> str:
        found = await self._monitor().ask("query-migrate")
        return "; ".join(found.get("blocked-reasons", ()))

    def memory_in_use(self) -> int:
        words = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        shared = 0 if self.window is None else os.fstat(self.window).st_blocks * _BLOCK
        return min(self._size, int(words[1]) * _PAGE + self._backed) + shared + _OTHER_STATE

    async def save(self, memory: int) -> bytes:
        monitor = self._monitor()
        reading = asyncio.ensure_future(self._split(await self._outlet(monitor), memory))
        sending = asyncio.ensure_future(_send(monitor))
        state, sent = await asyncio.gather(reading, sending, return_exceptions=True)
        if isinstance(state, OSError):
            raise state
        if isinstance(sent, BaseException):
            raise sent
        if isinstance(state, BaseException):
            raise SuspendFailed(
                f"QEMU's state has a form that Tessera does not know: {state}."
            ) from state
        if self._bytes_at_rest() != self._rest:
            raise SuspendFailed("Bytes moved between the guest and its ports while it was saved.")
        return state

    async def park(self) -> None:
        parked = self._loaded[0] if self._loaded else self._running
        self._loaded, self._running = None, None
        if self._watcher:
            self._watcher.cancel()
        if parked:
            await parked.end()

    async def load(self, memory: int, state: bytes) -> None:
        self._backed = os.fstat(memory).st_blocks * _BLOCK
        self._loaded = (await self._begin(memory), state)

    async def go_on(self) -> None:
        if self._loaded is None:
            await self._monitor().ask("cont")
            return
        qemu, state = self._loaded
        try:
            await _receive(qemu.monitor, state)
            await qemu.monitor.ask("cont")
        except MachineFailed as error:
            how = await qemu.fate()
            await self.park()
            raise MachineFailed(f"QEMU does not take the saved state: {how}") from error
        self._loaded = None
        self._run(qemu)

    async def end(self) -> None:
        await self.park()
        self._console.close()
        for end in (*self.ports.values(), *self._theirs):
            end.close()
        self._owned.close()

    def _monitor(self) -> Monitor:
        if self._running is None:
            raise MachineFailed("The machine does not run.")
        return self._running.monitor

    async def _begin(self, memory: int | None) -> _Qemu:
        ours, theirs = socket.socketpair()
        numbers = [end.fileno() for end in self._theirs]
        try:
            with theirs:
                process = self._launch(theirs.fileno(), numbers[0], numbers[1:], memory)
        except BaseException:
            ours.close()
            raise
        qemu = _Qemu(process, Monitor(ours))
        try:
            await qemu.monitor.connect()
        except MachineFailed as error:
            how = await qemu.fate()
            await qemu.end()
            raise MachineFailed(
                f"QEMU did not start: {how}",
                "Run `tessera doctor`, which looks for what a machine needs.",
            ) from error
        except BaseException:
            await qemu.end()
            raise
        return qemu

    def _run(self, qemu: _Qemu) -> None:
        self._running = qemu
        self._watcher = asyncio.ensure_future(self._watch(qemu))

    async def _watch(self, qemu: _Qemu) -> None:
        how = await qemu.child.wait()
        for end in self._theirs:
            end.close()
        self._gone.set_result(how)

    async def _come_to_rest(self, monitor: Monitor) -> tuple[int, ...]:
        """Each answer of QEMU's is one turn of the loop in which it also moves bytes."""
        seen, same = self._bytes_at_rest(), 0
        for _ in range(_MOST_LOOKS):
            await monitor.ask("query-status")
            now = self._bytes_at_rest()
            same = same + 1 if now == seen else 0
            if same == _SAME_LOOKS:
                return now
            seen = now
        raise MachineFailed("The bytes on the machine's ports do not come to rest.")

    def _bytes_at_rest(self) -> tuple[int, ...]:
        """What waits for QEMU, and what it has written that nobody took, of each port."""
        return tuple(
            _waiting(end, what)
            for end in self._theirs[1:]
            for what in (termios.FIONREAD, termios.TIOCOUTQ)
        )

    async def _outlet(self, monitor: Monitor) -> int:
        """The end of a pipe that QEMU has the other one of."""
        outlet, inlet = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(outlet, fcntl.F_SETPIPE_SZ, _PIPE)
            await monitor.give(_NAME, inlet)
        except BaseException:
            os.close(outlet)
            raise
        finally:
            os.close(inlet)
        return outlet

    async def _split(self, outlet: int, memory: int) -> bytes:
        def body() -> bytes:
            try:
                return migration.split(outlet, memory, self._size)
            finally:
                os.close(outlet)  # where not all was read, QEMU learns of it so

        return await asyncio.to_thread(body)


def _waiting(end: socket.socket, what: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(end, what, bytes(4)))
    return int(count)


async def _send(monitor: Monitor) -> None:
    await monitor.ask("migrate-set-parameters", {"max-bandwidth": _FAST})
    await monitor.ask("migrate", {"uri": f"fd:{_NAME}"})
    if not await monitor.migrated():
        raise SuspendFailed("QEMU could not save the machine's state.")


async def _receive(monitor: Monitor, state: bytes) -> None:
    fd = os.memfd_create("tessera-state", os.MFD_CLOEXEC)
    try:
        view = memoryview(state)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        await monitor.give(_NAME, fd)
    finally:
        os.close(fd)
    await monitor.ask("migrate-incoming", {"uri": f"fd:{_NAME}"})
    if not await monitor.migrated():
        raise MachineFailed("QEMU could not load the machine's state.")
