# SPDX-License-Identifier: Apache-2.0
"""A lease: a granted slice, pinned to its physical GPUs, and the states it may pass through.

    pending --> active --> suspending --> suspended --> resuming --> active
       |          |            |              |            |
       +----------+------------+--------------+------------+--> released | failed
    suspending --> active       where it could not be suspended
    resuming --> suspended      where it could not be resumed
    failed --> released

`released` is final. A failed lease holds no GPU memory any more, but stays listed with its reason until
its holder is gone or somebody stops it.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tessera.model.direct import DirectDevice
from tessera.model.errors import InvalidName, InvalidRequest, InvalidTransition, UsageError
from tessera.model.size import MAX_MEMORY, Sized

MAX_GPUS = 8  # kMaxGpus of native/lease/quota.h
MAX_WEIGHT = 10_000  # kMaxWeight of native/arbiter/board.h
DEFAULT_WEIGHT = 100
MAX_PRIORITY = 1000
MAX_WAIT = 366 * 86400.0  # seconds
MAX_DIRECT = 32  # devices of one machine

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class LeaseState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESUMING = "resuming"
    RELEASED = "released"
    FAILED = "failed"


ENDS = frozenset({LeaseState.RELEASED, LeaseState.FAILED})

TRANSITIONS: dict[LeaseState, frozenset[LeaseState]] = {
    LeaseState.PENDING: frozenset({LeaseState.ACTIVE}) | ENDS,
    LeaseState.ACTIVE: frozenset({LeaseState.SUSPENDING}) | ENDS,
    LeaseState.SUSPENDING: frozenset({LeaseState.SUSPENDED, LeaseState.ACTIVE}) | ENDS,
    LeaseState.SUSPENDED: frozenset({LeaseState.RESUMING}) | ENDS,
    LeaseState.RESUMING: frozenset({LeaseState.ACTIVE, LeaseState.SUSPENDED}) | ENDS,
    LeaseState.FAILED: frozenset({LeaseState.RELEASED}),
    LeaseState.RELEASED: frozenset(),
}

HOLDS_MEMORY = frozenset(
    {LeaseState.PENDING, LeaseState.ACTIVE, LeaseState.SUSPENDING, LeaseState.RESUMING}
)


class Mode(StrEnum):
    """How the GPU reaches the workload: through a worker, or as the device itself."""

    SHARED = "shared"
    DIRECT = "direct"


class Transport(StrEnum):
    """How the workload's messages reach its worker."""

    SHM = "shm"
    UNIX = "unix"
    TCP = "tcp"


class Identity(StrEnum):
    """Whose names the lease's platform bears: Tessera's, or those of the device's own platform.

    Of several GPUs on different platforms, the first one's platform lends its names.
    """

    TESSERA = "tessera"
    DEVICE = "device"


class GpuShare(BaseModel):
    """One GPU of a lease and the memory it may use there, in bytes."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    memory: int


class ProcessId(BaseModel):
    """A process that cannot be mistaken for a later one with the same number.

    `started` is in clock ticks since boot, as the kernel reports it; `boot` is the boot's random id.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    started: int
    boot: str


class Placement(StrEnum):
    """Which of the GPUs that have room: `pack` fills one before the next, `spread` takes the emptiest."""

    PACK = "pack"
    SPREAD = "spread"


class LeaseRequest(Sized):
    """The body of POST /v1/leases. Neither fraction nor memory: the whole GPU."""

    name: str | None = None
    gpus: int = Field(default=1, ge=1, le=MAX_GPUS)
    placement: Placement | None = Field(default=None, description="none: as the host is set")
    transport: Transport = Transport.SHM
    identity: Identity = Field(
        default=Identity.TESSERA, description="whose names the lease's platform bears"
    )
    weight: int = Field(
        default=DEFAULT_WEIGHT, ge=1, le=MAX_WEIGHT, description="for the policy `weighted`"
    )
    wait_seconds: float = Field(
        default=0,
        ge=0,
        le=MAX_WAIT,
        allow_inf_nan=False,
        description="how long to wait for room; 0: not at all",
    )
    priority: int = Field(
        default=0,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="among those who wait, higher ones come first",
    )
    waiting_since: AwareDatetime | None = Field(
        default=None, description="when a daemon that was restarted was asked the same"
    )
    holder_pid: int | None = Field(default=None, ge=1, le=(1 << 22))
    machine: str | None = Field(
        default=None,
        pattern=r"^tessera-machine-[0-9a-f]{32}$",
        description="of a holder that runs a virtual machine: the abstract socket where it listens",
    )
    command: tuple[str, ...] = Field(default=(), max_length=4096)
    direct: tuple[str, ...] = Field(
        default=(),
        max_length=MAX_DIRECT,
        description="devices to hand over whole, to a machine that the holder starts",
        examples=[["0000:65:00.0"]],
    )
    without_reset: bool = Field(
        default=False, description="also devices that cannot be reset between two machines"
    )
    machine_memory: int = Field(
        default=0, ge=0, le=MAX_MEMORY, description="of the machine that gets them, in bytes"
    )
    huge_pages: bool = Field(default=False, description="whether that lies in huge pages")

    @field_validator("name")
    @classmethod
    def _checked_name(cls, value: str | None) -> str | None:
        return None if value is None else check_name(value)

    @model_validator(mode="after")
    def _whole_devices(self) -> LeaseRequest:
        if not self.direct:
            return self
        if self.fraction is not None or self.memory is not None or self.gpus != 1:
            raise UsageError(
                "Devices are handed over whole, and as many as are named.",
                "Leave --fraction, --memory and --gpus out, or leave --direct out.",
            )
        if self.wait_seconds:
            raise UsageError("Nobody waits for named devices.", "Leave --wait out, and ask again.")
        if self.holder_pid is None:
            raise InvalidRequest(
                "Devices are handed over for as long as a process lives, and none is named.",
                "Give holder_pid.",
            )
        return self


