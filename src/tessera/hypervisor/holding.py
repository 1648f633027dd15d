# SPDX-License-Identifier: Apache-2.0
"""Suspends and resumes the machine of this process, at the daemon's word.

The daemon asks over a socket: a line for each connection, `ok TEXT` or `error NAME TEXT` as its answer, and
descriptors with those that need files. The steps are small, and each leaves the machine in a phase that the
next daemon can ask for and go on from, because the one that asked may be gone at any moment:

    check          -> bytes that the machine's memory and state take, at most
    pause          the guest stands still, and with it all that carries bytes from or to it
    save FD FD     -> the hypervisor's fingerprint; memory and state are written; the guest is paused
    park           the hypervisor ends; what is left are the ports, the relay and this process
    load FD FD FD  a hypervisor is there again with memory, state and manifest; the guest has not run
    go             the guest runs; its clock of the day is put right
    state          -> booting, running, paused, parked, loaded; or busy

The socket has a random name that only the lease's record tells, and no file: nothing is left of it. Only the
daemon's user, root and this process's own user are heard.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from enum import StrEnum
from functools import partial
from typing import NoReturn, Protocol

from tessera import paths
from tessera.hypervisor import saved
from tessera.hypervisor.base import Machine
from tessera.hypervisor.child import Child
from tessera.hypervisor.tasks import first_of
from tessera.model.errors import (
    InvalidTransition,
    MachineFailed,
    ResumeRefused,
    StateFileDamaged,
    StateFileOtherVersion,
    SuspendFailed,
    SuspendUnsupported,
    TesseraError,
)

_LINE = 4096
_PATIENCE = 5.0
# The files that each step needs.
_STEPS = {"check": 0, "pause": 0, "save": 2, "park": 0, "load": 3, "go": 0}


class Phase(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    PARKED = "parked"
    LOADED = "loaded"


class Conversation(Protocol):
    """What this process says to the guest, and hears."""

    @property
    def goes_on(self) -> bool:
        """Whether a program runs in the guest."""

    async def hold(self) -> None:
        """From when this returns no byte passes."""

    async def let_go(self) -> None:
        """Bytes pass again, and the guest is told the time of day."""


def listen() -> socket.socket:
    """The socket to serve; its name, without the zero in front, is for the lease's request."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(f"\0tessera-machine-{secrets.token_hex(16)}")
    listener.listen()
    return listener


def name_of(listener: socket.socket) -> str:
    return os.fsdecode(listener.getsockname()).removeprefix("\0")


