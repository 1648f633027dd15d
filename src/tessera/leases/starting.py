# SPDX-License-Identifier: Apache-2.0
"""Starts what serves a lease: its gatekeeper, and the arbiters of its GPUs where they do not run yet.

They start at the same time, as each takes milliseconds of the time that `tessera run` takes. But the
gatekeeper takes a place on each GPU's board, and an arbiter makes that. So it waits for the end of a pipe,
whose other side is closed when the arbiters are ready.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from tessera.leases import gatekeeper, spawn
from tessera.leases.arbiters import Arbiters
from tessera.leases.workspace import Workspace
from tessera.model.lease import Lease


async def start(
    lease: Lease,
    files: Workspace,
    devices: Sequence[gatekeeper.DeviceShare],
    arbiters: Arbiters,
    environment: Mapping[str, str],
) -> gatekeeper.Started:
    """The gatekeeper that listens. Raises what gatekeeper.start() and Arbiters.serve() raise; then no
    gatekeeper is left."""
    there, made = os.pipe()
    try:
        task = asyncio.ensure_future(
            gatekeeper.start(
                lease.id, files, devices, lease.weight, lease.transport, environment, there
            )
        )
        try:
            for share in lease.gpus:
                await arbiters.serve(share.gpu)
        except BaseException:
            await _call_off(task)
            raise
        finally:
            os.close(made)
        return await task
    finally:
        os.close(there)


async def _call_off(task: asyncio.Task[gatekeeper.Started]) -> None:
    task.cancel()
    (started,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(started, gatekeeper.Started):
        await spawn.stop(started.process)
