# SPDX-License-Identifier: Apache-2.0
"""Programs made from seeds, whose every byte and event the standard determines.

`native/tests/random` makes and runs them and prints what is not as the standard says. A program that failed once is
kept in `tests/corpus/random_programs` and runs each time.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.host import Host, Running
from helpers.processes import eventually
from helpers.programs import ROOT, native, run_bare, run_leased
from tessera.model.errors import LeaseNotActive, LeaseNotFound
from tessera.model.suspension import Keep

PROGRAM = "random_programs"
TRANSPORTS = ("shm", "unix", "tcp")
KEPT = sorted((ROOT / "tests" / "corpus" / "random_programs").glob("*.txt"))

# A test's programs are none of another's.
SEEDS = {"bare": 0, "shm": 100_000, "unix": 200_000, "tcp": 300_000}
BUSY = 1_000_000
SUSPENDED = 2_000_000

SPIN = "print('ready', flush=True)\nwhile True: pass"


@pytest.fixture
def smallest(tmp_path: Path) -> tuple[str, ...]:
    """The first that fails is shown in its smallest form, and left as a file."""
    return ("--most", "1", "--reduce", "--save", str(tmp_path))


def words(first: int, count: int, *more: str) -> tuple[str, ...]:
    return (native(PROGRAM), "--seed", str(first), "--count", str(count), *more)


def replay(path: Path, times: int) -> tuple[str, ...]:
    return (native(PROGRAM), "--replay", str(path), "--repeat", str(times), "--most", "1")


def assert_right(done: subprocess.CompletedProcess[str], count: int) -> None:
    assert f"{count} programs, 0 failures" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


def run_on_lease(host: Host, transport: str, command: tuple[str, ...], limit: float = 600.0) -> str:
    options = ("--fraction", "1/4", "--transport", transport)
    done = run_leased(host, *command, options=options, limit=limit)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def busy_core() -> Iterator[None]:
    """A process that computes without end."""
    with subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) as spinner:
        try:
            assert spinner.stdout is not None
            assert spinner.stdout.readline() == b"ready\n"
            yield
        finally:
            spinner.kill()


def suspend_at_random_moments(host: Host, name: str, to: Keep, program: Running) -> int:
    """Suspends and resumes the lease until its program ends, at most 40 times; how often it was."""
    eventually(
        lambda: any(lease.name == name and lease.state == "active" for lease in host.leases()),
        "the lease is active",
    )
    choice = random.Random(SUSPENDED)
    for suspends in range(40):
        time.sleep(0.2 + choice.random())
        try:
            with host.client() as client:
                client.suspend(name, to)
                client.resume(name)
        except (LeaseNotFound, LeaseNotActive):
            return suspends  # the program has ended meanwhile
        if program.poll() is not None:
            return suspends
    return 40


def test_programs_on_the_bare_device(smallest: tuple[str, ...]) -> None:
    assert_right(run_bare(*words(SEEDS["bare"], 80, *smallest)), 80)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_programs_on_a_lease(leased_host: Host, transport: str, smallest: tuple[str, ...]) -> None:
    said = run_on_lease(leased_host, transport, words(SEEDS[transport], 100, *smallest))
    assert "100 programs, 0 failures" in said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_programs_on_a_lease_beside_a_busy_core(
    leased_host: Host, transport: str, smallest: tuple[str, ...]
) -> None:
    with busy_core():
        said = run_on_lease(leased_host, transport, words(BUSY + SEEDS[transport], 40, *smallest))
    assert "40 programs, 0 failures" in said


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_kept_programs_on_the_bare_device(kept: Path) -> None:
    assert_right(run_bare(*replay(kept, 50)), 50)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.stem)
def test_kept_programs_on_a_lease(leased_host: Host, transport: str, kept: Path) -> None:
    said = run_on_lease(leased_host, transport, replay(kept, 300))
    assert "300 programs, 0 failures" in said


def test_a_seed_is_a_program_for_ever() -> None:
    """What is printed is what runs, and the same seed prints the same."""
    first, second = (run_bare(*words(7, 20, "--print")).stdout for _ in range(2))
    assert first == second
    assert len(re.findall(r"^// seed \d+", first, re.MULTILINE)) == 20


# No part of the others: the embedded device hangs in such a call.
BLOCKED = "blocked_failures,failures,user_events,threads,blocking,maps"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_that_block_behind_an_event_that_fails(
    leased_host: Host, transport: str, smallest: tuple[str, ...]
) -> None:
    command = words(SEEDS[transport], 300, "--kinds", BLOCKED, *smallest)
    assert "300 programs, 0 failures" in run_on_lease(leased_host, transport, command)


@pytest.mark.slow
def test_many_programs_on_the_bare_device(smallest: tuple[str, ...]) -> None:
    assert_right(run_bare(*words(SEEDS["bare"], 20_000, *smallest), limit=3600), 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_programs_on_a_lease(
    leased_host: Host, transport: str, smallest: tuple[str, ...]
) -> None:
    said = run_on_lease(
        leased_host, transport, words(SEEDS[transport], 20_000, *smallest), limit=3600
    )
    assert "20000 programs, 0 failures" in said


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_programs_on_a_lease_beside_a_busy_core(
    leased_host: Host, transport: str, smallest: tuple[str, ...]
) -> None:
    command = words(BUSY + SEEDS[transport], 20_000, *smallest)
    with busy_core():
        said = run_on_lease(leased_host, transport, command, limit=7200)
    assert "20000 programs, 0 failures" in said


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("to", [Keep.MEMORY, Keep.DISK])
def test_programs_on_a_lease_that_is_suspended_at_random_moments(
    leased_host: Host, transport: str, to: Keep
) -> None:
    """A suspend refuses shared virtual memory, so these programs have none."""
    name = f"random-{transport}-{to.value}"
    options = ("--fraction", "1/4", "--transport", transport, "-n", name)
    command = words(SUSPENDED + SEEDS[transport], 5_000, "--kinds=-svm", "--patience", "120")
    with leased_host.start("run", *options, "--", *command) as program:
        suspends = suspend_at_random_moments(leased_host, name, to, program)
        said, errors = program.communicate(timeout=3600)
    assert "5000 programs, 0 failures" in said, said + errors
    assert suspends > 3
