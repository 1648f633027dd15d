# SPDX-License-Identifier: Apache-2.0
"""Leases on one GPU share its time by the policy, whatever their programs do to get more.

What is compared is measured device time of leases that run at the same moment, so a slow machine changes
nothing: it is slow for both. `tessera bench fairness` measures how exactly shares are kept; here it is
shown that they are kept at all, for a program that tries something.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host
from helpers.programs import native
from tessera.bench.player import Player
from tessera.client import wire

pytestmark = pytest.mark.alone

TURN_MS = 3000
SATURATING = ("saturating", "--kernel-us", "1000", "--in-flight", "32")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def set_policy(host: Host, name: str) -> None:
    body = {"policy": name, "time_slice_ms": 5}
    gpu = host.json("gpus")[0]["id"]
    wire.call(str(host.socket), "PUT", f"/v1/gpus/{gpu}/policy", body)


def device_time(host: Host) -> dict[str, int]:
    """Device time of each lease until now, in ns, by its id."""
    usage: Any = wire.call(str(host.socket), "GET", "/v1/usage")
    return {
        one["lease"]["id"]: sum(gpu["device"]["device_ns"] for gpu in one["stats"]["gpus"])
        for one in usage["leases"]
    }


def shares(host: Host, policy: str, tenants: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """The share of each tenant, of which each has some programs, in what all of them used."""
    with ExitStack() as stack:
        leases = [stack.enter_context(lease_of(host, "1/8")) for _ in tenants]
        set_policy(host, policy)
        players = [
            stack.enter_context(
                Player(
                    f"{at}.{number}",
                    [native("tessera-bench-tenant"), *program, "--lockstep"],
                    inside(host, lease),
                )
            )
            for at, (lease, programs) in enumerate(zip(leases, tenants, strict=True))
            for number, program in enumerate(programs)
        ]
        for player in players:
            player.wait_ready()
        for player in players:
            player.begin(TURN_MS)
        time.sleep(0.2 * TURN_MS / 1000)
        before = device_time(host)
        time.sleep(0.6 * TURN_MS / 1000)
        after = device_time(host)
        for player in players:
            player.answer()
            player.finish()
    used = [after[lease["id"]] - before[lease["id"]] for lease in leases]
    return [each / sum(used) for each in used]


def test_more_processes_are_no_more_time(host: Host) -> None:
    many, one = shares(host, "equal", [[SATURATING] * 3, [SATURATING]])
    assert many == pytest.approx(0.5, abs=0.1)
    assert one == pytest.approx(0.5, abs=0.1)


def test_larger_kernels_are_no_more_time(host: Host) -> None:
    large = ("saturating", "--kernel-us", "30000")
    most, rest = shares(host, "equal", [[large], [SATURATING]])
    assert most == pytest.approx(0.5, abs=0.1)
    assert rest == pytest.approx(0.5, abs=0.1)


def test_a_longer_queue_is_no_more_time(host: Host) -> None:
    deep = (*SATURATING, "--in-flight", "200")
    most, rest = shares(host, "equal", [[deep], [SATURATING]])
    assert most == pytest.approx(0.5, abs=0.1)
    assert rest == pytest.approx(0.5, abs=0.1)
