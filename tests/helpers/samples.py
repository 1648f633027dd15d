# SPDX-License-Identifier: Apache-2.0
"""Models with plain content."""

from __future__ import annotations

from datetime import UTC, datetime

from tessera.model.lease import GpuShare, Lease, LeaseState, Transport
from tessera.model.stats import DeviceUse, SessionStats

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_lease(gpus: int = 2) -> Lease:
    """An active lease on so many GPUs."""
    return Lease(
        id="0123",
        name="job",
        state=LeaseState.ACTIVE,
        transport=Transport.SHM,
        gpus=tuple(GpuShare(gpu=f"gpu{number}", memory=100) for number in range(gpus)),
        owner_uid=0,
        created_at=NOW,
        updated_at=NOW,
    )


def a_device() -> DeviceUse:
    """A quarter of ten seconds."""
    return DeviceUse(
        elapsed_ns=10_000_000_000,
        device_ns=2_500_000_000,
        duty=0.25,
        share=0.5,
        weight=100,
        share_ppm=250_000,
        commands=40,
        grants=30,
        overruns=2,
        waits=6,
        waited_ns=3_000_000,
        wait_p50_us=1.0,
        wait_p99_us=1024.0,
        wait_counts={0: 3, 1: 1, 40: 1, 127: 1},
    )


def a_session(pid: int) -> SessionStats:
    """A session whose worker has this pid."""
    return SessionStats(
        slot=pid,
        state="live",
        transport=Transport.SHM,
        worker_pid=pid,
        client_pid=1,
        started_at=NOW,
        memory_per_gpu=(7,),
        messages=100 + pid,
        round_trips=3,
        bytes_to_worker=5,
        bytes_to_client=6,
        commands=7,
        objects=8,
        memory=7,
    )
