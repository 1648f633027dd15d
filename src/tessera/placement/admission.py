# SPDX-License-Identifier: Apache-2.0
"""Who of those that wait may start now: a pure function of who waits, what runs and what there is.

The order is total: higher priority first, then who came first. Who is first in it starts as soon as its
memory fits. Somebody further back may start earlier only where that can take nothing from those ahead.
How long a lease will run is not known, so "can" means: whichever of the running leases end, in any order.

The invariant. Let A be the requests ahead of one that is granted. For every set of running leases that
may end, each way of putting some of A on GPUs that was possible before the grant is possible after it.
What follows, as long as nobody with a higher priority arrives: those of A start at the same moments and
on the same GPUs as if nobody had ever come behind them. Whom it delays not, it starves not: the first
in the order has started, at the latest, when the leases that ran when it became first have ended.

How it is held. Look at one GPU with `free` bytes. The leases on it may free any sum of some of their
sizes: F = {free + such a sum}. Those of A that could come here need some sum of their sizes: N = {such
sums, without 0}. The **room** behind A is the least f - n >= 0 over f in F and n in N, and never more
than what is free: so much is left over whenever anything of A fits, and less would be missing in some
case. With no f >= n there is nothing that could be taken from A, and the room is all that is free.

A GPU is chosen by how full it is, and somebody who starts earlier makes it fuller. So that this cannot
turn the choice of a request that it overtook, such a request chooses as if those that overtook it were
not there; whether it fits is of course found with them.

A reservation of particular GPUs for the first in the queue was refused: it keeps more memory busy, but
the first then waits on while another GPU that would have done gets free and is taken by somebody behind.
Sums are counted up to a bound; beyond it the room is 0, which delays those behind and never those ahead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tessera.model.errors import NoCapacity
from tessera.model.lease import GpuShare, Placement
from tessera.placement.choice import place
from tessera.placement.demand import Capacity, Demand

_MOST_SUMS = 1024


@dataclass(frozen=True)
class Request:
    """One that waits. `arrival` is any number that grows from one arrival to the next."""

    id: str
    demand: Demand
    arrival: float = 0
    priority: int = 0
    strategy: Placement = Placement.PACK

    @property
    def rank(self) -> tuple[int, float]:
        """The smaller, the further ahead."""
        return -self.priority, self.arrival


@dataclass(frozen=True)
class Running:
    """A lease that holds memory. `overtook`: the requests that waited ahead of it when it started."""

    shares: tuple[GpuShare, ...]
    overtook: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Grant:
    """A request that starts now, there."""

    id: str
    shares: tuple[GpuShare, ...]
    overtook: frozenset[str] = frozenset()


def in_order(waiting: Iterable[Request]) -> list[Request]:
    """First things first."""
    return sorted(waiting, key=lambda request: request.rank)


def admit(
    waiting: Iterable[Request], gpus: Sequence[Capacity], running: Iterable[Running]
) -> tuple[Grant, ...]:
    """Who starts now, in order. What is leased of `gpus` is what `running` says."""
    leases = list(running)
    ahead: list[Request] = []
    grants: list[Grant] = []
    for request in in_order(waiting):
        limits = rooms(gpus, leases, ahead)
        if not any(limits.values()):
            break
        others = [lease for lease in leases if request.id not in lease.overtook]
        try:
            shares = place(request.demand, occupied(gpus, others), request.strategy, limits)
        except NoCapacity:
            ahead.append(request)
            continue
        overtook = frozenset(each.id for each in ahead)
        grants.append(Grant(request.id, shares, overtook))
        leases.append(Running(shares, overtook))
    return tuple(grants)


def occupied(gpus: Sequence[Capacity], running: Iterable[Running]) -> list[Capacity]:
    """The GPUs with what these leases hold of them."""
    leased: dict[str, int] = {}
    for share in (share for lease in running for share in lease.shares):
        leased[share.gpu] = leased.get(share.gpu, 0) + share.memory
    return [replace(gpu, leased=leased.get(gpu.gpu, 0)) for gpu in gpus]


def rooms(
    gpus: Sequence[Capacity],
    running: Sequence[Running],
    ahead: Iterable[Request],
    growing: Sequence[Running] = (),
) -> Mapping[str, int]:
    """The bytes of each GPU that somebody behind `ahead` may take now.

    `growing`: leases that hold memory, too, and want more for themselves. That they may end counts for
    nothing here, because what they take would then be given back.
    """
    demands = [request.demand for request in ahead if request.demand.could_fit(gpus)]
    found = {}
    for gpu in occupied(gpus, [*running, *growing]):
        held = [share.memory for lease in running for share in lease.shares if share.gpu == gpu.gpu]
        needs = [demand.bytes_of(gpu) for demand in demands]
        found[gpu.gpu] = _room(gpu.free, held, [need for need in needs if need <= gpu.usable])
    return found


def _room(free: int, held: Sequence[int], needs: Sequence[int]) -> int:
    if free == 0 or not needs:
        return free
    freed, needed = _sums(held), _sums(needs)
    if freed is None or needed is None:
        return 0
    levels = sorted(free + each for each in freed)
    room = free
    for need in needed - {0}:
        place_in_levels = bisect_left(levels, need)
        if place_in_levels < len(levels):
            room = min(room, levels[place_in_levels] - need)
    return room


def _sums(sizes: Iterable[int]) -> set[int] | None:
    """Every sum of some of the sizes, the empty one too; None when they are too many."""
    sums = {0}
    for size in sizes:
        sums |= {each + size for each in sums}
        if len(sums) > _MOST_SUMS:
            return None
    return sums
