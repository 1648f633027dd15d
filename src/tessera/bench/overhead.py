# SPDX-License-Identifier: Apache-2.0
"""How fast an unmodified program runs on a lease beside the bare device, and what is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import tessera
from tessera.bench.contest import Contest, Played, Say
from tessera.bench.errors import ResultsDiffer
from tessera.bench.examples import find_example
from tessera.bench.host import commit, describe_host
from tessera.bench.ledger import Pair, accounts_of, losses, slices_of, undisturbed
from tessera.bench.machines import VM, beside_guests
from tessera.bench.player import Message
from tessera.bench.result import (
    BARE,
    Driver,
    Report,
    Series,
    Target,
    make_series,
    make_target,
)

# About two seconds of the slowest device that is tested: long beside a scheduler's time slice,
# short beside the minutes in which a shared machine changes its mind.
DEFAULT_STEPS = {"language_model": 25, "image_classifier": 300, "nbody": 100, "online_digits": 40}
# Of single pairs a shared machine makes 3 % more or less; of the median of so many, less than 1 %.
DEFAULT_PAIRS = 21
# Where a program's pages came to lie makes 1 to 3 % of its speed, and stays as it is for the life of the process.
DEFAULT_SITTINGS = 3
WARM_UP = {"language_model": 8, "image_classifier": 20, "nbody": 10, "online_digits": 5}
# Without its service, which it would wait for on every side.
_ARGUMENTS = {"online_digits": ("--wait", "0")}
# With kernels of 15 ms on the embedded device. An emulated guest takes 20 ms to send a step's commands, on the
# core beside the one that computes, whose cache and memory it shares; a GPU would take no notice.
_MACHINE_ARGUMENTS = {"online_digits": ("--units", "4096")}
_MACHINE_STEPS = {"online_digits": 8}
_DEVICE_TARGET = 0.98
_TARGETS = {("language_model", "shm"): 0.99, ("language_model", "tcp"): 0.97}


@dataclass(frozen=True)
class OverheadPlan:
    """What to run: `steps` per slice, `pairs` slices of each side; no `fraction` is all.

    `patience` is how many times more pairs may be played where others disturb them. All sides are started anew
    for each of the `sittings`, which share the pairs.
    """

    workload: str = "language_model"
    sides: tuple[str, ...] = (BARE, "shm")
    pairs: int = DEFAULT_PAIRS
    steps: int | None = None
    fraction: str | None = None
    patience: int = 2
    sittings: int = 1
    arguments: tuple[str, ...] = ()

    @property
    def steps_per_slice(self) -> int:
        usual = DEFAULT_STEPS | (_MACHINE_STEPS if VM in self.sides else {})
        return self.steps or usual[self.workload]

    @property
    def variables(self) -> dict[str, str]:
        """What is added to every side's environment."""
        return beside_guests() if VM in self.sides else {}

    def pairs_of_sittings(self) -> list[int]:
        """As even as can be; no sitting without a pair."""
        count = min(self.sittings, self.pairs)
        return [self.pairs * (n + 1) // count - self.pairs * n // count for n in range(count)]

    @property
    def words(self) -> tuple[str, ...]:
        """The example's arguments, those named last."""
        in_machine = _MACHINE_ARGUMENTS if VM in self.sides else {}
        return (
            *_ARGUMENTS.get(self.workload, ()),
            *in_machine.get(self.workload, ()),
            *self.arguments,
        )


def workload_command(workload: str, arguments: Sequence[str]) -> list[str]:
    """The command of an example that takes turns."""
    words = [workload, str(WARM_UP[workload]), *arguments]
    return [sys.executable, "-m", "tessera.bench.workload", *words]


@dataclass(frozen=True)
class Sitting:
    """One start of all sides, and the pairs that they played: all of them, and the least disturbed ones."""

    fraction: str
    drivers: dict[str, Driver]
    results: dict[str, str]
    played: list[Pair]
    chosen: list[Pair]


def run_overhead(
    plan: OverheadPlan,
    say: Say,
    played: Played | None = None,
    warm: Callable[[], object] | None = None,
) -> Report:
    """Measures; `warm` is called when all sides are warm for the first time, before one of them is timed.

    Raises BenchError's children, what `tessera run` raises through SideFailed, and what `warm` raises.
    """
    find_example(plan.workload)
    started, host = datetime.now(UTC), describe_host()
    sittings: list[Sitting] = []
    for pairs in plan.pairs_of_sittings():
        before = sum(len(one.played) for one in sittings)
        first = warm if not sittings else None
        sittings.append(_sit(plan, pairs, say, _counted_on(played, before), first))
    cores = len(host.affinity)
    chosen = [pair for one in sittings for pair in one.chosen]
    everything = [pair for one in sittings for pair in one.played]
    series, accounts = _series(chosen), accounts_of(chosen)
    return Report(
        experiment="overhead",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers=sittings[0].drivers,
        parameters={
            "workload": plan.workload,
            "pairs": plan.pairs,
            "pairs_played": len(everything),
            "pairs_undisturbed": undisturbed(everything, cores),
            "sittings": len(sittings),
            "steps_per_slice": plan.steps_per_slice,
            "warm_up_steps": WARM_UP[plan.workload],
            "fraction": sittings[0].fraction,
            "arguments": " ".join(plan.words),
            **plan.variables,
        },
        series=tuple(series),
        accounts=accounts,
        losses=losses(accounts, cores),
        targets=(*overhead_targets(plan.workload, series[0]), *device_targets(series[1:])),
        results=sittings[0].results,
    )


def _sit(
    plan: OverheadPlan,
    pairs: int,
    say: Say,
    played: Played | None,
    warm: Callable[[], object] | None,
) -> Sitting:
    command = workload_command(plan.workload, plan.words)
    commands = dict.fromkeys(plan.sides, command)
    with Contest(commands, say, plan.fraction, plan.variables) as contest:
        if warm is not None:
            warm()
        chosen = contest.play(pairs, plan.steps_per_slice, plan.patience, played)
        ends = contest.finish()
    return Sitting(
        fraction=contest.fraction,
        drivers=contest.drivers(),
        results=compare_results(slices_of(contest.played), ends),
        played=contest.played,
        chosen=chosen,
    )


def _series(pairs: Sequence[Pair]) -> list[Series]:
    slices = slices_of(pairs)
    names = sorted({name for turns in slices.values() for name in turns[0]["samples"]})
    return [
        make_series(
            name,
            {side: [turn["samples"][name] for turn in turns] for side, turns in slices.items()},
        )
        for name in reversed(names)  # steps first
    ]


def _counted_on(played: Played | None, before: int) -> Played | None:
    """Tells of pairs by their numbers in all sittings."""
    if played is None:
        return None
    return lambda side, number, message: played(side, before + number, message)


def compare_results(slices: dict[str, list[Message]], ends: dict[str, Message]) -> dict[str, str]:
    """The result that all sides agree on. Raises ResultsDiffer when they do not.

    Every slice's result is compared, by its bits, and the checksum of the final state.
    """
    courses = {
        side: (*(turn["result"] for turn in turns), ends[side]["sha256"])
        for side, turns in slices.items()
    }
    if len(set(courses.values())) > 1:
        shown = "\n".join(
            f"  {side}: {slices[side][-1]['shown']!r}, sha256 {ends[side]['sha256']}"
            for side in courses
        )
        raise ResultsDiffer(
            f"The same program came to different results:\n{shown}",
            "This is an error of Tessera or of the driver; please report it with this output.",
        )
    side, turns = next(iter(slices.items()))
    return {"last": repr(turns[-1]["shown"]), "sha256": str(ends[side]["sha256"])}


def overhead_targets(workload: str, series: Series) -> tuple[Target, ...]:
    """The promises on this workload, for the sides that were measured."""
    return tuple(
        make_target(
            f"{workload}, {side} / bare",
            side,
            series.speed[side].median,
            target,
            "x",
            at_most=False,
        )
        for (name, side), target in _TARGETS.items()
        if name == workload and side in series.speed
    )


def device_targets(series: Sequence[Series]) -> tuple[Target, ...]:
    """The promise that a machine's work takes the device no longer than the same work outside."""
    return tuple(
        make_target(
            "device time, bare / vm", VM, one.speed[VM].median, _DEVICE_TARGET, "x", at_most=False
        )
        for one in series
        if VM in one.speed
    )
