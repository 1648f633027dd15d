# SPDX-License-Identifier: Apache-2.0
"""Direct leases: devices handed over whole to a machine, for as long as the process that runs it lives.

    examined -> written down (pending) -> bound -> active -> given back -> released
                                                                 |
                                                                 +------> failed, where a device stays

Three rules make that safe.
- What a device was before is in the store before anything about it is changed. A daemon that dies anywhere
  leaves a row from which the next one gives back (tessera.leases.adoption says which rows it keeps).
- One change of the host at a time, and each from one look at it: the lock.
- A change runs to its end, whoever is no longer interested: a thread that talks to the kernel cannot be called
  off, and what it did must be known. So a request that is gone leaves a lease whose holder is gone.

A direct lease never moves: its memory is in its devices, which nobody can copy out of here (no device that
this could be tried with can migrate, and QEMU 7.2 offers it for none).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from tessera.direct import nodes
from tessera.direct.binding import Binder
from tessera.direct.files import Files
from tessera.direct.host import look
from tessera.direct.plan import plan
from tessera.direct.preflight import Machine, group_findings, host_findings, preflight
from tessera.direct.wanted import parse
from tessera.leases import process
from tessera.leases.direct_uses import (
    gpus_away,
    heirs,
    not_gpus,
    parents_made,
    refusal,
    uses_of,
)
from tessera.leases.peer import Peer
from tessera.model.direct import (
    DirectCheck,
    DirectDevice,
    DirectFinding,
    DirectUse,
    DirectView,
)
from tessera.model.errors import HostError, TesseraError
from tessera.model.gpu import Gpu
from tessera.model.lease import GpuShare, Lease, LeaseRequest, LeaseState, Mode

if TYPE_CHECKING:
    from tessera.leases.service import LeaseService

_log = structlog.get_logger()

_HUGE_PAGES = "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
_HUGE_PAGE = 2 << 20


class DirectLeases:
    """Belongs to the event loop of its LeaseService."""

    def __init__(
        self,
        leases: LeaseService,
        now: Callable[[], datetime],
        files: Files,
        binder: Binder | None = None,
    ) -> None:
        self._leases = leases
        self._now = now
        self._files = files
        self._binder = binder or Binder(files)
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Lease]] = set()

    async def view(self) -> DirectView:
        """What could be handed over, and what is."""
        host = await asyncio.to_thread(look, self._files)
        gpus = await self._gpus()
        taken = uses_of(self._live(), {}).direct
        ids = {gpu.pci.address: gpu.id for gpu in gpus.values() if gpu.pci}
        return DirectView(
            functions=tuple(
                DirectUse(
                    **each.model_dump(),
                    lease=taken.get(each.address),
                    gpu=ids.get(each.address),
                )
                for each in host.functions
            ),
            parents=host.parents,
            mediated=host.mediated,
            findings=tuple(host_findings(host)),
        )

    async def check(self, request: LeaseRequest, peer: Peer) -> DirectCheck:
        """What would become of a request. Raises InvalidDirectDevice."""
        devices, findings = await self._examine(request, peer)
        keys = tuple(device.key for device in devices)
        return DirectCheck(devices=keys, findings=tuple(findings))

    async def grant(self, request: LeaseRequest, peer: Peer) -> Lease:
        """A lease of all devices asked for, bound to VFIO.

        Raises InvalidDirectDevice, DirectDeviceNotFound, DirectRefused, DirectFailed, NameInUse,
        InvalidRequest, NotPermitted, StoreError or DiskFull; then the devices are as they were.
        """
        await self._leases.settle()
        task = asyncio.get_running_loop().create_task(self._grant(request, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def give_back(self, lease: Lease) -> str:
        """Gives the devices of a lease back to their drivers; what did not work, if anything."""
        async with self._lock:
            try:
                await asyncio.to_thread(self._binder.give_back, lease.direct, self._kept(lease))
            except TesseraError as error:
                _log.error("devices not given back", lease=lease.name, reason=error.message)
                return error.message
        return ""

    def away(self) -> dict[str, str]:
        """The lease whose machine has a GPU, by the GPU's id."""
        return {
            device.gpu.id: lease.name
            for lease in self._live()
            for device in lease.direct
            if device.gpu
        }

    def gpus_away(self) -> tuple[Gpu, ...]:
        """The GPUs that machines have."""
        return tuple(gpus_away(self._live()).values())

    async def close(self) -> None:
        """Returns when no change is under way any more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _kept(self, lease: Lease) -> set[str]:
        """The functions whose virtual functions other leases use."""
        others = [each for each in self._live() if each.id != lease.id]
        return {device.parent for each in others for device in each.direct if device.parent}

    def _live(self) -> list[Lease]:
        return [lease for lease in self._leases.all() if lease.mode is Mode.DIRECT]

    async def _grant(self, request: LeaseRequest, peer: Peer) -> Lease:
        async with self._lock:
            devices, findings = await self._examine(request, peer)
            if findings:
                raise refusal(request.direct, findings)
            draft = self._leases.draft(request, peer)
            shares = tuple(
                GpuShare(gpu=device.gpu.id, memory=self._leases.usable(device.gpu))
                for device in devices
                if device.gpu
            )
            update = {"mode": Mode.DIRECT, "gpus": shares, "direct": tuple(devices)}
            lease = draft.model_copy(update=update)
            self._leases.save(lease)
            try:
                lease = await self._take(lease)
                self._leases.save(lease)
            except BaseException as error:
                await self._undo(lease, error)
                raise
        self._leases.watch(lease)
        _log.info("devices handed over", lease=lease.name, devices=[d.key for d in lease.direct])
        return lease

    async def _take(self, lease: Lease) -> Lease:
        devices = await asyncio.to_thread(self._binder.take, lease.direct, self._kept(lease))
        await asyncio.to_thread(self._open_to, devices, lease.owner_uid)
        bound = lease.model_copy(update={"direct": devices})
        return bound.advanced(LeaseState.ACTIVE, self._now())

    def _open_to(self, devices: Sequence[DirectDevice], uid: int) -> None:
        """Lets the lease's owner open its groups. What was made only now is looked at once more."""
        host = look(self._files)
        asked = {device.key for device in devices}
        findings = [
            finding
            for device in devices
            if device.made and device.group is not None and host.function(device.key)
            for finding in group_findings(device.key, device.group, host, asked)
        ]
        if findings:
            raise refusal([device.key for device in devices], findings)
        nodes.settle()
        groups = {device.group for device in devices if device.group is not None}
        try:
            nodes.give((nodes.of_group(self._files.root, group) for group in groups), uid)
        except OSError as error:
            raise HostError(
                f"{error.filename} cannot be given to user {uid}: {error.strerror}.",
                "Run tesserad as root, with the host's /dev/vfio.",
            ) from error

    async def _undo(self, lease: Lease, error: BaseException) -> None:
        reason = error.message if isinstance(error, TesseraError) else repr(error)
        try:
            await asyncio.to_thread(self._binder.give_back, lease.direct, self._kept(lease))
        except TesseraError as failure:
            self._leases.fail(lease, f"{reason} {failure.message}")
            self._leases.watch(self._leases.live(lease.id) or lease)
        else:
            self._leases.give_up(lease, reason)

    async def _examine(
        self, request: LeaseRequest, peer: Peer
    ) -> tuple[list[DirectDevice], list[DirectFinding]]:
        wanted = [parse(text) for text in request.direct]
        gpus = await self._gpus()
        host = await asyncio.to_thread(look, self._files)
        uses = uses_of(self._leases.all(), gpus)
        found = plan(wanted, host, gpus, uses.direct.keys())
        devices = heirs(found.devices, parents_made(self._live()))
        findings = found.findings
        machine = self._machine(request, peer)
        if devices or not findings:
            findings = findings + preflight(devices, host, uses, machine, request.without_reset)
        if peer.uid != 0:
            addresses = {gpu.pci.address for gpu in gpus.values() if gpu.pci}
            findings = findings + not_gpus(devices, host, addresses)
        return devices, findings

    def _machine(self, request: LeaseRequest, peer: Peer) -> Machine:
        holder = request.holder_pid or peer.pid
        free = self._files.number(self._files.root / _HUGE_PAGES) or 0
        return Machine(
            memory=request.machine_memory,
            may_lock=None if peer.uid == 0 else process.lock_limit(holder),
            huge_pages_free=free * _HUGE_PAGE if request.huge_pages else None,
        )

    async def _gpus(self) -> dict[str, Gpu]:
        """By id. A host without OpenCL can hand devices over, too."""
        try:
            return {gpu.id: gpu for gpu in await self._leases.listed()}
        except HostError:
            return {}
