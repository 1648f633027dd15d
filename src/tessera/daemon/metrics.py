# SPDX-License-Identifier: Apache-2.0
"""What Prometheus scrapes: one look at all usage, named by its conventions (base units, _total for counters).

Every scrape makes its families anew from what the pages say, so that a lease that ended is gone from the
next answer and nothing has to be counted twice. (Counters of prometheus_client itself were refused: they
would need somebody to add to them.) Messages and bytes are counted per session, because a sum over the
sessions that live would fall when one ends, which for Prometheus is a restart of the counter.

The histogram of waits has a bucket per octave here, where the board has four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from tessera import __version__
from tessera.model.stats import DeviceUse, GpuStats, SessionStats
from tessera.model.usage import GpuUsage, LeaseUsage, Usage

_NS = 1e-9
# Up to 67 s; longer waits are in the last bucket.
_OCTAVES = range(27)
_PER_OCTAVE = 4

_LEASE = ("lease", "name", "gpu")
_SESSION = ("lease", "name", "session")


def exposition(usage: Usage, accept: str) -> tuple[bytes, str]:
    """The text of a scrape and its content type, in the format that the header `accept` asks for.

    The library's own choose_encoder() fails for some values of that header, which anybody may send.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(UsageCollector(usage))
    ProcessCollector(registry=registry)
    if openmetrics.CONTENT_TYPE_LATEST.partition(";")[0] in accept:
        content = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return content, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class UsageCollector(Collector):
    """The families of one look."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "tessera_build_info", "The daemon's version.", ("version",), [((__version__,), 1)]
        )
        yield from _of_gpus(self._usage.gpus)
        yield from _of_leases(self._usage.leases)
        yield from _of_lease_gpus(self._usage.leases)
        yield from _of_sessions(self._usage.leases)


Rows = Iterable[tuple[Sequence[str], float]]


def _gauge(name: str, help_text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, help_text: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _of_gpus(gpus: Sequence[GpuUsage]) -> Iterator[Metric]:
    yield _gauge(
        "tessera_gpu_memory_bytes",
        "Memory of a GPU: used and unused by the leases that have it, free for leases, kept in reserve.",
        ("gpu", "state"),
        [row for gpu in gpus for row in _memory_states(gpu)],
    )
    yield _gauge(
        "tessera_gpu_leases",
        "Leases that have memory on a GPU.",
        ("gpu",),
        [((gpu.gpu,), gpu.leases) for gpu in gpus],
    )
    yield _gauge(
        "tessera_gpu_policy_info",
        "How the leases on a GPU share its time.",
        ("gpu", "policy"),
        [((gpu.gpu, gpu.policy.policy.value), 1) for gpu in gpus],
    )
    yield _gauge(
        "tessera_gpu_time_slice_seconds",
        "How long a lease holds a GPU while others want it.",
        ("gpu",),
        [((gpu.gpu,), gpu.policy.effective_slice_ms / 1000) for gpu in gpus],
    )
    yield _gauge(
        "tessera_gpu_arbiter_up",
        "Whether the arbiter of a GPU in use runs.",
        ("gpu",),
        [((gpu.gpu,), gpu.arbiter_running) for gpu in gpus if gpu.leases],
    )
    yield _counter(
        "tessera_gpu_arbiter_restarts",
        "Arbiters that ended by accident and were started again.",
        ("gpu",),
        [((gpu.gpu,), gpu.arbiter_restarts) for gpu in gpus if gpu.leases],
    )
    yield _counter(
        "tessera_gpu_device_seconds",
        "Device time of all leases on a GPU since it has had any.",
        ("gpu",),
        [((gpu.gpu,), gpu.device_ns * _NS) for gpu in gpus if gpu.device_ns is not None],
    )
    yield _counter(
        "tessera_gpu_idle_seconds",
        "Time in which no lease held a GPU that has leases.",
        ("gpu",),
        [((gpu.gpu,), gpu.idle_ns * _NS) for gpu in gpus if gpu.idle_ns is not None],
    )


def _memory_states(gpu: GpuUsage) -> Iterator[tuple[Sequence[str], float]]:
    yield (gpu.gpu, "used"), gpu.used
    yield (gpu.gpu, "unused"), max(0, gpu.leased - gpu.used)
    yield (gpu.gpu, "free"), gpu.free
    yield (gpu.gpu, "reserve"), gpu.reserve


def _of_leases(leases: Sequence[LeaseUsage]) -> Iterator[Metric]:
    yield _gauge(
        "tessera_lease_info",
        "A live lease.",
        ("lease", "name", "state", "transport", "uid"),
        [
            (
                (one.lease.id, one.lease.name, one.lease.state.value)
                + (one.lease.transport.value, str(one.lease.owner_uid)),
                1,
            )
            for one in leases
        ],
    )
    yield _gauge(
        "tessera_lease_created_timestamp_seconds",
        "When a lease began, in seconds since 1970.",
        ("lease", "name"),
        [((one.lease.id, one.lease.name), one.lease.created_at.timestamp()) for one in leases],
    )
    counted = [(one.lease, one.stats) for one in leases if one.stats]
    yield _gauge(
        "tessera_lease_sessions",
        "Client processes of a lease that are connected.",
        ("lease", "name"),
        [((lease.id, lease.name), len(stats.sessions)) for lease, stats in counted],
    )
    yield _counter(
        "tessera_lease_sessions_started",
        "Client processes of a lease that ever connected.",
        ("lease", "name"),
        [((lease.id, lease.name), stats.sessions_total) for lease, stats in counted],
    )


def _of_lease_gpus(leases: Sequence[LeaseUsage]) -> Iterator[Metric]:
    places = [
        ((one.lease.id, one.lease.name, gpu.gpu), gpu)
        for one in leases
        if one.stats
        for gpu in one.stats.gpus
    ]
    memory: tuple[tuple[str, str, Callable[[GpuStats], int]], ...] = (
        ("tessera_lease_memory_used_bytes", "Memory that a lease uses.", lambda gpu: gpu.used),
        ("tessera_lease_memory_limit_bytes", "Memory that a lease has.", lambda gpu: gpu.limit),
        ("tessera_lease_memory_peak_bytes", "The most it ever used.", lambda gpu: gpu.peak),
    )
    for name, help_text, value in memory:
        yield _gauge(name, help_text, _LEASE, [(place, value(gpu)) for place, gpu in places])
    yield _counter(
        "tessera_lease_allocations_refused",
        "Allocations that the limit of a lease refused.",
        _LEASE,
        [(place, gpu.refused) for place, gpu in places],
    )
    devices = [(place, gpu.device) for place, gpu in places if gpu.device]
    counters: tuple[tuple[str, str, Callable[[DeviceUse], float]], ...] = (
        (
            "tessera_lease_device_seconds",
            "Device time of a lease, as the driver measured it.",
            lambda device: device.device_ns * _NS,
        ),
        ("tessera_lease_commands", "Commands with device time.", lambda device: device.commands),
        ("tessera_lease_grants", "Times that a lease got a GPU.", lambda device: device.grants),
        (
            "tessera_lease_overruns",
            "Grants whose commands ran on so long that others went on beside them.",
            lambda device: device.overruns,
        ),
    )
    for name, help_text, amount in counters:
        yield _counter(name, help_text, _LEASE, [(place, amount(one)) for place, one in devices])
    yield _gauge(
        "tessera_lease_weight",
        "What a lease counts for under the policy weighted.",
        _LEASE,
        [(place, device.weight) for place, device in devices],
    )
    yield _waits(devices)


def _waits(devices: Sequence[tuple[Sequence[str], DeviceUse]]) -> Metric:
    family = HistogramMetricFamily(
        "tessera_lease_wait_seconds",
        "How long sessions waited for their lease to get a GPU.",
        labels=_LEASE,
    )
    for place, device in devices:
        family.add_metric(place, _octaves(device.wait_counts), device.waited_ns * _NS)
    return family


def _octaves(counts: Mapping[int, int]) -> list[tuple[str, float]]:
    """The histogram as Prometheus wants it: each bucket holds all that waited no longer than its end."""
    buckets: list[tuple[str, float]] = []
    for octave in _OCTAVES:
        below = sum(count for bucket, count in counts.items() if bucket <= octave * _PER_OCTAVE)
        buckets.append((str(2**octave / 1e6), below))
    return [*buckets, ("+Inf", sum(counts.values()))]


def _of_sessions(leases: Sequence[LeaseUsage]) -> Iterator[Metric]:
    sessions = [
        ((one.lease.id, one.lease.name, f"{session.worker_pid}"), session)
        for one in leases
        if one.stats
        for session in one.stats.sessions
    ]
    yield _gauge(
        "tessera_session_start_time_seconds",
        "When a session began, in seconds since 1970.",
        _SESSION,
        [(place, session.started_at.timestamp()) for place, session in sessions],
    )
    counters: tuple[tuple[str, str, Callable[[SessionStats], int]], ...] = (
        ("messages", "Messages from the client.", lambda one: one.messages),
        ("round_trips", "Messages that the client waited for.", lambda one: one.round_trips),
        ("received_bytes", "Bytes from the client.", lambda one: one.bytes_to_worker),
        ("sent_bytes", "Bytes to the client.", lambda one: one.bytes_to_client),
        ("commands", "Commands for the device.", lambda one: one.commands),
    )
    for name, help_text, amount in counters:
        rows = [(place, amount(session)) for place, session in sessions]
        yield _counter(f"tessera_session_{name}", help_text, _SESSION, rows)
    yield _gauge(
        "tessera_session_objects",
        "Objects of the API that a session holds.",
        _SESSION,
        [(place, session.objects) for place, session in sessions],
    )
