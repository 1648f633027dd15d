# SPDX-License-Identifier: Apache-2.0
"""Made-up messages and reports that the tests of the experiments share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tessera.bench.calls import calls_targets, collect_counted, collect_series
from tessera.bench.ledger import losses
from tessera.bench.overhead import overhead_targets
from tessera.bench.result import Account, Driver, Host, Report, make_series

HOST = Host(
    cpu="A CPU",
    cores=2,
    affinity=(0, 1),
    memory_bytes=8 << 30,
    kernel="Linux 6.1",
    hypervisor=None,
    python="3.11.2",
    load=0.5,
)
DRIVER = Driver(platform="P", platform_version="OpenCL 3.0", device="D", driver_version="1")


def account(side: str, **changes: float) -> Account:
    """100 steps of 10 ms, on one and a half cores, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "steps": 100,
        "wall_seconds": 1.0,
        "client_cpu_seconds": 1.5,
        "worker_cpu_seconds": 0.0,
        "system_cpu_seconds": 0.1,
        "quiet_cpu_seconds": 0.0,
        "foreign_cpu_seconds": 0.2,
        "client_switches": 1000,
        "worker_switches": 0,
        "messages": 0,
        "round_trips": 0,
        "bytes_to_worker": 0,
        "bytes_to_client": 0,
        "wakes": 0,
        "sleeps": 0,
    }
    return Account(side=side, **(values | changes))


def overhead_report() -> Report:
    """The lease is 2 % slower in each of three pairs."""
    series = make_series(
        "step", {"bare": [[98.0], [196.0], [98.0]], "shm": [[100.0], [200.0], [100.0]]}
    )
    accounts = (
        account("bare"),
        account("shm", wall_seconds=1.02, worker_cpu_seconds=0.03, messages=15000, round_trips=10),
    )
    return Report(
        experiment="overhead",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        host=HOST,
        tessera_version="0.1.0",
        commit="abc",
        drivers={"bare": DRIVER, "shm": DRIVER},
        parameters={"workload": "language_model", "pairs": 3},
        series=(series,),
        accounts=accounts,
        losses=losses(accounts, 2),
        targets=overhead_targets("language_model", series),
        results={"last": "2.5", "sha256": "ab" * 32},
    )


def calls_slice(scale: float) -> dict[str, Any]:
    """A slice of the calls program; `scale` stretches every duration."""
    samples = {
        "posted_kernel": [500.0 * scale, 600.0 * scale],
        "round_trip_finish": [2000.0 * scale],
        "round_trip_read": [20_000.0 * scale],
        "chain": [1.5e6 * scale],
        "memcpy_64MiB": [6e6],
        "write_64MiB": [6e6 * scale],
        "read_64MiB": [6e6 * scale],
    }
    return {"event": "slice", "samples": samples, "counted": {}}


def counted(calls: int, round_trips: int) -> dict[str, int]:
    return {"calls": calls, "messages": calls, "round_trips": round_trips, "wakes": 0, "sleeps": 0}


def calls_slices() -> dict[str, list[dict[str, Any]]]:
    """Two pairs of the machine, the bare device and a lease that takes twice as long."""
    machine = {"futex_sleeping": [5000.0], "futex_spinning": [100.0], "tcp_64MiB": [2.4e7]}
    leased = calls_slice(2.0) | {
        "counted": {"round_trip_finish": counted(200, 200), "chain": counted(3, 3)}
    }
    return {
        "machine": [{"samples": machine, "counted": {}}] * 2,
        "bare": [calls_slice(1.0)] * 2,
        "shm": [leased] * 2,
    }


def calls_report() -> Report:
    slices = calls_slices()
    series, totals = collect_series(slices), collect_counted(slices)
    return Report(
        experiment="calls",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        host=HOST,
        tessera_version="0.1.0",
        commit=None,
        drivers={"bare": DRIVER, "shm": DRIVER},
        parameters={"pairs": 2},
        series=tuple(series.values()),
        counted=totals,
        targets=tuple(calls_targets(series, totals)),
    )
