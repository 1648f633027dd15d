# SPDX-License-Identifier: Apache-2.0
"""Models with plain content."""

from __future__ import annotations

from datetime import UTC, datetime

from tessera.model.lease import GpuShare, Lease, LeaseState, Transport

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
