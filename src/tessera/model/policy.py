# SPDX-License-Identifier: Apache-2.0
"""How the leases on a GPU share its time: the policy, and how long one of them holds the GPU at a time."""

from __future__ import annotations

import re
from enum import StrEnum
from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

from tessera.model.errors import InvalidPolicy, InvalidTimeSlice

MIN_SLICE_US = 1_000  # kMinSliceUs of native/arbiter/board.h
MAX_SLICE_US = 30_000
WHOLE_DEVICE = 1_000_000  # kWholeDevice: the share of a whole GPU, in ppm
MANY_LEASES = 9

_SLICE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(ms|us|µs)?", re.IGNORECASE)
_SLICE_HINT = "Write 1ms to 30ms, or auto: 2 ms up to 8 leases and 1 ms above; on an embedded device 12 and 6."


class PolicyKind(StrEnum):
    """`best-effort`: whoever wants the GPU; `equal`: 1/n of those that run; `fixed`: the share that was
    leased, idle or not; `weighted`: in proportion to the leases' weights."""

    BEST_EFFORT = "best-effort"
    EQUAL = "equal"
    FIXED = "fixed"
    WEIGHTED = "weighted"


class PolicyChange(BaseModel):
    """The body of PUT /v1/gpus/{id}/policy. Without a time slice: the automatic one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: PolicyKind
    time_slice_ms: float | None = Field(
        default=None, ge=MIN_SLICE_US / 1000, le=MAX_SLICE_US / 1000, allow_inf_nan=False
    )

    @property
    def slice_us(self) -> int | None:
        return None if self.time_slice_ms is None else round(self.time_slice_ms * 1000)


DEFAULT_POLICY = PolicyChange(policy=PolicyKind.EQUAL)


class GpuPolicy(BaseModel):
    """The body of GET /v1/gpus/{id}/policy; `effective_slice_ms` is `time_slice_ms` or the automatic one."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    policy: PolicyKind
    time_slice_ms: float | None
    effective_slice_ms: float
    leases: int


def parse_policy(text: str) -> PolicyKind:
    """Raises InvalidPolicy."""
    try:
        return PolicyKind(text.strip().lower())
    except ValueError as error:
        raise InvalidPolicy(
            f"'{text[:40]}' is no policy.", f"Choose one of {', '.join(PolicyKind)}."
        ) from error


def parse_time_slice(text: str) -> int | None:
    """'2ms', '1500us' or '2' (ms) in microseconds; None for 'auto'. Raises InvalidTimeSlice."""
    if text.strip().lower() == "auto":
        return None
    match = _SLICE.fullmatch(text.strip())
    if match is None:
        raise InvalidTimeSlice(f"'{text[:40]}' is not a time slice.", _SLICE_HINT)
    factor = 1000 if (match[2] or "ms").lower() == "ms" else 1
    slice_us = round(Fraction(match[1]) * factor)
    if not MIN_SLICE_US <= slice_us <= MAX_SLICE_US:
        raise InvalidTimeSlice(f"A time slice of '{text[:40]}' is out of range.", _SLICE_HINT)
    return slice_us


def effective_slice_us(chosen: int | None, leases: int, on_host_cores: bool) -> int:
    """The slice in force among so many leases, as the arbiter reckons it (native/arbiter/policy.h)."""
    if chosen is not None:
        return chosen
    of_many = 6_000 if on_host_cores else 1_000
    return of_many if leases >= MANY_LEASES else 2 * of_many


def share_of(memory: int, total: int) -> int:
    """What a lease pays for of a GPU's time under `fixed`: its part of the memory, in ppm (1 to 10^6)."""
    return min(WHOLE_DEVICE, max(1, memory * WHOLE_DEVICE // total)) if total > 0 else 1
