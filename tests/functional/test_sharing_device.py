# SPDX-License-Identifier: Apache-2.0
"""What is shown of sharing, with real arbiters, gatekeepers and workers on the embedded device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host, stats
from helpers.processes import eventually, is_running
from helpers.workloads import BLOCKED, COMPUTE, Program, running
from tessera import native
from tessera.leases import arbiter, board

pytestmark = pytest.mark.alone

MIB = 1 << 20


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture
def job(host: Host) -> Iterator[tuple[dict[str, Any], Program]]:
    """A lease, and a program on it that computes until it is stopped."""
    with (
        lease_of(host) as lease,
        running(COMPUTE, MIB, environment=inside(host, lease)) as program,
    ):
        program.expect("ready")
        yield lease, program


def arbiters(host: Host) -> list[int]:
    return [found.pid for _, found in arbiter.running_under(host.runtime)]


def device(host: Host, lease: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = stats(host, lease)["gpus"][0]["device"]
    return found


def gains(host: Host, lease: dict[str, Any]) -> None:
    """Waits until commands of the lease are done that were not done before."""
    before = device(host, lease)["commands"]
    eventually(lambda: device(host, lease)["commands"] > before, "it computes", limit=60.0)


def test_both_sides_agree_on_the_layout_of_the_board() -> None:
    program = native.find(native.ARBITER)
    done = subprocess.run(
        [program, "--print-board-layout"], capture_output=True, text=True, check=True
    )
    written = {name: tuple(place) for name, place in json.loads(done.stdout).items()}
    assert written == board.layout()


def test_device_time_of_a_lease_is_measured_and_shown(
    host: Host, job: tuple[dict[str, Any], Program]
) -> None:
    lease, _ = job
    gains(host, lease)
    shown = device(host, lease)
    assert 0 < shown["device_ns"] < shown["elapsed_ns"]
    assert shown["grants"] >= 1
    # It was alone all the time.
    assert shown["share"] == 1.0
    (look,) = host.run(*["top", "-n", "1", "-d", "1", "-o", "json"]).stdout.splitlines()
    gpu = json.loads(look)["gpus"][0]
    (one,) = json.loads(look)["leases"]
    assert gpu["busy"] > 0
    assert one["gpus"][0]["share"] == 1.0
    assert one["messages"] > 0
    assert one["gpus"][0]["used"] >= MIB


def test_two_leases_take_turns_and_the_trace_tells(host: Host) -> None:
    with ExitStack() as stack:
        leases = [stack.enter_context(lease_of(host)) for _ in range(2)]
        for lease in leases:
            environment = inside(host, lease)
            program = stack.enter_context(running(COMPUTE, MIB, environment=environment))
            program.expect("ready")
        for lease in leases:
            eventually(lambda lease=lease: device(host, lease)["waits"] > 3, "it waits", limit=60.0)  # type: ignore[misc]
            assert device(host, lease)["wait_p99_us"] >= device(host, lease)["wait_p50_us"]
        trace = json.loads(host.run("trace", "gpu0").stdout)
        for lease in leases:
            own = [
                one
                for one in trace["traceEvents"]
                if one["ph"] == "X" and one["name"] == lease["name"]
            ]
            assert len(own) > 3
            assert sum(one["args"]["device_us"] for one in own) > 0


@pytest.mark.parametrize(("number", "way"), [(70, "fills"), (1000, "fills"), (3, "large")])
def test_commands_that_wait_for_the_client_cost_no_neighbour_the_gpu(
    host: Host, job: tuple[dict[str, Any], Program], number: int, way: str
) -> None:
    neighbour, _ = job
    with (
        lease_of(host) as lease,
        running(BLOCKED, number, way, environment=inside(host, lease)) as program,
    ):
        program.expect("ready")
        for done in (6, 11, 16):
            gains(host, neighbour)
            assert program.ask("steps") == str(done)
        host.run("suspend", lease["id"])
        gains(host, neighbour)
        host.run("resume", lease["id"])
        gains(host, neighbour)
        assert program.ask("steps") == "21"
        before = device(host, lease)["commands"]
        assert program.ask("set") == "1 0"
        assert device(host, lease)["commands"] - before >= number
        gains(host, neighbour)
        assert program.stop() == 0


def test_a_killed_arbiter_is_replaced_and_programs_go_on(
    host: Host, job: tuple[dict[str, Any], Program]
) -> None:
    lease, program = job
    gains(host, lease)
    before = device(host, lease)
    (killed,) = arbiters(host)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: arbiters(host) not in ([], [killed]), "there is another one")
    gains(host, lease)
    assert device(host, lease)["device_ns"] > before["device_ns"]
    assert device(host, lease)["elapsed_ns"] > before["elapsed_ns"]
    assert host.json("show", lease["id"])["conditions"] == []
    assert program.stop() == 0


def test_a_new_policy_and_weight_reach_the_arbiter_that_runs(
    host: Host, job: tuple[dict[str, Any], Program]
) -> None:
    lease, _ = job
    (before,) = arbiters(host)
    host.run("policy", "gpu0", "--set", "weighted", "--slice", "3ms")
    page = board.read_board(Path(host.runtime, "gpus", "gpu0", "board"))
    assert (page.policy, page.slice_us) == (3, 3000)
    assert page.gpu == b"gpu0"
    gains(host, lease)
    # A wrong word on the board would have ended it.
    assert arbiters(host) == [before]
    host.run("policy", "gpu0", "--set", "equal", "--slice", "auto")


def test_an_arbiter_outlives_the_daemon_and_ends_with_the_last_lease(host: Host) -> None:
    with (
        lease_of(host) as lease,
        running(COMPUTE, MIB, environment=inside(host, lease)) as program,
    ):
        program.expect("ready")
        (before,) = arbiters(host)
        host.kill_daemon()
        assert is_running(before)
        assert host.json("show", lease["id"])["state"] == "active"
        assert arbiters(host) == [before]
        gains(host, lease)
        assert program.stop() == 0
    assert arbiters(host) == []
    assert not Path(host.runtime, "gpus", "gpu0").exists()