class Holding:
    """Belongs to the event loop of the machine's process."""

    def __init__(
        self, machine: Machine, relay: Child, conversation: Conversation, hypervisor: str
    ) -> None:
        """`hypervisor`: the fingerprint of the machine's."""
        self._machine = machine
        self._relay = relay
        self._conversation = conversation
        self._hypervisor = hypervisor
        self.phase = Phase.RUNNING
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Future[None]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unseen: tuple[saved.Part, int] | None = None
        self._ends = False
        self._steps: dict[str, Callable[[Sequence[int]], Awaitable[str]]] = {
            "check": self._check,
            "pause": self._pause,
            "save": self._save,
            "park": self._park,
            "load": self._load,
            "go": self._go,
        }

    async def serve(self, listener: socket.socket) -> NoReturn:
        """Answers until it is cancelled. Raises StateFileDamaged where what the guest goes on from turns
        out to be damaged."""
        try:
            await first_of(self._accept(listener), self._failure())
        finally:
            self._ends = True
            for task in [*self._tasks]:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        raise AssertionError("neither ends by itself")

    async def _failure(self) -> NoReturn:
        await self._broken
        raise AssertionError("it ends with an error only")

    async def _accept(self, listener: socket.socket) -> NoReturn:
        loop = asyncio.get_running_loop()
        # Not awaited: a peer that came in the moment of a cancellation would be lost, and stay open.
        loop.add_reader(listener, self._admit, listener, {0, os.geteuid(), *_daemon_user()})
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(listener)
        raise AssertionError("it ends by being cancelled")

    def _admit(self, listener: socket.socket, allowed: set[int]) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return  # it has left again
        if _user(peer) not in allowed:
            peer.close()
            return
        # Closed by the task's end, for one that is cancelled before it began does nothing.
        self._start(self._attend(peer)).add_done_callback(partial(_close, peer))

    def _start(self, body: Awaitable[None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(body)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _attend(self, peer: socket.socket) -> None:
        with ExitStack() as owner, suppress(OSError):
            line, descriptors = await asyncio.to_thread(_receive, peer)
            for descriptor in descriptors:
                owner.callback(os.close, descriptor)
            answer = await self._answer(line, descriptors)
            peer.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(peer, answer.encode() + b"\n")

    async def _answer(self, word: str, descriptors: Sequence[int]) -> str:
        if word == "state":
            return f"ok {self._state()}"
        if _STEPS.get(word) != len(descriptors):
            return f"error InvalidRequest there is no step '{word[:40]}' with so many files"
        try:
            async with self._one:
                return f"ok {await self._steps[word](descriptors)}"
        except TesseraError as error:
            text = " ".join(error.message.split()).rstrip(".")
            return f"error {error.name} {text[: _LINE // 2]}"

    def _state(self) -> str:
        if self._one.locked():
            return "busy"
        booting = self.phase is Phase.RUNNING and not self._conversation.goes_on
        return "booting" if booting else self.phase.value

    async def _check(self, _: Sequence[int]) -> str:
        self._require(Phase.RUNNING)
        if not self._conversation.goes_on:
            raise SuspendUnsupported("its machine has not started its program yet, or has ended it")
        if why := await self._machine.obstacle():
            raise SuspendUnsupported(f"its machine cannot be saved: {why}")
        return str(self._machine.memory_in_use())

    async def _pause(self, descriptors: Sequence[int]) -> str:
        await self._check(descriptors)
        await self._conversation.hold()
        try:
            await self._relay.stop()
            await self._machine.pause()
        except BaseException:
            with suppress(MachineFailed):
                await self._machine.go_on()
            await self._release()
            raise
        self.phase = Phase.PAUSED
        return ""

    async def _save(self, descriptors: Sequence[int]) -> str:
        self._require(Phase.PAUSED)
        memory, state = descriptors
        try:
            content = await self._machine.save(memory)
            await asyncio.to_thread(_write, state, content)
        except OSError as error:
            raise SuspendFailed(
                f"its machine's state cannot be written: {error.strerror}"
            ) from error
        return self._hypervisor

    async def _park(self, _: Sequence[int]) -> str:
        if self.phase is not Phase.PARKED:
            self._require(Phase.PAUSED, Phase.LOADED)
            self._forget_unseen()
            self.phase = Phase.PARKED
            await self._machine.park()
        return ""

    async def _load(self, descriptors: Sequence[int]) -> str:
        self._require(Phase.PARKED)
        memory, state, manifest = descriptors
        found = saved.read(manifest)
        if found.hypervisor != self._hypervisor:
            raise StateFileOtherVersion("the hypervisor is not the one that saved the machine")
        rest = saved.part_of(found, saved.STATE, state)
        part = saved.part_of(found, saved.MEMORY, memory)
        await asyncio.to_thread(saved.check, saved.STATE, rest, state)
        untouched = saved.is_untouched(part, memory)
        if not untouched:
            await asyncio.to_thread(saved.check, saved.MEMORY, part, memory)
        try:
            await self._machine.load(memory, os.pread(state, rest.size, 0))
        except MachineFailed as error:
            raise ResumeRefused(error.message) from error
        if untouched:
            self._unseen = (part, os.dup(memory))
        self.phase = Phase.LOADED
        return ""

    async def _go(self, _: Sequence[int]) -> str:
        if self.phase is Phase.RUNNING:
            return ""
        self._require(Phase.PAUSED, Phase.LOADED)
        try:
            await self._machine.go_on()
        except MachineFailed as error:
            if self.phase is Phase.LOADED:
                self._forget_unseen()
                self.phase = Phase.PARKED
            raise ResumeRefused(error.message) from error
        self.phase = Phase.RUNNING
        await self._release()
        if self._unseen:
            part, memory = self._unseen
            self._unseen = None
            self._start(self._look_through(part, memory))
        return ""

    async def _release(self) -> None:
        self._relay.go_on()
        await self._conversation.let_go()

    async def _look_through(self, part: saved.Part, memory: int) -> None:
        """The guest runs already. What it reads of the file, the kernel need not fetch any more."""

        def body() -> None:
            try:
                saved.check(saved.MEMORY, part, memory, lambda: not self._ends)
            finally:
                os.close(memory)

        try:
            await asyncio.to_thread(body)
        except StateFileDamaged as error:
            self._broken.set_exception(
                StateFileDamaged(
                    f"The machine was resumed from a state that is damaged: {error.message}.",
                    "What its program did since cannot be believed, so it was ended. Start it again.",
                )
            )

    def _forget_unseen(self) -> None:
        if self._unseen:
            os.close(self._unseen[1])
            self._unseen = None

    def _require(self, *phases: Phase) -> None:
        if self.phase not in phases:
            raise InvalidTransition(f"its machine is {self.phase}")


def _close(peer: socket.socket, _: object) -> None:
    peer.close()


def _daemon_user() -> tuple[int, ...]:
    try:
        return (os.stat(paths.daemon_socket()).st_uid,)
    except OSError:
        return ()


def _user(peer: socket.socket) -> int:
    facts = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", facts)
    return int(uid)


def _receive(peer: socket.socket) -> tuple[str, list[int]]:
    """Raises OSError. A line fits into one piece."""
    peer.settimeout(_PATIENCE)
    data, descriptors, _, _ = socket.recv_fds(peer, _LINE, 3, socket.MSG_CMSG_CLOEXEC)
    return data.decode("utf-8", "replace").strip(), list(descriptors)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
