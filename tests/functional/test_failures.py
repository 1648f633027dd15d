# SPDX-License-Identifier: Apache-2.0
"""What ends suddenly ends alone: clients and workers are killed, and nothing else notices."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host, stats
from helpers.processes import eventually, is_running
from helpers.workloads import COMPUTE, POST, Program, running, waiting

SECOND = 1.0
MIB = 1 << 20
HELD = 64 * MIB

FINISH = waiting("commands.finish()")
READ = waiting("cl.enqueue_copy(commands, np.empty(256, np.int32), counts)")
EVENT = waiting("cl.wait_for_events([cl.enqueue_marker(commands)])")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture
def lease(host: Host) -> Iterator[dict[str, Any]]:
    with lease_of(host) as lease:
        yield lease


def worker_of(host: Host, lease: dict[str, Any], program: Program) -> int:
    sessions = stats(host, lease)["sessions"]
    pids = {session["client_pid"]: session["worker_pid"] for session in sessions}
    return int(pids[program.pid])


def memory_used(host: Host, lease: dict[str, Any]) -> int:
    return sum(gpu["used"] for gpu in stats(host, lease)["gpus"])


def two_programs(stack: ExitStack, host: Host, lease: dict[str, Any]) -> tuple[Program, Program]:
    environment = inside(host, lease)
    programs = [
        stack.enter_context(running(COMPUTE, HELD, environment=environment)) for _ in range(2)
    ]
    for program in programs:
        program.expect("ready")
    return programs[0], programs[1]


def goes_on(program: Program) -> None:
    assert program.stop() == 0, program.stderr
    program.expect("done")


def test_a_killed_client_takes_its_worker_along_and_nothing_else(
    host: Host, lease: dict[str, Any]
) -> None:
    with ExitStack() as stack:
        victim, other = two_programs(stack, host, lease)
        worker = worker_of(host, lease, victim)
        before = memory_used(host, lease)
        assert before >= 2 * HELD
        os.kill(victim.pid, signal.SIGKILL)
        eventually(
            lambda: not is_running(worker) and memory_used(host, lease) <= before - HELD,
            "its worker is gone and its memory is back",
            SECOND,
        )
        assert is_running(worker_of(host, lease, other))
        goes_on(other)
    eventually(lambda: memory_used(host, lease) == 0, "all memory is back", SECOND)


@pytest.mark.parametrize(
    "script",
    [COMPUTE, POST, FINISH, READ, EVENT],
    ids=["compute", "post", "finish", "read", "event"],
)
def test_a_killed_worker_is_an_error_of_the_api_and_no_hang(
    host: Host, lease: dict[str, Any], script: str
) -> None:
    environment = inside(host, lease)
    with (
        running(script, MIB, environment=environment) as victim,
        running(COMPUTE, MIB, environment=environment) as other,
    ):
        victim.expect("ready")
        other.expect("ready")
        worker = worker_of(host, lease, victim)
        killed_at = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        word, code, told_at = victim.line().split()
        assert (word, int(code) < 0) == ("error", True)
        assert float(told_at) - killed_at < SECOND
        assert victim.process.wait(10) == 7
        goes_on(other)
    eventually(lambda: memory_used(host, lease) == 0, "all memory is back", SECOND)


def test_after_a_killed_worker_the_lease_serves_the_next_client(
    host: Host, lease: dict[str, Any]
) -> None:
    environment = inside(host, lease)
    with running(COMPUTE, HELD, environment=environment) as victim:
        victim.expect("ready")
        os.kill(worker_of(host, lease, victim), signal.SIGKILL)
        assert victim.line().startswith("error")
    with running(COMPUTE, HELD, environment=environment) as program:
        program.expect("ready")
        goes_on(program)


def test_a_killed_gatekeeper_ends_its_clients_with_an_error(
    host: Host, lease: dict[str, Any]
) -> None:
    with (
        lease_of(host) as untouched,
        running(COMPUTE, MIB, environment=inside(host, lease)) as victim,
        running(COMPUTE, MIB, environment=inside(host, untouched)) as other,
    ):
        victim.expect("ready")
        other.expect("ready")
        worker = worker_of(host, lease, victim)
        os.kill(host.json("show", lease["id"])["gatekeeper"]["pid"], signal.SIGKILL)
        assert victim.line().startswith("error")
        eventually(lambda: not is_running(worker), "its worker is gone", SECOND)
        goes_on(other)


def test_a_killed_daemon_is_not_noticed_and_the_next_one_lists_the_lease(
    host: Host, lease: dict[str, Any]
) -> None:
    with running(COMPUTE, MIB, environment=inside(host, lease)) as program:
        program.expect("ready")
        host.kill_daemon()
        listed = {each["id"]: (each["state"], each["reason"]) for each in host.json("ps")}
        assert listed[lease["id"]] == ("active", None), host.log
        assert stats(host, lease)["sessions"][0]["client_pid"] == program.pid
        goes_on(program)
