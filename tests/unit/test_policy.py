# SPDX-License-Identifier: Apache-2.0
"""The arbiter's policy, simulated: shares, monotony, no starvation, work conservation.

The bounds are those of the algorithm, not of a machine: a lease can be off by the command that ran over
the end of its slice, by the slices that it may be owed, and by nothing that grows with time.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.policy import (
    BEST_EFFORT,
    EQUAL,
    FIXED,
    MS,
    OWED_SLICES,
    WEIGHTED,
    Outcome,
    Tenant,
    simulate,
)

SPAN = 1000 * MS
SLICE = 2 * MS
US = 1000

kernels = st.integers(20 * US, 5 * MS)
crowds = st.lists(kernels, min_size=2, max_size=8)
slices = st.integers(1 * MS, 30 * MS)


def most_off(outcome: Outcome, slice_ns: int) -> int:
    """The device time by which any lease may miss its due, of equal weights."""
    longest = max(tenant.kernel for tenant in outcome.tenants)
    return (OWED_SLICES + 2) * (slice_ns + longest)


@settings(max_examples=30, deadline=None)
@given(crowds, slices)
def test_equal_gives_saturating_leases_the_same_time(lengths: list[int], slice_ns: int) -> None:
    outcome = simulate(EQUAL, [Tenant(kernel) for kernel in lengths], SPAN, slice_ns)
    due = outcome.span / len(lengths)
    for tenant in outcome.tenants:
        assert abs(tenant.device - due) <= most_off(outcome, slice_ns)
    assert outcome.idle == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(kernels, st.integers(1, 8)), min_size=2, max_size=6))
def test_weighted_gives_time_by_weight(crowd: list[tuple[int, int]]) -> None:
    tenants = [Tenant(kernel, weight=100 * weight) for kernel, weight in crowd]
    outcome = simulate(WEIGHTED, tenants, SPAN)
    total = sum(tenant.weight for tenant in tenants)
    for tenant in tenants:
        due = outcome.span * tenant.weight / total
        assert abs(tenant.device - due) <= len(tenants) * most_off(outcome, SLICE)
    assert outcome.idle == 0


@settings(max_examples=30, deadline=None)
@given(kernels, kernels, st.integers(1, 9), st.integers(1, 9))
def test_more_weight_is_never_less_time(one: int, other: int, light: int, more: int) -> None:
    def device(weight: int) -> int:
        tenants = [Tenant(one, weight=weight * 100), Tenant(other, weight=500)]
        return simulate(WEIGHTED, tenants, SPAN).tenants[0].device

    assert device(light + more) >= device(light) - (one + other)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([BEST_EFFORT, EQUAL, WEIGHTED]),
    crowds,
    st.integers(0, 20 * MS),
    st.integers(1, 50),
)
def test_nobody_starves(kind: int, lengths: list[int], think: int, burst: int) -> None:
    """One lease comes and goes, the others saturate: each waits for a bounded time at most."""
    tenants = [Tenant(lengths[0], burst=burst, think=think), *map(Tenant, lengths[1:])]
    simulate(kind, tenants, SPAN)
    longest = max(lengths)
    bound = len(lengths) * (OWED_SLICES + 2) * (SLICE + longest)
    for tenant in tenants:
        assert tenant.waits
        assert max(tenant.waits) <= bound
        assert SPAN - (tenant.since - 10**12) <= bound or not tenant.active


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), st.integers(50 * US, 400 * US), st.integers(1 * MS, 20 * MS))
def test_an_interactive_lease_waits_a_slice_or_two_for_each_competitor(
    others: int, kernel: int, think: int
) -> None:
    tenants = [Tenant(100 * US, think=think), *(Tenant(kernel) for _ in range(others))]
    outcome = simulate(EQUAL, tenants, SPAN)
    waits = sorted(outcome.tenants[0].waits)
    assert waits[int(len(waits) * 0.99)] <= 2 * SLICE * others + kernel


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([BEST_EFFORT, EQUAL, WEIGHTED]), crowds, st.integers(1 * MS, 30 * MS))
def test_idle_time_goes_to_the_others(kind: int, lengths: list[int], think: int) -> None:
    tenants = [Tenant(lengths[0], think=think), *map(Tenant, lengths[1:])]
    outcome = simulate(kind, tenants, SPAN)
    assert outcome.idle == 0
    assert sum(tenant.device for tenant in tenants) == outcome.span


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    kernels,
    st.integers(0, 30 * MS),
    st.integers(50, 100),
)
def test_fixed_gives_the_paid_share_and_no_more(
    parts: list[int], kernel: int, think: int, paid: int
) -> None:
    shares = [part * paid * 10_000 // sum(parts) for part in parts]
    tenants = [Tenant(kernel, share_ppm=share) for share in shares]
    tenants.append(Tenant(kernel, think=think or MS, share_ppm=1_000_000 - sum(shares) or 1))
    outcome = simulate(FIXED, tenants, SPAN)
    for tenant in tenants[:-1]:
        due = outcome.span * tenant.share_ppm / 1_000_000
        assert tenant.device - due <= OWED_SLICES * SLICE + kernel
        assert due - tenant.device <= (OWED_SLICES + 2) * (SLICE + kernel) * len(tenants)
    last = tenants[-1]
    most = outcome.span * last.share_ppm / 1_000_000
    assert last.device <= most + OWED_SLICES * SLICE + kernel


@pytest.mark.parametrize("kind", [BEST_EFFORT, EQUAL, WEIGHTED])
def test_a_lone_lease_has_one_grant_without_an_end(kind: int) -> None:
    outcome = simulate(kind, [Tenant(100 * US)], 100 * MS)
    assert outcome.grants == 1
    assert outcome.tenants[0].device == outcome.span


def test_fixed_leaves_a_lone_lease_its_share_only() -> None:
    outcome = simulate(FIXED, [Tenant(100 * US, share_ppm=250_000)], SPAN)
    assert outcome.shares()[0] == pytest.approx(0.25, abs=0.01)
    assert outcome.idle_with_work == outcome.idle > 0


def test_what_was_left_unused_cannot_be_claimed_later() -> None:
    """A lease that slept for a second gets a few slices ahead, not a second."""
    late = Tenant(100 * US, begins=1000 * MS)
    early = Tenant(100 * US)
    outcome = simulate(EQUAL, [late, early], 2 * SPAN)
    assert early.device >= 1000 * MS + 500 * MS - (OWED_SLICES + 2) * SLICE
    assert outcome.idle == 0


@pytest.mark.parametrize("kind", [EQUAL, WEIGHTED])
@pytest.mark.parametrize("begins_us", [1_000_500, 1_001_500])
def test_who_came_alone_with_one_command_at_a_time_owes_nothing_for_it(
    kind: int, begins_us: int
) -> None:
    """What a lease used while nobody else wanted the device is not held against it, whether the other
    comes within a command or between two."""
    early = Tenant(1 * MS, think=1 * MS)
    late = Tenant(1 * MS, begins=begins_us * US)
    simulate(kind, [early, late], 4 * SPAN)
    assert max(early.waits) <= (OWED_SLICES + 2) * (SLICE + early.kernel)


@dataclass
class LaterSaturating(Tenant):
    """Pauses after each command, until `saturates`: how many commands it paused after."""

    saturates: int = 0

    def ran_one(self, now: int) -> None:
        self.saturates -= 1
        if self.saturates == 0:
            self.think = 0
        super().ran_one(now)


@pytest.mark.parametrize("kind", [EQUAL, WEIGHTED])
def test_short_commands_beside_long_ones_save_up_no_claim(kind: int) -> None:
    """One at a time they always wait for a long one; that is no claim on all the time waited."""
    short = LaterSaturating(1 * MS, think=30 * US, saturates=100)
    long = Tenant(40 * MS)
    simulate(kind, [short, long], 10 * SPAN)
    assert short.saturates < 0
    assert max(long.waits) <= (OWED_SLICES + 2) * (SLICE + long.kernel)


def test_short_pauses_lose_nothing_that_is_owed() -> None:
    """A lease that pauses for microseconds between its commands keeps its half as far as it asks."""
    pausing = Tenant(300 * US, think=30 * US)
    other = Tenant(300 * US)
    outcome = simulate(EQUAL, [pausing, other], SPAN)
    assert outcome.shares()[0] == pytest.approx(0.5, abs=0.02)


def test_a_short_pause_does_not_lose_what_long_commands_of_others_took() -> None:
    """One whose queue is empty for a moment now and then, beside one with commands of many slices."""
    pausing = Tenant(1 * MS, burst=200, think=30 * US, weight=400)
    other = Tenant(40 * MS, weight=100)
    outcome = simulate(WEIGHTED, [pausing, other], 20 * SPAN)
    assert outcome.shares()[0] == pytest.approx(0.8, abs=0.01)


def test_what_was_owed_at_a_pause_is_outrun_by_a_long_one() -> None:
    """A long command of the other lets it be owed eight times as much once in each burst; what it
    leaves of that is gone when it comes back, seconds later."""
    bursts = 10
    pausing = Tenant(1 * MS, burst=400, think=5 * SPAN, weight=800)
    other = Tenant(40 * MS, weight=100)
    simulate(WEIGHTED, [pausing, other], bursts * 5400 * MS)
    long_waits = [wait for wait in other.waits if wait > (OWED_SLICES + 2) * SLICE]
    assert bursts - 1 <= len(long_waits) <= 2 * bursts
    assert sum(wait > 250 * MS for wait in long_waits) <= bursts


@pytest.mark.parametrize("count", [2, 4, 8])
def test_jain_index_of_equal_leases_with_different_kernels(count: int) -> None:
    tenants = [Tenant((1 + index) * 200 * US) for index in range(count)]
    shares = simulate(EQUAL, tenants, 20 * SPAN).shares()
    assert sum(shares) ** 2 / (count * sum(share**2 for share in shares)) >= 0.999


def parts(kind: int, shares: list[float]) -> list[float]:
    """What saturating leases of equal weights with these paid shares get of the device."""
    return shares if kind == FIXED else [1 / len(shares)] * len(shares)


@pytest.mark.parametrize("first", [BEST_EFFORT, EQUAL, WEIGHTED, FIXED])
@pytest.mark.parametrize("second", [EQUAL, WEIGHTED, FIXED])
def test_what_one_policy_gave_is_nothing_to_the_next(first: int, second: int) -> None:
    shares = [0.25, 0.75]
    tenants = [Tenant(300 * US, share_ppm=round(share * 1_000_000)) for share in shares]
    outcome = simulate(first, tenants, SPAN, changes=[(SPAN // 2, second)])
    for tenant, before, after in zip(
        tenants, parts(first, shares), parts(second, shares), strict=True
    ):
        due = outcome.span * (before + after) / 2
        assert abs(tenant.device - due) <= 2 * most_off(outcome, SLICE)
