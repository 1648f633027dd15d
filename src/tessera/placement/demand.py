# SPDX-License-Identifier: Apache-2.0
"""What a GPU has, and what a slice takes of it.

A fraction is taken of each GPU's own total and rounded down, so n times 1/n always fits an empty GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tessera.model.size import Sized
from tessera.model.units import format_bytes, fraction_of, parse_fraction


@dataclass(frozen=True)
class Capacity:
    """A GPU as admission sees it; all figures in bytes. Without a NUMA node: it is not known."""

    gpu: str
    memory: int
    reserve: int = 0
    leased: int = 0
    numa_node: int | None = None

    @property
    def usable(self) -> int:
        """What leases can have of it at most."""
        return max(0, self.memory - self.reserve)

    @property
    def free(self) -> int:
        return max(0, self.usable - self.leased)


@dataclass(frozen=True)
class Demand:
    """A slice: `gpus` different GPUs with `memory` bytes each, or with a `fraction` of each."""

    gpus: int = 1
    memory: int | None = None
    fraction: Fraction | None = None

    @classmethod
    def of(cls, size: Sized, gpus: int) -> Demand:
        return cls(gpus, size.memory, parse_fraction(size.fraction) if size.fraction else None)

    def bytes_of(self, capacity: Capacity) -> int:
        """What this slice takes of a GPU. The reserve comes out of the whole, not out of the part."""
        if self.memory is not None:
            return self.memory
        if self.fraction is None or self.fraction == 1:
            return capacity.usable
        return fraction_of(capacity.memory, self.fraction)

    def least(self, capacities: Sequence[Capacity]) -> int:
        """The fewest bytes that it takes of any of these GPUs."""
        return min(self.bytes_of(capacity) for capacity in capacities)

    def could_fit(self, capacities: Iterable[Capacity]) -> bool:
        """Whether it would fit these GPUs if nothing else were leased there."""
        return sum(self.bytes_of(each) <= each.usable for each in capacities) >= self.gpus

    def __str__(self) -> str:
        count = f"{self.gpus} GPU" if self.gpus == 1 else f"each of {self.gpus} GPUs"
        if self.memory is not None:
            return f"{format_bytes(self.memory)} on {count}"
        if self.fraction is None or self.fraction == 1:
            return "a whole GPU" if self.gpus == 1 else f"{self.gpus} whole GPUs"
        return f"{self.fraction} of {count}"
