# SPDX-License-Identifier: Apache-2.0
"""Those who wait start in order, and nobody is delayed by anybody behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.model.lease import GpuShare, Placement
from tessera.placement import Capacity, Demand, Grant, Request, Running, admit, in_order, rooms

MOST = 12


def subsets(items: Sequence[Running]) -> Iterator[tuple[Running, ...]]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


@st.composite
def hosts(draw: st.DrawFn) -> list[Capacity]:
    return [
        Capacity(f"gpu{number}", draw(st.integers(4, MOST)), numa_node=draw(st.integers(0, 1)))
        for number in range(draw(st.integers(1, 3)))
    ]


def demands(most_gpus: int) -> st.SearchStrategy[Demand]:
    sized = st.builds(Demand, gpus=st.integers(1, most_gpus), memory=st.integers(1, MOST))
    parts = st.sampled_from([Fraction(1, 4), Fraction(1, 2), Fraction(1)])
    return sized | st.builds(Demand, gpus=st.integers(1, most_gpus), fraction=parts)


@st.composite
def queues(draw: st.DrawFn, most: int, most_gpus: int = 2) -> list[Request]:
    return [
        Request(
            id=f"r{number}",
            demand=draw(demands(most_gpus)),
            arrival=number,
            priority=draw(st.integers(-1, 1)),
            strategy=draw(st.sampled_from(Placement)),
        )
        for number in range(draw(st.integers(0, most)))
    ]


@st.composite
def leases(draw: st.DrawFn, gpus: list[Capacity], most: int, most_gpus: int = 2) -> list[Running]:
    """Leases that fit beside each other."""
    free = {gpu.gpu: gpu.memory for gpu in gpus}
    found = []
    for _ in range(draw(st.integers(0, most))):
        names = draw(
            st.lists(st.sampled_from(sorted(free)), min_size=1, max_size=most_gpus, unique=True)
        )
        if all(free[name] > 0 for name in names):
            memory = draw(st.integers(1, min(free[name] for name in names)))
            found.append(Running(tuple(GpuShare(gpu=name, memory=memory) for name in names)))
            for name in names:
                free[name] -= memory
    return found


def free_of(gpus: Iterable[Capacity], running: Iterable[Running]) -> dict[str, int]:
    free = {gpu.gpu: gpu.usable for gpu in gpus}
    for share in (share for lease in running for share in lease.shares):
        free[share.gpu] -= share.memory
    return free


def ways(request: Request, gpus: Sequence[Capacity]) -> list[tuple[tuple[str, int], ...]]:
    """Every choice of GPUs for a request on an empty host, and the one of not starting it."""
    sizes = [(gpu.gpu, request.demand.bytes_of(gpu)) for gpu in gpus]
    return [(), *combinations(sizes, request.demand.gpus)]


def takes_from(
    ahead: Sequence[Request],
    gpus: Sequence[Capacity],
    running: Sequence[Running],
    granted: tuple[GpuShare, ...],
) -> bool:
    """Whether the grant makes something impossible for those ahead that some ends made possible."""
    for stay in subsets(running):
        before = free_of(gpus, stay)
        after = free_of(gpus, [*stay, Running(granted)])
        for choice in product(*(ways(request, gpus) for request in ahead)):
            left = dict(before)
            for name, size in chain.from_iterable(choice):
                left[name] -= size
            if min(left.values()) < 0:
                continue
            if any(left[name] < before[name] - after[name] for name, _ in chain(*choice)):
                return True
    return False


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_grant_takes_no_possibility_from_those_ahead(data: st.DataObject) -> None:
    gpus = data.draw(hosts())
    running = data.draw(leases(gpus, 3))
    waiting = data.draw(queues(4))
    now = list(running)
    for grant in admit(waiting, gpus, running):
        ahead = [request for request in waiting if request.id in grant.overtook]
        assert not takes_from(ahead, gpus, now, grant.shares)
        now.append(Running(grant.shares))
        assert min(free_of(gpus, now).values()) >= 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_takes_nothing_from_those_ahead_starts(data: st.DataObject) -> None:
    """With one GPU for each, nothing is held back that could have been given."""
    gpus = data.draw(hosts())
    now = data.draw(leases(gpus, 3, most_gpus=1))
    waiting = data.draw(queues(4, most_gpus=1))
    grants = {grant.id: grant for grant in admit(waiting, gpus, now)}
    ahead: list[Request] = []
    for request in in_order(waiting):
        if request.id in grants:
            now.append(Running(grants[request.id].shares))
            continue
        free = free_of(gpus, now)
        for gpu in gpus:
            share = GpuShare(gpu=gpu.gpu, memory=request.demand.bytes_of(gpu))
            fits = share.memory <= free[gpu.gpu]
            assert not fits or takes_from(ahead, gpus, now, (share,))
        ahead.append(request)


@dataclass
class Job:
    """A request that arrives at a step, and runs for some steps once it started."""

    request: Request
    step: int
    duration: int


@st.composite
def histories(draw: st.DrawFn, gpus: list[Capacity]) -> list[Job]:
    """Jobs in order, among which nobody comes later and is further ahead."""
    requests = in_order(draw(queues(7)))
    steps = sorted(draw(st.integers(0, 6)) for _ in requests)
    return [
        Job(request, step, draw(st.integers(1, 5)))
        for request, step in zip(requests, steps, strict=True)
        if request.demand.could_fit(gpus)
    ]


def play(
    gpus: Sequence[Capacity], first: Sequence[tuple[Running, int]], jobs: Sequence[Job]
) -> dict[str, tuple[int, Grant]]:
    """When and where each job started. `first`: leases that run already, for so many steps."""
    running = list(first)
    waiting: dict[str, Job] = {}
    started: dict[str, tuple[int, Grant]] = {}
    for step in range(200):
        running = [(lease, end) for lease, end in running if end > step]
        waiting |= {job.request.id: job for job in jobs if job.step == step}
        now = [lease for lease, _ in running]
        for grant in admit([job.request for job in waiting.values()], gpus, now):
            job = waiting.pop(grant.id)
            running.append((Running(grant.shares, grant.overtook), step + job.duration))
            started[grant.id] = step, replace(grant, overtook=frozenset())
    return started


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_nobody_is_delayed_or_moved_by_those_behind(data: st.DataObject) -> None:
    gpus = data.draw(hosts())
    first = [(lease, data.draw(st.integers(1, 6))) for lease in data.draw(leases(gpus, 3))]
    jobs = data.draw(histories(gpus))
    everybody = play(gpus, first, jobs)
    for count in range(len(jobs)):
        alone = play(gpus, first, jobs[:count])
        assert alone == {job.request.id: everybody[job.request.id] for job in jobs[:count]}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_everybody_starts_in_the_end(data: st.DataObject) -> None:
    gpus = data.draw(hosts())
    jobs = data.draw(histories(gpus))
    assert set(play(gpus, [], jobs)) == {job.request.id for job in jobs}


GPU = [Capacity("gpu0", 8)]


def lease(memory: int, gpu: str = "gpu0") -> Running:
    return Running((GpuShare(gpu=gpu, memory=memory),))


def wants(name: str, memory: int, arrival: int = 0, priority: int = 0, gpus: int = 1) -> Request:
    return Request(name, Demand(gpus, memory), arrival, priority)


def test_higher_priority_first_then_who_came_first() -> None:
    waiting = [wants("late", 4, 3), wants("early", 4, 1), wants("urgent", 4, 9, priority=1)]
    assert [request.id for request in in_order(waiting)] == ["urgent", "early", "late"]
    assert [grant.id for grant in admit(waiting, GPU, [])] == ["urgent", "early"]


def test_what_the_first_will_need_is_left_alone() -> None:
    # When the 6 end, 8 are free. Whoever takes 2 now still leaves 6.
    big, small = wants("big", 7, 0), wants("small", 2, 1)
    assert admit([big, small], GPU, [lease(6)]) == ()
    big = wants("big", 6, 0)
    assert [grant.id for grant in admit([big, small], GPU, [lease(6)])] == ["small"]
    # Had it been two of 3, one of them ending would be enough for somebody who wants 5.
    assert admit([wants("big", 5, 0), small], GPU, [lease(3), lease(3)]) == ()
    assert admit([wants("big", 5, 0), small], GPU, [lease(6)]) != ()


def test_who_can_never_start_holds_nobody_back() -> None:
    grants = admit([wants("giant", 9, 0), wants("small", 8, 1)], GPU, [])
    assert [grant.id for grant in grants] == ["small"]


def test_a_grant_names_those_it_overtook() -> None:
    waiting = [wants("big", 6, 0), wants("other", 6, 1), wants("small", 2, 2)]
    (grant,) = admit(waiting, GPU, [lease(6)])
    assert (grant.id, grant.overtook) == ("small", frozenset({"big", "other"}))


def test_who_was_overtaken_chooses_as_if_it_had_not_been() -> None:
    gpus = [Capacity("gpu0", 10), Capacity("gpu1", 10)]
    first = [lease(7, "gpu0"), lease(8, "gpu1")]
    patient, small = wants("patient", 5, 0), wants("small", 2, 1)
    (grant,) = admit([patient, small], gpus, first)
    assert (grant.id, grant.shares[0].gpu) == ("small", "gpu1")
    # Packed, the fuller gpu1 would be taken now; without the small one it would have been gpu0.
    (grant,) = admit([patient], gpus, [Running(grant.shares, grant.overtook)])
    assert grant.shares[0].gpu == "gpu0"


def test_two_gpus_for_one_slice() -> None:
    gpus = [Capacity("gpu0", 8), Capacity("gpu1", 8)]
    pair = wants("pair", 8, 0, gpus=2)
    assert admit([pair, wants("small", 1, 1)], gpus, [lease(8)]) == ()
    (grant,) = admit([pair], gpus, [])
    assert [share.gpu for share in grant.shares] == ["gpu0", "gpu1"]


def test_too_many_sums_hold_those_behind_back_and_nobody_else() -> None:
    gpus = [Capacity("gpu0", 1 << 20)]
    many = [lease(1 << bit) for bit in range(14)]
    behind = [wants("big", (1 << 20) - 5, 0), wants("small", 1, 1)]
    assert rooms(gpus, many, behind[:1]) == {"gpu0": 0}
    assert admit(behind, gpus, many) == ()
    assert [grant.id for grant in admit(behind[1:], gpus, many)] == ["small"]
