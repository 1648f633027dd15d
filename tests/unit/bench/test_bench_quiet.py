# SPDX-License-Identifier: Apache-2.0
"""Who disturbs a measurement, and which repetition counts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tessera.bench import quiet
from tessera.bench.quiet import Watch, family, least_disturbed, parents_now, quietest


def test_a_family_is_all_that_descends_from_its_root() -> None:
    parents = {2: 1, 3: 1, 4: 2, 5: 4, 6: 9, 1: 0}
    assert family(1, parents) == {1, 2, 3, 4, 5}
    assert family(9, parents) == {9, 6}
    assert family(7, {7: 7}) == {7}


def test_grandchildren_are_of_the_family() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1); input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        own = family(os.getpid(), parents_now())
        assert child.pid in own
        assert len(own - family(child.pid, parents_now())) >= 1
        assert len(family(child.pid, parents_now())) == 2
        child.communicate(b"\n")


def test_what_others_take_is_a_part_of_the_cores_time() -> None:
    watch = Watch()
    sum(range(2_000_000))
    assert 0 <= watch.foreign() <= 1


@pytest.fixture
def disturb(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """Lets others take these parts of the cores' time, one after the other."""

    def told(disturbances: list[float]) -> None:
        parts = iter(disturbances)

        class Told:
            def foreign(self) -> float:
                return next(parts)

        monkeypatch.setattr(quiet, "Watch", Told)

    return told


@pytest.mark.parametrize(
    ("disturbances", "count", "patience", "kept"),
    [
        ([0.0, 0.9], 1, 2, [0]),
        ([0.4, 0.05, 0.0], 1, 2, [1]),
        ([0.4, 0.2, 0.3, 0.0], 1, 2, [1]),
        ([0.4, 0.0], 1, 0, [0]),
        ([0.4, 0.01, 0.3, 0.02, 0.0], 2, 2, [1, 3]),
        ([0.4, 0.1, 0.3, 0.2, 0.0], 2, 1, [1, 3]),
    ],
)
def test_the_least_disturbed_repetitions_count(
    disturbances: list[float],
    count: int,
    patience: int,
    kept: list[int],
    disturb: Callable[[list[float]], None],
) -> None:
    disturb(disturbances)
    found = least_disturbed(lambda number: number, count, patience)
    assert found == [(number, disturbances[number]) for number in kept]


def test_one_result_may_be_asked_for(disturb: Callable[[list[float]], None]) -> None:
    disturb([0.3, 0.1])
    results = iter("ab")
    assert quietest(lambda: next(results), 1) == ("b", 0.1)
