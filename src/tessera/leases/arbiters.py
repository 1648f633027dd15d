# SPDX-License-Identifier: Apache-2.0
"""The arbiters of a daemon: one for each GPU that has leases, and none for any other.

The board outlives its arbiter. So an arbiter that ends by accident is started again over the same board,
by the same words, and its tenants see a pause and nothing else. It is started at once; one that ends again
within seconds is given longer and longer pauses, because a program that cannot run would otherwise take
the processor from those that can. Meanwhile its leases show the condition ArbiterRestarting.

What starts and ends the arbiter of one GPU holds that GPU's lock, and whether a GPU is in use is asked
again under it: a lease that ends and one that begins at the same moment can so never leave a GPU with two
arbiters, or with none. (Counting leases here was refused: the leases themselves are the count.)

Which policy is in force: the one that was chosen for the GPU, kept in the store, else the host's own.
The board's copy of it is written by this daemon alone, and the process that is told to look at it is the
one that this daemon started or found: the pid on the board was written by somebody else.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from tessera.leases import arbiter, board, process, spawn
from tessera.leases.arbiter import GpuFolder
from tessera.leases.watch import Watch
from tessera.model.errors import TesseraError
from tessera.model.gpu import Gpu
from tessera.model.lease import Condition, Lease, ProcessId
from tessera.model.policy import PolicyChange
from tessera.store import Store

_log = structlog.get_logger()

# An arbiter that ran so many seconds ended by accident; one that did not may not be able to run.
STEADY = 10.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


@dataclass
class _Arbiter:
    """The arbiter of a GPU in use. `deaths` counts in a row; `why`: what is told of the last one."""

    files: GpuFolder
    running: ProcessId | None = None
    watch: Watch | None = None
    since: float = 0.0
    deaths: int = 0
    restarts: int = 0
    why: str = ""
    revival: asyncio.Task[None] | None = None

    def let_go(self) -> ProcessId | None:
        """Stops watching and reviving; the process that runs, if one does."""
        if self.watch:
            self.watch.cancel()
        if self.revival:
            self.revival.cancel()
        self.watch = self.revival = None
        running, self.running = self.running, None
        return running


class Arbiters:
    """Belongs to one event loop. `in_use` tells whether a GPU has leases that could want it, `gpus` what
    the host has."""

    def __init__(
        self,
        runtime_folder: Path,
        environment: Mapping[str, str],
        store: Store,
        in_use: Callable[[str], bool],
        gpus: Callable[[], Awaitable[Iterable[Gpu]]],
        host_policy: PolicyChange,
    ) -> None:
        self._runtime_folder = runtime_folder
        self._environment = environment
        self._store = store
        self._in_use = in_use
        self._gpus = gpus
        self._host_policy = host_policy
        self._chosen: dict[str, PolicyChange] = {}
        self._arbiters: dict[str, _Arbiter] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def adopt(self, used: Iterable[str]) -> None:
        """Takes over the arbiters of an earlier daemon, and ends those of GPUs that have no leases.

        A GPU in use whose arbiter is gone gets a new one; where that fails it is tried again and again.
        Raises StoreError.
        """
        self._chosen = self._store.policies()
        wanted = set(used)
        surplus = []
        for gpu, found in arbiter.running_under(self._runtime_folder):
            if gpu in wanted and not self._entry(gpu).running:
                self._watch(gpu, found)
                self._tell(gpu)
                _log.info("arbiter adopted", gpu=gpu, pid=found.pid)
            else:
                surplus.append(found)
        await asyncio.gather(*(spawn.stop(found) for found in surplus))
        for gpu in set(arbiter.folders(self._runtime_folder)) - wanted:
            GpuFolder(self._runtime_folder, gpu).remove()
        await asyncio.gather(*(self._take_over(gpu) for gpu in wanted))

    async def _take_over(self, gpu: str) -> None:
        entry = self._entry(gpu)
        try:
            await self.serve(gpu)
        except TesseraError as error:
            _log.error("arbiter not started", gpu=gpu, error=error.message)
            entry.deaths, entry.why = 2, error.message
            self._revive(gpu, entry)

    def close(self) -> None:
        """Lets go of all arbiters without ending one: the next daemon adopts them."""
        for entry in self._arbiters.values():
            entry.let_go()
        for task in self._retiring:
            task.cancel()

    def check(self) -> None:
        """Takes in the ends that already happened but that the event loop has not come round to."""
        for entry in [*self._arbiters.values()]:
            if entry.watch:
                entry.watch.check()

    def board(self, gpu: str) -> Path:
        return GpuFolder(self._runtime_folder, gpu).board

    def is_running(self, gpu: str) -> bool:
        return gpu in self._arbiters and self._arbiters[gpu].running is not None

    def restarts(self, gpu: str) -> int:
        """How often the GPU's arbiter was started again since it got leases, or since this daemon began."""
        return self._arbiters[gpu].restarts if gpu in self._arbiters else 0

    async def serve(self, gpu: str) -> Path:
        """The board of a GPU with an arbiter that runs. Raises what arbiter.start() and the
        inventory raise."""
        async with self._lock(gpu):
            entry = self._entry(gpu)
            if not entry.running:
                await self._start(gpu, entry)
        return entry.files.board

    async def retire(self, gpus: Iterable[str]) -> None:
        """Ends the arbiters of those GPUs that are in use no longer, and removes their folders."""
        for gpu in gpus:
            async with self._lock(gpu):
                if self._in_use(gpu):
                    continue
                entry = self._arbiters.pop(gpu, None)
                running = entry.let_go() if entry else None
                if running:
                    await spawn.stop(running)
                GpuFolder(self._runtime_folder, gpu).remove()

    def retire_soon(self, gpus: Iterable[str]) -> None:
        """retire() for callers that cannot wait."""
        task = asyncio.get_running_loop().create_task(self.retire(tuple(gpus)))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def conditions(self, gpus: Iterable[str]) -> tuple[Condition, ...]:
        """What leases on these GPUs should know about their arbiters."""
        entries = [self._arbiters[gpu] for gpu in gpus if gpu in self._arbiters]
        return tuple(
            Condition(name="ArbiterRestarting", message=entry.why)
            for entry in entries
            if not entry.running or (entry.deaths > 1 and not self._is_steady(entry))
        )

    def policy(self, gpu: str) -> PolicyChange:
        """The policy that is in force on a GPU, or would be if it had leases."""
        return self._chosen.get(gpu, self._host_policy)

    async def choose(self, gpu: str, policy: PolicyChange) -> None:
        """Sets the policy of a GPU, now and until it is set again. Raises StoreError or DiskFull."""
        async with self._lock(gpu):
            self._store.save_policy(gpu, policy)
            self._chosen[gpu] = policy
            if gpu in self._arbiters:
                self._tell(gpu)
        _log.info("policy set", gpu=gpu, policy=policy.policy, slice_us=policy.slice_us)

    def refresh(self, lease: Lease, shares: Mapping[str, int]) -> None:
        """Lets the arbiters know a lease's weight and, per GPU in ppm, its share. Raises BoardUnreadable."""
        for gpu, share_ppm in shares.items():
            board.write_tenant(self.board(gpu), lease.id, lease.weight, share_ppm)
            self._look_again(gpu)

    def _lock(self, gpu: str) -> asyncio.Lock:
        return self._locks.setdefault(gpu, asyncio.Lock())

    def _entry(self, gpu: str) -> _Arbiter:
        if gpu not in self._arbiters:
            self._arbiters[gpu] = _Arbiter(GpuFolder(self._runtime_folder, gpu))
        return self._arbiters[gpu]

    async def _start(self, gpu: str, entry: _Arbiter) -> None:
        on_host_cores = any(known.on_host_cores for known in await self._gpus() if known.id == gpu)
        started = await arbiter.start(
            entry.files, self.policy(gpu), self._environment, on_host_cores=on_host_cores
        )
        self._watch(gpu, started)
        _log.info("arbiter started", gpu=gpu, policy=self.policy(gpu).policy)

    def _watch(self, gpu: str, running: ProcessId) -> None:
        entry = self._entry(gpu)
        entry.running, entry.since = running, asyncio.get_running_loop().time()
        entry.watch = Watch(running, lambda: self._ended(gpu))

    def _tell(self, gpu: str) -> None:
        chosen = self.policy(gpu)
        try:
            board.write_policy(self.board(gpu), chosen.policy, chosen.slice_us)
        except TesseraError as error:
            # The arbiter is told by its words when it makes the board.
            _log.warning("policy not on the board", gpu=gpu, error=error.message)
        self._look_again(gpu)

    def _look_again(self, gpu: str) -> None:
        entry = self._arbiters.get(gpu)
        if entry and entry.running:
            process.send(entry.running, signal.SIGHUP)

    def _is_steady(self, entry: _Arbiter) -> bool:
        return asyncio.get_running_loop().time() - entry.since >= STEADY

    def _ended(self, gpu: str) -> None:
        entry = self._arbiters.get(gpu)
        if entry is None or entry.running is None:
            return
        code = process.reap(entry.running.pid)
        how = "ended" if code is None else f"ended with code {code}"
        entry.deaths = 1 if self._is_steady(entry) else entry.deaths + 1
        entry.running = entry.watch = None
        entry.why = f"The arbiter of {gpu} {how}. {spawn.log_tail(entry.files.log)[-500:]}".strip()
        _log.error("arbiter ended", gpu=gpu, reason=entry.why, in_a_row=entry.deaths)
        self._revive(gpu, entry)

    def _revive(self, gpu: str, entry: _Arbiter) -> None:
        entry.revival = asyncio.get_running_loop().create_task(self._run_revival(gpu, entry))

    async def _run_revival(self, gpu: str, entry: _Arbiter) -> None:
        while True:
            if entry.deaths > 1:
                await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (entry.deaths - 2)))
            async with self._lock(gpu):
                # A lease that began meanwhile has started it, or the last one has ended.
                if entry.running or self._arbiters.get(gpu) is not entry:
                    return
                try:
                    await self._start(gpu, entry)
                    entry.restarts += 1
                    return
                except TesseraError as error:
                    entry.deaths += 1
                    entry.why = error.message
                    _log.error("arbiter not started", gpu=gpu, error=error.message)
