# SPDX-License-Identifier: Apache-2.0
"""Machines that are coroutines of this process: for whatever is tested without a guest.

A fake machine has the ports of a real one. What is behind them is a function that gets a FakeGuest and
behaves, or misbehaves, as the test wants; when it returns, the machine has ended. While it is paused or
parked, the guest neither says nor hears anything.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from tessera.hypervisor import frames
from tessera.hypervisor.base import CONTROL, STDIN, STDOUT, Hypervisor, Machine, MachineSpec
from tessera.hypervisor.frames import Decoder, Frame, Kind, numbers
from tessera.model.errors import MachineFailed

RELEASE = "6.1.0-fake"


class FakeGuest:
    """The guest's end of every port."""

    def __init__(self, ports: dict[int, socket.socket]) -> None:
        self.runs = asyncio.Event()
        self.runs.set()
        self._ports = ports
        self._decoders = {number: Decoder() for number in ports}
        self._ready: dict[int, list[Frame]] = {number: [] for number in ports}

    async def say(self, kind: Kind, payload: bytes = b"", port: int = CONTROL) -> None:
        await self.write(frames.encode(kind, payload), port)

    async def write(self, data: bytes, port: int = CONTROL) -> None:
        """Bytes that need not be frames."""
        await self.runs.wait()
        await asyncio.get_running_loop().sock_sendall(self._ports[port], data)

    async def hear(self, port: int = CONTROL) -> Frame:
        """The next frame of the host. Raises EOFError where the host has gone."""
        ready = self._ready[port]
        while not ready:
            data = await asyncio.get_running_loop().sock_recv(self._ports[port], 1 << 16)
            if not data:
                raise EOFError
            ready += self._decoders[port].feed(data)
        await self.runs.wait()
        return ready.pop(0)

    async def boot(self) -> list[str]:
        """Says hello and hears what is to be run: its words."""
        await self.say(Kind.HELLO, numbers(frames.VERSION) + RELEASE.encode())
        words = []
        while (frame := await self.hear()).kind is Kind.WORD:
            words.append(frame.payload.decode())
        return words

    async def exit(self, code: int, number: int = 0) -> None:
        """The program has ended: both its streams, then it."""
        await self.say(Kind.CLOSE, port=STDOUT)
        await self.say(Kind.CLOSE, port=STDOUT + 1)
        await self.say(Kind.EXIT, numbers(code, number))


async def cat(guest: FakeGuest) -> None:
    """A guest whose program writes what it reads."""
    await guest.boot()
    await guest.say(Kind.STARTED)
    while (frame := await guest.hear(STDIN)).kind is Kind.DATA:
        await guest.say(Kind.DATA, frame.payload, STDOUT)
    await guest.exit(0)
    await guest.hear()


Behaviour = Callable[[FakeGuest], Awaitable[None]]


class FakeMachine(Machine):
    """A coroutine with ports. What it writes as its state is known, and looked for when it is loaded."""

    MEMORY, STATE = b"memory of a fake", b"state of a fake"

    def __init__(self, spec: MachineSpec, behave: Behaviour) -> None:
        self._spec = spec
        self.trouble: dict[str, Exception] = {}
        """What a step raises, by its name."""
        self.steps: list[str] = []
        pairs = {number: socket.socketpair() for number in range(1, spec.ports + 1)}
        super().__init__({number: ours for number, (ours, _) in pairs.items()})
        self._theirs = {number: theirs for number, (_, theirs) in pairs.items()}
        for port in self._theirs.values():
            port.setblocking(False)
        self._guest = FakeGuest(self._theirs)
        self._task = asyncio.ensure_future(behave(self._guest))
        self._task.add_done_callback(lambda _: self._close())

    @property
    def console(self) -> str:
        return "a fake has no console"

    async def wait(self) -> str:
        await asyncio.wait([self._task])
        return "ended with code 0"

    async def pause(self) -> None:
        self._step("pause")
        self._guest.runs.clear()

    async def obstacle(self) -> str:
        self._step("obstacle")
        return ""

    def memory_in_use(self) -> int:
        return len(self.MEMORY)

    async def save(self, memory: int) -> bytes:
        self._step("save")
        os.ftruncate(memory, self._spec.memory)
        os.pwrite(memory, self.MEMORY, 0)
        return self.STATE

    async def park(self) -> None:
        self._step("park")

    async def load(self, memory: int, state: bytes) -> None:
        self._step("load")
        if os.pread(memory, len(self.MEMORY), 0) != self.MEMORY or state != self.STATE:
            raise MachineFailed("This is not what was saved.")

    async def go_on(self) -> None:
        self._step("go_on")
        self._guest.runs.set()

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.trouble:
            raise self.trouble.pop(name)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for port in self.ports.values():
            port.close()

    def _close(self) -> None:
        for port in self._theirs.values():
            port.close()


class FakeHypervisor(Hypervisor):
    """Starts fake machines, and remembers what was asked for."""

    def __init__(self, behave: Behaviour = cat) -> None:
        self._behave = behave
        self.started: list[MachineSpec] = []
        self.machines: list[FakeMachine] = []

    def fingerprint(self) -> str:
        return "fake"

    async def start(self, spec: MachineSpec) -> Machine:
        self.started.append(spec)
        self.machines.append(FakeMachine(spec, self._behave))
        return self.machines[-1]
