# SPDX-License-Identifier: Apache-2.0
"""Before a session: what is no hello, and who may not come in."""

from __future__ import annotations

import os
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.host import Host
from helpers.leases import lease_of
from helpers.wire import SHM, TCP, UNIX, Ended, Wire, addresses

if TYPE_CHECKING:
    from security.conftest import Witness

OTHER_VERSION, BAD_TOKEN, OTHER_TRANSPORT, NO_ROOM, NO_HELLO = 1, 2, 3, 4, 5
MAX_SESSIONS = 256

GARBAGE = {
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".ljust(64),
    "random": os.urandom(64),
    "long": os.urandom(1 << 20),
    "magic only": b"TSRHELLO" + b"\xff" * 56,
    "token too long": struct.pack("<8sIIII", b"TSRHELLO", 1, UNIX, 1 << 31, 0) + bytes(40),
    "reserved": struct.pack("<8sIIII", b"TSRHELLO", 1, UNIX, 0, 7) + bytes(40),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_hello_is_turned_away(witness: Witness, garbage: bytes) -> None:
    with Wire(witness.path).connect() as wire:
        try:
            wire.raw(garbage)
            reply = wire.socket.recv(64)
            assert reply == b"" or struct.unpack_from("<I", reply, 12)[0] != 0
        except (Ended, ConnectionError):
            pass
    witness.unharmed()


@pytest.mark.parametrize(
    ("version", "transport", "status"),
    [
        (0, UNIX, OTHER_VERSION),
        (2, UNIX, OTHER_VERSION),
        (1 << 31, SHM, OTHER_VERSION),
        (1, TCP, OTHER_TRANSPORT),
        (1, 0, OTHER_TRANSPORT),
        (1, 99, OTHER_TRANSPORT),
    ],
)
def test_a_refused_hello_is_told_why(
    witness: Witness, version: int, transport: int, status: int
) -> None:
    with Wire(witness.path, transport=transport, version=version).connect() as wire:
        assert wire.hello() == status
    witness.unharmed()


def test_who_says_nothing_keeps_nobody_waiting(witness: Witness) -> None:
    silent = [Wire(witness.path).connect() for _ in range(20)]
    half = [Wire(witness.path).connect() for _ in range(20)]
    for wire in half:
        wire.raw(b"TSRHELLO\1\0\0\0")
    witness.unharmed()
    deadline = time.monotonic() + 15
    for wire in silent + half:
        wire.socket.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            while wire.socket.recv(64):
                pass
        except ConnectionError:
            pass
        wire.close()
    witness.unharmed()


def test_a_full_lease_says_so_and_makes_room_again(witness: Witness) -> None:
    opened: list[Wire] = []
    refused = 0
    try:
        for _ in range(MAX_SESSIONS + 10):
            wire = Wire(witness.path).connect()
            opened.append(wire)
            if wire.hello() != 0:
                refused += 1
                assert wire.status == NO_ROOM
        assert refused >= 10
        assert witness.bench.works()
    finally:
        for wire in opened:
            wire.close()
    wait_for_room(witness.path)
    witness.unharmed()


def wait_for_room(path: str) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with Wire(path).connect() as wire:
            if wire.hello() == 0:
                return
        time.sleep(0.05)
    raise AssertionError("no room within 20 s")


def test_tcp_wants_the_token(host: Host) -> None:
    with lease_of(host, transport="tcp") as lease:
        path = addresses(lease["endpoint"])[1]
        token = bytes.fromhex(lease["environment"]["TESSERA_TOKEN"])
        wrong = [b"", bytes(32), token[:-1] + bytes([token[-1] ^ 1]), os.urandom(32)]
        for each in wrong:
            with Wire(path, TCP, token=each).connect() as wire:
                assert wire.hello() == BAD_TOKEN
        for transport in (SHM, UNIX):
            with Wire(path, transport, token=token).connect() as wire:
                assert wire.hello() == OTHER_TRANSPORT
        with Wire(path, TCP, token=token).open() as wire:
            assert wire.alive()


def test_a_lease_listens_on_tcp_only_when_asked(host: Host, witness: Witness) -> None:
    inodes = {
        os.readlink(f"/proc/{witness.gatekeeper}/fd/{fd}")
        for fd in os.listdir(f"/proc/{witness.gatekeeper}/fd")
    }
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in inodes


def test_nobody_else_may_open_the_socket_or_the_files(host: Host, witness: Witness) -> None:
    folder = host.runtime / "leases" / witness.lease["id"]
    for path in folder.rglob("*"):
        mode = path.stat().st_mode
        assert stat.S_IMODE(mode) & 0o077 == 0 or "vendors" in path.parts, path
    assert stat.S_IMODE(os.stat(witness.path).st_mode) == 0o600
    assert stat.S_IMODE((folder / "quota").stat().st_mode) == 0o600
