# SPDX-License-Identifier: Apache-2.0
"""Medians, spreads and paired ratios. Pure functions.

Medians and quartiles, not means and deviations: a shared machine adds rare, long pauses, and one
of them would move a mean by more than the effect that is looked for. The interval of a ratio comes
from resampling the pairs, because nothing says that they are normally distributed; its random
numbers are seeded, so the same samples always give the same report.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median

RESAMPLES = 2000
CONFIDENCE = 0.95


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of `values` lie. Raises ValueError for none."""
    if not values:
        raise ValueError("a quantile of nothing")
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def paired_ratios(
    numerators: Sequence[Sequence[float]], denominators: Sequence[Sequence[float]]
) -> list[float]:
    """For each pair of slices, the ratio of their medians. Raises ValueError unless pairs match."""
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} slices beside {len(denominators)} are no pairs")
    return [
        median(above) / median(below) for above, below in zip(numerators, denominators, strict=True)
    ]


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Where the median lies with 95 % confidence, by resampling. Raises ValueError for none."""
    if not values:
        raise ValueError("an interval of nothing")
    draw = random.Random(seed)
    medians = [median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    tail = (1 - CONFIDENCE) / 2
    return quantile(medians, tail), quantile(medians, 1 - tail)
