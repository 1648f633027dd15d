# SPDX-License-Identifier: Apache-2.0
"""What jobs that wait for their input lose and gain together."""

from __future__ import annotations

import pytest

from tessera.bench.cli import parse_duties
from tessera.bench.duty import Round, corrected_wait, duty_run, duty_targets, wait_for_duty
from tessera.bench.quarters import DUTIES, QuartersPlan
from tessera.bench.stream import LARGEST_RADIUS, LARGEST_SIDE, SIDE_STEP, SMALLEST_SIDE, Size
from tessera.bench.stream import find_size as found_size
from tessera.model.policy import PolicyKind, parse_time_slice
from unit.bench.samples import quarters_report, stream_slice


def test_a_wait_makes_the_duty() -> None:
    wait = wait_for_duty(0.2, device_ns=8e6, busy_ns=9e6, camera=False)
    assert wait == pytest.approx(31e6)
    assert 8e6 / (9e6 + wait) == pytest.approx(0.2)
    assert wait_for_duty(0.2, 8e6, 9e6, camera=True) == pytest.approx(40e6)


def test_a_duty_that_the_host_part_forbids_is_not_waited_for() -> None:
    assert wait_for_duty(0.99, device_ns=8e6, busy_ns=9e6, camera=False) == 0


def test_a_wait_is_corrected_by_what_a_turn_took() -> None:
    # Aimed at 0.2 with 8 ms of the device; it took 6 ms, and 7 ms without the wait of 31 ms.
    tried = stream_slice(38.0, device_ms=6.0)
    wait = corrected_wait(31e6, 0.2, tried, camera=False)
    assert 6e6 / (7e6 + wait) == pytest.approx(0.2)
    assert corrected_wait(40e6, 0.2, tried, camera=True) == pytest.approx(30e6)


def test_slowdown_and_gain_are_medians_over_the_rounds() -> None:
    alone = stream_slice(40.0)
    rounds = [
        Round(alone, [stream_slice(40.0 * slow) for slow in slowdowns], 0.0)
        for slowdowns in ((1.0, 1.1, 1.2, 1.3), (1.0, 1.1, 1.2, 1.3), (9.0, 9.0, 9.0, 9.0))
    ]
    run = duty_run(PolicyKind.EQUAL, 2.0, 0.2, 31e6, rounds)
    assert run.slowdowns == pytest.approx((1.0, 1.1, 1.2, 1.3))
    assert run.worst == pytest.approx(1.3)
    assert run.gain == pytest.approx(sum(1 / slow for slow in (1.0, 1.1, 1.2, 1.3)))
    assert run.duty == pytest.approx(0.2)
    assert run.predicted_slowdown == pytest.approx(1.1606, abs=1e-3)
    assert run.prediction_error == pytest.approx(1.15 - 1.1606, abs=1e-3)
    assert run.gain_limit == 4
    with pytest.raises(ValueError, match="nothing"):
        duty_run(PolicyKind.EQUAL, 2.0, 0.2, 31e6, [])


def test_turns_of_different_lengths_are_compared_by_input() -> None:
    rounds = [Round(stream_slice(40.0, inputs=100), [stream_slice(44.0, inputs=25)] * 2, 0.0)]
    assert duty_run(PolicyKind.EQUAL, 2.0, 0.2, 31e6, rounds).worst == pytest.approx(1.1)


def test_the_targets_are_for_the_promised_duties_and_policies_that_leave_nothing_unused() -> None:
    reached = {(target.name, target.side): target.reached for target in quarters_report().targets}
    assert reached == {
        ("slowdown of each job", "equal, duty 0.20"): True,
        ("throughput / one after another", "equal, duty 0.20"): True,
        ("slowdown of each job", "best-effort, duty 0.20"): False,
        ("throughput / one after another", "best-effort, duty 0.20"): False,
    }


def test_the_promise_is_of_four_jobs() -> None:
    rounds = [Round(stream_slice(40.0), [stream_slice(40.0)] * 2, 0.0)]
    assert duty_targets([duty_run(PolicyKind.EQUAL, 2.0, 0.2, 31e6, rounds)]) == ()


def test_a_time_slice_holds_the_device_part_of_an_input() -> None:
    slice_us = parse_time_slice(QuartersPlan().time_slice)
    assert slice_us is not None
    assert slice_us > 1000 * QuartersPlan().device_ms


def test_the_sweep_takes_ten_minutes_at_most_and_meets_the_promised_duties() -> None:
    assert QuartersPlan().length_seconds < 540
    assert {0.15, 0.2} <= set(DUTIES)
    assert parse_duties(",".join(map(str, DUTIES))) == DUTIES


@pytest.mark.parametrize("ns_per_tap", [0.01, 0.1, 1.0, 3.0, 50.0, 1e5])
def test_a_size_is_found_for_fast_and_slow_devices(ns_per_tap: float) -> None:
    def device_ms(size: Size) -> float:
        return size.side**2 * (2 * size.radius + 1) ** 2 * ns_per_tap / 1e6

    size = found_size(8.0, device_ms)
    assert SMALLEST_SIDE <= size.side <= LARGEST_SIDE
    assert size.side % SIDE_STEP == 0
    assert 1 <= size.radius <= LARGEST_RADIUS
    if 0.01 < ns_per_tap < 1000:
        assert device_ms(size) == pytest.approx(8.0, rel=0.3)
