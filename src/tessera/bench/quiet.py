# SPDX-License-Identifier: Apache-2.0
"""Measures again what others disturbed, and says how much they still took part.

The experiment's own are this process and all that descend from it: programs, daemon, gatekeepers,
workers, arbiters. What else the machine's cores did meanwhile, the hypervisor's share included, was taken
by others. The choice among repetitions looks at nothing but that, as in `ledger.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from tessera.bench.ledger import UNDISTURBED
from tessera.bench.usage import machine_busy_seconds, stat_fields, usage_of

T = TypeVar("T")


def family(root: int, parents: Mapping[int, int]) -> set[int]:
    """`root` and all that descend from it; `parents` maps each process to its parent."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def parents_now() -> dict[int, int]:
    """Every process of this machine with its parent."""
    found = {}
    for folder in Path("/proc").iterdir():
        fields = stat_fields(int(folder.name)) if folder.name.isdecimal() else None
        if fields is not None:
            found[int(folder.name)] = int(fields[1])
    return found


class Watch:
    """Begins to look at who uses the cores when it is made."""

    def __init__(self) -> None:
        self._cores = len(os.sched_getaffinity(0))
        self._own = family(os.getpid(), parents_now())
        self._used = _cpu_seconds(self._own)
        self._busy, self._began = machine_busy_seconds(), time.monotonic()

    def foreign(self) -> float:
        """The part of the cores' time (0 to 1) that others took since then."""
        busy, elapsed = machine_busy_seconds() - self._busy, time.monotonic() - self._began
        used = _cpu_seconds(self._own) - self._used
        return min(1.0, max(0.0, busy - used) / (elapsed * self._cores))


def _cpu_seconds(pids: Iterable[int]) -> float:
    return sum(usage_of(pid).cpu_seconds for pid in pids)


def least_disturbed(
    measure: Callable[[int], T], count: int, patience: int
) -> list[tuple[T, float]]:
    """Measures until nobody disturbed `count` times, `count` * (1 + `patience`) times at most.

    `measure` is given the number of the repetition. Returns the `count` least disturbed results in the order
    in which they were measured, each with the part of the cores' time that others took.
    """
    found: list[tuple[T, float]] = []
    for number in range(count * (1 + patience)):
        if sum(foreign <= UNDISTURBED for _, foreign in found) >= count:
            break
        watch = Watch()
        result = measure(number)
        found.append((result, watch.foreign()))
    ranked = sorted(range(len(found)), key=lambda place: found[place][1])
    return [found[place] for place in sorted(ranked[:count])]


def quietest(measure: Callable[[], T], patience: int) -> tuple[T, float]:
    """The same for a single result."""
    return least_disturbed(lambda _: measure(), 1, patience)[0]
