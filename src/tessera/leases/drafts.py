# SPDX-License-Identifier: Apache-2.0
"""From a request to a lease that has no GPUs yet: who asks, for whom, and since when. Nothing is booked here."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path

from tessera.leases import process
from tessera.leases.peer import Peer
from tessera.model.errors import InvalidRequest, NotPermitted
from tessera.model.lease import Lease, LeaseRequest, LeaseState, ProcessId

# So long after a daemon's start, those who waited at the one before get their old places back.
_RETURN_LIMIT = 60.0


def check_priority(request: LeaseRequest, peer: Peer) -> None:
    """Raises NotPermitted for a priority that is not the peer's to ask for."""
    if request.priority > 0 and not peer.may_manage(os.geteuid()):
        raise NotPermitted(
            f"Priority {request.priority} is the host's to give.",
            "Ask for 0 or less, or ask root, or who runs tesserad.",
        )


def draft(request: LeaseRequest, peer: Peer, now: datetime) -> Lease:
    """A lease without GPUs. Raises InvalidRequest or NotPermitted."""
    holder = _holder(request, peer)
    lease_id = secrets.token_hex(6)
    return Lease(
        id=lease_id,
        name=request.name or _default_name(request.command, lease_id),
        state=LeaseState.PENDING,
        transport=request.transport,
        identity=request.identity,
        gpus=(),
        weight=request.weight,
        priority=request.priority,
        command=request.command,
        holder=holder,
        machine=request.machine if holder else None,
        owner_uid=peer.uid,
        created_at=now,
        updated_at=now,
    )


def place_in_time(
    request: LeaseRequest, holder: ProcessId | None, started_at: datetime, now: datetime
) -> datetime:
    """When the request came. What it says itself is believed of those who come back after a restart of the
    daemon, at `started_at`, as far as its holder lived then."""
    if request.waiting_since is None or holder is None:
        return now
    if (now - started_at).total_seconds() > _RETURN_LIMIT:
        return now
    return min(now, max(request.waiting_since, process.started_at(holder, now)))


def _holder(request: LeaseRequest, peer: Peer) -> ProcessId | None:
    if request.holder_pid is None:
        return None
    holder = process.identify(request.holder_pid)
    if holder is None:
        raise InvalidRequest(
            f"There is no process {request.holder_pid} that could hold the lease.",
            "Leave holder_pid out for a lease that lives until it is stopped.",
        )
    owner = process.owner(request.holder_pid)
    if owner is None or not peer.may_manage(owner):
        raise NotPermitted(
            f"Process {request.holder_pid} belongs to another user.", "Name one of your own."
        )
    return holder


def _default_name(command: tuple[str, ...], lease_id: str) -> str:
    program = Path(command[0]).name if command else ""
    readable = "".join(char for char in program if char.isascii() and char.isalnum())[:24]
    return f"{readable or 'lease'}-{lease_id[:4]}"
