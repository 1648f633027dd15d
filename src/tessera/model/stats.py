# SPDX-License-Identifier: Apache-2.0
"""What the sessions of a lease do, as counted in its quota page."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tessera.model.lease import Transport


class Counters(BaseModel):
    """Monotone counters of a session; `objects` and `memory` (bytes) are what lives now."""

    model_config = ConfigDict(frozen=True)

    messages: int = 0
    round_trips: int = 0
    bytes_to_worker: int = 0
    bytes_to_client: int = 0
    commands: int = 0
    objects: int = 0
    memory: int = 0

    def __add__(self, other: Counters) -> Counters:
        fields = type(self).model_fields
        return Counters(**{name: getattr(self, name) + getattr(other, name) for name in fields})


class SessionStats(Counters):
    """One client process; `client_pid` is None where the transport does not tell it (TCP)."""

    slot: int
    state: Literal["starting", "live"]
    transport: Transport | None
    worker_pid: int
    client_pid: int | None
    started_at: datetime
    memory_per_gpu: tuple[int, ...]


class GpuStats(BaseModel):
    """One GPU of the lease: bytes, and the number of allocations that the limit refused."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    limit: int
    used: int
    peak: int
    refused: int


class LeaseStats(BaseModel):
    """The body of GET /v1/leases/{id}/stats; `totals` adds up the sessions that live now."""

    model_config = ConfigDict(frozen=True)

    lease: str
    name: str
    gpus: tuple[GpuStats, ...]
    sessions: tuple[SessionStats, ...]
    totals: Counters
    sessions_total: int
