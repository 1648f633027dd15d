# SPDX-License-Identifier: Apache-2.0
"""In which order leases are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from tessera.model.rates import LeaseRates


class Order(StrEnum):
    """By the largest first, but for the name."""

    SHARE = "share"
    DUTY = "duty"
    MEMORY = "memory"
    WAIT = "wait"
    MESSAGES = "messages"
    TRIPS = "trips"
    NAME = "name"


KEYS = {
    "s": Order.SHARE,
    "d": Order.DUTY,
    "m": Order.MEMORY,
    "w": Order.WAIT,
    "g": Order.MESSAGES,
    "t": Order.TRIPS,
    "n": Order.NAME,
}

_FIGURES: dict[Order, Callable[[LeaseRates], float | None]] = {
    Order.SHARE: lambda one: _largest([gpu.share for gpu in one.gpus]),
    Order.DUTY: lambda one: _largest([gpu.duty for gpu in one.gpus]),
    Order.MEMORY: lambda one: sum(gpu.used or 0 for gpu in one.gpus),
    Order.WAIT: lambda one: _largest([gpu.wait_p99_us for gpu in one.gpus]),
    Order.MESSAGES: lambda one: one.messages,
    Order.TRIPS: lambda one: one.round_trips,
}


def _largest(figures: Sequence[float | None]) -> float | None:
    return max((figure for figure in figures if figure is not None), default=None)


def ordered(leases: Sequence[LeaseRates], order: Order, backwards: bool) -> list[LeaseRates]:
    """Ties, and what has no figure, are by name."""
    by_name = sorted(leases, key=lambda one: one.name)
    if order is Order.NAME:
        return by_name[::-1] if backwards else by_name
    figure = _FIGURES[order]

    def place(one: LeaseRates) -> float:
        value = figure(one)
        return float("-inf") if value is None else value

    return sorted(by_name, key=place, reverse=not backwards)
