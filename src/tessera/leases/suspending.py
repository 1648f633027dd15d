# SPDX-License-Identifier: Apache-2.0
"""Suspends and resumes the leases of a daemon: what to ask of whom, and what to write down before and after.

The steps of one lease, and what its gatekeeper answers, are in suspension.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from tessera.leases import suspension
from tessera.leases.direct_uses import require_movable
from tessera.leases.peer import Peer
from tessera.leases.state_folder import StateFolder
from tessera.model.errors import TesseraError
from tessera.model.lease import Lease, LeaseState
from tessera.model.suspension import Keep, SuspendNeeds

if TYPE_CHECKING:
    from tessera.leases.service import LeaseService

_log = structlog.get_logger()


class Suspending:
    """Belongs to the event loop of its LeaseService."""

    def __init__(
        self, leases: LeaseService, states: StateFolder, now: Callable[[], datetime]
    ) -> None:
        self._leases = leases
        self._states = states
        self._now = now
        self._settling: set[asyncio.Task[None]] = set()

    async def check(self, key: str, peer: Peer) -> SuspendNeeds:
        """Whether the lease can be suspended now, and what that takes.

        Raises LeaseNotFound, NotPermitted, LeaseNotActive, AlreadySuspended, SuspendUnsupported,
        ControlFailed.
        """
        lease = await self._leases.owned(key, peer)
        require_movable(lease)
        return await suspension.check(lease, self._leases.workspace(lease.id).control, self._states)

    async def suspend(self, key: str, to: Keep, peer: Peer) -> Lease:
        """Copies out what the lease has on its GPUs and frees them; its workload waits from here on.

        Raises as check(), and SuspendFailed; the lease then goes on as it was.
        """
        lease = await self._leases.owned(key, peer)
        require_movable(lease)
        socket = self._leases.workspace(lease.id).control
        suspended = await suspension.suspend(
            lease, to, socket, self._states, self._leases.step, self._now
        )
        self._leases.arbiters.retire_soon(share.gpu for share in lease.gpus)
        return suspended

    async def resume(self, key: str, wanted: tuple[str, ...], peer: Peer) -> Lease:
        """Puts a suspended lease back on its GPUs, or on those `wanted`, or where it fits.

        Raises LeaseNotFound, NotPermitted, NotSuspended, NoCapacity, ResumeRefused,
        DeviceLacksFeature, StateFileDamaged, StateFileOtherVersion, ControlFailed and what the
        inventory raises; the lease then is suspended as before.
        """
        await self._leases.gpus()
        lease = await self._leases.owned(key, peer)
        arbiters = self._leases.arbiters
        shares = lease.gpus
        if lease.state is LeaseState.SUSPENDED:
            open_to = self._leases.queue.open_to(lease.priority)
            shares = suspension.placed_again(lease, wanted, open_to)
            for share in shares:
                await arbiters.serve(share.gpu)
        moved = lease.model_copy(update={"gpus": shares})
        try:
            resumed = await suspension.resume(
                lease,
                shares,
                self._leases.devices(moved),
                self._leases.workspace(lease.id).control,
                self._states,
                self._leases.step,
                self._now,
            )
        finally:
            # Those that it left, or did not come to.
            arbiters.retire_soon({share.gpu for share in (*lease.gpus, *shares)})
        self._leases.tell_arbiters(resumed)
        return resumed

    def find_out(self, lease: Lease) -> None:
        """An earlier daemon may have ended while it suspended or resumed this lease."""
        if lease.state in (LeaseState.SUSPENDING, LeaseState.RESUMING):
            task = asyncio.get_running_loop().create_task(self._ask(lease))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _ask(self, lease: Lease) -> None:
        try:
            socket = self._leases.workspace(lease.id).control
            settled = await suspension.settled(lease, socket, self._states, self._now)
            self._leases.step(settled)
            if settled.state is LeaseState.ACTIVE:
                self._states.discard(lease.id)
        except TesseraError as error:
            _log.error("state of a lease unknown", lease=lease.name, error=error.message)

    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """What find_out() began and has not ended."""
        return tuple(self._settling)

    def forget(self, lease_id: str) -> None:
        """The lease is over."""
        self._states.remove(lease_id)

    def clean(self) -> None:
        """Removes what an earlier daemon did not come to remove."""
        self._states.clean()
