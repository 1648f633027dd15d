# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a slice goes to, among those where its memory fits.

`pack` takes the GPU where the smallest hole is left, so that big holes, and empty GPUs above all, stay
whole for somebody who needs them. `spread` takes the one where the biggest is left, so that leases get
out of each other's way. The GPUs of one slice lie on as few NUMA nodes as possible, because a program
that copies between them, or feeds them from one thread, pays for every node it crosses; only between
sets of equal nearness does the strategy decide. (Nearness against packing with weights was refused: two
figures without a common unit, and nobody could have said why a lease went where it went.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tessera.model.errors import InvalidFraction, NoGpu
from tessera.model.lease import GpuShare, Placement
from tessera.placement.demand import Capacity, Demand
from tessera.placement.refusal import refusal


def place(
    demand: Demand,
    capacities: Sequence[Capacity],
    strategy: Placement = Placement.PACK,
    rooms: Mapping[str, int] | None = None,
) -> tuple[GpuShare, ...]:
    """The GPUs of a slice, the strategy's first choice first; ties go to the first listed.

    `rooms`: the bytes of each GPU that the slice may take; without it, all that is free.

    Raises NoGpu when there is none at all, NoCapacity when the slice does not fit, and InvalidFraction
    for a fraction that rounds down to nothing.
    """
    if not capacities:
        raise NoGpu(
            "This host offers no GPU.",
            "Run `tessera doctor`: it looks for OpenCL drivers and says what is missing.",
        )
    if len(capacities) >= demand.gpus and demand.least(capacities) < 1:
        raise InvalidFraction(
            f"{demand.fraction} of a GPU is less than one byte.", "Ask for a larger fraction."
        )
    if rooms is None:
        rooms = {capacity.gpu: capacity.free for capacity in capacities}
    fitting = [each for each in capacities if demand.bytes_of(each) <= rooms[each.gpu]]
    if len(fitting) < demand.gpus:
        raise refusal(demand, capacities, rooms)
    chosen = _choose(demand, fitting, strategy)
    return tuple(GpuShare(gpu=each.gpu, memory=demand.bytes_of(each)) for each in chosen)


def _choose(demand: Demand, fitting: Sequence[Capacity], strategy: Placement) -> list[Capacity]:
    sign = 1 if strategy is Placement.PACK else -1

    def cost(capacity: Capacity) -> int:
        return sign * (capacity.free - demand.bytes_of(capacity))

    nodes = _by_node(sorted(fitting, key=cost))
    chosen: list[Capacity] = []
    while (missing := demand.gpus - len(chosen)) > 0:
        enough = [node for node in nodes if len(node) >= missing]
        if enough:
            node = min(enough, key=lambda node: sum(map(cost, node[:missing])))
        else:
            # Taking the largest first is what makes the nodes few.
            node = max(nodes, key=len)
        chosen += node[:missing]
        nodes.remove(node)
    return sorted(chosen, key=cost)


def _by_node(capacities: Sequence[Capacity]) -> list[list[Capacity]]:
    """In the same order. GPUs whose node is not known count as neighbours."""
    nodes: dict[int | None, list[Capacity]] = {}
    for capacity in capacities:
        nodes.setdefault(capacity.numa_node, []).append(capacity)
    return list(nodes.values())
