# SPDX-License-Identifier: Apache-2.0
"""The conversation with a guest's init over the control port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from tessera.hypervisor import frames
from tessera.hypervisor.base import CONTROL, Machine
from tessera.hypervisor.frames import BadFrame, Decoder, Frame, Kind
from tessera.hypervisor.tasks import first_of
from tessera.model.errors import GuestDidNotBoot

_CHUNK = 1 << 16
_CONSOLE_LINES = 12


@dataclass(frozen=True)
class Program:
    """What a guest is to run; `terminal`: rows and columns, None for three pipes."""

    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    hostname: str = "tessera"
    directory: str = "/"
    user: str = ""
    """USER[:GROUP] as the image says it; nothing is root."""
    terminal: tuple[int, int] | None = None
    shares: Sequence[str] = ()
    """Where the folders of the host are to be found, in the order of their disks."""

    def words(self) -> list[str]:
        """As the guest reads them (protocol/guest.md)."""
        words = [f"argument={argument}" for argument in self.arguments]
        words += [f"variable={name}={value}" for name, value in self.variables.items()]
        words += [f"hostname={self.hostname}", f"directory={self.directory}"]
        words += [f"user={self.user}"]
        words += [f"share={place}" for place in self.shares]
        if self.terminal:
            words.append(f"terminal={self.terminal[0]}x{self.terminal[1]}")
        return words


class Control:
    """The control port of a guest that has booted."""

    def __init__(self, port: socket.socket) -> None:
        port.setblocking(False)
        self._port = port
        self._decoder = Decoder()
        self._ready: list[Frame] = []
        self._loop = asyncio.get_running_loop()
        self.silence = asyncio.Lock()
        """Who holds it keeps this side silent: whatever is to be sent waits."""

    async def receive(self) -> Frame:
        """The next frame. Raises BadFrame, or EOFError where the machine is gone."""
        while not self._ready:
            data = await self._loop.sock_recv(self._port, _CHUNK)
            if not data:
                raise EOFError("the control port was closed")
            self._ready = self._decoder.feed(data)
        return self._ready.pop(0)

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Raises OSError where the machine is gone."""
        async with self.silence:
            await self._loop.sock_sendall(self._port, frames.encode(kind, payload))

    async def start(self, program: Program) -> None:
        """Tells the guest what to run. Raises OSError."""
        for word in program.words():
            await self.send(Kind.WORD, word.encode("utf-8", "surrogateescape"))
        await self.send(Kind.START)


async def greet(machine: Machine, limit: float) -> Control:
    """Waits at most `limit` seconds until the guest's init speaks. Raises GuestDidNotBoot or MachineFailed."""
    control = Control(machine.ports[CONTROL])
    try:
        hello = await asyncio.wait_for(first_of(_hello(machine, control), _its_end(machine)), limit)
    except TimeoutError:
        raise GuestDidNotBoot(
            f"The guest did not boot in {limit:g} s. {last_words(machine)}".rstrip(),
            "Run `tessera doctor`; where a host is just slow, set TESSERA_BOOT_LIMIT to more seconds.",
        ) from None
    except BadFrame as error:
        raise GuestDidNotBoot(
            f"The guest's init is broken: {error}. {last_words(machine)}"
        ) from error
    if hello.kind is not Kind.HELLO or hello.number(0) != frames.VERSION:
        raise GuestDidNotBoot(
            "The guest's init is of another version.", "Run `make setup`, which builds both."
        )
    return control


async def _hello(machine: Machine, control: Control) -> Frame:
    try:
        return await control.receive()
    except (EOFError, OSError):
        await _its_end(machine)


async def _its_end(machine: Machine) -> NoReturn:
    raise GuestDidNotBoot(
        f"The guest did not boot: its machine {await machine.wait()}. {last_words(machine)}".rstrip(),
        "Run `tessera doctor`, which looks for what a machine needs.",
    )


def last_words(machine: Machine) -> str:
    """The end of what the guest's kernel said, for an error message."""
    lines = machine.console.splitlines()[-_CONSOLE_LINES:]
    return "Its console says:\n" + "\n".join(lines) if lines else ""
