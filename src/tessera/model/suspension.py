# SPDX-License-Identifier: Apache-2.0
"""What is asked for, and told, when a lease is suspended and resumed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from tessera.model.lease import MAX_GPUS


class Keep(StrEnum):
    """Where the state of a suspended lease is kept."""

    MEMORY = "memory"
    DISK = "disk"


class SuspendRequest(BaseModel):
    """The body of POST /v1/leases/{key}/suspend."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Keep = Keep.MEMORY


class ResumeRequest(BaseModel):
    """The body of POST /v1/leases/{key}/resume: one GPU for each of the lease, or none named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpus: tuple[str, ...] = Field(default=(), max_length=MAX_GPUS)


class SuspendNeeds(BaseModel):
    """What suspending a lease takes now: all figures in bytes, but for the objects.

    `state` is what has to be kept of the GPUs, `machine` what a virtual machine takes beside it at most,
    `device` what the GPUs get back, `disk` and `memory` what this host has left to keep it in.
    """

    model_config = ConfigDict(frozen=True)

    state: int
    machine: int = 0
    device: int
    objects: int
    disk: int
    memory: int
