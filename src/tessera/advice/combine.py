# SPDX-License-Identifier: Apache-2.0
"""What would become of running leases if they shared one GPU: from two looks at their use.

A lease's duty is its device time per time *that it was not made to wait*: leases that already share a GPU
would else look lighter than they are alone, by just the waits that are to be predicted. What is left is
still a look at one stretch of time, and a prediction for more of the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import BaseModel, ConfigDict

from tessera.advice.mva import predict
from tessera.model.errors import InvalidRequest, LeaseNotActive, LeaseNotFound
from tessera.model.stats import DeviceUse
from tessera.model.usage import GpuUsage, LeaseUsage, Usage


class LeaseAdvice(BaseModel):
    """A lease as it is (`memory` in bytes, `duty` 0 to 1 as if it were alone), and the `slowdown` that
    company would mean for it: time together / time alone."""

    model_config = ConfigDict(frozen=True)

    lease: str
    name: str
    gpu: str
    memory: int
    duty: float
    slowdown: float


class Advice(BaseModel):
    """Of leases that would share one GPU under a policy that leaves nothing unused.

    `gain` is their work per time together / one after another, `busy` the part of the time (0 to 1) in
    which the device computes; `memory` is the sum of theirs in bytes, and `fits` the GPUs that have it.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    leases: tuple[LeaseAdvice, ...]
    gain: float
    busy: float
    memory: int
    fits: tuple[str, ...]


def advise(before: Usage, after: Usage, keys: Collection[str]) -> Advice:
    """Puts the leases named by `keys` (names or ids) together; without any, all that are active on one
    GPU. Raises LeaseNotFound, LeaseNotActive, and InvalidRequest for a lease on several GPUs."""
    chosen = _named(after, keys) if keys else _on_one_gpu(before, after)
    if not chosen:
        raise LeaseNotActive(
            "No lease is active that could be put on a GPU with others.", "`tessera ps` lists them."
        )
    measured = [(one, *_uses(before, one)) for one in chosen]
    duties = [duty_alone(earlier, later) for _, earlier, later in measured]
    prediction = predict(duties)
    return Advice(
        seconds=(after.taken_ns - before.taken_ns) / 1e9,
        leases=tuple(
            LeaseAdvice(
                lease=one.lease.id,
                name=one.lease.name,
                gpu=one.lease.gpus[0].gpu,
                memory=one.lease.memory,
                duty=duty,
                slowdown=slowdown,
            )
            for (one, _, _), duty, slowdown in zip(
                measured, duties, prediction.slowdowns, strict=True
            )
        ),
        gain=prediction.gain,
        busy=prediction.busy,
        memory=sum(one.lease.memory for one in chosen),
        fits=fitting(after.gpus, chosen),
    )


def duty_alone(before: DeviceUse, after: DeviceUse) -> float:
    """The part of the time (0 to 1) in which the device computed for a lease, waits left out.

    The waits of several sessions at once are a sum that may pass the time itself; the lease then
    waited for all the time in which nothing was computed for it.
    """
    device = max(0, after.device_ns - before.device_ns)
    elapsed = after.elapsed_ns - before.elapsed_ns
    waited = max(0, after.waited_ns - before.waited_ns)
    unhindered = max(device, elapsed - waited)
    return device / unhindered if unhindered > 0 else 0.0


def fitting(gpus: Sequence[GpuUsage], leases: Sequence[LeaseUsage]) -> tuple[str, ...]:
    """The GPUs whose memory holds all of `leases` beside those others that are there."""
    wanted = sum(one.lease.memory for one in leases)
    return tuple(
        gpu.gpu
        for gpu in gpus
        if wanted
        <= gpu.free
        + sum(share.memory for one in leases for share in one.lease.gpus if share.gpu == gpu.gpu)
    )


def _named(usage: Usage, keys: Collection[str]) -> list[LeaseUsage]:
    found = {}
    for key in keys:
        one = next((one for one in usage.leases if key in (one.lease.id, one.lease.name)), None)
        if one is None:
            raise LeaseNotFound(f"There is no lease '{key[:64]}'.", "`tessera ps` lists them.")
        if len(one.lease.gpus) > 1:
            raise InvalidRequest(
                f"Lease {one.lease.name} has {len(one.lease.gpus)} GPUs, and cannot share one.",
                "Name leases of one GPU each.",
            )
        found[one.lease.id] = one
    return list(found.values())


def _on_one_gpu(before: Usage, after: Usage) -> list[LeaseUsage]:
    known = {one.lease.id for one in before.leases if _use(one) is not None}
    return [
        one
        for one in after.leases
        if len(one.lease.gpus) == 1 and _use(one) is not None and one.lease.id in known
    ]


def _uses(before: Usage, after: LeaseUsage) -> tuple[DeviceUse, DeviceUse]:
    earlier = next((one for one in before.leases if one.lease.id == after.lease.id), None)
    first, last = _use(earlier) if earlier is not None else None, _use(after)
    if first is None or last is None:
        raise LeaseNotActive(
            f"Nothing is known of the device time of lease {after.lease.name}.",
            f"See its state with: tessera show {after.lease.name}",
        )
    return first, last


def _use(one: LeaseUsage) -> DeviceUse | None:
    return one.stats.gpus[0].device if one.stats is not None and one.stats.gpus else None
