# SPDX-License-Identifier: Apache-2.0
"""The board of a GPU, read and steered from outside. Mirrors native/arbiter/board.h; a test compares the two.

The board is copied with pread and never mapped, as the quota page is and for the same reason: whoever may
write the file could cut it short, and a mapping would answer that with SIGBUS in the daemon. What it says
was written by processes that serve tenants, so every index, text and number in it is taken as a claim:
none can make the daemon fail, and none names a process that the daemon would signal.

Four words are the daemon's to write: a GPU's policy and slice, a lease's weight and share. Each is one
aligned word, and a pwrite of those four bytes into the page cache is a single store for everybody who maps
the page. Who is to look at it again is told by a signal (see arbiters.py).
"""

from __future__ import annotations

import os
from ctypes import Array, Structure, c_char, c_int32, c_ubyte, c_uint32, c_uint64, sizeof
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tessera.model.errors import BoardUnreadable
from tessera.model.policy import PolicyKind

MAGIC = int.from_bytes(b"TSRBOARD", "little")
VERSION = 1
MAX_TENANTS = 128
MAX_SEATS = 512
WAIT_BUCKETS = 128
TRACE_LENGTH = 8192

POLICY_WORDS = {
    PolicyKind.BEST_EFFORT: 0,
    PolicyKind.EQUAL: 1,
    PolicyKind.FIXED: 2,
    PolicyKind.WEIGHTED: 3,
}
_WORD = 4


class Tenant(Structure):
    """A lease on the GPU; times in ns of CLOCK_MONOTONIC."""

    _fields_ = (
        ("present", c_uint32),
        ("weight", c_uint32),
        ("share_ppm", c_uint32),
        ("gatekeeper_pid", c_int32),
        ("lease_id", c_char * 32),
        ("grant", c_uint32),
        ("overruns", c_uint32),
        ("until_ns", c_uint64),
        ("since_ns", c_uint64),
        ("device_ns", c_uint64),
        ("commands", c_uint64),
        ("grants", c_uint64),
        ("waits", c_uint64),
        ("waited_ns", c_uint64),
        ("wait_counts", c_uint32 * WAIT_BUCKETS),
    )
    present: int
    weight: int
    share_ppm: int
    gatekeeper_pid: int
    lease_id: bytes
    grant: int
    overruns: int
    until_ns: int
    since_ns: int
    device_ns: int
    commands: int
    grants: int
    waits: int
    waited_ns: int
    wait_counts: Array[c_uint32]


class Seat(Structure):
    """A session on the GPU."""

    _fields_ = (
        ("worker_pid", c_int32),
        ("tenant", c_uint32),
        ("wants", c_uint32),
        ("busy", c_uint32),
        ("poke", c_uint32),
        ("attended", c_uint32),
        ("ends_ns", c_uint64),
    )
    worker_pid: int
    tenant: int
    wants: int
    busy: int


class TraceEntry(Structure):
    """One stretch of time in which a lease held the GPU; `device_ns` is what it was charged since its
    stretch before, because a command may be charged when its lease has lost the GPU already."""

    _fields_ = (
        ("begin_ns", c_uint64),
        ("end_ns", c_uint64),
        ("device_ns", c_uint64),
        ("tenant", c_uint32),
        ("grant", c_uint32),
    )
    begin_ns: int
    end_ns: int
    device_ns: int
    tenant: int
    grant: int


class Board(Structure):
    """The whole page. The mutex is 40 bytes of glibc's own on a 64-byte line that nobody else uses."""

    _fields_ = (
        ("magic", c_uint64),
        ("version", c_uint32),
        ("arbiter_pid", c_int32),
        ("boot", c_uint64),
        ("gpu", c_char * 64),
        ("policy", c_uint32),
        ("slice_us", c_uint32),
        ("doorbell", c_uint32),
        ("contended", c_uint32),
        ("started_ns", c_uint64),
        ("device_ns", c_uint64),
        ("idle_ns", c_uint64),
        ("trace_count", c_uint64),
        ("_before_mutex", c_ubyte * 56),
        ("mutex", c_ubyte * 40),
        ("_after_mutex", c_ubyte * 24),
        ("tenants", Tenant * MAX_TENANTS),
        ("seats", Seat * MAX_SEATS),
        ("trace", TraceEntry * TRACE_LENGTH),
    )
    magic: int
    version: int
    arbiter_pid: int
    boot: int
    gpu: bytes
    policy: int
    slice_us: int
    doorbell: int
    contended: int
    started_ns: int
    device_ns: int
    idle_ns: int
    trace_count: int
    tenants: Array[Tenant]
    seats: Array[Seat]
    trace: Array[TraceEntry]

    def places(self) -> dict[str, int]:
        """Where each lease's own entry is, by its id."""
        return {
            self.tenants[index].lease_id.decode("ascii", "replace"): index
            for index in range(MAX_TENANTS)
            if self.tenants[index].present == 1
        }


