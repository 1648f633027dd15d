# SPDX-License-Identifier: Apache-2.0
"""Changes a lease that lives: its memory, between what it uses and what has room, and its weight.

Two places know the size of a lease: its record, which says what nobody else may be granted, and its
quota page, which is what its programs can really have. The page is changed by the gatekeeper and is the
truth; the record is never the smaller of the two. So a lease that grows is booked first and told
afterwards, one that shrinks is told first, and a daemon that ends between the two steps leaves memory
that nobody has for a while, but never memory that two were promised. Whoever finds them different (this
daemon after an answer that did not come, the next daemon when it adopts) writes what the page says into
the record.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from tessera.leases import control, quota
from tessera.leases.direct_uses import refuse_direct
from tessera.leases.peer import Peer
from tessera.model.errors import (
    BoardUnreadable,
    ControlRefused,
    LeaseNotActive,
    NoCapacity,
    QuotaPageUnreadable,
    ResizeBelowUse,
    TesseraError,
)
from tessera.model.lease import GpuShare, Lease, LeaseChange, LeaseState
from tessera.model.units import format_bytes
from tessera.placement import Demand, Running, rooms

if TYPE_CHECKING:
    from tessera.leases.service import LeaseService

_log = structlog.get_logger()


class Resizing:
    """Belongs to the event loop of its LeaseService."""

    def __init__(self, leases: LeaseService) -> None:
        self._leases = leases
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def change(self, key: str, change: LeaseChange, peer: Peer) -> Lease:
        """The lease after the change; where an error is raised before anything was done, as it was.

        Raises LeaseNotFound, NotPermitted, LeaseNotActive, NoCapacity, ResizeBelowUse, ControlFailed,
        QuotaPageUnreadable, StoreError, BoardUnreadable and what the inventory raises.
        """
        lease = await self._leases.owned(key, peer)
        refuse_direct(lease, "they are whole, and share nothing")
        lock = self._locks.setdefault(lease.id, asyncio.Lock())
        async with lock:
            if change.memory is not None or change.fraction is not None:
                await self._resize(lease.id, change)
            if change.weight is not None:
                return await self._leases.set_weight(lease.id, change.weight, peer)
            return await self._leases.find(lease.id)

    async def _resize(self, lease_id: str, change: LeaseChange) -> None:
        await self._leases.gpus()
        gpus = {gpu.gpu: gpu for gpu in self._leases.known_capacities()}
        lease = self._active(lease_id)
        demand = Demand.of(change, len(lease.gpus))
        wanted = tuple(
            GpuShare(gpu=share.gpu, memory=demand.bytes_of(gpus[share.gpu])) for share in lease.gpus
        )
        self._check_growth(lease, wanted)
        self._leases.save(_resized(lease, _larger(lease.gpus, wanted)))
        try:
            await control.resize(
                self._leases.workspace(lease_id).control, [share.memory for share in wanted]
            )
        except ControlRefused as refused:
            if refused.cause == "below-use":
                raise self._below_use(lease, wanted, refused) from refused
            raise
        finally:
            self._agree(lease_id)
        try:
            self._leases.tell_arbiters(self._active(lease_id))
        except BoardUnreadable as error:
            # Under the policy `fixed` it goes on with its old share of the time; the memory is changed.
            _log.warning("share not on the board", lease=lease.name, error=error.message)
        _log.info("lease resized", lease=lease.name, id=lease_id, memory=_total(wanted))

    def _active(self, lease_id: str) -> Lease:
        lease = self._leases.live(lease_id)
        if lease is None or lease.state is not LeaseState.ACTIVE:
            raise LeaseNotActive(
                f"Lease {lease.name if lease else lease_id} is not active: it has no memory to change.",
                f"See its state with: tessera show {lease.name if lease else lease_id}",
            )
        return lease

    def _check_growth(self, lease: Lease, wanted: tuple[GpuShare, ...]) -> None:
        queue = self._leases.queue
        limits = rooms(
            self._leases.known_capacities(),
            queue.running(without=lease.id),
            queue.ahead_of((-lease.priority, float("inf"))),
            growing=[Running(lease.gpus)],
        )
        for now, then in zip(lease.gpus, wanted, strict=True):
            most = now.memory + limits[now.gpu]
            if then.memory > max(most, now.memory):
                raise NoCapacity(
                    f"Lease {lease.name} cannot grow to {format_bytes(then.memory)} on {now.gpu}: it "
                    f"has {format_bytes(now.memory)}, and {format_bytes(limits[now.gpu])} are free "
                    "for it there.",
                    f"Ask for --memory {most} or less, or end another lease of {now.gpu} first.",
                )

    def _below_use(
        self, lease: Lease, wanted: tuple[GpuShare, ...], refused: ControlRefused
    ) -> TesseraError:
        page = quota.read_page(self._leases.workspace(lease.id).quota)
        for index, share in enumerate(wanted):
            used = page.gpus[index].used
            if share.memory < used:
                return ResizeBelowUse(
                    f"Lease {lease.name} has {format_bytes(used)} ({used} bytes) in use on {share.gpu}, "
                    f"more than {format_bytes(share.memory)}.",
                    f"Ask for --memory {used} or more, or let its programs free some first; "
                    f"`tessera stats {lease.name}` tells which have it.",
                )
        # Freed in between; the same request would be granted now.
        return ResizeBelowUse(f"Lease {lease.name}: {refused.message}", "Ask again.")

    def _agree(self, lease_id: str) -> None:
        """Writes what the page says into the record; others may have room now."""
        lease = self._leases.live(lease_id)
        if lease is None or lease.state is not LeaseState.ACTIVE:
            return
        try:
            page = quota.read_page(self._leases.workspace(lease_id).quota)
        except QuotaPageUnreadable as error:
            # The larger of the two sizes stays booked, until a daemon can read the page.
            _log.error("size not known", lease=lease.name, error=error.message)
            return
        self._leases.correct(agreed(lease, page))
        self._leases.queue.advance()


def agreed(lease: Lease, page: quota.QuotaPage) -> Lease:
    """The lease with the limits of its quota page."""
    limits = quota.limits_of(page)
    if len(limits) != len(lease.gpus):
        return lease
    shares = zip(lease.gpus, limits, strict=True)
    return _resized(lease, tuple(GpuShare(gpu=share.gpu, memory=limit) for share, limit in shares))


def _resized(lease: Lease, shares: tuple[GpuShare, ...]) -> Lease:
    return lease.model_copy(update={"gpus": shares})


def _larger(some: tuple[GpuShare, ...], others: tuple[GpuShare, ...]) -> tuple[GpuShare, ...]:
    pairs = zip(some, others, strict=True)
    return tuple(max(pair, key=lambda share: share.memory) for pair in pairs)


def _total(shares: tuple[GpuShare, ...]) -> int:
    return sum(share.memory for share in shares)
