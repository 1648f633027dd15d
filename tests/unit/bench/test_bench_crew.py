# SPDX-License-Identifier: Apache-2.0
"""Tenants that work at the same time, with small programs in their roles, and what the daemon tells."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tessera.bench import crew as crew_module
from tessera.bench.control import Control, Reading, parse_policies, reading_of
from tessera.bench.crew import Crew, Tenancy
from tessera.bench.errors import SideFailed
from tessera.model.errors import DaemonUnreachable, InvalidPolicy
from tessera.model.lease import GpuShare, Lease, LeaseState, Transport
from tessera.model.policy import PolicyKind
from tessera.model.stats import Counters, DeviceUse, GpuStats, LeaseStats
from tessera.model.usage import LeaseUsage, Usage

# Answers only once all tenants have begun: were they to take turns, nobody would ever answer.
TENANT = """
import json, os, sys, time
name, folder, everybody, lease = sys.argv[1:]
print(json.dumps({"event": "ready", "lease": lease or None}), flush=True)
for line in sys.stdin:
    open(os.path.join(folder, name), "w").close()
    while len(os.listdir(folder)) < int(everybody):
        time.sleep(0.01)
    print(json.dumps({"event": "slice", "name": name, "amount": int(line.split()[1])}), flush=True)
"""


@pytest.fixture(autouse=True)
def _no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(_side: str, command: list[str], _fraction: str, weight: int | None) -> list[str]:
        return [*command, f"lease-{weight}" if weight else ""]

    monkeypatch.setattr(crew_module, "side_command", command)


def tenancy(name: str, folder: Path, weight: int | None = 1) -> Tenancy:
    return Tenancy(name, [sys.executable, "-c", TENANT, name, str(folder), "2"], "1/2", weight)


def test_all_work_at_once_and_the_parent_meanwhile(tmp_path: Path) -> None:
    tenancies = [tenancy("a", tmp_path, 1), tenancy("b", tmp_path, 2)]
    with Crew(tenancies, "shm", os.environ, print) as crew:
        assert crew.leases == ["lease-1", "lease-2"]
        slices, seen = crew.run({"a": 5, "b": 7}, lambda: "meanwhile")
    assert seen == "meanwhile"
    assert {name: message["amount"] for name, message in slices.items()} == {"a": 5, "b": 7}


def test_a_tenant_without_a_lease_is_no_tenant(tmp_path: Path) -> None:
    crew = Crew([tenancy("a", tmp_path, None)], "shm", os.environ, print)
    with pytest.raises(SideFailed, match="no lease"):
        crew.__enter__()


def lease_usage(name: str, device_ns: int | None) -> LeaseUsage:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    use = device_ns if device_ns is None else device_use(device_ns)
    stats = LeaseStats(
        lease=name,
        name=name,
        gpus=(GpuStats(gpu="gpu0", limit=1, used=0, peak=0, refused=0, device=use),),
        sessions=(),
        totals=Counters(),
        sessions_total=0,
    )
    lease = Lease(
        id=name,
        name=name,
        state=LeaseState.ACTIVE,
        transport=Transport.SHM,
        gpus=(GpuShare(gpu="gpu0", memory=1),),
        owner_uid=0,
        created_at=now,
        updated_at=now,
    )
    return LeaseUsage(lease=lease, stats=stats)


def device_use(device_ns: int) -> DeviceUse:
    return DeviceUse(
        elapsed_ns=10 * device_ns,
        device_ns=device_ns,
        duty=0.1,
        share=None,
        weight=100,
        share_ppm=1,
        commands=0,
        grants=0,
        overruns=0,
        waits=0,
        waited_ns=0,
        wait_p50_us=None,
        wait_p99_us=None,
        wait_counts={},
    )


def test_a_reading_holds_every_lease_that_is_on_a_board() -> None:
    leases = (lease_usage("a", 5), lease_usage("b", None))
    reading = reading_of(Usage(taken_ns=7, gpus=(), leases=leases))
    assert reading == Reading(7, {"a": 5})


def test_what_was_used_is_the_difference_of_two_readings() -> None:
    before, after = Reading(0, {"a": 5, "b": 1}), Reading(9, {"b": 4, "a": 7, "c": 1})
    assert after.since(before, ["b", "a"]) == [3, 2]
    for gone in ("c", "d"):
        with pytest.raises(SideFailed, match=gone):
            after.since(before, ["a", gone])


def test_without_its_daemon_an_experiment_says_so(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable):
        Control({"TESSERA_RUNTIME_DIR": str(tmp_path)})


def test_policies_are_parsed_in_order_and_once() -> None:
    assert parse_policies("fixed, equal,fixed") == (PolicyKind.FIXED, PolicyKind.EQUAL)
    with pytest.raises(InvalidPolicy):
        parse_policies("equal,,")
