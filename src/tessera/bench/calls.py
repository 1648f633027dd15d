# SPDX-License-Identifier: Apache-2.0
"""What single calls cost on a lease, beside the bare device and the machine's own limits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import tessera
from tessera.bench.contest import Contest, Played, Say
from tessera.bench.host import commit, describe_host
from tessera.bench.ledger import slices_of, undisturbed
from tessera.bench.player import Message
from tessera.bench.result import (
    BARE,
    MACHINE,
    Counted,
    Report,
    Series,
    Target,
    make_series,
    make_target,
)
from tessera.native import find

CALLS_PROGRAM = "tessera-bench-calls"
BASELINE_PROGRAM = "tessera-bench-baseline"

POSTED = ("posted_kernel", "posted_arg", "posted_copy", "posted_write")
ORDER = (
    *("futex_spinning", "futex_sleeping", "futex_two_cores", "pipe", "unix_stream", "tcp"),
    *("clock", "posted_arg", "posted_write", "posted_copy", "posted_kernel"),
    *("posted_kernel_single", "round_trip_finish", "round_trip_finish_idle", "round_trip_read"),
    *("kernel_finish", "chain_post", "chain"),
)
_BULK = "64MiB"  # past every cache, and small enough to be repeated

AllSeries = dict[str, Series]
AllCounted = dict[str, dict[str, Counted]]


@dataclass(frozen=True)
class CallsPlan:
    """What to measure: `pairs` slices of one round on each side; `patience` as in OverheadPlan."""

    sides: tuple[str, ...] = (BARE, "shm")
    pairs: int = 5
    fraction: str | None = None
    patience: int = 2


def run_calls(plan: CallsPlan, say: Say, played: Played | None = None) -> Report:
    """Measures. Raises BenchError's children and NativeProgramMissing."""
    started, host = datetime.now(UTC), describe_host()
    program = [str(find(CALLS_PROGRAM)), "--lockstep"]
    commands = {MACHINE: [str(find(BASELINE_PROGRAM)), "--lockstep"]}
    commands |= dict.fromkeys(plan.sides, program)
    with Contest(commands, say, plan.fraction) as contest:
        pairs = contest.play(plan.pairs, 1, plan.patience, played)
        contest.finish()
    slices = slices_of(pairs)
    series, counted = collect_series(slices), collect_counted(slices)
    return Report(
        experiment="calls",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers=contest.drivers(),
        parameters={
            "pairs": plan.pairs,
            "pairs_played": len(contest.played),
            "pairs_undisturbed": undisturbed(contest.played, contest.cores),
            "fraction": contest.fraction,
        },
        series=tuple(series.values()),
        counted=counted,
        targets=tuple(calls_targets(series, counted)),
    )


def collect_series(slices: dict[str, list[Message]]) -> AllSeries:
    """Every named duration, with the samples of each side in the order of the pairs."""
    samples: dict[str, dict[str, list[list[float]]]] = {}
    for side, turns in slices.items():
        for turn in turns:
            for name, values in turn["samples"].items():
                samples.setdefault(name, {}).setdefault(side, []).append(values)
    return {name: make_series(name, samples[name]) for name in sorted(samples, key=_place)}


def _place(name: str) -> tuple[int, int, str]:
    """Yardsticks first, then calls from the cheapest to the dearest, then copies by size."""
    what, _, size = name.rpartition("_")
    if size.endswith("MiB"):
        return len(ORDER), int(size.removesuffix("MiB")), what
    return ORDER.index(name) if name in ORDER else -1, 0, name


def collect_counted(slices: dict[str, list[Message]]) -> AllCounted:
    """Per side and measurement, what the session's counters moved by over all pairs."""
    totals: AllCounted = {}
    for side, turns in slices.items():
        for turn in turns:
            for name, moved in turn["counted"].items():
                of_side = totals.setdefault(side, {})
                of_side[name] = _added(of_side.get(name), Counted(**moved))
    return totals


def _added(total: Counted | None, more: Counted) -> Counted:
    if total is None:
        return more
    fields = Counted.model_fields
    return Counted(**{name: getattr(total, name) + getattr(more, name) for name in fields})


def calls_targets(series: AllSeries, counted: AllCounted) -> Iterator[Target]:
    """The promises on single calls, for the sides that were measured."""
    for side in counted:
        yield from _posted(series, side)
        yield from _round_trip(series, counted[side], side)
        yield from _chain(series, counted[side], side)
        yield from _bulk(series, side)


def _median(series: AllSeries, name: str, side: str) -> float | None:
    return series[name].median(side) if name in series else None


def _posted(series: AllSeries, side: str) -> Iterator[Target]:
    for name in POSTED:
        measured = _median(series, name, side)
        if measured is not None:
            yield make_target(name, side, measured, 1000, "ns", at_most=True)


def _round_trip(series: AllSeries, counted: dict[str, Counted], side: str) -> Iterator[Target]:
    measured, name = round_trip_cost(series, counted, side)
    if measured is None:
        return
    if side == "shm":
        note = f"from {name}{_few_cores()}"
        yield make_target("round trip", side, measured, 5000, "ns", at_most=True, note=note)
    sleeping = _median(series, "futex_sleeping", MACHINE)
    spinning = _median(series, "futex_spinning", MACHINE)
    if sleeping and side == "shm":
        note = f"both spinning: {measured / spinning:.3g}" if spinning else ""
        name = "round trip / bare futex ping-pong"
        yield make_target(name, side, measured / sleeping, 2, "x", at_most=True, note=note)


def round_trip_cost(
    series: AllSeries, counted: dict[str, Counted], side: str
) -> tuple[float | None, str]:
    """Nanoseconds of one round trip that needs no device, and the measurement they come from.

    clFinish on an idle queue, unless the driver answered that without asking the worker; then what
    a 4-byte read costs more than on the bare device.
    """
    finishes = counted.get("round_trip_finish")
    if finishes and finishes.round_trips >= finishes.calls:
        return _median(series, "round_trip_finish", side), "clFinish"
    leased, bare = (_median(series, "round_trip_read", name) for name in (side, BARE))
    if leased is None or bare is None:
        return None, ""
    return leased - bare, "a 4-byte read, less the bare device's time"


def _few_cores() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"; client, worker and device share {cores} cores" if cores <= 2 else ""


def _chain(series: AllSeries, counted: dict[str, Counted], side: str) -> Iterator[Target]:
    chain = counted.get("chain")
    if chain is None:
        return
    trips = chain.round_trips / chain.calls
    yield make_target("1,000 dependent kernels", side, trips, 2, "round trips", at_most=True)


def _bulk(series: AllSeries, side: str) -> Iterator[Target]:
    for way in ("write", "read"):
        measured = _median(series, f"{way}_{_BULK}", side)
        if measured is None:
            continue
        if side == "shm":
            plain = _median(series, f"memcpy_{_BULK}", side)
            if plain is not None:
                yield make_target(
                    f"{way} {_BULK} / memcpy", side, plain / measured, 0.8, "x", at_most=False
                )
            continue
        yardstick = "tcp" if side == "tcp" else "unix_stream"
        stream = _median(series, f"{yardstick}_{_BULK}", MACHINE)
        if stream is not None:
            name = f"{way} {_BULK} / {yardstick.replace('_', ' ')}"
            buffers = _median(series, f"{yardstick}_buffers_{_BULK}", MACHINE)
            note = "" if buffers is None else f"between whole buffers: {buffers / measured:.3f}"
            yield make_target(name, side, stream / measured, 0.9, "x", at_most=False, note=note)
