# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tessera.bench.calls import (
    calls_targets,
    collect_counted,
    collect_series,
    round_trip_cost,
)
from tessera.bench.result import Target
from unit.bench.samples import calls_slices, counted


def targets() -> dict[str, Target]:
    slices = calls_slices()
    found = calls_targets(collect_series(slices), collect_counted(slices))
    return {target.name: target for target in found}


def test_series_keep_sides_and_pairs_apart() -> None:
    series = collect_series(calls_slices())
    assert series["posted_kernel"].samples == {
        "bare": [[500.0, 600.0]] * 2,
        "shm": [[1000.0, 1200.0]] * 2,
    }
    assert series["posted_kernel"].speed["shm"].median == pytest.approx(0.5)
    assert set(series["futex_sleeping"].samples) == {"machine"}


def test_series_come_in_an_order_to_read() -> None:
    names = list(collect_series(calls_slices()))
    assert names.index("futex_spinning") < names.index("posted_kernel")
    assert names.index("posted_kernel") < names.index("chain") < names.index("write_64MiB")


def test_counters_are_added_over_the_pairs() -> None:
    totals = collect_counted(calls_slices())
    assert totals["shm"]["chain"].calls == 6
    assert totals["shm"]["chain"].round_trips == 6
    assert "bare" not in totals


def test_targets_are_computed_for_leased_sides() -> None:
    found = targets()
    assert {target.side for target in found.values()} == {"shm"}
    assert found["posted_kernel"].measured == pytest.approx(1100.0)
    assert not found["posted_kernel"].reached
    assert found["round trip"].measured == pytest.approx(4000.0)
    assert found["round trip"].reached
    assert found["round trip / bare futex ping-pong"].measured == pytest.approx(0.8)
    assert found["1,000 dependent kernels"].measured == 1.0
    assert found["write 64MiB / memcpy"].measured == pytest.approx(0.5)
    assert not found["write 64MiB / memcpy"].reached


def test_streams_are_held_against_a_plain_stream() -> None:
    slices = calls_slices()
    slices["tcp"] = slices.pop("shm")
    found = {t.name: t for t in calls_targets(collect_series(slices), collect_counted(slices))}
    assert found["write 64MiB / tcp"].measured == pytest.approx(2.0)
    assert "round trip / bare futex ping-pong" not in found


def test_a_finish_that_asked_nobody_is_no_round_trip() -> None:
    slices = calls_slices()
    for turn in slices["shm"]:
        turn["counted"]["round_trip_finish"] = counted(200, 0)
    series = collect_series(slices)
    cost, source = round_trip_cost(series, collect_counted(slices)["shm"], "shm")
    assert cost == pytest.approx(20_000.0)
    assert "read" in source
