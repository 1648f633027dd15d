# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tessera.bench.cli import dump
from tessera.bench.ledger import losses
from tessera.bench.overhead import OverheadPlan
from tessera.bench.result import Report, make_series, make_target
from unit.bench.samples import account, calls_report, overhead_report


def test_a_slower_side_has_a_speed_below_one() -> None:
    series = make_series("step", {"bare": [[98.0], [98.0]], "shm": [[100.0], [100.0]]})
    assert series.speed["shm"].median == pytest.approx(0.98)
    assert series.speed["shm"].pairs == pytest.approx((0.98, 0.98))
    assert "bare" not in series.speed


def test_without_bare_there_is_no_ratio() -> None:
    assert make_series("step", {"shm": [[1.0]]}).speed == {}
    assert make_series("pipe", {"machine": [[1.0]], "bare": [[1.0]]}).speed == {}


def test_a_summary_covers_all_samples_of_all_pairs() -> None:
    summary = make_series("step", {"bare": [[1.0, 2.0], [3.0, 4.0, 5.0]]}).summaries["bare"]
    assert (summary.median, summary.minimum, summary.count) == (3.0, 1.0, 5)
    assert (summary.first_quartile, summary.third_quartile) == (2.0, 4.0)


@pytest.mark.parametrize("report", [overhead_report(), calls_report()], ids=["overhead", "calls"])
def test_a_report_survives_its_json(report: Report) -> None:
    again = Report.model_validate(json.loads(dump(report)))
    assert again == report


def test_a_report_of_another_form_is_refused() -> None:
    fields = json.loads(dump(overhead_report()))
    with pytest.raises(ValidationError):
        Report.model_validate(fields | {"schema_version": 2})
    with pytest.raises(ValidationError):
        Report.model_validate(fields | {"surprise": 1})


def test_targets_know_their_direction() -> None:
    assert make_target("t", "shm", 900.0, 1000.0, "ns", at_most=True).reached
    assert not make_target("t", "shm", 1001.0, 1000.0, "ns", at_most=True).reached
    assert make_target("t", "shm", 0.99, 0.99, "x", at_most=False).reached
    assert not make_target("t", "shm", 0.98, 0.99, "x", at_most=False).reached


def test_the_parts_of_a_loss_add_up() -> None:
    bare = account("bare")
    leased = account(
        "shm",
        wall_seconds=1.1,
        client_cpu_seconds=1.4,
        worker_cpu_seconds=0.2,
        system_cpu_seconds=0.12,
        foreign_cpu_seconds=0.25,
    )
    (loss,) = losses([bare, leased], cores=2)
    assert loss.lost == pytest.approx(10.0)
    assert loss.system == pytest.approx(1.0)
    assert loss.user == pytest.approx(4.0)
    assert loss.foreign == pytest.approx(2.5)
    assert loss.user + loss.system + loss.foreign + loss.waiting == pytest.approx(loss.lost)


def test_losses_are_of_one_step_whatever_the_number_of_steps() -> None:
    bare = account("bare")
    twice = account(
        "shm",
        steps=200,
        wall_seconds=2.0,
        client_cpu_seconds=3.0,
        system_cpu_seconds=0.2,
        foreign_cpu_seconds=0.4,
    )
    (loss,) = losses([bare, twice], cores=2)
    assert loss.lost == pytest.approx(0.0)
    assert loss.waiting == pytest.approx(0.0)


def test_without_a_bare_side_nothing_is_lost() -> None:
    assert losses([account("shm")], cores=2) == ()


@given(pairs=st.integers(1, 60), sittings=st.integers(1, 9))
def test_sittings_share_the_pairs_and_none_is_without(pairs: int, sittings: int) -> None:
    shares = OverheadPlan(pairs=pairs, sittings=sittings).pairs_of_sittings()
    assert sum(shares) == pairs
    assert len(shares) == min(pairs, sittings)
    assert min(shares) >= 1
    assert max(shares) - min(shares) <= 1
