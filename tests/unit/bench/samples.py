# SPDX-License-Identifier: Apache-2.0
"""Made-up messages and reports that the tests of the experiments share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tessera.bench.boot import BOOT, COMMAND, EMULATED, WHOLE, boot_target
from tessera.bench.calls import calls_targets, collect_counted, collect_series
from tessera.bench.duty import Round, duty_run, duty_targets
from tessera.bench.ledger import losses
from tessera.bench.overhead import device_targets, overhead_targets
from tessera.bench.result import Account, Driver, Host, Report, make_series
from tessera.bench.shared_result import IdleRun, ThroughputRun
from tessera.bench.shares import fairness_targets, share_run, wait_run
from tessera.model.policy import PolicyKind

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


def overhead_in_machine_report() -> Report:
    """A machine whose steps take twice as long, and whose device's time is 1 % more."""
    outside, inside = [[1e8], [1.2e8], [1e8]], [[2e8], [2.4e8], [2e8]]
    step = make_series("step", {"bare": outside, "vm": inside})
    device = make_series("device", {"bare": [[9.9e7]] * 3, "vm": [[1e8]] * 3})
    accounts = (account("bare"), account("vm", wall_seconds=2.0, worker_cpu_seconds=2.5))
    return overhead_report().model_copy(
        update={
            "drivers": {"bare": DRIVER, "vm": DRIVER},
            "parameters": {"workload": "online_digits", "pairs": 3},
            "series": (step, device),
            "accounts": accounts,
            "losses": losses(accounts, 2),
            "targets": device_targets([device]),
        }
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


def shared_facts(experiment: str) -> dict[str, Any]:
    """What every report of shared GPUs has in common."""
    return {
        "experiment": experiment,
        "started_at": datetime(2026, 1, 2, tzinfo=UTC),
        "host": HOST,
        "tessera_version": "0.1.0",
        "commit": "abc",
        "drivers": {"bare": DRIVER},
    }


def fairness_report() -> Report:
    """Two tenants under `equal` that are 1 % off, waits below their bound, and one missed target."""
    sizes = [(100, "1/4"), (200, "3/4")]
    shares = tuple(
        share_run(policy, 2.0, 10**9, sizes, device_ns, [500.0, 500.0], 0.01)
        for policy, device_ns in (
            (PolicyKind.EQUAL, (490_000_000, 510_000_000)),
            (PolicyKind.FIXED, (400_000_000, 600_000_000)),
            (PolicyKind.BEST_EFFORT, (900_000_000, 100_000_000)),
        )
    )
    waits = (wait_run(PolicyKind.EQUAL, 2.0, 3, [1e6, 2e6, 9e6], 400_000, 0.01),)
    idles = tuple(
        IdleRun(
            policy=policy,
            slice_ms=2.0,
            pausing=(False, True),
            while_paused=(kept, 0.0),
            while_working=(0.48, 0.48),
            kept=kept / 0.96,
            foreign=0.02,
        )
        for policy, kept in ((PolicyKind.EQUAL, 0.95), (PolicyKind.FIXED, 0.49))
    )
    throughputs = (
        ThroughputRun(
            policy=PolicyKind.EQUAL,
            slice_ms=2.0,
            tenants=4,
            alone=(3000.0, 3000.0),
            together=(2970.0, 2940.0),
            ratio=0.985,
            foreign=(0.01, 0.03),
        ),
    )
    return Report(
        **shared_facts("fairness"),
        parameters={"seconds": 1.0},
        series=(make_series("wait", {"equal": [[1e6, 2e6, 9e6]]}),),
        shares=shares,
        waits=waits,
        idles=idles,
        throughputs=throughputs,
        targets=fairness_targets(shares, waits, idles, throughputs),
    )


def stream_slice(cycle_ms: float, device_ms: float = 8.0, inputs: int = 100) -> dict[str, Any]:
    """A turn of the image stream that took `cycle_ms` of wall time for each of its inputs."""
    return {
        "event": "slice",
        "inputs": inputs,
        "elapsed_ns": cycle_ms * inputs * 1e6,
        "device_ns": device_ms * inputs * 1e6,
        "response_ns": 9e6 * inputs,
    }


def quarters_report() -> Report:
    """At a duty of 0.20 the promise is kept by `equal`, and not by `best-effort`."""
    points = (
        (PolicyKind.EQUAL, 0.2, 40.0, 41.0),
        (PolicyKind.BEST_EFFORT, 0.2, 40.0, 48.0),
        (PolicyKind.FIXED, 0.2, 40.0, 60.0),
        (PolicyKind.EQUAL, 0.4, 20.0, 33.0),
    )
    runs = tuple(
        duty_run(
            policy,
            2.0,
            duty,
            31e6,
            [Round(stream_slice(alone), [stream_slice(together)] * 4, 0.01)] * 3,
        )
        for policy, duty, alone, together in points
    )
    return Report(
        **shared_facts("quarters"),
        parameters={"jobs": 4, "arrivals": "fixed"},
        series=(),
        duties=runs,
        targets=duty_targets(runs),
    )


def suspended_machine_report() -> Report:
    """Two rounds of a machine."""
    facts = shared_facts("suspend-vm")
    facts["parameters"] = {
        "rounds": 2,
        "guest_memory_mib": 512,
        "device_memory_mib": 256,
        "bytes_on_disk": 400 << 20,
    }
    names = ("suspend", "resume", "resume_to_first_instruction")
    series = tuple(make_series(name, {"vm": [[2e9], [3e9]]}) for name in names)
    return Report(**facts, series=series)


def boots_report() -> Report:
    """Two boots of an emulated machine."""
    facts = shared_facts("start-vm")
    facts["parameters"] = {"boots": 2, "fraction": "1/4", "accelerator": EMULATED}
    series = tuple(make_series(name, {"vm": [[3.9e9], [4.1e9]]}) for name in (BOOT, COMMAND, WHOLE))
    return Report(**facts, series=series, targets=(boot_target(4.0, EMULATED),))