class LeaseChange(Sized):
    """The body of PATCH /v1/leases/{key}: what is given changes, the rest stays.

    A size is that of each GPU of the lease.
    """

    weight: int | None = Field(default=None, ge=1, le=MAX_WEIGHT)

    @model_validator(mode="after")
    def _something(self) -> LeaseChange:
        if self.fraction is None and self.memory is None and self.weight is None:
            raise UsageError(
                "Nothing was said that could change.", "Give --memory, --fraction or --weight."
            )
        return self


class Waiting(BaseModel):
    """The place of a request in the queue. It waits for `wants`: at least `memory` bytes in all."""

    model_config = ConfigDict(frozen=True)

    position: int
    of: int
    wants: str
    memory: int
    since: datetime


class Condition(BaseModel):
    """Something about a live lease that is not as it should be, and what is done about it."""

    model_config = ConfigDict(frozen=True)

    name: str
    message: str


class Lease(BaseModel):
    """A lease as the REST API shows it. Times are UTC."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    state: LeaseState
    mode: Mode = Mode.SHARED
    transport: Transport
    identity: Identity = Identity.TESSERA
    gpus: tuple[GpuShare, ...]
    direct: tuple[DirectDevice, ...] = Field(
        default=(), description="devices that a machine has as they are"
    )
    weight: int = DEFAULT_WEIGHT
    priority: int = 0
    endpoint: str | None = None
    environment: dict[str, str] = Field(
        default_factory=dict, description="variables to set in the workload"
    )
    environment_unset: tuple[str, ...] = Field(
        default=(), description="variables to remove from the workload"
    )
    command: tuple[str, ...] = ()
    holder: ProcessId | None = None
    machine: str | None = Field(
        default=None, description="where a holder that runs a virtual machine listens"
    )
    gatekeeper: ProcessId | None = None
    owner_uid: int
    reason: str | None = Field(default=None, description="why the lease failed or ended early")
    conditions: tuple[Condition, ...] = Field(default=(), description="of this moment; not stored")
    waiting: Waiting | None = Field(
        default=None, description="of a pending lease that has no GPU yet; not stored"
    )
    created_at: datetime
    updated_at: datetime

    @property
    def memory(self) -> int:
        """Bytes over all GPUs of the lease."""
        return sum(share.memory for share in self.gpus)

    @property
    def holds_memory(self) -> bool:
        return self.state in HOLDS_MEMORY

    def advanced(self, to: LeaseState, now: datetime, reason: str | None = None) -> Lease:
        """This lease in state `to`. Raises InvalidTransition where the state machine has no step."""
        if to not in TRANSITIONS[self.state]:
            raise InvalidTransition(
                f"Lease {self.name} is {self.state} and cannot become {to}.",
                f"See its state with: tessera show {self.name}",
            )
        return self.model_copy(
            update={"state": to, "updated_at": now, "reason": reason or self.reason}
        )


def check_name(name: str) -> str:
    """`name` if a lease may have it. Raises InvalidName."""
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"'{name[:64]}' is no name for a lease.",
            "Use 1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit.",
        )
    return name


def check_weight(weight: int) -> int:
    """`weight` if a lease may have it. Raises InvalidRequest."""
    if not 1 <= weight <= MAX_WEIGHT:
        raise InvalidRequest(
            f"{weight} is no weight of a lease.",
            f"Choose 1 to {MAX_WEIGHT}; {DEFAULT_WEIGHT} is usual.",
        )
    return weight
