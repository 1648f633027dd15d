# SPDX-License-Identifier: Apache-2.0
"""What tenants are due, and how far from it they were."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.bench.control import Reading
from tessera.bench.fairness import middle_rate, phase_between
from tessera.bench.shared_result import IdleRun
from tessera.bench.shares import (
    Phase,
    due_shares,
    fairness_targets,
    idle_run,
    jain_index,
    kernels_between,
    pieces,
    share_error,
    share_run,
    throughput_run,
    wait_run,
    weights,
)
from tessera.model.policy import PolicyKind
from unit.bench.samples import fairness_report

PARTS = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8)


@pytest.mark.parametrize("tenants", range(2, 65))
def test_the_pieces_leave_an_eighth_of_the_gpu(tenants: int) -> None:
    cut = pieces(tenants)
    assert len(cut) == tenants
    assert sum(map(Fraction, cut)) == Fraction(7, 8)
    assert len(set(cut)) == (1 if tenants % 2 else min(3, tenants))


def test_the_weights_are_one_to_two_to_four() -> None:
    assert weights(5) == (100, 200, 400, 100, 200)


def test_each_policy_owes_something_else() -> None:
    sizes = (100, 300), ("1/4", "1/4")
    assert due_shares(PolicyKind.EQUAL, *sizes) == (0.5, 0.5)
    assert due_shares(PolicyKind.WEIGHTED, *sizes) == (0.25, 0.75)
    assert due_shares(PolicyKind.FIXED, (1, 1), ("1/4", "3/4")) == (0.25, 0.75)
    assert due_shares(PolicyKind.BEST_EFFORT, *sizes) is None


def test_the_error_is_that_of_the_worst_tenant() -> None:
    assert share_error((0.2, 0.5, 0.3), (0.25, 0.5, 0.25)) == pytest.approx(0.05)


def test_jains_index_is_one_for_what_is_due_and_one_in_n_for_all_to_one() -> None:
    assert jain_index((1.0, 2.0, 4.0), (1 / 7, 2 / 7, 4 / 7)) == pytest.approx(1.0)
    assert jain_index((5.0, 0.0, 0.0, 0.0), (0.25,) * 4) == pytest.approx(0.25)
    # Half of the tenants share alike and the others get nothing: Jain's own example, k / n.
    assert jain_index((1.0, 1.0, 0.0, 0.0), (0.25,) * 4) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="nobody"):
        jain_index((0.0, 0.0), (0.5, 0.5))


@given(PARTS, st.floats(0.001, 1000))
def test_jains_index_does_not_depend_on_the_unit(got: list[float], unit: float) -> None:
    due = [1.0] * len(got)
    index = jain_index(got, due)
    assert 1 / len(got) - 1e-9 <= index <= 1 + 1e-9
    assert jain_index([part * unit for part in got], due) == pytest.approx(index)


TICKS = [[1000, 0, 0], [2000, 10, 0], [4000, 50, 0]]


@pytest.mark.parametrize(
    ("begin", "end", "kernels"),
    [(1000, 4000, 50), (1500, 2000, 5), (1500, 3000, 25), (0, 9000, 50), (2000, 2000, 0)],
)
def test_kernels_between_ticks_are_interpolated(begin: int, end: int, kernels: float) -> None:
    assert kernels_between(TICKS, begin, end) == pytest.approx(kernels)


def test_a_rate_is_of_the_time_in_which_all_worked() -> None:
    one = {"began_ns": 1000, "ended_ns": 4000, "ticks": TICKS}
    other = {"began_ns": 2000, "ended_ns": 5000, "ticks": [[2000, 0, 0], [5000, 30, 0]]}
    # From 2500 to 3500: 20 kernels of the first, 10 of the second.
    assert middle_rate([one, other], 500) == pytest.approx(30 / 1000e-9)


def test_together_and_alone_are_compared_round_by_round() -> None:
    rounds = [
        {None: 100.0, PolicyKind.EQUAL: 97.0, PolicyKind.WEIGHTED: 90.0},
        {None: 200.0, PolicyKind.EQUAL: 200.0, PolicyKind.WEIGHTED: 190.0},
        {None: 50.0, PolicyKind.EQUAL: 49.0, PolicyKind.WEIGHTED: 51.0},
    ]
    run = throughput_run(PolicyKind.EQUAL, 12.0, 4, rounds, [0.0, 0.01, 0.0])
    assert (run.alone, run.together) == ((100.0, 200.0, 50.0), (97.0, 200.0, 49.0))
    assert run.ratio == pytest.approx(0.98)
    assert throughput_run(PolicyKind.WEIGHTED, 12.0, 4, rounds, []).ratio == pytest.approx(0.95)


def test_a_window_tells_shares_by_device_time_and_by_kernels() -> None:
    run = share_run(
        PolicyKind.WEIGHTED, 2.0, 1000, [(100, "1/2"), (300, "1/2")], (200, 700), (30.0, 70.0), 0.0
    )
    first, second = run.tenants
    assert (first.due, second.due) == (0.25, 0.75)
    assert first.measured == pytest.approx(2 / 9)
    assert first.counted == pytest.approx(0.3)
    assert run.error == pytest.approx(0.25 - 2 / 9)
    assert run.busy == pytest.approx(0.9)
    assert run.jain is not None
    assert run.jain < 1


def test_fixed_is_held_to_the_clock() -> None:
    sizes = [(100, "1/4"), (100, "1/2")]
    run = share_run(PolicyKind.FIXED, 2.0, 1000, sizes, (250, 490), (25.0, 49.0), 0.0)
    assert [tenant.due for tenant in run.tenants] == [0.25, 0.5]
    assert [tenant.measured for tenant in run.tenants] == pytest.approx([0.25, 0.49])
    assert [tenant.counted for tenant in run.tenants] == pytest.approx([0.25, 0.49])
    assert run.error == pytest.approx(0.01)
    assert run.busy == pytest.approx(0.74)


def test_where_nothing_is_due_nothing_is_judged() -> None:
    sizes = [(100, "1/2"), (100, "1/2")]
    run = share_run(PolicyKind.BEST_EFFORT, 2.0, 1000, sizes, (900, 50), (9.0, 1.0), 0.0)
    assert (run.error, run.jain, run.tenants[0].due) == (None, None, None)
    assert fairness_targets([run], [], [], []) == ()
    with pytest.raises(ValueError, match="no device time"):
        share_run(PolicyKind.EQUAL, 2.0, 1000, sizes, (0, 0), (0.0, 0.0), 0.0)


def test_waits_are_in_slices_and_their_bound_has_the_longest_kernel() -> None:
    run = wait_run(PolicyKind.EQUAL, 2.0, 3, [float(ms) * 1e6 for ms in range(101)], 1_000_000, 0.0)
    assert (run.p50, run.p99, run.longest) == pytest.approx((25.0, 49.5, 50.0))
    assert run.bound == pytest.approx(6.5)


def test_the_targets_say_what_was_kept_and_what_was_not() -> None:
    reached = {(target.name, target.side): target.reached for target in fairness_report().targets}
    assert reached == {
        ("share error", "equal, 2 tenants"): True,
        ("Jain's index", "equal, 2 tenants"): True,
        ("share error", "fixed, 2 tenants"): False,
        ("Jain's index", "fixed, 2 tenants"): False,
        ("wait of an interactive tenant, p99", "equal"): True,
        ("time of paused tenants goes to the others", "equal"): True,
        ("time of paused tenants stays unused", "fixed"): True,
        ("4 saturating tenants / one alone", "equal"): True,
    }


@pytest.mark.parametrize(("kept", "reached"), [(0.5, True), (0.53, False), (1.0, False)])
def test_under_fixed_the_time_of_those_that_pause_is_given_to_nobody(
    kept: float, reached: bool
) -> None:
    idle = IdleRun(
        policy=PolicyKind.FIXED,
        slice_ms=2.0,
        pausing=(False, False, True, True),
        while_paused=(kept / 2, kept / 2, 0.0, 0.0),
        while_working=(0.25, 0.25, 0.25, 0.25),
        kept=kept,
        foreign=0.0,
    )
    (target,) = fairness_targets([], [], [idle], [])
    assert target.reached is reached


def test_an_idle_run_is_the_median_of_its_cycles() -> None:
    cycles = [
        (Phase((0.4, 0.4, 0.0, 0.0), 1000), Phase((0.2, 0.2, 0.2, 0.2), 1000)),
        (Phase((0.45, 0.45, 0.0, 0.0), 900), Phase((0.25, 0.25, 0.25, 0.25), 1000)),
        (Phase((0.5, 0.5, 0.0, 0.0), 1250), Phase((0.2, 0.2, 0.2, 0.2), 1000)),
    ]
    run = idle_run(PolicyKind.EQUAL, 2.0, (False, False, True, True), cycles, 0.01)
    assert run.ratios == pytest.approx((1.0, 0.9, 1.25))
    assert run.kept == pytest.approx(1.0)
    assert run.while_paused == pytest.approx((0.45, 0.45, 0.0, 0.0))
    assert run.while_working == pytest.approx((0.65 / 3,) * 4)


@pytest.mark.parametrize("cycles", [[], [(Phase((0.5, 0.0), 10), Phase((0.0, 0.0), 0))]])
def test_an_idle_run_without_a_kernel_is_refused(cycles: list[tuple[Phase, Phase]]) -> None:
    with pytest.raises(ValueError, match="no kernel"):
        idle_run(PolicyKind.EQUAL, 2.0, (False, True), cycles, 0.0)


def test_a_phase_counts_what_was_done_between_two_readings() -> None:
    before, after = Reading(10**9, {"a": 0, "b": 5}), Reading(3 * 10**9, {"a": 10**9, "b": 5})
    ticks = [[0, 0, 0], [10**9, 100, 1], [3 * 10**9, 700, 2]]
    phase = phase_between(before, after, ["a", "b"], [{"ticks": ticks}, {"ticks": [[0, 0, 0]]}])
    assert phase == Phase((0.5, 0.0), 300.0)
