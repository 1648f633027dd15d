# SPDX-License-Identifier: Apache-2.0
"""The life of leases: granted, watched, adopted after a restart, released.

Everything here runs on one event loop, and that is what makes it simple: between two awaits nothing else
happens. Two rules follow.

- A lease's memory is booked in the same step in which the queue finds room for it (tessera.leases.queue),
  and given back only when its gatekeeper is really gone, so two requests can never be promised the same
  bytes.
- Ending a lease is one task, whoever asks for it (its holder's end, a DELETE, the gatekeeper's death); who
  asks again joins that task.

The store is written at each step and read only at start: a daemon that is killed anywhere leaves a row
from which the next one can tell what to adopt and what to clean up. (A daemon that asked the database for
each decision was refused: it would need transactions around process starts, which cannot be rolled back.)
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from tessera import native
from tessera.direct.files import Files
from tessera.inventory import Inventory
from tessera.inventory.away import is_out_of_place
from tessera.leases import environment, gatekeeper, process, quota, spawn, starting, workspace
from tessera.leases.adoption import Adoption
from tessera.leases.arbiters import Arbiters
from tessera.leases.direct import DirectLeases
from tessera.leases.direct_uses import explained, refuse_direct
from tessera.leases.drafts import check_priority, draft, place_in_time
from tessera.leases.peer import Peer
from tessera.leases.queue import Queue
from tessera.leases.resizing import agreed
from tessera.leases.state_folder import StateFolder
from tessera.leases.suspending import Suspending
from tessera.leases.usage import Boards, Shares, device_use
from tessera.leases.watch import Watch, wait_for_exit
from tessera.leases.workspace import Workspace
from tessera.model.errors import (
    LeaseNotActive,
    LeaseNotFound,
    NameInUse,
    NoCapacity,
    NotPermitted,
    QuotaPageUnreadable,
    TesseraError,
)
from tessera.model.gpu import Gpu, GpuUse
from tessera.model.lease import (
    ENDS,
    GpuShare,
    Lease,
    LeaseRequest,
    LeaseState,
    Mode,
    Placement,
    ProcessId,
    Transport,
    check_weight,
)
from tessera.model.policy import DEFAULT_POLICY, PolicyChange, share_of
from tessera.model.stats import LeaseStats
from tessera.placement import Capacity, Demand, Request, occupied
from tessera.store import Store

_log = structlog.get_logger()

HOLDER_GRACE = 10.0
_SETTLE_LIMIT = 3.0


class LeaseService:
    """All leases of one daemon. Not thread-safe: belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        inventory: Inventory,
        runtime_folder: Path,
        reserve: int = 0,
        native_environment: Mapping[str, str] | None = None,
        policy: PolicyChange = DEFAULT_POLICY,
        placement: Placement = Placement.PACK,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        state_folder: Path | None = None,
        direct_files: Files | None = None,
    ) -> None:
        """`reserve` is the memory in bytes that is left free on each GPU; `policy` is the host's, for GPUs
        that were given none of their own, and so is `placement` for requests that name none. Suspended
        leases keep their state files under `state_folder`, by default the runtime folder."""
        self._store = store
        self._inventory = inventory
        self._runtime_folder = runtime_folder
        self._reserve = reserve
        self._environment = (
            environment.for_native_programs() if native_environment is None else native_environment
        )
        self._placement = placement
        self._now = now
        self._started_at = now()
        self.arbiters = Arbiters(
            runtime_folder, self._environment, store, self._uses, inventory.gpus, policy
        )
        self._shares = Shares()
        self.suspending = Suspending(self, StateFolder(state_folder or runtime_folder), now)
        self.direct = DirectLeases(self, now, direct_files or Files())
        self._leases: dict[str, Lease] = {}
        self._watches: dict[str, list[Watch]] = {}
        self._making: dict[str, asyncio.Event] = {}
        self._ending: dict[str, asyncio.Task[Lease]] = {}
        self.queue = Queue(
            self.known_capacities, lambda: self._leases.values(), self._book, self._unbook
        )

    async def start(self) -> None:
        """Adopts what an earlier daemon left, and cleans up what cannot be adopted. Raises StoreError."""
        adoption = Adoption(self._runtime_folder)
        self.suspending.clean()
        resized = []
        found = self._store.live()
        self._leases |= {lease.id: lease for lease in found}
        self._inventory.away = self.direct.gpus_away()
        for lease in found:
            verdict = adoption.judge(lease)
            if verdict.failure and lease.state is not LeaseState.FAILED:
                self.save(lease.advanced(LeaseState.FAILED, self._now(), verdict.failure))
            if verdict.release:
                self._end(lease.id, None)
            else:
                if self._take_size(lease.id):
                    resized.append(lease.id)
                self.watch(self._leases[lease.id])
                self.suspending.find_out(self._leases[lease.id])
                _log.info("lease adopted", lease=lease.name, state=self._leases[lease.id].state)
        await self._finish_endings()
        over = (LeaseState.FAILED, LeaseState.RELEASED)
        kept = {lease.id for lease in self._leases.values() if lease.state not in over}
        await adoption.clean(kept, set(self._leases))
        await self.arbiters.adopt(
            {share.gpu for lease in self._serving() for share in lease.gpus},
        )
        await self._tell_sizes(resized)
        boards = self.boards()
        for lease in self._serving():
            self._shares.begin(lease, boards)

    async def close(self) -> None:
        """Lets go of everything without ending a lease: the next daemon adopts them."""
        self.queue.close()
        for watches in self._watches.values():
            for watch in watches:
                watch.cancel()
        self._watches.clear()
        self.arbiters.close()
        await self.direct.close()
        tasks = [*self._ending.values(), *self.suspending.tasks()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def live_count(self) -> int:
        """Leases, and requests that wait to become some."""
        return len(self._leases) + len(self.queue)

    async def gpus(self) -> list[GpuUse]:
        """Every GPU with what its leases take. Raises ProbeFailed or NativeProgramMissing."""
        await self.settle()
        return [self._use_of(gpu) for gpu in await self._inventory.gpus()]

    async def leases(self, ended: bool = False) -> list[Lease]:
        """The live leases, oldest first, then those that wait; with `ended` the released ones first."""
        await self.settle()
        live = sorted(map(self._shown, self._leases.values()), key=lambda lease: lease.created_at)
        return [*(self._store.released() if ended else ()), *live, *self.queue.waiting()]

    async def find(self, key: str) -> Lease:
        """The lease with this id or name, released ones included. Raises LeaseNotFound."""
        await self.settle()
        lease = self._live(key) or self.queue.find(key) or self._store.find(key)
        if lease is None:
            raise LeaseNotFound(f"There is no lease '{key[:64]}'.", "`tessera ps -a` lists them.")
        return self._shown(lease)

    async def stats(self, key: str) -> LeaseStats:
        """What the lease's sessions do. Raises LeaseNotFound, LeaseNotActive, QuotaPageUnreadable."""
        lease = await self.find(key)
        refuse_direct(lease, "nothing of what it does passes through Tessera")
        if lease.state is not LeaseState.ACTIVE or lease.id in self._ending:
            raise LeaseNotActive(
                f"Lease {lease.name} is {lease.state}: it has no sessions.",
                f"`tessera show {lease.id}` tells how it ended.",
            )
        return self.measure(lease, self.boards())

    def boards(self) -> Boards:
        """A look at the boards of all GPUs."""
        return Boards(self.arbiters.board)

    def measure(self, lease: Lease, boards: Boards) -> LeaseStats:
        """What an active lease does, as of a look at the boards. Raises QuotaPageUnreadable."""
        page = quota.read_page(self.workspace(lease.id).quota)
        return quota.stats_of(lease, page, device_use(lease, boards, self._shares))

    async def grant(
        self, request: LeaseRequest, peer: Peer, leaving: Iterable[asyncio.Future[None]] = ()
    ) -> Lease:
        """Makes a lease; its environment holds the TCP token, which is shown only here.

        A request that waits for room is given up when one of `leaving` is done, or its holder has ended.
        Raises what Queue.enter() raises, NameInUse, InvalidRequest, NotPermitted, GatekeeperFailed and
        what the inventory and the workspace raise; then nothing of the lease is left but its record. For
        devices that are handed over whole see DirectLeases.grant().
        """
        if request.direct:
            return await self.direct.grant(request, peer)
        await self._inventory.gpus()
        await self.settle()
        try:
            lease = await self._admitted(request, peer, leaving)
        except NoCapacity as error:
            raise explained(error, self.direct.away()) from error
        files = self.workspace(lease.id)
        made = self._making[lease.id] = asyncio.Event()
        try:
            return await self._serve(lease, files, peer)
        except BaseException as error:
            reason = error.message if isinstance(error, TesseraError) else repr(error)
            self.give_up(lease, reason)
            await self._leave_gpus(lease)
            raise
        finally:
            del self._making[lease.id]
            made.set()

    async def release(
        self, key: str, peer: Peer, end_holder: bool = False, grace: float = HOLDER_GRACE
    ) -> Lease:
        """Ends a lease; with `end_holder` its holder is asked to end, and killed `grace` seconds later.

        Raises LeaseNotFound, NotPermitted.
        """
        lease = await self.owned(key, peer)
        if lease.state is LeaseState.RELEASED:
            return lease
        if lease.waiting:
            self.queue.stop(lease.id)
            return lease.advanced(LeaseState.RELEASED, self._now(), "Stopped while it waited.")
        if end_holder and lease.holder and lease.holder.pid != peer.pid:
            await _end_process(lease.holder, grace)
        return await asyncio.shield(self._end(lease.id, None))

    async def set_weight(self, key: str, weight: int, peer: Peer) -> Lease:
        """Changes what a lease counts for under the policy `weighted`, at once.

        Raises LeaseNotFound, NotPermitted, LeaseNotActive, InvalidRequest, BoardUnreadable or StoreError.
        """
        lease = await self.owned(key, peer)
        refuse_direct(lease, "it shares no time with others")
        if lease.state in ENDS or lease.waiting:
            raise LeaseNotActive(
                f"Lease {lease.name} is {lease.state}: it has no weight.",
                "`tessera ps` lists others.",
            )
        await self._inventory.gpus()
        changed = self._leases[lease.id].model_copy(update={"weight": check_weight(weight)})
        self.save(changed)
        self.tell_arbiters(changed)
        return self._shown(changed)

    def step(self, lease: Lease) -> None:
        """Writes down how far a lease has come, unless it is ending: who ends it waits for nobody.

        Raises LeaseNotFound.
        """
        if lease.id not in self._leases or lease.id in self._ending:
            raise LeaseNotFound(
                f"Lease {lease.name} ended meanwhile.", "`tessera ps -a` shows how."
            )
        self.save(lease)
        self.queue.advance()

    async def settle(self) -> None:
        """Takes in the ends of processes that already happened, so that answers are not stale."""
        for watches in [*self._watches.values()]:
            for watch in [*watches]:
                watch.check()
        self.arbiters.check()
        await self._finish_endings()

    async def _finish_endings(self) -> None:
        if self._ending:
            await asyncio.wait(list(self._ending.values()), timeout=_SETTLE_LIMIT)

    async def _admitted(
        self, request: LeaseRequest, peer: Peer, leaving: Iterable[asyncio.Future[None]]
    ) -> Lease:
        check_priority(request, peer)
        lease = self.draft(request, peer)
        holder = lease.holder
        now = self._now()
        since = place_in_time(request, holder, self._started_at, now)
        wanted = Request(
            id=lease.id,
            demand=Demand.of(request, request.gpus),
            arrival=since.timestamp(),
            priority=request.priority,
            strategy=request.placement or self._placement,
        )
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watch = Watch(holder, lambda: ended.set_result(None)) if holder else None
        try:
            return await self.queue.enter(
                lease, wanted, since, request.wait_seconds, [*leaving, ended]
            )
        finally:
            if watch:
                watch.cancel()

    def draft(self, request: LeaseRequest, peer: Peer) -> Lease:
        """A lease without GPUs. Raises NameInUse, InvalidRequest or NotPermitted."""
        lease = draft(request, peer, self._now())
        if self._live(lease.name) or self.queue.find(lease.name):
            raise NameInUse(
                f"A lease named {lease.name} is there already.",
                f"Choose another --name, or end it with: tessera stop {lease.name}",
            )
        return lease

    def _book(self, lease: Lease, shares: tuple[GpuShare, ...]) -> Lease:
        now = self._now()
        booked = lease.model_copy(update={"gpus": shares, "created_at": now, "updated_at": now})
        self.save(booked)
        return booked

    def _unbook(self, lease: Lease) -> None:
        reason = "Nobody was left to take the lease."
        self._forget(lease.advanced(LeaseState.FAILED, self._now(), reason))

    async def _serve(self, lease: Lease, files: Workspace, peer: Peer) -> Lease:
        files.create()
        token = files.make_token() if lease.transport is Transport.TCP else None
        started = await starting.start(
            lease, files, self.devices(lease), self.arbiters, self._environment
        )
        lease = lease.model_copy(
            update={
                "gatekeeper": started.process,
                "endpoint": started.endpoint,
                "environment": environment.for_workload(
                    lease.id,
                    started.endpoint,
                    str(files.vendors),
                    str(native.find(native.CLIENT_LIBRARY)),
                    lease.identity,
                ),
                "environment_unset": environment.UNSET_IN_WORKLOAD,
            }
        )
        try:
            if peer.is_somebody_else:
                files.grant_access(peer.uid)
            lease = lease.advanced(LeaseState.ACTIVE, self._now())
            self.save(lease)
        except BaseException:
            await spawn.stop(started.process)
            raise
        self.watch(lease)
        self._shares.begin(lease, self.boards())
        _log.info("lease granted", lease=lease.name, id=lease.id, memory=lease.memory)
        return lease if token is None else _with_token(lease, token)

    def watch(self, lease: Lease) -> None:
        """Ends the lease with its holder, and fails it with its gatekeeper."""
        watches = self._watches.setdefault(lease.id, [])
        if lease.gatekeeper and lease.state not in (LeaseState.FAILED, LeaseState.RELEASED):
            watches.append(Watch(lease.gatekeeper, lambda: self._gatekeeper_ended(lease.id)))
        if lease.holder:
            watches.append(Watch(lease.holder, lambda: self._holder_ended(lease.id)))

    def _holder_ended(self, lease_id: str) -> None:
        self._end(lease_id, None)

    def _gatekeeper_ended(self, lease_id: str) -> None:
        lease = self._leases.get(lease_id)
        if lease is None or lease.gatekeeper is None or lease_id in self._ending:
            return
        code = process.reap(lease.gatekeeper.pid)
        how = "ended" if code is None else f"ended with code {code}"
        said = self.workspace(lease_id).log_tail()[-500:]
        reason = f"Its gatekeeper {how}. {said}".strip()
        _log.error("lease failed", lease=lease.name, reason=reason)
        failed = lease.advanced(LeaseState.FAILED, self._now(), reason)
        self._leases[lease_id] = failed
        self.queue.advance()
        if lease.holder is None or process.is_alive(lease.holder):
            self._record(failed)
            self.arbiters.retire_soon(share.gpu for share in lease.gpus)
        else:
            self._end(lease_id, reason)

    def _end(self, lease_id: str, reason: str | None) -> asyncio.Task[Lease]:
        if lease_id not in self._ending:
            task = asyncio.get_running_loop().create_task(self._run_end(lease_id, reason))
            self._ending[lease_id] = task
            task.add_done_callback(lambda done: self._ended(lease_id, done))
        return self._ending[lease_id]

    def _ended(self, lease_id: str, done: asyncio.Task[Lease]) -> None:
        self._ending.pop(lease_id, None)
        if not done.cancelled() and (error := done.exception()):
            _log.error("lease not ended", id=lease_id, error=str(error))

    async def _run_end(self, lease_id: str, reason: str | None) -> Lease:
        if made := self._making.get(lease_id):
            await made.wait()
        for watch in self._watches.pop(lease_id, []):
            watch.cancel()
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFound(f"Lease {lease_id} failed while it was made.", "Ask again.")
        if lease.gatekeeper:
            await spawn.stop(lease.gatekeeper)
        if lease.direct and (failure := await self.direct.give_back(lease)):
            return self.fail(lease, failure)
        released = lease.advanced(LeaseState.RELEASED, self._now(), reason)
        self._forget(released)
        _log.info("lease released", lease=lease.name, id=lease.id)
        await self._leave_gpus(lease)
        return released

    def _forget(self, lease: Lease) -> None:
        """The lease is over: its folder goes, its memory is free, its record stays in the store."""
        self.workspace(lease.id).remove()
        self.suspending.forget(lease.id)
        self._leases.pop(lease.id, None)
        self._shares.end(lease.id)
        if lease.state is not LeaseState.RELEASED:
            lease = lease.advanced(LeaseState.RELEASED, self._now())
        self._record(lease)
        self.queue.forget(lease.id)
        self.queue.advance()

    def _record(self, lease: Lease) -> None:
        """Writes what already happened. If that fails, the next daemon finds the old row and no
        gatekeeper to it, and writes the end then."""
        try:
            self._store.save(lease)
        except TesseraError as error:
            _log.error("lease not recorded", lease=lease.name, to=lease.state, error=error.message)

    def save(self, lease: Lease) -> None:
        """Raises StoreError or DiskFull; then nothing has changed."""
        self._store.save(lease)
        self._leases[lease.id] = lease

    def correct(self, lease: Lease) -> None:
        """Takes in what a live lease turned out to be."""
        self._leases[lease.id] = lease
        self._record(lease)

    def live(self, lease_id: str) -> Lease | None:
        return self._leases.get(lease_id)

    def all(self) -> list[Lease]:
        """The leases that are not released."""
        return [*self._leases.values()]

    def fail(self, lease: Lease, reason: str) -> Lease:
        """The lease stays listed with the reason, until somebody ends it."""
        if lease.state is LeaseState.FAILED:
            lease = lease.model_copy(update={"reason": reason})
        else:
            lease = lease.advanced(LeaseState.FAILED, self._now(), reason)
        self.correct(lease)
        return lease

    def give_up(self, lease: Lease, reason: str) -> None:
        """A lease that could not be made is over."""
        _log.warning("lease failed", lease=lease.name, reason=reason)
        self._forget(lease.advanced(LeaseState.FAILED, self._now(), reason))

    async def listed(self) -> tuple[Gpu, ...]:
        """The GPUs of the inventory. Raises ProbeFailed or NativeProgramMissing."""
        return await self._inventory.gpus()

    async def owned(self, key: str, peer: Peer) -> Lease:
        """The lease, if `peer` may manage it. Raises LeaseNotFound or NotPermitted."""
        lease = await self.find(key)
        if not peer.may_manage(lease.owner_uid):
            raise NotPermitted(
                f"Lease {lease.name} belongs to user {lease.owner_uid}.", "Ask its owner or root."
            )
        return lease

    def _take_size(self, lease_id: str) -> bool:
        """Whether an earlier daemon ended between a change of the quota page and that of the record."""
        lease = self._leases[lease_id]
        if lease.state is not LeaseState.ACTIVE or lease.mode is Mode.DIRECT:
            return False
        try:
            there = agreed(lease, quota.read_page(self.workspace(lease_id).quota))
        except QuotaPageUnreadable as error:
            _log.warning("size not known", lease=lease.name, error=error.message)
            return False
        if there == lease:
            return False
        _log.info("lease resized by an earlier daemon", lease=lease.name, memory=there.memory)
        self.correct(there)
        return True

    def tell_arbiters(self, lease: Lease) -> None:
        """Lets the arbiters know a lease's weight and share. Raises BoardUnreadable."""
        self.arbiters.refresh(lease, _shares_ppm(lease.gpus, self._inventory.known))

    async def _tell_sizes(self, resized: Iterable[str]) -> None:
        """What an earlier daemon did not come to tell."""
        for lease in (self._leases[lease_id] for lease_id in resized):
            try:
                await self._inventory.gpus()
                self.tell_arbiters(lease)
            except TesseraError as error:
                _log.warning("share not on the board", lease=lease.name, error=error.message)

    async def _leave_gpus(self, lease: Lease) -> None:
        await self.arbiters.retire(share.gpu for share in lease.gpus)

    def _serving(self) -> list[Lease]:
        """The leases that have a gatekeeper, or are to have one again."""
        return [
            lease
            for lease in self._leases.values()
            if lease.state not in ENDS and lease.mode is Mode.SHARED
        ]

    def _uses(self, gpu: str) -> bool:
        return any(share.gpu == gpu for lease in self._serving() for share in lease.gpus)

    def _shown(self, lease: Lease) -> Lease:
        if lease.state in ENDS:
            return lease
        conditions = self.arbiters.conditions(share.gpu for share in lease.gpus)
        return lease.model_copy(update={"conditions": conditions})

    def _live(self, key: str) -> Lease | None:
        by_name = (lease for lease in self._leases.values() if lease.name == key)
        return self._leases.get(key) or next(by_name, None)

    def workspace(self, lease_id: str) -> Workspace:
        return workspace.Workspace(self._runtime_folder, lease_id)

    def devices(self, lease: Lease) -> tuple[gatekeeper.DeviceShare, ...]:
        """Where its shares are, for its gatekeeper. The inventory knows its GPUs."""
        by_id = {gpu.id: gpu for gpu in self._inventory.known}
        ppm = _shares_ppm(lease.gpus, self._inventory.known)
        return tuple(
            gatekeeper.DeviceShare(
                platform_index=by_id[share.gpu].platform_index,
                device_index=by_id[share.gpu].device_index,
                memory=share.memory,
                board=self.arbiters.board(share.gpu),
                share_ppm=ppm[share.gpu],
            )
            for share in lease.gpus
        )

    def _shares_on(self, gpu: Gpu) -> list[tuple[str, int]]:
        return [
            (lease.name, share.memory)
            for lease in self._leases.values()
            if lease.holds_memory
            for share in lease.gpus
            if share.gpu == gpu.id
        ]

    def known_capacities(self) -> list[Capacity]:
        """The GPUs as far as the inventory knows them already, with nothing leased."""
        return [self._capacity(gpu) for gpu in self._inventory.known]

    def _capacity(self, gpu: Gpu) -> Capacity:
        node = gpu.pci.numa_node if gpu.pci else None
        # A worker would take another GPU for it.
        hidden = is_out_of_place(gpu, self.direct.gpus_away())
        reserve = gpu.memory if hidden else min(self._reserve, gpu.memory)
        return Capacity(gpu.id, gpu.memory, reserve, numa_node=node)

    def usable(self, gpu: Gpu) -> int:
        """The bytes of a GPU that leases can have at most."""
        return self._capacity(gpu).usable

    def _use_of(self, gpu: Gpu) -> GpuUse:
        (capacity,) = occupied([self._capacity(gpu)], self.queue.running())
        return GpuUse(
            **gpu.model_dump(),
            reserve=capacity.reserve,
            leased=capacity.leased,
            free=capacity.free,
            leases=tuple(name for name, _ in self._shares_on(gpu)),
            direct=self.direct.away().get(gpu.id),
        )


def _shares_ppm(shares: tuple[GpuShare, ...], gpus: tuple[Gpu, ...]) -> dict[str, int]:
    memory = {gpu.id: gpu.memory for gpu in gpus}
    return {share.gpu: share_of(share.memory, memory[share.gpu]) for share in shares}


def _with_token(lease: Lease, token: str) -> Lease:
    unset = tuple(name for name in lease.environment_unset if name != "TESSERA_TOKEN")
    variables = {**lease.environment, "TESSERA_TOKEN": token}
    return lease.model_copy(update={"environment": variables, "environment_unset": unset})


async def _end_process(holder: ProcessId, grace: float) -> None:
    # A stopped process does not see a TERM before it goes on.
    if process.send(holder, signal.SIGTERM):
        process.send(holder, signal.SIGCONT)
        if not await wait_for_exit(holder, grace):
            process.send(holder, signal.SIGKILL)
