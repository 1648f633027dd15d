# SPDX-License-Identifier: Apache-2.0
"""One look at everything that is counted on a host. Rates are the difference of two looks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tessera.model.lease import Lease
from tessera.model.policy import GpuPolicy
from tessera.model.stats import LeaseStats


class GpuUsage(BaseModel):
    """A GPU: bytes, and ns of device time since its first lease.

    leased + free + reserve = memory; `used` is what the leases have taken of `leased`. `device_ns` (of all
    leases, those that are gone too) and `idle_ns` (nobody held the GPU) are None without a board.
    """

    model_config = ConfigDict(frozen=True)

    gpu: str
    name: str
    memory: int
    reserve: int
    leased: int
    free: int
    used: int
    leases: int
    policy: GpuPolicy
    arbiter_running: bool
    arbiter_restarts: int
    device_ns: int | None
    idle_ns: int | None


class LeaseUsage(BaseModel):
    """A live lease; `stats` is None where it has no sessions to count, as while it is suspended."""

    model_config = ConfigDict(frozen=True)

    lease: Lease
    stats: LeaseStats | None


class Usage(BaseModel):
    """The body of GET /v1/usage; `taken_ns` is on the host's CLOCK_MONOTONIC."""

    model_config = ConfigDict(frozen=True)

    taken_ns: int
    gpus: tuple[GpuUsage, ...]
    leases: tuple[LeaseUsage, ...]
