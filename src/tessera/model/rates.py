# SPDX-License-Identifier: Apache-2.0
"""What happened on a host between two looks at its usage: what `tessera top` shows.

A figure is None where it cannot be known: at the first look, for what was not there at the look before, or
where nothing happened that it could be a part of.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from tessera.model.lease import Condition, LeaseState
from tessera.model.policy import PolicyKind
from tessera.model.stats import GpuStats, LeaseStats
from tessera.model.usage import GpuUsage, LeaseUsage, Usage
from tessera.model.waits import difference, percentile_us


class GpuRates(BaseModel):
    """A GPU: bytes; `busy` is device time per elapsed time. It passes 1 when a command ends that took longer
    than the interval, because device time is known at a command's end."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    name: str
    memory: int
    reserve: int
    leased: int
    used: int
    leases: int
    policy: PolicyKind
    slice_ms: float
    slice_is_automatic: bool
    arbiter_running: bool
    busy: float | None


class LeaseGpuRates(BaseModel):
    """A lease on one GPU: bytes; `share` of the device time of all leases there; `duty` is device time per
    elapsed time; waits for a grant that ended in the interval."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    limit: int
    used: int | None
    share: float | None
    duty: float | None
    waits: int | None
    wait_p50_us: float | None
    wait_p99_us: float | None


class LeaseRates(BaseModel):
    """A live lease; messages and round trips are per second, of the sessions that live."""

    model_config = ConfigDict(frozen=True)

    lease: str
    name: str
    uid: int
    state: LeaseState
    weight: int
    gpus: tuple[LeaseGpuRates, ...]
    sessions: int
    messages: float | None
    round_trips: float | None
    command: tuple[str, ...]
    conditions: tuple[Condition, ...]


class Rates(BaseModel):
    """`seconds` is the time between the looks, None at the first."""

    model_config = ConfigDict(frozen=True)

    seconds: float | None
    gpus: tuple[GpuRates, ...]
    leases: tuple[LeaseRates, ...]


def rates(before: Usage | None, after: Usage) -> Rates:
    """What happened from `before` to `after`; what there is now, where `before` is None."""
    elapsed = after.taken_ns - before.taken_ns if before else 0
    gpus = {gpu.gpu: gpu for gpu in before.gpus} if before else {}
    leases = {one.lease.id: one.stats for one in before.leases} if before else {}
    spent = {gpu.gpu: _spent(gpus.get(gpu.gpu), gpu) for gpu in after.gpus}
    return Rates(
        seconds=elapsed / 1e9 if elapsed > 0 else None,
        gpus=tuple(_gpu(gpu, spent[gpu.gpu], elapsed) for gpu in after.gpus),
        leases=tuple(_lease(one, leases.get(one.lease.id), spent, elapsed) for one in after.leases),
    )


def _ratio(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole is not None and whole > 0 else None


def _spent(before: GpuUsage | None, after: GpuUsage) -> int | None:
    """Device time on a GPU between the looks, in ns. A board that is younger than `before` began at 0."""
    if before is None or after.device_ns is None:
        return None
    earlier = before.device_ns or 0
    return after.device_ns - earlier if after.device_ns >= earlier else after.device_ns


def _gpu(gpu: GpuUsage, spent: int | None, elapsed: int) -> GpuRates:
    # Without leases there is no board, and nothing to be busy with.
    spent = 0 if not gpu.leases else spent
    return GpuRates(
        gpu=gpu.gpu,
        name=gpu.name,
        memory=gpu.memory,
        reserve=gpu.reserve,
        leased=gpu.leased,
        used=gpu.used,
        leases=gpu.leases,
        policy=gpu.policy.policy,
        slice_ms=gpu.policy.effective_slice_ms,
        slice_is_automatic=gpu.policy.time_slice_ms is None,
        arbiter_running=gpu.arbiter_running,
        busy=_ratio(spent, elapsed),
    )


def _lease(
    one: LeaseUsage, before: LeaseStats | None, spent: Mapping[str, int | None], elapsed: int
) -> LeaseRates:
    lease, stats = one.lease, one.stats
    now = {gpu.gpu: gpu for gpu in stats.gpus} if stats else {}
    then = {gpu.gpu: gpu for gpu in before.gpus} if before else {}
    per_second = _per_second(before, stats, elapsed)
    return LeaseRates(
        lease=lease.id,
        name=lease.name,
        uid=lease.owner_uid,
        state=lease.state,
        weight=lease.weight,
        gpus=tuple(
            _lease_gpu(
                share.gpu,
                share.memory,
                then.get(share.gpu),
                now.get(share.gpu),
                spent.get(share.gpu),
                elapsed,
            )
            for share in lease.gpus
        ),
        sessions=len(stats.sessions) if stats else 0,
        messages=per_second[0],
        round_trips=per_second[1],
        command=lease.command,
        conditions=lease.conditions,
    )


def _lease_gpu(
    gpu: str,
    limit: int,
    before: GpuStats | None,
    after: GpuStats | None,
    spent: int | None,
    elapsed: int,
) -> LeaseGpuRates:
    then = before.device if before else None
    now = after.device if after else None
    own = now.device_ns - then.device_ns if now and then else None
    waits = difference(now.wait_counts, then.wait_counts) if now and then else None
    return LeaseGpuRates(
        gpu=gpu,
        limit=limit,
        used=after.used if after else None,
        share=_ratio(own, spent),
        duty=_ratio(own, elapsed),
        waits=sum(waits.values()) if waits is not None else None,
        wait_p50_us=percentile_us(waits, 0.5) if waits else None,
        wait_p99_us=percentile_us(waits, 0.99) if waits else None,
    )


def _per_second(
    before: LeaseStats | None, after: LeaseStats | None, elapsed: int
) -> tuple[float | None, float | None]:
    """Messages and round trips; a session that began since then counts from its begin."""
    if before is None or after is None or elapsed <= 0:
        return None, None
    then = {(one.worker_pid, one.started_at): one for one in before.sessions}
    messages = round_trips = 0
    for session in after.sessions:
        earlier = then.get((session.worker_pid, session.started_at))
        messages += session.messages - (earlier.messages if earlier else 0)
        round_trips += session.round_trips - (earlier.round_trips if earlier else 0)
    return messages * 1e9 / elapsed, round_trips * 1e9 / elapsed
