# SPDX-License-Identifier: Apache-2.0
"""The process between a guest and its lease, with a hostile guest at one end and a lease at the other."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from helpers.programs import native
from tessera.hypervisor import frames
from tessera.hypervisor.base import PORT_WINDOW
from tessera.hypervisor.frames import Frame, Kind, numbers
from tessera.hypervisor.relay import Relay

pytestmark = pytest.mark.usefixtures("_built")


@pytest.fixture(scope="module")
def _built() -> None:
    native("tessera-vm-relay")


class Scene:
    """A relay with one port; `guest` is the far end of it, `lease` listens."""

    def __init__(self, folder: Path) -> None:
        self.lease = socket.socket(socket.AF_UNIX)
        self.lease.bind(str(folder / "lease.sock"))
        self.lease.listen()
        self.lease.settimeout(10)
        self.guest, port = socket.socketpair()
        self.guest.setblocking(False)
        self.window = os.memfd_create("window", os.MFD_CLOEXEC)
        os.ftruncate(self.window, PORT_WINDOW)
        self.decoder = frames.Decoder()
        self.programs: list[socket.socket] = []
        self.relay = Relay(str(folder / "lease.sock"), [port], self.window)

    async def say(self, kind: Kind, payload: bytes = b"") -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.guest, frames.encode(kind, payload))

    async def hear(self) -> Frame:
        loop = asyncio.get_running_loop()
        while not (found := self.decoder.feed(await loop.sock_recv(self.guest, 1 << 16))):
            continue
        (frame,) = found
        return frame

    async def accept(self) -> socket.socket:
        await self.say(Kind.OPEN)
        program, _ = await asyncio.to_thread(self.lease.accept)
        program.settimeout(10)
        self.programs.append(program)
        return program

    async def end(self) -> None:
        await self.relay.end()
        os.close(self.window)
        for end in (self.lease, self.guest, *self.programs):
            end.close()


def played(folder: Path, body: Callable[[Scene], Awaitable[None]]) -> None:
    async def play() -> None:
        scene = Scene(folder)
        try:
            async with asyncio.timeout(60):
                await body(scene)
        finally:
            await scene.end()

    asyncio.run(play())


def test_it_joins_a_program_and_its_lease(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        for _ in range(3):
            program = await scene.accept()
            await scene.say(Kind.DATA, b"question")
            assert program.recv(100) == b"question"
            program.sendall(b"answer")
            assert (await scene.hear()).payload == b"answer"
            program.close()
            assert (await scene.hear()).kind is Kind.CLOSE
            await scene.say(Kind.CLOSE)

    played(tmp_path, body)


def test_bulk_lies_in_the_window(tmp_path: Path) -> None:
    text = os.urandom(100_000)

    async def body(scene: Scene) -> None:
        program = await scene.accept()
        os.pwrite(scene.window, text, 0)
        await scene.say(Kind.LENT, numbers(0, len(text)))
        got = await asyncio.to_thread(program.recv, len(text), socket.MSG_WAITALL)
        assert got == text
        returned = await scene.hear()
        assert (returned.kind, returned.number(0)) == (Kind.RETURNED, 0)
        await asyncio.to_thread(program.sendall, text)
        found = b""
        while len(found) < len(text):
            lent = await scene.hear()
            assert lent.kind is Kind.LENT
            slot = PORT_WINDOW // 2 + lent.number(0) * (PORT_WINDOW // 8)
            found += os.pread(scene.window, lent.number(1), slot)
            await scene.say(Kind.RETURNED, numbers(lent.number(0)))
        assert found == text

    played(tmp_path, body)


def test_a_lease_that_has_ended_is_a_close(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        scene.lease.close()
        await scene.say(Kind.OPEN)
        assert (await scene.hear()).kind is Kind.CLOSE

    played(tmp_path, body)


@pytest.mark.parametrize(
    "frame",
    [
        frames.encode(Kind.LENT, numbers(4, 1)),
        frames.encode(Kind.LENT, numbers(0, PORT_WINDOW)),
        frames.encode(Kind.RETURNED, numbers(0)),
        frames.encode(Kind.OPEN),
        frames.encode(Kind.START),
        b"\xff" * 8,
    ],
)
def test_a_guest_that_breaks_the_protocol_ends_its_relay(tmp_path: Path, frame: bytes) -> None:
    async def body(scene: Scene) -> None:
        await scene.accept()
        await asyncio.get_running_loop().sock_sendall(scene.guest, frame)
        assert "the guest broke the protocol" in await scene.relay.child.wait()

    played(tmp_path, body)


def test_it_is_nobody_and_may_open_nothing(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.accept()
        status = Path(f"/proc/{scene.relay.child.pid}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        filtered = "2"
        assert (int(facts["CapEff"], 16), facts["NoNewPrivs"]) == (0, "1")
        assert facts["Seccomp"] == filtered
        if os.geteuid() == 0:
            assert "0" not in facts["Uid"].split()

    played(tmp_path, body)
