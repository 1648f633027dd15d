# SPDX-License-Identifier: Apache-2.0
"""The life of leases: granted, watched, adopted after a restart, released.

Everything here runs on one event loop, and that is what makes it simple: between two awaits nothing else
happens. Two rules follow.

- A lease's memory is booked before the first await of its creation and given back only when its
  gatekeeper is really gone, so two requests can never be promised the same bytes.
- Ending a lease is one task, whoever asks for it (its holder's end, a DELETE, the gatekeeper's death); who
  asks again joins that task.

The store is written at each step and read only at start: a daemon that is killed anywhere leaves a row
from which the next one can tell what to adopt and what to clean up. (A daemon that asked the database for
each decision was refused: it would need transactions around process starts, which cannot be rolled back.)
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from tessera.inventory import Inventory
from tessera.leases import environment, gatekeeper, process, quota, spawn, suspension, workspace
from tessera.leases.adoption import Adoption
from tessera.leases.arbiters import Arbiters
from tessera.leases.peer import Peer
from tessera.leases.usage import Boards, Shares, device_use
from tessera.leases.watch import Watch, wait_for_exit
from tessera.leases.workspace import Workspace
from tessera.model.errors import (
    InvalidRequest,
    LeaseNotActive,
    LeaseNotFound,
    NameInUse,
    NotPermitted,
    TesseraError,
)
from tessera.model.gpu import Gpu, GpuUse
from tessera.model.lease import (
    ENDS,
    GpuShare,
    Lease,
    LeaseRequest,
    LeaseState,
    ProcessId,
    Transport,
    check_weight,
)
from tessera.model.policy import DEFAULT_POLICY, PolicyChange, share_of
from tessera.model.stats import LeaseStats
from tessera.model.suspension import Keep, SuspendNeeds
from tessera.model.units import parse_fraction
from tessera.placement import Capacity, Demand, place
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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        state_folder: Path | None = None,
    ) -> None:
        """`reserve` is the memory in bytes that is left free on each GPU; `policy` is the host's, for GPUs
        that were given none of their own. Suspended leases keep their state files under `state_folder`,
        by default the runtime folder."""
        self._store = store
        self._inventory = inventory
        self._runtime_folder = runtime_folder
        self._reserve = reserve
        self._environment = (
            environment.for_native_programs() if native_environment is None else native_environment
        )
        self._now = now
        self.arbiters = Arbiters(runtime_folder, self._environment, store, self._uses, policy)
        self._shares = Shares()
        self._states = suspension.StateFolder(state_folder or runtime_folder)
        self._settling: set[asyncio.Task[None]] = set()
        self._leases: dict[str, Lease] = {}
        self._watches: dict[str, list[Watch]] = {}
        self._making: dict[str, asyncio.Event] = {}
        self._ending: dict[str, asyncio.Task[Lease]] = {}

    async def start(self) -> None:
        """Adopts what an earlier daemon left, and cleans up what cannot be adopted. Raises StoreError."""
        adoption = Adoption(self._runtime_folder)
        for lease in self._store.live():
            self._leases[lease.id] = lease
            verdict = adoption.judge(lease)
            if verdict.failure and lease.state is not LeaseState.FAILED:
                self._save(lease.advanced(LeaseState.FAILED, self._now(), verdict.failure))
            if verdict.release:
                self._end(lease.id, None)
            else:
                self._watch(self._leases[lease.id])
                self._find_out(self._leases[lease.id])
                _log.info("lease adopted", lease=lease.name, state=self._leases[lease.id].state)
        await self._finish_endings()
        over = (LeaseState.FAILED, LeaseState.RELEASED)
        kept = {lease.id for lease in self._leases.values() if lease.state not in over}
        await adoption.clean(kept, set(self._leases))
        await self.arbiters.adopt(
            {share.gpu for lease in self._serving() for share in lease.gpus},
        )
        boards = self.boards()
        for lease in self._serving():
            self._shares.begin(lease, boards)

    async def close(self) -> None:
        """Lets go of everything without ending a lease: the next daemon adopts them."""
        for watches in self._watches.values():
            for watch in watches:
                watch.cancel()
        self._watches.clear()
        self.arbiters.close()
        tasks = [*self._ending.values(), *self._settling]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def live_count(self) -> int:
        return len(self._leases)

    async def gpus(self) -> list[GpuUse]:
        """Every GPU with what its leases take. Raises ProbeFailed or NativeProgramMissing."""
        await self.settle()
        return [self._use_of(gpu) for gpu in await self._inventory.gpus()]

    async def leases(self, ended: bool = False) -> list[Lease]:
        """The live leases, oldest first; with `ended` the released ones before them."""
        await self.settle()
        live = sorted(map(self._shown, self._leases.values()), key=lambda lease: lease.created_at)
        return [*self._store.released(), *live] if ended else live

    async def find(self, key: str) -> Lease:
        """The lease with this id or name, released ones included. Raises LeaseNotFound."""
        await self.settle()
        lease = self._live(key) or self._store.find(key)
        if lease is None:
            raise LeaseNotFound(f"There is no lease '{key[:64]}'.", "`tessera ps -a` lists them.")
        return self._shown(lease)

    async def stats(self, key: str) -> LeaseStats:
        """What the lease's sessions do. Raises LeaseNotFound, LeaseNotActive, QuotaPageUnreadable."""
        lease = await self.find(key)
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
        page = quota.read_page(self._workspace(lease.id).quota)
        return quota.stats_of(lease, page, device_use(lease, boards, self._shares))

    async def grant(self, request: LeaseRequest, peer: Peer) -> Lease:
        """Makes a lease; its environment holds the TCP token, which is shown only here.

        Raises NoCapacity, NameInUse, InvalidRequest, NotPermitted, GatekeeperFailed and what the
        inventory and the workspace raise; then nothing of the lease is left but its record.
        """
        gpus = await self._inventory.gpus()
        await self.settle()
        holder = self._holder(request, peer)
        lease = self._book(request, gpus, holder, peer)
        files = self._workspace(lease.id)
        made = self._making[lease.id] = asyncio.Event()
        try:
            return await self._serve(lease, files, gpus, peer)
        except BaseException as error:
            reason = error.message if isinstance(error, TesseraError) else repr(error)
            _log.warning("lease failed", lease=lease.name, reason=reason)
            self._forget(lease.advanced(LeaseState.FAILED, self._now(), reason))
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
        lease = await self._managed(key, peer)
        if lease.state is LeaseState.RELEASED:
            return lease
        if end_holder and lease.holder and lease.holder.pid != peer.pid:
            await _end_process(lease.holder, grace)
        return await asyncio.shield(self._end(lease.id, None))

    async def set_weight(self, key: str, weight: int, peer: Peer) -> Lease:
        """Changes what a lease counts for under the policy `weighted`, at once.

        Raises LeaseNotFound, NotPermitted, LeaseNotActive, InvalidRequest, BoardUnreadable or StoreError.
        """
        lease = await self._managed(key, peer)
        if lease.state in ENDS:
            raise LeaseNotActive(
                f"Lease {lease.name} is {lease.state}: it has no weight.",
                "`tessera ps` lists others.",
            )
        gpus = await self._inventory.gpus()
        changed = self._leases[lease.id].model_copy(update={"weight": check_weight(weight)})
        self._save(changed)
        self.arbiters.refresh(changed, _shares_ppm(changed.gpus, gpus))
        return self._shown(changed)

    async def suspend_check(self, key: str, peer: Peer) -> SuspendNeeds:
        """Whether the lease can be suspended now, and what that takes.

        Raises LeaseNotFound, NotPermitted, LeaseNotActive, AlreadySuspended, SuspendUnsupported,
        ControlFailed.
        """
        lease = await self._managed(key, peer)
        return await suspension.check(lease, self._workspace(lease.id).control, self._states)

    async def suspend(self, key: str, to: Keep, peer: Peer) -> Lease:
        """Copies out what the lease has on its GPUs and frees them; its workload waits from here on.

        Raises as suspend_check(), and SuspendFailed; the lease then goes on as it was.
        """
        lease = await self._managed(key, peer)
        socket = self._workspace(lease.id).control
        suspended = await suspension.suspend(lease, to, socket, self._states, self._step, self._now)
        self.arbiters.retire_soon(share.gpu for share in lease.gpus)
        return suspended

    async def resume(self, key: str, wanted: tuple[str, ...], peer: Peer) -> Lease:
        """Puts a suspended lease back on its GPUs, or on those `wanted`, or where it fits.

        Raises LeaseNotFound, NotPermitted, NotSuspended, NoCapacity, ResumeRefused,
        DeviceLacksFeature, StateFileDamaged, StateFileOtherVersion, ControlFailed and what the
        inventory raises; the lease then is suspended as before.
        """
        gpus = await self._inventory.gpus()
        lease = await self._managed(key, peer)
        shares = lease.gpus
        if lease.state is LeaseState.SUSPENDED:
            capacities = [self._capacity(gpu) for gpu in gpus]
            shares = suspension.placed_again(lease, wanted, capacities)
            for share in shares:
                await self.arbiters.serve(share.gpu)
        moved = lease.model_copy(update={"gpus": shares})
        socket = self._workspace(lease.id).control
        try:
            resumed = await suspension.resume(
                lease,
                shares,
                self._devices(moved, gpus),
                socket,
                self._states,
                self._step,
                self._now,
            )
        finally:
            # Those that it left, or did not come to.
            self.arbiters.retire_soon({share.gpu for share in (*lease.gpus, *shares)})
        self.arbiters.refresh(resumed, _shares_ppm(shares, gpus))
        return resumed

    async def _managed(self, key: str, peer: Peer) -> Lease:
        lease = await self.find(key)
        _check_owner(lease, peer)
        return lease

    def _step(self, lease: Lease) -> None:
        # Who ends a lease does not wait for who suspends it.
        if lease.id not in self._leases or lease.id in self._ending:
            raise LeaseNotFound(
                f"Lease {lease.name} ended meanwhile.", "`tessera ps -a` shows how."
            )
        self._save(lease)

    def _find_out(self, lease: Lease) -> None:
        """An earlier daemon ended while it suspended or resumed this lease."""
        if lease.state not in (LeaseState.SUSPENDING, LeaseState.RESUMING):
            return

        async def ask() -> None:
            try:
                socket = self._workspace(lease.id).control
                self._step(await suspension.settled(lease, socket, self._now))
            except TesseraError as error:
                _log.error("state of a lease unknown", lease=lease.name, error=error.message)

        task = asyncio.get_running_loop().create_task(ask())
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

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

    def _holder(self, request: LeaseRequest, peer: Peer) -> ProcessId | None:
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

    def _book(
        self,
        request: LeaseRequest,
        gpus: tuple[Gpu, ...],
        holder: ProcessId | None,
        peer: Peer,
    ) -> Lease:
        fraction = parse_fraction(request.fraction) if request.fraction else None
        demand = Demand(request.gpus, request.memory, fraction)
        shares = place(demand, [self._capacity(gpu) for gpu in gpus])
        lease_id = secrets.token_hex(6)
        name = request.name or _default_name(request.command, lease_id)
        if self._live(name):
            raise NameInUse(
                f"A lease named {name} is there already.",
                f"Choose another --name, or end it with: tessera stop {name}",
            )
        now = self._now()
        lease = Lease(
            id=lease_id,
            name=name,
            state=LeaseState.PENDING,
            transport=request.transport,
            identity=request.identity,
            gpus=shares,
            weight=request.weight,
            command=request.command,
            holder=holder,
            owner_uid=peer.uid,
            created_at=now,
            updated_at=now,
        )
        self._save(lease)
        return lease

    async def _serve(
        self, lease: Lease, files: Workspace, gpus: tuple[Gpu, ...], peer: Peer
    ) -> Lease:
        files.create()
        token = files.make_token() if lease.transport is Transport.TCP else None
        for share in lease.gpus:
            await self.arbiters.serve(share.gpu)
        devices = self._devices(lease, gpus)
        started = await gatekeeper.start(
            lease.id, files, devices, lease.weight, lease.transport, self._environment
        )
        lease = lease.model_copy(
            update={
                "gatekeeper": started.process,
                "endpoint": started.endpoint,
                "environment": environment.for_workload(
                    lease.id, started.endpoint, str(files.vendors), lease.identity
                ),
                "environment_unset": environment.UNSET_IN_WORKLOAD,
            }
        )
        try:
            if peer.is_somebody_else:
                files.grant_access(peer.uid)
            lease = lease.advanced(LeaseState.ACTIVE, self._now())
            self._save(lease)
        except BaseException:
            await spawn.stop(started.process)
            raise
        self._watch(lease)
        self._shares.begin(lease, self.boards())
        _log.info("lease granted", lease=lease.name, id=lease.id, memory=lease.memory)
        return lease if token is None else _with_token(lease, token)

    def _watch(self, lease: Lease) -> None:
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
        said = self._workspace(lease_id).log_tail()[-500:]
        reason = f"Its gatekeeper {how}. {said}".strip()
        _log.error("lease failed", lease=lease.name, reason=reason)
        failed = lease.advanced(LeaseState.FAILED, self._now(), reason)
        self._leases[lease_id] = failed
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
        released = lease.advanced(LeaseState.RELEASED, self._now(), reason)
        self._forget(released)
        _log.info("lease released", lease=lease.name, id=lease.id)
        await self._leave_gpus(lease)
        return released

    def _forget(self, lease: Lease) -> None:
        """The lease is over: its folder goes, its memory is free, its record stays in the store."""
        self._workspace(lease.id).remove()
        self._states.remove(lease.id)
        self._leases.pop(lease.id, None)
        self._shares.end(lease.id)
        if lease.state is not LeaseState.RELEASED:
            lease = lease.advanced(LeaseState.RELEASED, self._now())
        self._record(lease)

    def _record(self, lease: Lease) -> None:
        """Writes what already happened. If that fails, the next daemon finds the old row and no
        gatekeeper to it, and writes the end then."""
        try:
            self._store.save(lease)
        except TesseraError as error:
            _log.error("lease not recorded", lease=lease.name, to=lease.state, error=error.message)

    def _save(self, lease: Lease) -> None:
        self._store.save(lease)
        self._leases[lease.id] = lease

    async def _leave_gpus(self, lease: Lease) -> None:
        await self.arbiters.retire(share.gpu for share in lease.gpus)

    def _serving(self) -> list[Lease]:
        """The leases that have a gatekeeper, or are to have one again."""
        return [lease for lease in self._leases.values() if lease.state not in ENDS]

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

    def _workspace(self, lease_id: str) -> Workspace:
        return workspace.Workspace(self._runtime_folder, lease_id)

    def _devices(self, lease: Lease, gpus: tuple[Gpu, ...]) -> tuple[gatekeeper.DeviceShare, ...]:
        by_id = {gpu.id: gpu for gpu in gpus}
        ppm = _shares_ppm(lease.gpus, gpus)
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

    def _capacity(self, gpu: Gpu) -> Capacity:
        leased = sum(memory for _, memory in self._shares_on(gpu))
        return Capacity(gpu.id, gpu.memory, min(self._reserve, gpu.memory), leased)

    def _use_of(self, gpu: Gpu) -> GpuUse:
        capacity = self._capacity(gpu)
        return GpuUse(
            **gpu.model_dump(),
            reserve=capacity.reserve,
            leased=capacity.leased,
            free=capacity.free,
            leases=tuple(name for name, _ in self._shares_on(gpu)),
        )


def _default_name(command: tuple[str, ...], lease_id: str) -> str:
    program = Path(command[0]).name if command else ""
    readable = "".join(char for char in program if char.isascii() and char.isalnum())[:24]
    return f"{readable or 'lease'}-{lease_id[:4]}"


def _check_owner(lease: Lease, peer: Peer) -> None:
    if not peer.may_manage(lease.owner_uid):
        raise NotPermitted(
            f"Lease {lease.name} belongs to user {lease.owner_uid}.", "Ask its owner or root."
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
