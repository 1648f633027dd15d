# SPDX-License-Identifier: Apache-2.0
"""What the sessions of a lease do, as counted in its quota page and on the boards of its GPUs."""

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


class DeviceUse(BaseModel):
    """What a lease did with the time of one GPU since it began there.

    Device time is measured by the driver's own profiling. `duty` is device time per elapsed time. `share`
    is the lease's part of the device time of all leases on that GPU, since it began or since the daemon
    last started, whichever is later. Both are None where nothing has elapsed to divide by.

    `overruns` are grants whose commands ran on so long that others went on beside them. Waits are of
    sessions for a grant. `wait_counts` is their histogram: bucket 0 ends at 1 us, bucket i at
    2^(i / 4) us. A percentile is the end of the bucket that it falls into, so the true one is lower by a
    factor of at most 2^(1/4), which is 1.19.
    """

    model_config = ConfigDict(frozen=True)

    elapsed_ns: int
    device_ns: int
    duty: float | None
    share: float | None
    weight: int
    share_ppm: int
    commands: int
    grants: int
    overruns: int
    waits: int
    waited_ns: int
    wait_p50_us: float | None
    wait_p99_us: float | None
    wait_counts: dict[int, int]


class GpuStats(BaseModel):
    """One GPU of the lease: bytes, and the number of allocations that the limit refused.

    `device` is None where the lease is not on the GPU's board.
    """

    model_config = ConfigDict(frozen=True)

    gpu: str
    limit: int
    used: int
    peak: int
    refused: int
    device: DeviceUse | None = None


class LeaseStats(BaseModel):
    """The body of GET /v1/leases/{id}/stats; `totals` adds up the sessions that live now."""

    model_config = ConfigDict(frozen=True)

    lease: str
    name: str
    gpus: tuple[GpuStats, ...]
    sessions: tuple[SessionStats, ...]
    totals: Counters
    sessions_total: int
