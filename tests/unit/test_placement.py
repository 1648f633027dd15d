# SPDX-License-Identifier: Apache-2.0
"""Admission never promises memory twice, packs, and says what would fit."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.model.errors import InvalidFraction, NoCapacity, NoGpu
from tessera.model.lease import GpuShare, Placement
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


def test_spread_takes_the_emptiest() -> None:
    host = [Capacity(f"gpu{n}", 8 * GIB, leased=leased * GIB) for n, leased in enumerate((3, 1, 2))]
    assert place(Demand(memory=GIB), host, Placement.SPREAD)[0].gpu == "gpu1"
    pair = place(Demand(gpus=2, memory=GIB), host, Placement.SPREAD)
    assert [share.gpu for share in pair] == ["gpu1", "gpu2"]


def test_a_big_hole_is_left_whole() -> None:
    host = [Capacity("gpu0", 80 * GIB, leased=20 * GIB), Capacity("gpu1", 8 * GIB)]
    assert place(Demand(memory=6 * GIB), host)[0].gpu == "gpu1"
    assert place(Demand(memory=6 * GIB), host, Placement.SPREAD)[0].gpu == "gpu0"


def node_of(host: list[Capacity], shares: tuple[GpuShare, ...]) -> set[int | None]:
    nodes = {capacity.gpu: capacity.numa_node for capacity in host}
    return {nodes[share.gpu] for share in shares}


@pytest.mark.parametrize("strategy", Placement)
def test_the_gpus_of_a_slice_are_neighbours(strategy: Placement) -> None:
    # The best two for either strategy lie on different nodes.
    host = [
        Capacity("gpu0", 8 * GIB, leased=6 * GIB, numa_node=0),
        Capacity("gpu1", 8 * GIB, leased=0 * GIB, numa_node=0),
        Capacity("gpu2", 8 * GIB, leased=5 * GIB, numa_node=1),
        Capacity("gpu3", 8 * GIB, leased=1 * GIB, numa_node=1),
    ]
    assert len(node_of(host, place(Demand(gpus=2, memory=GIB), host, strategy))) == 1
    # Only one node has room for two of these.
    assert node_of(host, place(Demand(gpus=2, memory=3 * GIB), host, strategy)) == {1}
    # What fits nowhere on one node is given all the same.
    assert node_of(host, place(Demand(gpus=3, memory=GIB), host, strategy)) == {0, 1}


@given(st.data(), st.sampled_from(Placement))
def test_no_choice_touches_fewer_nodes(data: st.DataObject, strategy: Placement) -> None:
    host = [
        Capacity(f"gpu{number}", 8, leased=leased, numa_node=node)
        for number, (leased, node) in enumerate(
            data.draw(
                st.lists(
                    st.tuples(st.integers(0, 7), st.none() | st.integers(0, 2)),
                    min_size=1,
                    max_size=6,
                )
            )
        )
    ]
    gpus = data.draw(st.integers(1, len(host)))
    everything = [
        tuple(GpuShare(gpu=gpu.gpu, memory=1) for gpu in some) for some in combinations(host, gpus)
    ]
    fewest = min(len(node_of(host, shares)) for shares in everything)
    assert len(node_of(host, place(Demand(gpus, 1), host, strategy))) == fewest


def test_rooms_hold_what_others_wait_for() -> None:
    host = [Capacity("gpu0", 8 * GIB, leased=2 * GIB), Capacity("gpu1", 8 * GIB)]
    with pytest.raises(NoCapacity, match="requests ahead in the queue wait for") as refusal:
        place(Demand(memory=4 * GIB), host, rooms={"gpu0": 1 * GIB, "gpu1": 0})
    assert f"--memory {GIB}" in refusal.value.hint
    assert "--wait" in refusal.value.hint
    assert place(Demand(memory=GIB), host, rooms={"gpu0": 1 * GIB, "gpu1": 0})[0].gpu == "gpu0"


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
