# SPDX-License-Identifier: Apache-2.0
"""Mean-value analysis: against closed forms, against a simulation, and what must hold for all input."""

from __future__ import annotations

import random
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.advice.mva import (
    EXACT_JOBS,
    Prediction,
    _approximate,
    _exact,
    gain_limit,
    predict,
    predict_equal,
)

DUTIES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6)


def erlang(duty: float, jobs: int) -> Prediction:
    """The machine repairman's closed form: P(0) = 1 / sum over k of n! / (n-k)! (S / Z)^k."""
    ratio, term, total = duty / (1 - duty), 1.0, 1.0
    for k in range(1, jobs + 1):
        term *= (jobs - k + 1) * ratio
        total += term
    busy = 1 - 1 / total
    slowdown = jobs * duty / busy
    return Prediction((slowdown,) * jobs, jobs / slowdown, busy)


@pytest.mark.parametrize("jobs", [1, 2, 4, 12])
@pytest.mark.parametrize("duty", [0.05, 0.2, 0.5, 0.8])
def test_equal_jobs_match_the_closed_form(duty: float, jobs: int) -> None:
    expected, found = erlang(duty, jobs), predict_equal(duty, jobs)
    assert found.slowdowns == pytest.approx(expected.slowdowns)
    assert found.gain == pytest.approx(expected.gain)
    assert found.busy == pytest.approx(expected.busy)


def test_at_a_duty_of_a_fifth_it_tells_what_was_published() -> None:
    prediction = predict_equal(0.2, 4)
    assert prediction.slowdowns[0] == pytest.approx(1.17, abs=0.01)
    assert prediction.gain == pytest.approx(3.4, abs=0.05)


def simulated(duties: list[float], cycles: int) -> list[float]:
    """Slowdowns of jobs with exponential times at a server that they share evenly, by simulation."""
    draw = random.Random(1)
    clock, server = 0.0, dict[int, float]()
    thinking: list[tuple[float, int]] = []
    for job, duty in enumerate(duties):
        heappush(thinking, (draw.expovariate(1 / (1 - duty)), job))
    done = [0] * len(duties)
    while sum(done) < cycles:
        arrival = thinking[0][0] if thinking else float("inf")
        first = min(server, key=server.__getitem__) if server else None
        leaves = clock + server[first] * len(server) if first is not None else float("inf")
        now = min(arrival, leaves)
        for job in server:
            server[job] -= (now - clock) / len(server)
        clock = now
        if first is not None and leaves <= arrival:
            del server[first]
            done[first] += 1
            heappush(thinking, (clock + draw.expovariate(1 / (1 - duties[first])), first))
        else:
            _, job = heappop(thinking)
            server[job] = draw.expovariate(1 / duties[job])
    return [clock / count for count in done]


@pytest.mark.parametrize("duties", [[0.2] * 4, [0.1, 0.5, 0.7], [0.05, 0.9]])
def test_a_simulation_comes_to_the_same(duties: list[float]) -> None:
    assert predict(duties).slowdowns == pytest.approx(simulated(duties, 60_000), rel=0.03)


@given(DUTIES)
def test_nobody_gains_by_company_and_no_device_computes_more_than_always(
    duties: list[float],
) -> None:
    prediction = predict(duties)
    assert all(slowdown >= 1 for slowdown in prediction.slowdowns)
    assert 0 <= prediction.busy <= 1 + 1e-9
    assert 0 < prediction.gain <= len(duties) + 1e-9


@given(DUTIES, st.floats(0.0, 1.0))
def test_one_more_job_makes_nobody_faster(duties: list[float], another: float) -> None:
    alone, together = predict(duties), predict([*duties, another])
    pairs = zip(alone.slowdowns, together.slowdowns, strict=False)
    assert all(after >= before - 1e-9 for before, after in pairs)


@given(st.floats(0.0, 1.0), st.integers(1, 8))
def test_the_gain_stays_below_its_limit(duty: float, jobs: int) -> None:
    assert predict_equal(duty, jobs).gain <= gain_limit(duty, jobs) + 1e-9


@given(st.lists(st.floats(0.0, 0.25), min_size=2, max_size=8))
def test_the_approximation_is_near_for_light_jobs(duties: list[float]) -> None:
    assert _approximate(duties) == pytest.approx(_exact(duties), rel=0.25)


def test_many_jobs_are_answered_by_the_approximation() -> None:
    duties = [0.02] * (EXACT_JOBS + 8)
    prediction = predict(duties)
    assert prediction.slowdowns == pytest.approx(_approximate(duties))
    assert prediction.slowdowns == pytest.approx(erlang(0.02, len(duties)).slowdowns, rel=0.01)


def test_the_limit_is_the_number_of_jobs_until_the_device_is_full() -> None:
    assert [gain_limit(duty, 4) for duty in (0.0, 0.1, 0.25, 0.5, 1.0)] == [4, 4, 4, 2, 1]


@pytest.mark.parametrize("duties", [[], [-0.1], [1.1], [0.5, float("nan")]])
def test_what_is_no_duty_is_refused(duties: list[float]) -> None:
    with pytest.raises(ValueError, match="duty"):
        predict(duties)
