# SPDX-License-Identifier: Apache-2.0
"""What a start costs beside the bare program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tessera.bench.errors import SideFailed
from tessera.bench.plots import write_plot
from tessera.bench.result import BARE, make_series
from tessera.bench.start import StartPlan, _slice, run_start, start_targets
from tessera.model.errors import InvalidRequest


def test_the_extra_time_is_the_median_of_the_pairs() -> None:
    bare = [[1e6, 2e6, 3e6], [2e6], [9e6]]
    leased = [[32e6], [62e6, 72e6, 82e6], [29e6]]
    (target,) = start_targets(make_series("start", {BARE: bare, "shm": leased}))
    assert (target.side, target.measured, target.unit) == ("shm", 30.0, "ms")
    assert target.reached
    assert target.at_most


def test_without_the_bare_program_there_is_nothing_to_compare() -> None:
    with pytest.raises(InvalidRequest, match="bare"):
        run_start(StartPlan(sides=("shm",)), print)


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(SideFailed, match="failed"):
        _slice(["false"], 1, {})


def test_starts_are_measured_on_both_sides(tmp_path: Path) -> None:
    played: list[tuple[str, int]] = []
    report = run_start(
        StartPlan(pairs=2, runs=1), print, lambda side, pair, _: played.append((side, pair))
    )
    assert played == [(BARE, 1), ("shm", 1), ("shm", 2), (BARE, 2)]
    samples = report.series[0].samples
    assert {side: [len(piece) for piece in slices] for side, slices in samples.items()} == {
        BARE: [1, 1],
        "shm": [1, 1],
    }
    write_plot(report, tmp_path / "start.png")
    assert (tmp_path / "start.png").stat().st_size > 1000
