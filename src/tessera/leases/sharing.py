# SPDX-License-Identifier: Apache-2.0
"""How GPUs are shared, as seen and set from outside: policies, one look at all usage, schedule traces."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

from tessera.leases import board
from tessera.leases.peer import Peer
from tessera.leases.service import LeaseService
from tessera.leases.trace import chrome_trace
from tessera.leases.usage import Boards
from tessera.model.errors import GpuNotFound, GpuNotInUse, NotPermitted, QuotaPageUnreadable
from tessera.model.gpu import GpuUse
from tessera.model.lease import Lease, LeaseState
from tessera.model.policy import GpuPolicy, PolicyChange, effective_slice_us
from tessera.model.stats import LeaseStats
from tessera.model.trace import Trace
from tessera.model.usage import GpuUsage, LeaseUsage, Usage


class Sharing:
    """What all leases of a daemon share. Belongs to the event loop of its LeaseService."""

    def __init__(self, leases: LeaseService) -> None:
        self._leases = leases

    async def policy(self, key: str) -> GpuPolicy:
        """How a GPU is shared. Raises GpuNotFound and what the inventory raises."""
        return self._policy(await self._gpu(key))

    async def choose(self, key: str, chosen: PolicyChange, peer: Peer) -> GpuPolicy:
        """Changes how a GPU is shared, at once. Raises GpuNotFound, NotPermitted, StoreError or DiskFull."""
        gpu = await self._gpu(key)
        if not peer.may_manage(os.geteuid()):
            raise NotPermitted(
                f"How {gpu.id} is shared is the host's to decide.",
                "Ask root, or who runs tesserad.",
            )
        await self._leases.arbiters.choose(gpu.id, chosen)
        return self._policy(gpu)

    async def usage(self) -> Usage:
        """One look at all GPUs and live leases. Raises what the inventory raises."""
        gpus = await self._leases.gpus()
        leases = await self._leases.leases()
        boards = self._leases.boards()
        measured = [
            LeaseUsage(lease=lease, stats=self._stats(lease, boards))
            for lease in leases
            if lease.state is not LeaseState.FAILED
        ]
        used: dict[str, int] = {}
        for one in measured:
            for stats in one.stats.gpus if one.stats else ():
                used[stats.gpu] = used.get(stats.gpu, 0) + stats.used
        return Usage(
            taken_ns=boards.taken_ns,
            gpus=tuple(self._gpu_usage(gpu, used.get(gpu.id, 0), boards) for gpu in gpus),
            leases=tuple(measured),
        )

    async def trace(self, key: str, seconds: float | None = None) -> Trace:
        """What the board still knows of who held a GPU when; with `seconds` only the latest so many.

        Raises GpuNotFound, GpuNotInUse, BoardUnreadable and what the inventory raises.
        """
        gpu = await self._gpu(key)
        if not gpu.leases or gpu.direct:
            raise GpuNotInUse(
                f"{gpu.id} has no shared leases, so nobody takes turns on it.",
                "Run a program on it with: tessera run",
            )
        since_ns = 0 if seconds is None else time.monotonic_ns() - round(seconds * 1e9)
        names = {lease.id: lease.name for lease in await self._leases.leases(ended=True)}
        return await asyncio.to_thread(
            _read_trace, self._leases.arbiters.board(gpu.id), self._policy(gpu), names, since_ns
        )

    async def _gpu(self, key: str) -> GpuUse:
        for gpu in await self._leases.gpus():
            if gpu.id == key:
                return gpu
        raise GpuNotFound(f"There is no GPU '{key[:64]}'.", "`tessera gpus` lists them.")

    def _policy(self, gpu: GpuUse) -> GpuPolicy:
        chosen = self._leases.arbiters.policy(gpu.id)
        slice_us = effective_slice_us(chosen.slice_us, len(gpu.leases), gpu.on_host_cores)
        return GpuPolicy(
            gpu=gpu.id,
            policy=chosen.policy,
            time_slice_ms=chosen.time_slice_ms,
            effective_slice_ms=slice_us / 1000,
            leases=len(gpu.leases),
        )

    def _stats(self, lease: Lease, boards: Boards) -> LeaseStats | None:
        if lease.state is not LeaseState.ACTIVE:
            return None
        try:
            return self._leases.measure(lease, boards)
        except QuotaPageUnreadable:
            # It ended just now, or its page is damaged, which `tessera stats` tells about.
            return None

    def _gpu_usage(self, gpu: GpuUse, used: int, boards: Boards) -> GpuUsage:
        page = boards.of(gpu.id) if gpu.leases else None
        return GpuUsage(
            gpu=gpu.id,
            name=gpu.name,
            memory=gpu.memory,
            reserve=gpu.reserve,
            leased=gpu.leased,
            free=gpu.free,
            used=used,
            leases=len(gpu.leases),
            policy=self._policy(gpu),
            arbiter_running=self._leases.arbiters.is_running(gpu.id),
            arbiter_restarts=self._leases.arbiters.restarts(gpu.id),
            device_ns=page.device_ns if page else None,
            idle_ns=page.idle_ns if page else None,
        )


def _read_trace(path: Path, policy: GpuPolicy, names: Mapping[str, str], since_ns: int) -> Trace:
    page, ring = board.read_trace(path)
    return chrome_trace(page, ring, policy, names, since_ns)
