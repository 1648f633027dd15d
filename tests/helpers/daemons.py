# SPDX-License-Identifier: Apache-2.0
"""Daemons in this process: the lease service over fake native programs, restarted at will."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from helpers import fakes
from helpers.processes import command_lines_with, is_running
from tessera.direct.files import Files
from tessera.inventory import Inventory
from tessera.leases import arbiter
from tessera.leases.peer import Peer
from tessera.leases.service import LeaseService
from tessera.model.policy import DEFAULT_POLICY, PolicyChange
from tessera.store import Store

ME = Peer(uid=os.geteuid(), pid=os.getpid())

Scenario = Callable[[LeaseService], Awaitable[None]]


class Daemons:
    """A runtime folder, a database and fake programs, on which daemons come and go."""

    def __init__(self, folder: Path, devices: int = 2) -> None:
        self.folder = folder / "run"
        self.native = fakes.install(folder / "native", devices)
        self.url = f"sqlite:///{folder}/state/tessera.db"
        self.files: Files | None = None
        """Of the host whose devices are handed over; None: this one's."""

    def behave(self, mode: str) -> None:
        (self.native / "mode").write_text(mode)

    def run(
        self, scenario: Scenario, reserve: int = 0, policy: PolicyChange = DEFAULT_POLICY
    ) -> None:
        """One daemon's life: start, scenario, end without ending any lease."""

        async def life() -> None:
            store = Store(self.url, "here")
            service = LeaseService(
                store,
                Inventory({}, boards=dict),
                self.folder,
                reserve,
                {},
                policy,
                direct_files=self.files,
            )
            await service.start()
            try:
                await scenario(service)
            finally:
                await service.close()
                store.close()

        asyncio.run(life())

    def lease_folders(self) -> list[str]:
        folder = self.folder / "leases"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def gatekeepers(self) -> list[int]:
        return [pid for pid in command_lines_with(f"{self.folder}/leases") if is_running(pid)]

    def arbiters(self) -> list[int]:
        return [found.pid for _, found in arbiter.running_under(self.folder)]

    def gpu_folders(self) -> list[str]:
        folder = self.folder / "gpus"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def board(self, gpu: str = "gpu0") -> Path:
        return self.folder / "gpus" / gpu / "board"

    def close(self) -> None:
        """Ends whatever the test left running."""
        for pid in [*self.gatekeepers(), *self.arbiters()]:
            os.kill(pid, signal.SIGKILL)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Waits until something holds, while the event loop goes on."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within 5 s: {what}")
