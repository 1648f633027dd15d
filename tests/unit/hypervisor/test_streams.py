# SPDX-License-Identifier: Apache-2.0
"""A closed gate lets no byte pass in either direction, and loses none."""

from __future__ import annotations

import random
import socket
import threading
import time

import pytest

from tessera.hypervisor.streams import Gate, Port

PAUSE = 0.05


def test_a_closed_gate_keeps_what_is_there_where_it_is() -> None:
    near, far = socket.socketpair()
    with near, far:
        gate = Gate()
        port = Port(near, gate)
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(port.receive()))
        gate.close()
        reader.start()
        writer = threading.Thread(target=lambda: port.send(b"out"))
        writer.start()
        far.sendall(b"in")
        time.sleep(PAUSE)
        assert received == []
        far.setblocking(False)
        try:
            raise AssertionError(far.recv(10))
        except BlockingIOError:
            gate.open()
        reader.join(10)
        writer.join(10)
        assert (received, far.recv(10)) == ([b"in"], b"out")


def test_a_long_stream_passes_a_gate_that_opens_and_closes() -> None:
    near, far = socket.socketpair()
    gate = Gate()
    port = Port(near, gate)
    data = random.Random(1).randbytes(4 << 20)
    seen = bytearray()

    def write() -> None:
        port.send(data)
        near.shutdown(socket.SHUT_WR)

    def read() -> None:
        while part := far.recv(1 << 16):
            seen.extend(part)

    writer, reader = threading.Thread(target=write), threading.Thread(target=read)
    writer.start()
    reader.start()
    for _ in range(20):
        gate.close()
        before = len(seen)
        time.sleep(PAUSE / 10)
        # What had passed may still be read; a socket holds less than this.
        assert len(seen) - before < 1 << 20
        gate.open()
        time.sleep(0.001)
    writer.join(30)
    reader.join(30)
    assert seen == data
    near.close()
    far.close()


def test_the_end_of_a_port_is_told() -> None:
    near, far = socket.socketpair()
    with near:
        far.close()
        assert Port(near, Gate()).receive() == b""


def test_a_port_that_is_closed_while_a_thread_waits_is_gone_as_any() -> None:
    ours, theirs = socket.socketpair()

    class Closing(Gate):
        def read(self, port: socket.socket) -> bytes | None:
            found = super().read(port)
            port.close()  # as the command does with a machine that is lost
            return found

    with theirs, pytest.raises(OSError, match="Bad file descriptor"):
        Port(ours, Closing()).receive()
