# SPDX-License-Identifier: Apache-2.0
"""Carries the standard streams of this process to a guest and back.

One thread for each stream, that reads and writes as any program does. The event loop was refused for this:
it wants descriptors that do not block, and that is a property of the terminal or file itself, which other
processes have open, too. A file cannot be waited for at all.

Nobody waits for the input's thread: it may sleep in a read for ever, and ends with the process.

While a machine is suspended, nothing may be put into its ports or taken out of them: Gate.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tessera.hypervisor import frames
from tessera.hypervisor.frames import Decoder, Frame, Kind

_CHUNK = 1 << 18


class Gate:
    """Every byte of a port passes here, one thread at a time, and none while the gate is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def close(self) -> None:
        """No byte passes from when this returns. It waits for nobody: who holds the lock never sleeps."""
        self._lock.acquire()

    def open(self) -> None:
        self._lock.release()

    def read(self, port: socket.socket) -> bytes | None:
        """What is there; None where nothing is. Raises OSError."""
        with self._lock:
            try:
                return port.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None

    def write(self, port: socket.socket, data: memoryview) -> int:
        """The number of bytes that there was room for. Raises OSError."""
        with self._lock:
            try:
                return port.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return 0


class Port:
    """A port behind a gate, for a thread that may wait."""

    def __init__(self, end: socket.socket, gate: Gate) -> None:
        self._end = end
        self._gate = gate

    def receive(self) -> bytes:
        """The next bytes; none at the end. Raises OSError."""
        while (data := self._gate.read(self._end)) is None:
            _wait(self._end, select.POLLIN)
        return data

    def send(self, data: bytes) -> None:
        """Raises OSError."""
        view = memoryview(data)
        while view:
            if not (sent := self._gate.write(self._end, view)):
                _wait(self._end, select.POLLOUT)
            view = view[sent:]


def _wait(end: socket.socket, event: int) -> None:
    """Raises OSError for a port that was closed meanwhile, as every use of one does."""
    number = end.fileno()
    if number < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    poll = select.poll()
    poll.register(number, event)
    poll.poll()


class Streams:
    """The streams of one program, from its start to its end."""

    def __init__(
        self,
        ports: tuple[socket.socket, socket.socket, socket.socket],
        files: tuple[int, int, int] = (0, 1, 2),
    ) -> None:
        """Ports and descriptors of input, output and errors."""
        self.gate = Gate()
        self._ports = [Port(port, self.gate) for port in ports]
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._ended = [asyncio.Event(), asyncio.Event()]

    def start(self) -> None:
        _thread(carry_in, self._files[0], self._ports[0])
        for index in (0, 1):
            _thread(self._carry_out, index)

    async def drained(self) -> None:
        """Waits until all that the program wrote is written, or nobody wants it any more."""
        for event in self._ended:
            await event.wait()

    def _carry_out(self, index: int) -> None:
        try:
            carry_out(self._ports[1 + index], self._files[1 + index])
        finally:
            # A loop that was closed meanwhile has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended[index].set)


def _thread(body: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=body, args=arguments, daemon=True).start()


def carry_in(source: int, port: Port) -> None:
    """Everything that can be read from `source` into the port, then that there is no more."""
    try:
        while data := _read(source):
            port.send(frames.encode(Kind.DATA, data))
        port.send(frames.encode(Kind.CLOSE))
    except OSError:
        return  # the machine is gone


def _read(source: int) -> bytes:
    try:
        return os.read(source, frames.MAX_DATA)
    except OSError:
        return b""  # a terminal that was hung up, a descriptor that never was


def carry_out(port: Port, target: int) -> None:
    """Everything that comes from the port into `target`, until there is no more."""
    decoder, wanted = Decoder(), True
    while True:
        try:
            data = port.receive()
            if not data:
                return
            for frame in decoder.feed(data):
                if frame.kind is Kind.CLOSE:
                    if wanted:
                        port.send(frames.encode(Kind.CLOSE))
                    return
                wanted = wanted and _written(frame, target, port)
        except (OSError, frames.BadFrame):
            return


def _written(frame: Frame, target: int, port: Port) -> bool:
    view = memoryview(frame.payload)
    try:
        while view:
            view = view[os.write(target, view) :]
    except OSError:
        # As a pipe would tell it to a program here.
        port.send(frames.encode(Kind.CLOSE))
        return False
    return True
