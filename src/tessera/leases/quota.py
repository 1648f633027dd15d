# SPDX-License-Identifier: Apache-2.0
"""The quota page of a lease, read from outside. Mirrors native/lease/quota.h; a test compares the two.

The page is copied with pread and never mapped: whoever may write the file could cut it short, and a
mapping would answer that with SIGBUS in the daemon. Counters are single words, so a copy taken while
workers write can mix two moments but never holds a half-written figure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from ctypes import Array, Structure, c_char, c_int32, c_ubyte, c_uint32, c_uint64, sizeof
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tessera.model.errors import QuotaPageUnreadable
from tessera.model.lease import Lease, Transport
from tessera.model.stats import Counters, DeviceUse, GpuStats, LeaseStats, SessionStats

MAGIC = int.from_bytes(b"TSRQUOTA", "little")
VERSION = 2
MAX_GPUS = 8
MAX_SESSIONS = 256

_SLOT_STATES: dict[int, Literal["starting", "live"]] = {1: "starting", 2: "live"}
_TRANSPORTS = {1: Transport.SHM, 2: Transport.UNIX, 3: Transport.TCP}


class GpuQuota(Structure):
    """One GPU of the lease: bytes, and refused allocations."""

    _fields_ = (
        ("limit", c_uint64),
        ("used", c_uint64),
        ("peak", c_uint64),
        ("refused", c_uint64),
    )
    limit: int
    used: int
    peak: int
    refused: int


class SessionSlot(Structure):
    """One session, written by its worker."""

    _fields_ = (
        ("state", c_uint32),
        ("transport", c_uint32),
        ("worker_pid", c_int32),
        ("client_pid", c_int32),
        ("started_ns", c_uint64),
        ("used", c_uint64 * MAX_GPUS),
        ("messages", c_uint64),
        ("round_trips", c_uint64),
        ("bytes_to_worker", c_uint64),
        ("bytes_to_client", c_uint64),
        ("commands", c_uint64),
        ("objects", c_uint64),
        ("reserved", c_uint64 * 3),
    )
    state: int
    transport: int
    worker_pid: int
    client_pid: int
    started_ns: int
    used: Array[c_uint64]
    messages: int
    round_trips: int
    bytes_to_worker: int
    bytes_to_client: int
    commands: int
    objects: int


class QuotaPage(Structure):
    """The whole page. The mutex is 40 bytes of glibc's own on a 64-byte line that nobody else uses."""

    _fields_ = (
        ("magic", c_uint64),
        ("version", c_uint32),
        ("gpu_count", c_uint32),
        ("lease_id", c_char * 64),
        ("live_sessions", c_uint32),
        ("session_capacity", c_uint32),
        ("sessions_total", c_uint64),
        ("resizes", c_uint64),
        ("gpus", GpuQuota * MAX_GPUS),
        ("_before_mutex", c_ubyte * 24),
        ("mutex", c_ubyte * 40),
        ("_after_mutex", c_ubyte * 24),
        ("slots", SessionSlot * MAX_SESSIONS),
    )
    magic: int
    version: int
    gpu_count: int
    lease_id: bytes
    live_sessions: int
    session_capacity: int
    sessions_total: int
    resizes: int
    gpus: Array[GpuQuota]
    slots: Array[SessionSlot]


def read_page(path: Path) -> QuotaPage:
    """A copy of the page now. Raises QuotaPageUnreadable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    try:
        data = os.pread(fd, sizeof(QuotaPage), 0)
    finally:
        os.close(fd)
    if len(data) != sizeof(QuotaPage):
        raise _unreadable(path, f"{len(data)} bytes long, not {sizeof(QuotaPage)}")
    page = QuotaPage.from_buffer_copy(data)
    if page.magic != MAGIC or page.version != VERSION:
        raise _unreadable(path, f"not a quota page of version {VERSION}")
    return page


def _unreadable(path: Path, why: str) -> QuotaPageUnreadable:
    return QuotaPageUnreadable(
        f"The quota page {path} cannot be read: {why}.",
        "Run `make setup` if the native programs are of another version; else stop the lease.",
    )


def limits_of(page: QuotaPage) -> tuple[int, ...]:
    """The lease's bytes on each of its GPUs, in their order."""
    return tuple(int(page.gpus[index].limit) for index in range(min(page.gpu_count, MAX_GPUS)))


def stats_of(
    lease: Lease, page: QuotaPage, devices: Mapping[str, DeviceUse] | None = None
) -> LeaseStats:
    """What the page says about the sessions and the GPUs of `lease`; `devices` is by GPU id."""
    count = min(page.gpu_count, MAX_GPUS, len(lease.gpus))
    sessions = _sessions(page, count)
    return LeaseStats(
        lease=lease.id,
        name=lease.name,
        gpus=tuple(_gpu(lease.gpus[i].gpu, page.gpus[i], devices or {}) for i in range(count)),
        sessions=sessions,
        totals=sum((_counters(session) for session in sessions), Counters()),
        sessions_total=page.sessions_total,
    )


def _gpu(name: str, quota: GpuQuota, devices: Mapping[str, DeviceUse]) -> GpuStats:
    return GpuStats(
        gpu=name,
        limit=quota.limit,
        used=quota.used,
        peak=quota.peak,
        refused=quota.refused,
        device=devices.get(name),
    )


def _sessions(page: QuotaPage, gpus: int) -> tuple[SessionStats, ...]:
    return tuple(
        _session(index, page.slots[index], gpus)
        for index in range(MAX_SESSIONS)
        if page.slots[index].state in _SLOT_STATES
    )


def _session(index: int, slot: SessionSlot, gpus: int) -> SessionStats:
    per_gpu: Sequence[int] = [int(used) for used in slot.used][:gpus]
    return SessionStats(
        slot=index,
        state=_SLOT_STATES[slot.state],
        transport=_TRANSPORTS.get(slot.transport),
        worker_pid=slot.worker_pid,
        client_pid=slot.client_pid or None,
        started_at=datetime.fromtimestamp(min(slot.started_ns // 10**9, 1 << 35), UTC),
        memory_per_gpu=tuple(per_gpu),
        messages=slot.messages,
        round_trips=slot.round_trips,
        bytes_to_worker=slot.bytes_to_worker,
        bytes_to_client=slot.bytes_to_client,
        commands=slot.commands,
        objects=slot.objects,
        memory=sum(per_gpu),
    )


def _counters(session: SessionStats) -> Counters:
    return Counters(**{name: getattr(session, name) for name in Counters.model_fields})


def layout() -> dict[str, tuple[int, int]]:
    """Offset and size of each field in bytes, in the header's order, nested ones as 'slots.state'."""
    found: dict[str, tuple[int, int]] = {}
    for prefix, structure in (("", QuotaPage), ("gpus.", GpuQuota), ("slots.", SessionSlot)):
        for field in structure._fields_:
            descriptor = getattr(structure, field[0])
            if not field[0].startswith("_"):
                found[prefix + field[0]] = (descriptor.offset, descriptor.size)
    return found
