# SPDX-License-Identifier: Apache-2.0
"""Refusals that say what would fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tessera.model.errors import NoCapacity
from tessera.model.units import format_bytes
from tessera.placement.demand import Capacity, Demand


def refusal(
    demand: Demand,
    capacities: Sequence[Capacity],
    rooms: Mapping[str, int],
    waited: bool = False,
) -> NoCapacity:
    """Why a slice that does not fit `rooms` does not, and what would; at least one GPU is listed."""
    if len(capacities) < demand.gpus:
        return NoCapacity(
            f"{demand.gpus} GPUs were asked for; this host has {len(capacities)}.",
            f"Ask for --gpus {len(capacities)} or fewer.",
        )
    best = sorted(rooms.values(), reverse=True)[demand.gpus - 1]
    ideas = _what_would_fit(demand, capacities, best, waited)
    return NoCapacity(_what(demand, capacities, rooms), ideas)


def _what(demand: Demand, capacities: Sequence[Capacity], rooms: Mapping[str, int]) -> str:
    wanted = format_bytes(demand.least(capacities))
    free = sum(demand.bytes_of(each) <= each.free for each in capacities)
    if free >= demand.gpus:
        return f"{wanted} would fit only into memory that requests ahead in the queue wait for."
    roomy = max(capacities, key=lambda each: rooms[each.gpu])
    if demand.gpus > 1:
        fitting = sum(demand.bytes_of(each) <= rooms[each.gpu] for each in capacities)
        return f"{wanted} on each of {demand.gpus} GPUs do not fit: only {fitting} have room."
    if roomy.free > rooms[roomy.gpu]:
        return (
            f"{wanted} do not fit: {roomy.gpu} has the most room, {format_bytes(rooms[roomy.gpu])} "
            "beside what requests ahead in the queue wait for."
        )
    return f"{wanted} do not fit: {roomy.gpu} has the most free, {format_bytes(roomy.free)}."


def _what_would_fit(demand: Demand, capacities: Sequence[Capacity], best: int, waited: bool) -> str:
    ideas = []
    if best > 0:
        ideas.append(f"ask for --memory {best} or less")
    if demand.could_fit(capacities):
        ideas.append("end a lease first (see `tessera ps`)")
        ideas += [] if waited else ["wait for room with --wait"]
    text = ", or ".join(ideas) or "see `tessera gpus` for what is there"
    return text[0].upper() + text[1:] + "."
