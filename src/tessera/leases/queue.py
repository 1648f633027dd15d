# SPDX-License-Identifier: Apache-2.0
"""Those who ask for room on the GPUs: most get it at once, some wait for it.

Every request passes through here, whether it would wait or not, because it must not take what others
wait for already; who starts is decided by tessera.placement.admit alone. A request that waits holds
nothing: no memory, no process, no file, no row in the store. It is a place in an order, and it is over
when its client goes away. A daemon that ends forgets it, and the client asks the next daemon again.

Whenever room may have appeared (a lease ended or shrank, somebody left the queue), advance() looks who
may start, and books their memory before anything else can happen. So a request that is told later that
it was granted already has its memory, and one that was granted in the moment in which its task was ended
gives it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import inf
from typing import Any

from tessera.model.errors import (
    DaemonStopping,
    NoCapacity,
    NoGpu,
    QueueFull,
    TesseraError,
    WaitEnded,
    WaitTimedOut,
)
from tessera.model.lease import GpuShare, Lease, Waiting
from tessera.placement import (
    Capacity,
    Request,
    Running,
    admit,
    in_order,
    occupied,
    place,
    refusal,
    rooms,
)

MOST_WAITING = 256


@dataclass(eq=False)
class _Ticket:
    """`lease`: pending, and without GPUs until it is booked."""

    lease: Lease
    request: Request
    since: datetime
    answer: asyncio.Future[Lease] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Queue:
    """Belongs to one event loop.

    `gpus`: what there is; `leases`: those that live. `book` makes a granted lease one of them, or raises;
    `unbook` takes one back that nobody came to collect.
    """

    def __init__(
        self,
        gpus: Callable[[], Sequence[Capacity]],
        leases: Callable[[], Iterable[Lease]],
        book: Callable[[Lease, tuple[GpuShare, ...]], Lease],
        unbook: Callable[[Lease], None],
    ) -> None:
        self._gpus = gpus
        self._leases = leases
        self._book = book
        self._unbook = unbook
        self._tickets: dict[str, _Ticket] = {}
        self._overtook: dict[str, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    async def enter(
        self,
        lease: Lease,
        request: Request,
        since: datetime,
        limit: float,
        leaving: Iterable[asyncio.Future[None]] = (),
    ) -> Lease:
        """The lease with its GPUs, booked, after at most `limit` seconds; 0: now or not at all.

        Raises NoCapacity and what place() raises, QueueFull, WaitTimedOut, DaemonStopping, what `book`
        raises, and WaitEnded where it was stopped or one of `leaving` is done first.
        """
        try:
            place(request.demand, self._gpus())
        except NoGpu:
            raise
        except NoCapacity as error:
            # It would wait for ever.
            raise self._refusal(request) from error
        ticket = self._tickets[request.id] = _Ticket(lease, request, since)
        self.advance()
        if not ticket.answer.done():
            if limit <= 0:
                raise self._turned_away(ticket, NoCapacity)
            if len(self._tickets) > MOST_WAITING:
                raise self._turned_away(
                    ticket, QueueFull, f"{MOST_WAITING} requests wait already. "
                )
            await self._wait(ticket, limit, leaving)
        return ticket.answer.result()

    def advance(self) -> None:
        """Books whoever may start now. For when room may have appeared."""
        while self._tickets and self._advance_once():
            pass

    def _advance_once(self) -> bool:
        """False when nothing is left to do; after a failed booking others may have room."""
        requests = [ticket.request for ticket in self._tickets.values()]
        failed = False
        for grant in admit(requests, self._gpus(), self.running()):
            ticket = self._tickets.pop(grant.id)
            try:
                lease = self._book(ticket.lease, grant.shares)
            except TesseraError as error:
                ticket.answer.set_exception(error)
                failed = True
            else:
                self._overtook[grant.id] = grant.overtook
                ticket.answer.set_result(lease)
        return failed

    async def _wait(
        self, ticket: _Ticket, limit: float, leaving: Iterable[asyncio.Future[None]]
    ) -> None:
        ends: list[asyncio.Future[Any]] = [ticket.answer, *leaving]
        try:
            await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._tickets.pop(ticket.request.id, None)
            if ticket.answer.done() and not ticket.answer.exception():
                self._unbook(ticket.answer.result())
            self.advance()
            raise
        if ticket.answer.done():
            return
        if any(end.done() for end in ends):
            self._tickets.pop(ticket.request.id)
            self.advance()
            raise WaitEnded("Who asked for the lease is gone.", "Ask again.")
        raise self._turned_away(ticket, WaitTimedOut, f"There was no room within {limit:g} s. ")

    def _turned_away(self, ticket: _Ticket, kind: type[NoCapacity], why: str = "") -> NoCapacity:
        """Takes the request out of the queue; what it waited for is free for those behind."""
        self._tickets.pop(ticket.request.id)
        refused = self._refusal(ticket.request, waited=kind is not NoCapacity)
        self.advance()
        return kind(why + refused.message, refused.hint)

    def _refusal(self, request: Request, waited: bool = False) -> NoCapacity:
        limits = rooms(self._gpus(), self.running(), self.ahead_of(request.rank))
        return refusal(request.demand, occupied(self._gpus(), self.running()), limits, waited)

    def stop(self, lease_id: str) -> None:
        """Ends the wait of a request, if it waits."""
        if ticket := self._tickets.pop(lease_id, None):
            ticket.answer.set_exception(
                WaitEnded(f"{ticket.lease.name} was stopped while it waited.", "Ask again.")
            )
            self.advance()

    def close(self) -> None:
        """Sends everybody to the next daemon."""
        for ticket in self._tickets.values():
            ticket.answer.set_exception(
                DaemonStopping("The daemon ended while this waited for room.", "Ask again.")
            )
        self._tickets.clear()

    def forget(self, lease_id: str) -> None:
        """A lease is over."""
        self._overtook.pop(lease_id, None)

    def running(self, without: str = "") -> list[Running]:
        """The leases that hold memory."""
        return [
            Running(lease.gpus, self._overtook.get(lease.id, frozenset()))
            for lease in self._leases()
            if lease.holds_memory and lease.id != without
        ]

    def open_to(self, priority: int) -> list[Capacity]:
        """The GPUs as somebody of this priority who came now would find them: what he must leave to those
        who wait counts as leased."""
        gpus, ahead = self._gpus(), self.ahead_of((-priority, inf))
        limits = rooms(gpus, self.running(), ahead)
        return [replace(gpu, leased=gpu.usable - limits[gpu.gpu]) for gpu in gpus]

    def ahead_of(self, rank: tuple[int, float]) -> list[Request]:
        """The requests that wait and are further ahead."""
        requests = [ticket.request for ticket in self._tickets.values()]
        return [request for request in requests if request.rank < rank]

    def waiting(self) -> list[Lease]:
        """The requests that wait, in their order, each with its place."""
        order = in_order(ticket.request for ticket in self._tickets.values())
        return [self._shown(request.id, place + 1) for place, request in enumerate(order)]

    def find(self, key: str) -> Lease | None:
        """The waiting request with this id or name."""
        return next((lease for lease in self.waiting() if key in (lease.id, lease.name)), None)

    def _shown(self, lease_id: str, position: int) -> Lease:
        ticket = self._tickets[lease_id]
        demand = ticket.request.demand
        place_in_queue = Waiting(
            position=position,
            of=len(self._tickets),
            wants=str(demand),
            memory=demand.least(self._gpus()) * demand.gpus,
            since=ticket.since,
        )
        return ticket.lease.model_copy(
            update={
                "waiting": place_in_queue,
                "reason": f"Waits for {demand}: position {position} of {len(self._tickets)}.",
            }
        )
