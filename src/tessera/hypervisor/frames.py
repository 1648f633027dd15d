# SPDX-License-Identifier: Apache-2.0
"""The frames on a machine's ports, as protocol/guest.md describes and native/guest/frame.h implements them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

VERSION = 4
MAX_PAYLOAD = 256 * 1024
MAX_DATA = 64 * 1024
_HEADER = struct.Struct("<IB3s")
_NUMBER = 4
_RESERVED = bytes(3)


class Kind(IntEnum):
    DATA = 1
    OPEN = 2
    CLOSE = 3
    HELLO = 4
    WORD = 5
    START = 6
    STARTED = 7
    FAILED = 8
    SIGNAL = 9
    SIZE = 10
    EXIT = 11
    END = 12
    TIME = 13
    LENT = 14
    RETURNED = 15


_FEWEST = {Kind.DATA: 1, Kind.WORD: 1, Kind.HELLO: _NUMBER, Kind.FAILED: _NUMBER}
_EXACTLY = {
    Kind.SIGNAL: _NUMBER,
    Kind.SIZE: 2 * _NUMBER,
    Kind.EXIT: 2 * _NUMBER,
    Kind.TIME: 3 * _NUMBER,
    Kind.LENT: 2 * _NUMBER,
    Kind.RETURNED: _NUMBER,
}


class BadFrame(Exception):
    """The peer did not keep to the protocol."""


@dataclass(frozen=True)
class Frame:
    kind: Kind
    payload: bytes = b""

    def number(self, index: int) -> int:
        """The 32-bit number at `index`; the decoder has seen that it is there."""
        return int.from_bytes(self.payload[_NUMBER * index : _NUMBER * (index + 1)], "little")

    def text(self) -> str:
        """What follows the first number, for people."""
        return self.payload[_NUMBER:].decode("utf-8", "replace")


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEADER.pack(len(payload), kind, _RESERVED) + payload


def numbers(*values: int) -> bytes:
    """A payload of 32-bit numbers."""
    return struct.pack(f"<{len(values)}I", *values)


class Decoder:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole with `data`. Raises BadFrame."""
        self._bytes += data
        found = []
        while frame := self._next():
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        if len(self._bytes) < _HEADER.size:
            return None
        size, number, reserved = _HEADER.unpack_from(self._bytes)
        kind = _checked(number, size, reserved)
        end = _HEADER.size + size
        if len(self._bytes) < end:
            return None
        payload = bytes(self._bytes[_HEADER.size : end])
        del self._bytes[:end]
        return Frame(kind, payload)


def _checked(number: int, size: int, reserved: bytes) -> Kind:
    try:
        kind = Kind(number)
    except ValueError as error:
        raise BadFrame(f"no frame has the kind {number}") from error
    fits = size >= _FEWEST[kind] if kind in _FEWEST else size == _EXACTLY.get(kind, 0)
    if not fits or size > MAX_PAYLOAD or reserved != _RESERVED:
        raise BadFrame(f"a {kind.name} frame of {size} bytes")
    return kind
