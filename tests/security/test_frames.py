# SPDX-License-Identifier: Apache-2.0
"""Frames that lie: each ends its own session and nothing else."""

from __future__ import annotations

import mmap
import os
import random
import struct
from typing import TYPE_CHECKING

import pytest

from helpers.wire import FRAGMENT, HEADER, OPCODES, SHM, TO_WORKER, Bench, Ended, Wire, encode

if TYPE_CHECKING:
    from security.conftest import Witness

TIMER = OPCODES["get_device_and_host_timer"]
FIELDS = encode("get_device_and_host_timer", {})

LIES: dict[str, dict[str, int]] = {
    "kind of nothing": {"kind": 0},
    "kind of the unknown": {"kind": 9},
    "more fields than a frame has": {"fields_size": 65_537},
    "fields without end": {"fields_size": 0xFFFFFFFF},
    "bulk where there is none": {"bulk_in": 1, "bulk_size": 0},
    "small bulk that is never there": {"bulk_in": 2, "bulk_size": 100},
    "large bulk in the frame": {"bulk_in": 1, "bulk_size": 4097},
    "bulk without its mark": {"bulk_in": 0, "bulk_size": 8},
    "unknown bulk": {"bulk_in": 3, "bulk_size": 8},
    "bulk past the limit": {"bulk_in": 2, "bulk_size": 16_777_217},
    "bulk that did not come": {"bulk_in": 2, "bulk_size": 8192},
    "sequence of the past": {"sequence": 0},
    "sequence of the future": {"sequence": 1 << 63},
    "reserved": {"reserved": 1},
    "offset on a stream": {"bulk_at": 4096},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_header_that_lies(witness: Witness, lie: dict[str, int]) -> None:
    with witness.attacker() as wire:
        wire.frame(TIMER, FIELDS, **lie)
        try:
            wire.socket.shutdown(1)
        except OSError:
            pass
        assert wire.ended()
    witness.unharmed()


FRAGMENTS = {
    "empty": HEADER.pack(0, 2, 0, 0, 0, 8192, 0, 0),
    "too long": HEADER.pack(0, 2, 0, FRAGMENT + 8, 0, 1 << 20, 0, 0),
    "of a bulk past the limit": HEADER.pack(0, 2, 0, 8, 0, (16 << 20) + 1, 0, 0),
    "with a gap": HEADER.pack(0, 2, 0, 8, 0, 8192, 0, 4096),
    "behind the end": HEADER.pack(0, 2, 0, 4096, 0, 2048, 0, 0),
    "with an opcode": HEADER.pack(3, 2, 0, 8, 0, 8192, 0, 0),
    "numbered credit": HEADER.pack(0, 3, 0, 0, 5, 0, 0, 8),
    "credit that is not due": HEADER.pack(0, 3, 0, 0, 0, 0, 0, 1 << 40),
    "credit that wraps around": HEADER.pack(0, 3, 0, 0, 0, 0, 0, (1 << 64) - 1),
}


@pytest.mark.parametrize("header", FRAGMENTS.values(), ids=FRAGMENTS.keys())
def test_a_fragment_or_credit_that_lies(witness: Witness, header: bytes) -> None:
    with witness.attacker() as wire:
        wire.raw(header + bytes(8192))
        assert wire.ended()
    witness.unharmed()


def test_random_bytes_after_the_hello(witness: Witness) -> None:
    source = random.Random(2)
    for _ in range(20):
        with witness.attacker() as wire:
            try:
                wire.raw(source.randbytes(source.randrange(1, 5000)))
                wire.socket.shutdown(1)
            except (Ended, OSError):
                continue
            assert wire.ended()
    witness.unharmed()


@pytest.mark.parametrize("name", TO_WORKER)
def test_fields_that_are_short_long_or_noise(witness: Witness, name: str) -> None:
    source = random.Random(name)
    right = encode(name, {})
    wrong = [
        right[:-1],
        right + bytes(8),
        b"\xff" * len(right),
        source.randbytes(300),
        bytes(65_536),
    ]
    for fields in wrong:
        if fields == right:
            continue
        with witness.attacker() as wire:
            wire.frame(OPCODES[name], fields)
            try:
                wire.socket.shutdown(1)
            except OSError:
                pass
            assert wire.ended()
    assert witness.bench.works()


@pytest.mark.parametrize("opcode", [0, 200, 256, 257, 65_535])
def test_an_opcode_that_the_worker_does_not_take(witness: Witness, opcode: int) -> None:
    with witness.attacker() as wire:
        wire.frame(opcode, b"")
        assert wire.ended()
    witness.unharmed()


def test_a_session_may_not_be_opened_twice_or_used_unopened(witness: Witness) -> None:
    with witness.attacker() as wire:
        wire.post("open_session", client_name="again")
        assert wire.ended()
    with Wire(witness.path).connect() as wire:
        assert wire.hello() == 0
        wire.post("create_context", context=5, devices=[0])
        assert wire.ended()
    witness.unharmed()


def test_the_shared_memory_may_be_scribbled_over(witness: Witness) -> None:
    source = random.Random(3)
    for _ in range(15):
        with Wire(witness.path, SHM).connect() as wire:
            assert wire.hello() == 0
            assert wire.descriptor is not None
            size = os.fstat(wire.descriptor).st_size
            with mmap.mmap(wire.descriptor, size) as memory:
                for _ in range(200):
                    at = source.choice([0, 4096, 8192, 12_288, 536_576, 1_060_864])
                    at += source.randrange(0, 512, 8)
                    memory[at : at + 8] = source.randbytes(8)
    witness.unharmed()


def test_heads_and_tails_that_lie(witness: Witness) -> None:
    for head in (1, 7, 8, 524_288, 524_296, 1 << 40, (1 << 64) - 8):
        for page in (4096, 8192):
            for place in (0, 64):
                with Wire(witness.path, SHM).connect() as wire:
                    assert wire.hello() == 0
                    assert wire.descriptor is not None
                    size = os.fstat(wire.descriptor).st_size
                    with mmap.mmap(wire.descriptor, size) as memory:
                        struct.pack_into("<Q", memory, page + place, head)
    witness.unharmed()


def test_the_shared_memory_cannot_be_cut_or_grown(witness: Witness) -> None:
    with Wire(witness.path, SHM).connect() as wire:
        assert wire.hello() == 0
        assert wire.descriptor is not None
        for size in (0, 4096, 1 << 30):
            with pytest.raises(PermissionError):
                os.ftruncate(wire.descriptor, size)
    witness.unharmed()


def test_bulk_that_nobody_consumes_is_bounded(witness: Witness) -> None:
    with witness.attacker() as wire:
        bench = Bench(wire, 1 << 20)
        wire.socket.settimeout(5)
        try:
            for _ in range(200):
                wire.frame(TIMER, FIELDS, os.urandom(1 << 20))
            assert wire.ended()
        except (Ended, TimeoutError):
            pass
        del bench
    witness.unharmed()
