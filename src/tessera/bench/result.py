# SPDX-License-Identifier: Apache-2.0
"""The one form of every result: raw samples, what was computed from them, and where they come from.

Durations are nanoseconds unless a name says otherwise. A side is `bare`, `shm`, `unix` or `tcp`, or
`machine` for the yardsticks that use no OpenCL; where policies are compared, a side is a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from statistics import median
from typing import Literal

from pydantic import Field

from tessera.bench.part import Part
from tessera.bench.shared_result import DutyRun, IdleRun, ShareRun, ThroughputRun, WaitRun
from tessera.bench.statistics import median_interval, paired_ratios, quantile

SCHEMA_VERSION = 1
BARE = "bare"
MACHINE = "machine"

SidesSamples = Mapping[str, list[list[float]]]


class Host(Part):
    """The machine; `load` is the one-minute load average when the run began."""

    cpu: str
    cores: int
    affinity: tuple[int, ...]
    memory_bytes: int
    kernel: str
    hypervisor: str | None
    python: str
    load: float


class Driver(Part):
    """What a side saw of its OpenCL device."""

    platform: str
    platform_version: str
    device: str
    driver_version: str


class Summary(Part):
    """Of all samples of one side."""

    median: float
    first_quartile: float
    third_quartile: float
    minimum: float
    count: int


class Ratio(Part):
    """Bare time / this side's time, pair by pair: 1 is as fast as bare, less is slower."""

    median: float
    low: float
    high: float
    pairs: tuple[float, ...]


class Series(Part):
    """One measured duration: per side, per pair, the raw samples in nanoseconds."""

    name: str
    unit: Literal["ns"] = "ns"
    samples: dict[str, list[list[float]]]
    summaries: dict[str, Summary]
    speed: dict[str, Ratio]

    def median(self, side: str) -> float | None:
        """The side's median in nanoseconds, or None where it was not measured."""
        summary = self.summaries.get(side)
        return summary.median if summary else None


class Account(Part):
    """What one side spent on all its timed slices together.

    CPU times are seconds of a core; `quiet_cpu_seconds` is what the side's processes used while it
    was another side's turn (it should be nothing), `foreign_cpu_seconds` what processes outside
    the experiment used during this side's turns.
    """

    side: str
    steps: int
    wall_seconds: float
    client_cpu_seconds: float
    worker_cpu_seconds: float
    system_cpu_seconds: float
    quiet_cpu_seconds: float
    foreign_cpu_seconds: float
    client_switches: int
    worker_switches: int
    messages: int
    round_trips: int
    bytes_to_worker: int
    bytes_to_client: int
    wakes: int
    sleeps: int

    def per_step(self, total: float) -> float:
        return total / self.steps


class Loss(Part):
    """Where a side's extra time went, in percent of the bare time; the parts add up to `lost`.

    A core is either computing for the experiment (in the program or in the kernel), taken by
    somebody else, or idle because everybody waits; so the extra time is the sum of the extra of
    each.
    """

    side: str
    lost: float
    user: float
    system: float
    foreign: float
    waiting: float


class Counted(Part):
    """What a session's counters moved by, over `calls` calls."""

    calls: int
    messages: int
    round_trips: int
    wakes: int
    sleeps: int


class Target(Part):
    """A promise of the specification beside what this run measured."""

    name: str
    side: str
    measured: float
    target: float
    unit: str
    at_most: bool
    reached: bool
    note: str = ""


class Report(Part):
    """One run of one experiment."""

    schema_version: Literal[1] = 1
    experiment: Literal[
        "calls",
        "overhead",
        "start",
        "start-vm",
        "demo",
        "fairness",
        "quarters",
        "suspend",
        "suspend-vm",
    ]
    started_at: datetime
    host: Host
    tessera_version: str
    commit: str | None
    drivers: dict[str, Driver]
    parameters: dict[str, str | int | float]
    series: tuple[Series, ...]
    accounts: tuple[Account, ...] = ()
    losses: tuple[Loss, ...] = ()
    counted: dict[str, dict[str, Counted]] = Field(default_factory=dict)
    shares: tuple[ShareRun, ...] = ()
    waits: tuple[WaitRun, ...] = ()
    idles: tuple[IdleRun, ...] = ()
    throughputs: tuple[ThroughputRun, ...] = ()
    duties: tuple[DutyRun, ...] = ()
    targets: tuple[Target, ...] = ()
    results: dict[str, str] = Field(default_factory=dict)

    def series_named(self, name: str) -> Series | None:
        return next((series for series in self.series if series.name == name), None)


def summarize(samples: list[float]) -> Summary:
    """Raises ValueError if there are none."""
    return Summary(
        median=quantile(samples, 0.5),
        first_quartile=quantile(samples, 0.25),
        third_quartile=quantile(samples, 0.75),
        minimum=min(samples),
        count=len(samples),
    )


def ratio_of(bare: list[list[float]], other: list[list[float]]) -> Ratio:
    """How fast `other` was beside `bare`. Raises ValueError unless both have the same pairs."""
    pairs = paired_ratios(bare, other)
    low, high = median_interval(pairs)
    return Ratio(median=median(pairs), low=low, high=high, pairs=tuple(pairs))


def make_series(name: str, samples: SidesSamples) -> Series:
    """A series with its summaries, and with ratios where the bare device was measured too."""
    bare = samples.get(BARE)
    return Series(
        name=name,
        samples=dict(samples),
        summaries={
            side: summarize([value for piece in slices for value in piece])
            for side, slices in samples.items()
        },
        speed={
            side: ratio_of(bare, slices)
            for side, slices in samples.items()
            if bare is not None and side not in (BARE, MACHINE)
        },
    )


def make_target(
    name: str, side: str, measured: float, target: float, unit: str, at_most: bool, note: str = ""
) -> Target:
    """A target with whether it was reached."""
    reached = measured <= target if at_most else measured >= target
    return Target(
        name=name,
        side=side,
        measured=measured,
        target=target,
        unit=unit,
        at_most=at_most,
        reached=reached,
        note=note,
    )
