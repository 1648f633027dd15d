# SPDX-License-Identifier: Apache-2.0
"""Memory admission: a slice is granted where its memory fits, and refused by name where it does not.

GPUs are filled one after another (pack): among those where the slice fits, the fullest is taken, so that
an empty GPU stays whole for somebody who needs all of it. A fraction is taken of each GPU's own total
and rounded down, so n times 1/n always fits an empty GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tessera.model.errors import InvalidFraction, NoCapacity, NoGpu
from tessera.model.lease import GpuShare
from tessera.model.units import format_bytes, fraction_of


@dataclass(frozen=True)
class Capacity:
    """A GPU as admission sees it; all figures in bytes."""

    gpu: str
    memory: int
    reserve: int = 0
    leased: int = 0

    @property
    def free(self) -> int:
        return max(0, self.memory - self.reserve - self.leased)


@dataclass(frozen=True)
class Demand:
    """A slice: `gpus` different GPUs with `memory` bytes each, or with a `fraction` of each."""

    gpus: int = 1
    memory: int | None = None
    fraction: Fraction | None = None

    def bytes_of(self, capacity: Capacity) -> int:
        """What this slice takes of a GPU. The reserve comes out of the whole, not out of the part."""
        if self.memory is not None:
            return self.memory
        if self.fraction is None or self.fraction == 1:
            return capacity.memory - capacity.reserve
        return fraction_of(capacity.memory, self.fraction)


def place(demand: Demand, capacities: Sequence[Capacity]) -> tuple[GpuShare, ...]:
    """The GPUs of a slice, fullest first; ties go to the first listed.

    Raises NoGpu when there is none at all, NoCapacity when the slice does not fit, and InvalidFraction
    for a fraction that rounds down to nothing.
    """
    if not capacities:
        raise NoGpu(
            "This host offers no GPU.",
            "Run `tessera doctor`: it looks for OpenCL drivers and says what is missing.",
        )
    if len(capacities) < demand.gpus:
        raise NoCapacity(
            f"{demand.gpus} GPUs were asked for; this host has {len(capacities)}.",
            f"Ask for --gpus {len(capacities)} or fewer.",
        )
    if any(demand.bytes_of(capacity) < 1 for capacity in capacities):
        raise InvalidFraction(
            f"{demand.fraction} of a GPU is less than one byte.", "Ask for a larger fraction."
        )
    fitting = [capacity for capacity in capacities if demand.bytes_of(capacity) <= capacity.free]
    if len(fitting) < demand.gpus:
        raise _refusal(demand, capacities, len(fitting))
    fitting.sort(key=lambda capacity: capacity.free)
    return tuple(GpuShare(gpu=c.gpu, memory=demand.bytes_of(c)) for c in fitting[: demand.gpus])


def _refusal(demand: Demand, capacities: Sequence[Capacity], fitting: int) -> NoCapacity:
    by_free = sorted(capacities, key=lambda capacity: capacity.free, reverse=True)
    wanted = format_bytes(min(demand.bytes_of(capacity) for capacity in capacities))
    best = by_free[demand.gpus - 1].free
    if demand.gpus == 1:
        message = f"{wanted} do not fit: {by_free[0].gpu} has the most free, {format_bytes(best)}."
    else:
        message = f"{wanted} on each of {demand.gpus} GPUs do not fit: only {fitting} have room."
    return NoCapacity(message, _what_would_fit(demand, capacities, best))


def _what_would_fit(demand: Demand, capacities: Sequence[Capacity], best: int) -> str:
    ideas = []
    if best > 0:
        ideas.append(f"ask for --memory {best} or less")
    larger = [c for c in capacities if demand.bytes_of(c) <= c.memory - c.reserve]
    if len(larger) >= demand.gpus:
        ideas.append("end a lease first (see `tessera ps`)")
    text = ", or ".join(ideas) or "see `tessera gpus` for what is there"
    return text[0].upper() + text[1:] + "."
