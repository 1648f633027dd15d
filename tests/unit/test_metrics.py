# SPDX-License-Identifier: Apache-2.0
"""What Prometheus scrapes is read back by its own parsers and says what was counted."""

from __future__ import annotations

import pytest
from prometheus_client import parser as plain
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from helpers.samples import a_device, a_lease, a_session
from tessera import __version__
from tessera.daemon.metrics import exposition
from tessera.model.policy import GpuPolicy, PolicyKind
from tessera.model.stats import Counters, GpuStats, LeaseStats
from tessera.model.usage import GpuUsage, LeaseUsage, Usage

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def a_usage() -> Usage:
    lease = a_lease(gpus=1).model_copy(update={"name": 'odd "name\\'})
    stats = LeaseStats(
        lease=lease.id,
        name=lease.name,
        gpus=(GpuStats(gpu="gpu0", limit=100, used=60, peak=90, refused=3, device=a_device()),),
        sessions=(a_session(1), a_session(2)),
        totals=Counters(),
        sessions_total=9,
    )
    policy = GpuPolicy(
        gpu="gpu0", policy=PolicyKind.FIXED, time_slice_ms=None, effective_slice_ms=2, leases=1
    )
    gpu = GpuUsage(
        gpu="gpu0",
        name="card",
        memory=1000,
        reserve=10,
        leased=100,
        free=890,
        used=60,
        leases=1,
        policy=policy,
        arbiter_running=True,
        arbiter_restarts=4,
        device_ns=5_000_000_000,
        idle_ns=500_000_000,
    )
    idle = gpu.model_copy(
        update={"gpu": "gpu1", "leases": 0, "leased": 0, "used": 0, "free": 990}
        | {"device_ns": None, "idle_ns": None}
    )
    suspended = a_lease(gpus=1).model_copy(update={"id": "0456", "name": "asleep"})
    leases = (LeaseUsage(lease=lease, stats=stats), LeaseUsage(lease=suspended, stats=None))
    return Usage(taken_ns=1, gpus=(gpu, idle), leases=leases)


def families(accept: str = "") -> dict[str, Metric]:
    content, kind = exposition(a_usage(), accept)
    parse = (
        openmetrics.text_string_to_metric_families
        if "openmetrics" in kind
        else plain.text_string_to_metric_families
    )
    return {family.name: family for family in parse(content.decode())}


def value(found: dict[str, Metric], family: str, sample: str = "", **labels: str) -> float:
    matching = [
        one.value
        for one in found[family].samples
        if one.name == (sample or family) and labels.items() <= one.labels.items()
    ]
    assert len(matching) == 1, (family, sample, labels)
    return float(matching[0])


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS])
def test_figures_come_back_as_they_were_counted(accept: str) -> None:
    found = families(accept)
    for state, expected in {"used": 60, "unused": 40, "free": 890, "reserve": 10}.items():
        memory = value(found, "tessera_gpu_memory_bytes", gpu="gpu0", state=state)
        assert memory == expected
    name = 'odd "name\\'
    seconds = "tessera_lease_device_seconds"
    place = {"lease": "0123", "name": name, "gpu": "gpu0"}
    assert value(found, seconds, f"{seconds}_total", **place) == 2.5
    restarts = "tessera_gpu_arbiter_restarts"
    assert value(found, restarts, f"{restarts}_total", gpu="gpu0") == 4
    assert value(found, "tessera_gpu_policy_info", gpu="gpu0", policy="fixed") == 1
    assert value(found, "tessera_gpu_time_slice_seconds", gpu="gpu0") == 0.002
    messages = "tessera_session_messages"
    assert value(found, messages, f"{messages}_total", session="2") == 102
    assert value(found, "tessera_build_info", version=__version__) == 1


def test_waits_are_a_histogram_by_octaves() -> None:
    found = families(OPENMETRICS)
    name = "tessera_lease_wait_seconds"

    def below(end: str) -> float:
        return value(found, name, f"{name}_bucket", le=end)

    assert below("1e-06") == 3
    assert below("2e-06") == 4
    assert below("0.000512") == 4
    assert below("0.001024") == 5
    assert below("67.108864") == 5
    assert below("+Inf") == value(found, name, f"{name}_count") == 6
    assert value(found, name, f"{name}_sum") == 0.003


def test_a_gpu_without_leases_has_no_device_time_and_a_lease_without_sessions_no_counters() -> None:
    found = families()
    device = found["tessera_gpu_device_seconds"]
    assert [sample.labels["gpu"] for sample in device.samples] == ["gpu0"]
    assert len(found["tessera_lease_info"].samples) == 2
    assert len(found["tessera_lease_memory_used_bytes"].samples) == 1


@pytest.mark.parametrize(
    "accept", ["text/plain;version=x.y", "application/openmetrics-text;version=,", ";;,,\0"]
)
def test_any_wish_gets_an_answer(accept: str) -> None:
    content, kind = exposition(a_usage(), accept)
    assert b"tessera_build_info" in content
    assert "text" in kind


def test_names_follow_the_conventions() -> None:
    for name, family in families(OPENMETRICS).items():
        assert name.startswith(("tessera_", "process_"))
        assert family.documentation.endswith(".")
        assert not name.endswith("_total")
