# SPDX-License-Identifier: Apache-2.0
"""The virtual machine of a lease, where it has one: suspended and resumed with the lease, as one point.

The holder of such a lease is the process that runs the machine; it does what is told here in small steps
(tessera.hypervisor.holding). The order makes the point consistent:

    suspend:  the lease's sessions, then the guest        what the guest has said in between waits in sockets
              pause - save - seal - park                  of processes that live on
    resume:   load - the lease's sessions - go            nothing has run before everything is there

What belongs together is sealed by a manifest (tessera.hypervisor.saved) before the guest's hypervisor ends.
So whoever dies, there is a machine that can go on, or a state that is whole. A daemon that finds a lease on
its way asks both sides how far they are, and goes on from there or goes back (settled()).
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tessera import paths
from tessera.hypervisor import saved
from tessera.leases import control
from tessera.model.errors import ControlFailed, ControlRefused, SuspendFailed, TesseraError
from tessera.model.lease import Lease
from tessera.model.suspension import Keep

# Seconds that a step may take: the disk, most of all.
LIMIT = 1800.0
_LOOK_EVERY = 0.2
_LINE = 4096


async def check(lease: Lease) -> int:
    """The bytes that its state takes, at most. Raises ControlRefused, ControlFailed."""
    return int(await ask(lease, "check"))


async def suspend(lease: Lease, to: Keep, folder: Path) -> None:
    """The lease's sessions are suspended, with their states in `folder` where it is to the disk.

    Raises ControlRefused, ControlFailed, SuspendFailed, DiskFull, RuntimeFolderUnusable; the machine then
    runs.
    """
    await ask(lease, "pause")
    if to is Keep.MEMORY:
        return
    try:
        await _save(lease, folder)
    except BaseException:
        with suppress(TesseraError):
            await ask(lease, "go")
        raise
    await ask(lease, "park")


async def _save(lease: Lease, folder: Path) -> None:
    try:
        files = saved.create(folder)
        try:
            hypervisor = await ask(lease, "save", files=files)
        finally:
            for file in files:
                os.close(file)
        await asyncio.to_thread(saved.seal, folder, lease.id, hypervisor)
    except OSError as error:
        named = paths.folder_error(str(folder), error)
        raise SuspendFailed(named.message, "The lease goes on as it was. " + named.hint) from error


async def load(lease: Lease, folder: Path) -> None:
    """Brings a machine back that was suspended to the disk, and lets it not run yet.

    Raises ControlRefused, ControlFailed, StateFileDamaged, StateFileOtherVersion; the machine then is
    suspended as before.
    """
    if await phase(lease) != "parked":
        return
    await asyncio.to_thread(saved.check_sessions, folder)
    with saved.opened(folder) as files:
        await ask(lease, "load", files=files)


async def unload(lease: Lease) -> None:
    """Takes back load(). Raises ControlRefused, ControlFailed."""
    if await phase(lease) == "loaded":
        await ask(lease, "park")


async def go(lease: Lease) -> None:
    """Lets the machine run. Raises ControlRefused, where its state stays whole, and ControlFailed."""
    await ask(lease, "go")


async def suspend_again(lease: Lease, gatekeeper: Path, folder: Path) -> None:
    """The lease's sessions are on their GPUs, and the machine could not go on: makes the state whole again.

    Raises ControlRefused, ControlFailed, StateFileDamaged, StateFileOtherVersion, OSError.
    """
    with saved.opened(folder) as (_, _, manifest):
        hypervisor = saved.read(manifest).hypervisor
    await control.ask(gatekeeper, "suspend", "disk", str(folder), limit=LIMIT)
    await asyncio.to_thread(saved.seal, folder, lease.id, hypervisor)


async def settled(lease: Lease, said: str, gatekeeper: Path, folder: Path) -> str:
    """The state of a lease on its way, by its gatekeeper `active` or `suspended`, once its machine is
    brought to the same.

    Raises ControlRefused, ControlFailed and what suspend_again() raises.
    """
    found = await phase(lease)
    if said == "active":
        if found == "parked":
            await suspend_again(lease, gatekeeper, folder)
            return "suspended"
        if found in ("paused", "loaded"):
            await go(lease)
        return "active"
    if found == "parked" or (found == "paused" and not folder.exists()):
        return "suspended"
    if found == "loaded" or (found == "paused" and saved.is_sealed(folder)):
        await ask(lease, "park")
        return "suspended"
    try:
        await control.ask(gatekeeper, "resume", limit=LIMIT)
    except ControlRefused:
        return "suspended"  # a resume asks again, and says what is wrong
    await go(lease)
    return "active"


async def phase(lease: Lease) -> str:
    """How far the machine is, once it is not under way any more. Raises ControlFailed."""
    while (said := await ask(lease, "state")) == "busy":
        await asyncio.sleep(_LOOK_EVERY)
    return said


async def ask(lease: Lease, word: str, files: Sequence[int] = ()) -> str:
    """The text behind `ok`. Raises ControlRefused, and ControlFailed where no answer comes."""
    try:
        answer = await asyncio.wait_for(_exchange(lease, word, files), LIMIT)
    except TimeoutError as error:
        raise _failed(lease, f"no answer in {LIMIT:g} s") from error
    except OSError as error:
        raise _failed(lease, error.strerror or str(error)) from error
    verdict, _, text = answer.partition(" ")
    if verdict == "ok":
        return text
    cause, _, text = text.partition(" ")
    raise ControlRefused(
        f"The machine of lease {lease.name} refused to {word}: {text} ({cause}).",
        f"See it with: tessera show {lease.name}",
        cause,
        text,
    )


async def _exchange(lease: Lease, word: str, files: Sequence[int]) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as peer:
        await loop.sock_connect(peer, f"\0{lease.machine}")
        # Its name could be anybody's once the holder is gone.
        if lease.holder is None or _process(peer) != lease.holder.pid:
            raise ConnectionError("another process listens there")
        socket.send_fds(peer, [word.encode() + b"\n"], files)
        answer = b""
        while not answer.endswith(b"\n"):
            data = await loop.sock_recv(peer, _LINE)
            if not data or len(answer) > _LINE:
                raise ConnectionError("it ended without an answer")
            answer += data
    return answer.decode("utf-8", "replace").strip()


def _process(peer: socket.socket) -> int:
    facts = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", facts)
    return int(pid)


def _failed(lease: Lease, why: str) -> ControlFailed:
    return ControlFailed(
        f"The machine of lease {lease.name} does not do what it is told: {why}.",
        "Stop the lease if this stays so.",
    )
