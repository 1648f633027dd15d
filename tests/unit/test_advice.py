# SPDX-License-Identifier: Apache-2.0
"""What leases are told about sharing one GPU, from two looks at their use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.advice.combine import advise, duty_alone
from tessera.advice.mva import predict
from tessera.cli.advise import advice_table, verdict
from tessera.model.errors import InvalidRequest, LeaseNotActive, LeaseNotFound
from tessera.model.lease import GpuShare, Lease, LeaseState, Transport
from tessera.model.policy import GpuPolicy, PolicyKind
from tessera.model.stats import Counters, DeviceUse, GpuStats, LeaseStats
from tessera.model.usage import GpuUsage, LeaseUsage, Usage

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECOND = 10**9


def use(elapsed_ns: int, device_ns: int, waited_ns: int = 0) -> DeviceUse:
    return DeviceUse(
        elapsed_ns=elapsed_ns,
        device_ns=device_ns,
        duty=None,
        share=None,
        weight=100,
        share_ppm=1,
        commands=0,
        grants=0,
        overruns=0,
        waits=0,
        waited_ns=waited_ns,
        wait_p50_us=None,
        wait_p99_us=None,
        wait_counts={},
    )


def leased(name: str, device: DeviceUse | None, memory: int = 10, gpus: int = 1) -> LeaseUsage:
    lease = Lease(
        id=f"id-{name}",
        name=name,
        state=LeaseState.ACTIVE,
        transport=Transport.SHM,
        gpus=tuple(GpuShare(gpu=f"gpu{number}", memory=memory) for number in range(gpus)),
        owner_uid=0,
        created_at=NOW,
        updated_at=NOW,
    )
    stats = LeaseStats(
        lease=lease.id,
        name=name,
        gpus=(GpuStats(gpu="gpu0", limit=1, used=0, peak=0, refused=0, device=device),),
        sessions=(),
        totals=Counters(),
        sessions_total=0,
    )
    return LeaseUsage(lease=lease, stats=stats)


def gpu(name: str, memory: int, leases: int) -> GpuUsage:
    policy = GpuPolicy(
        gpu=name,
        policy=PolicyKind.EQUAL,
        time_slice_ms=None,
        effective_slice_ms=2.0,
        leases=1,
    )
    return GpuUsage(
        gpu=name,
        name="A GPU",
        memory=memory,
        reserve=0,
        leased=leases,
        free=memory - leases,
        used=0,
        leases=1,
        policy=policy,
        arbiter_running=True,
        arbiter_restarts=0,
        device_ns=0,
        idle_ns=0,
    )


def looks(*changes: tuple[str, int, int]) -> tuple[Usage, Usage]:
    """Two looks, a second apart: name, device time and wait of each lease in between."""
    before = [leased(name, use(SECOND, 5, 7)) for name, _, _ in changes]
    after = [
        leased(name, use(2 * SECOND, 5 + device, 7 + waited)) for name, device, waited in changes
    ]
    gpus = (gpu("gpu0", 100, 10 * len(changes)), gpu("gpu1", 15, 0))
    return (
        Usage(taken_ns=0, gpus=gpus, leases=tuple(before)),
        Usage(taken_ns=SECOND, gpus=gpus, leases=tuple(after)),
    )


def test_slowdowns_are_those_of_the_measured_duties() -> None:
    before, after = looks(("a", SECOND // 5, 0), ("b", SECOND // 2, 0))
    advice = advise(before, after, [])
    expected = predict([0.2, 0.5])
    assert [one.duty for one in advice.leases] == pytest.approx([0.2, 0.5])
    assert [one.slowdown for one in advice.leases] == pytest.approx(list(expected.slowdowns))
    assert (advice.gain, advice.busy) == pytest.approx((expected.gain, expected.busy))
    assert advice.seconds == 1.0


def test_only_the_leases_that_are_named_are_put_together() -> None:
    before, after = looks(("a", SECOND // 5, 0), ("b", SECOND // 2, 0), ("c", SECOND // 4, 0))
    advice = advise(before, after, ["c", "id-a", "a"])
    assert [one.name for one in advice.leases] == ["c", "a"]


def test_a_gpu_fits_when_it_holds_them_beside_those_that_stay() -> None:
    before, after = looks(("a", 1, 0), ("b", 1, 0), ("c", 1, 0))
    assert advise(before, after, []).fits == ("gpu0",)
    assert advise(before, after, ["a"]).fits == ("gpu0", "gpu1")
    full = after.model_copy(update={"gpus": (gpu("gpu0", 30, 30), gpu("gpu1", 15, 0))})
    assert advise(before, full, ["a", "b", "c"]).fits == ("gpu0",)
    crowded = after.model_copy(update={"gpus": (gpu("gpu1", 25, 10),)})
    assert advise(before, crowded, ["a", "b"]).fits == ()


def test_a_wait_for_others_is_no_part_of_a_duty_alone() -> None:
    # Half of the second was spent in waiting; in the rest the device computed for two fifths.
    before, after = looks(("a", SECOND // 5, SECOND // 2))
    assert advise(before, after, []).leases[0].duty == pytest.approx(0.4)


@given(*[st.integers(0, 10**12)] * 6)
def test_a_duty_is_a_part_of_the_time_whatever_the_counters_say(
    elapsed: int, device: int, waited: int, more: int, more_device: int, more_waited: int
) -> None:
    after = use(elapsed + more, device + more_device, waited + more_waited)
    assert 0 <= duty_alone(use(elapsed, device, waited), after) <= 1
    assert 0 <= duty_alone(after, use(elapsed, device, waited)) <= 1


def test_what_cannot_be_put_together_is_refused_by_name() -> None:
    before, after = looks(("a", 1, 0))
    with pytest.raises(LeaseNotFound, match="'z'"):
        advise(before, after, ["a", "z"])
    two = after.model_copy(update={"leases": (leased("a", use(2, 2), gpus=2),)})
    with pytest.raises(InvalidRequest, match="2 GPUs"):
        advise(before, two, ["a"])
    silent = after.model_copy(update={"leases": (leased("a", None),)})
    with pytest.raises(LeaseNotActive, match="lease a"):
        advise(before, silent, ["a"])
    for nothing in (two, silent):
        with pytest.raises(LeaseNotActive, match="No lease"):
            advise(before, nothing, [])


def test_a_lease_that_came_between_the_looks_is_left_out() -> None:
    before, after = looks(("a", 1, 0))
    more = after.model_copy(update={"leases": (*after.leases, leased("b", use(1, 1)))})
    assert [one.name for one in advise(before, more, []).leases] == ["a"]


def test_the_verdict_tells_gain_memory_and_a_full_device() -> None:
    before, after = looks(("a", SECOND // 5, 0), ("b", SECOND // 5, 0))
    light = "\n".join(verdict(advise(before, after, [])))
    assert "1.92 times" in light
    assert "fits on gpu0" in light
    assert "full" not in light
    before, after = looks(("a", SECOND, 0), ("b", SECOND, 0))
    heavy = advise(before, after, [])
    assert "full" in "\n".join(verdict(heavy))
    assert advice_table(heavy).row_count == 2
