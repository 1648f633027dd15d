# SPDX-License-Identifier: Apache-2.0
"""What a starting daemon makes of the leases of an earlier one.

A lease is adopted when the gatekeeper in its record is still that very process and still listens; a direct
one, which has none, as long as its holder lives, and a machine has its devices.
Whatever else is found under the runtime folder (gatekeepers of leases that never got into the store as
active, folders of leases that are over) belongs to nobody and is removed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from tessera.leases import gatekeeper, process, spawn, workspace
from tessera.model.lease import Lease, LeaseState, Mode

_log = structlog.get_logger()


@dataclass(frozen=True)
class Verdict:
    """`failure`: why the lease cannot go on; `release`: whether nobody is left to hold it."""

    failure: str | None
    release: bool


class Adoption:
    """One look at a runtime folder."""

    def __init__(self, runtime_folder: Path) -> None:
        self._runtime_folder = runtime_folder

    def judge(self, lease: Lease) -> Verdict:
        """What to do with a lease that the store calls live."""
        failure = self._failure(lease)
        holder_gone = lease.holder is not None and not process.is_alive(lease.holder)
        unmade = lease.state is LeaseState.PENDING
        return Verdict(failure, release=holder_gone or unmade)

    def _failure(self, lease: Lease) -> str | None:
        if lease.state is LeaseState.PENDING:
            return "The daemon ended while the lease was being made."
        if lease.mode is Mode.DIRECT:
            return None
        if lease.gatekeeper is None or lease.gatekeeper.boot != process.boot_id():
            return "The host was restarted."
        if not process.is_alive(lease.gatekeeper):
            return "Its gatekeeper ended while no daemon was running."
        socket = workspace.Workspace(self._runtime_folder, lease.id).socket
        if not gatekeeper.is_listening(socket):
            return "Its gatekeeper no longer listens."
        return None

    async def clean(self, served: set[str], known: set[str]) -> None:
        """Ends gatekeepers of leases not in `served`; removes folders of leases not in `known`."""
        running = gatekeeper.running_under(self._runtime_folder)
        orphans = {lease: who for lease, who in running.items() if lease not in served}
        for lease_id, orphan in orphans.items():
            _log.warning("gatekeeper without a lease", id=lease_id, pid=orphan.pid)
        await asyncio.gather(*(spawn.stop(orphan) for orphan in orphans.values()))
        for lease_id in set(workspace.existing(self._runtime_folder)) - known:
            workspace.Workspace(self._runtime_folder, lease_id).remove()
