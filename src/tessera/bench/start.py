# SPDX-License-Identifier: Apache-2.0
"""What `tessera run` adds to the start and end of a program, with the daemon up."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import tessera
from tessera.bench.contest import Played, Say
from tessera.bench.errors import SideFailed
from tessera.bench.host import commit, describe_host
from tessera.bench.result import BARE, Report, Series, Target, make_series, make_target
from tessera.bench.sides import private_daemon, side_command
from tessera.model.errors import InvalidRequest

PROGRAM = ("true",)
SERIES = "start"
_TARGET_SECONDS = 0.060
_PROGRAM_SECONDS = 60.0


@dataclass(frozen=True)
class StartPlan:
    """`pairs` slices of `runs` starts each, on each of `sides`, of which one is bare."""

    sides: tuple[str, ...] = (BARE, "shm")
    pairs: int = 9
    runs: int = 10
    fraction: str = "1/4"


def run_start(plan: StartPlan, say: Say, played: Played | None = None) -> Report:
    """Measures. Raises InvalidRequest without a bare side, and SideFailed."""
    if BARE not in plan.sides:
        raise InvalidRequest(
            "Extra time is time beside the bare program.", "Name `bare` among the sides."
        )
    started, host = datetime.now(UTC), describe_host()
    samples: dict[str, list[list[float]]] = {side: [] for side in plan.sides}
    with private_daemon(needed=True) as environment:
        commands = {side: side_command(side, PROGRAM, plan.fraction) for side in plan.sides}
        for side, command in commands.items():
            say(f"{side}: warming up")
            _slice(command, 3, environment)
        for pair in range(plan.pairs):
            for side in plan.sides if pair % 2 == 0 else reversed(plan.sides):
                durations = _slice(commands[side], plan.runs, environment)
                samples[side].append(durations)
                if played is not None:
                    played(side, pair + 1, {})
    series = make_series(SERIES, samples)
    return Report(
        experiment="start",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers={},
        parameters={"program": " ".join(PROGRAM), "pairs": plan.pairs, "runs": plan.runs}
        | {"fraction": plan.fraction},
        series=(series,),
        targets=start_targets(series),
    )


def start_targets(series: Series) -> tuple[Target, ...]:
    """The extra time of each leased side, in milliseconds; the median of the pairs' differences."""
    bare = series.samples[BARE]
    return tuple(
        make_target(
            f"extra time of tessera run {' '.join(PROGRAM)}",
            side,
            median(median(leased) - median(own) for own, leased in zip(bare, slices, strict=True))
            / 1e6,
            _TARGET_SECONDS * 1e3,
            "ms",
            at_most=True,
        )
        for side, slices in series.samples.items()
        if side != BARE
    )


def _slice(command: Sequence[str], runs: int, environment: Mapping[str, str]) -> list[float]:
    """How long each of `runs` runs took, in nanoseconds."""
    durations = []
    for _ in range(runs):
        begin = time.perf_counter_ns()
        done = subprocess.run(
            command,
            env=dict(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_PROGRAM_SECONDS,
            check=False,
        )
        durations.append(float(time.perf_counter_ns() - begin))
        if done.returncode != 0:
            raise SideFailed(
                f"The program failed.\n{done.stderr[-2000:]}", f"Run it: {' '.join(command)}"
            )
    return durations
