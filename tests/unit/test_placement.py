# SPDX-License-Identifier: Apache-2.0
"""Admission never promises memory twice, packs, and says what would fit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.model.errors import InvalidFraction, NoCapacity, NoGpu
from tessera.placement import Capacity, Demand, place

GIB = 1 << 30


@st.composite
def hosts(draw: st.DrawFn) -> list[Capacity]:
    found = []
    for number in range(draw(st.integers(1, 6))):
        memory = draw(st.integers(1, 64 * GIB))
        reserve = draw(st.integers(0, memory))
        leased = draw(st.integers(0, memory - reserve))
        found.append(Capacity(f"gpu{number}", memory, reserve, leased))
    return found


demands = st.builds(
    Demand,
    gpus=st.integers(1, 4),
    memory=st.none() | st.integers(1, 64 * GIB),
    fraction=st.none() | st.fractions(Fraction(1, 1000), 1).filter(lambda part: part > 0),
)


@given(hosts(), demands)
def test_what_is_granted_fits_and_what_fits_is_granted(
    host: list[Capacity], demand: Demand
) -> None:
    roomy = [c for c in host if 1 <= demand.bytes_of(c) <= c.free]
    try:
        shares = place(demand, host)
    except (NoCapacity, InvalidFraction) as refusal:
        assert len(roomy) < demand.gpus or any(demand.bytes_of(c) < 1 for c in host)
        assert refusal.hint
        return
    by_id = {capacity.gpu: capacity for capacity in host}
    assert len({share.gpu for share in shares}) == demand.gpus == len(shares)
    for share in shares:
        assert 1 <= share.memory == demand.bytes_of(by_id[share.gpu]) <= by_id[share.gpu].free


@given(hosts(), st.lists(demands, max_size=12))
def test_the_sum_of_leases_never_exceeds_a_gpu(
    host: list[Capacity], arrivals: list[Demand]
) -> None:
    leased = {capacity.gpu: capacity.leased for capacity in host}
    for demand in arrivals:
        now = [Capacity(c.gpu, c.memory, c.reserve, leased[c.gpu]) for c in host]
        try:
            for share in place(demand, now):
                leased[share.gpu] += share.memory
        except (NoCapacity, InvalidFraction):
            continue
    for capacity in host:
        assert leased[capacity.gpu] <= capacity.memory - capacity.reserve


def test_the_fullest_gpu_that_fits_is_taken() -> None:
    host = [
        Capacity("gpu0", 8 * GIB),
        Capacity("gpu1", 8 * GIB, leased=5 * GIB),
        Capacity("gpu2", 8 * GIB, leased=7 * GIB),
    ]
    assert place(Demand(memory=2 * GIB), host)[0].gpu == "gpu1"
    assert place(Demand(memory=1 * GIB), host)[0].gpu == "gpu2"
    assert place(Demand(fraction=Fraction(1)), host)[0].gpu == "gpu0"


def test_ties_go_to_the_first_listed() -> None:
    host = [Capacity("gpu0", GIB), Capacity("gpu1", GIB)]
    assert place(Demand(memory=1), host)[0].gpu == "gpu0"


def test_no_size_means_the_whole_gpu_less_the_reserve() -> None:
    assert place(Demand(), [Capacity("gpu0", 100, reserve=7)])[0].memory == 93
    assert place(Demand(fraction=Fraction(1, 4)), [Capacity("gpu0", 103)])[0].memory == 25


def test_a_refusal_says_what_would_fit() -> None:
    with pytest.raises(NoCapacity) as refusal:
        place(Demand(memory=6 * GIB), [Capacity("gpu0", 8 * GIB, leased=4 * GIB)])
    assert "gpu0 has the most free, 4.00 GiB" in refusal.value.message
    assert f"--memory {4 * GIB}" in refusal.value.hint
    assert "tessera ps" in refusal.value.hint
    with pytest.raises(NoCapacity) as refusal:
        place(Demand(memory=9 * GIB), [Capacity("gpu0", 8 * GIB)])
    assert "tessera ps" not in refusal.value.hint


def test_more_gpus_than_there_are() -> None:
    with pytest.raises(NoCapacity, match="3 GPUs were asked for; this host has 1") as refusal:
        place(Demand(gpus=3, memory=1), [Capacity("gpu0", GIB)])
    assert refusal.value.exit_code == 4


def test_no_gpu_at_all() -> None:
    with pytest.raises(NoGpu) as refusal:
        place(Demand(), [])
    assert refusal.value.exit_code == 4
    assert "doctor" in refusal.value.hint