def layout() -> dict[str, tuple[int, int]]:
    """Offset and size of each field in bytes, in the header's order, nested ones as 'tenants.weight'."""
    found: dict[str, tuple[int, int]] = {}
    nested = (("", Board), ("tenants.", Tenant), ("seats.", Seat), ("trace.", TraceEntry))
    for prefix, structure in nested:
        for field in structure._fields_:
            descriptor = getattr(structure, field[0])
            if not field[0].startswith("_"):
                found[prefix + field[0]] = (descriptor.offset, descriptor.size)
    return found


_PLACES = layout()
_HEAD = _PLACES["trace"][0]


@dataclass(frozen=True)
class TraceSlice:
    """The entries that were whole when they were copied, oldest first, and how many there ever were."""

    entries: tuple[TraceEntry, ...]
    total: int


def read_board(path: Path) -> Board:
    """A copy of the page now, without its trace. Raises BoardUnreadable."""
    with _Opened(path, os.O_RDONLY) as opened:
        return opened.head()


def read_trace(path: Path) -> tuple[Board, TraceSlice]:
    """A copy of the page with the stretches that its ring still holds. Raises BoardUnreadable.

    The count is read before and after the ring: what the arbiter wrote meanwhile, and the entry it may
    be writing now, are left out.
    """
    with _Opened(path, os.O_RDONLY) as opened:
        before = opened.head().trace_count
        data = opened.read(sizeof(Board) - _HEAD, _HEAD)
        board = opened.head()
    ring = (TraceEntry * TRACE_LENGTH).from_buffer_copy(data)
    first = max(0, board.trace_count - TRACE_LENGTH + 1)
    entries = tuple(ring[number % TRACE_LENGTH] for number in _span(first, before))
    return board, TraceSlice(entries, before)


def _span(first: int, end: int) -> range:
    # Counts that no arbiter wrote must not make a range of a size that no ring has.
    return range(first, min(end, first + TRACE_LENGTH))


def write_policy(path: Path, policy: PolicyKind, slice_us: int | None) -> None:
    """Sets how the GPU is shared; None is the automatic slice. Raises BoardUnreadable."""
    with _Opened(path, os.O_RDWR) as opened:
        opened.head()
        opened.write_word(_PLACES["policy"][0], POLICY_WORDS[policy])
        opened.write_word(_PLACES["slice_us"][0], slice_us or 0)


def write_tenant(path: Path, lease_id: str, weight: int, share_ppm: int) -> bool:
    """Sets what a lease weighs and pays for; False where it is no tenant. Raises BoardUnreadable."""
    with _Opened(path, os.O_RDWR) as opened:
        index = opened.head().places().get(lease_id)
        if index is None:
            return False
        place = _PLACES["tenants"][0] + index * sizeof(Tenant)
        opened.write_word(place + _PLACES["tenants.weight"][0], weight)
        opened.write_word(place + _PLACES["tenants.share_ppm"][0], share_ppm)
    return True


class _Opened:
    """The file, for as long as a few reads or writes take."""

    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise _unreadable(path, str(error.strerror)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, size: int, offset: int) -> bytes:
        length = os.fstat(self._fd).st_size
        data = os.pread(self._fd, size, offset)
        if length != sizeof(Board) or len(data) != size:
            raise _unreadable(self._path, f"{length} bytes long, not {sizeof(Board)}")
        return data

    def head(self) -> Board:
        """All but the trace, which stays zero."""
        board = Board.from_buffer_copy(self.read(_HEAD, 0).ljust(sizeof(Board), b"\0"))
        if board.magic != MAGIC or board.version != VERSION:
            raise _unreadable(self._path, f"not a board of version {VERSION}")
        return board

    def write_word(self, offset: int, value: int) -> None:
        try:
            os.pwrite(self._fd, value.to_bytes(_WORD, "little"), offset)
        except OSError as error:
            raise _unreadable(self._path, str(error.strerror)) from error


def _unreadable(path: Path, why: str) -> BoardUnreadable:
    return BoardUnreadable(
        f"The board {path} cannot be used: {why}.",
        "Run `make setup` if the native programs are of another version; else stop the GPU's leases.",
    )
