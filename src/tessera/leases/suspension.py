# SPDX-License-Identifier: Apache-2.0
"""Suspends and resumes leases: the daemon's part, which moves no byte of their state.

The gatekeeper does it, for all sessions of the lease or for none, and says how it ended
(native/gatekeeper/suspension.h). Here the lease's state is kept in step: it is written before the
gatekeeper is asked, so that a daemon that dies in between finds a lease that is `suspending` or
`resuming`, asks the gatekeeper what became of it, and writes that down. A suspended lease holds no memory
of any GPU; on its resume it is placed like a new one, with its memory booked before the first await.

A lease that is a virtual machine's is suspended with the machine and resumed with it (tessera.leases.machine).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import structlog

from tessera.leases import control, machine
from tessera.leases.gatekeeper import DeviceShare
from tessera.leases.state_folder import StateFolder
from tessera.model import errors
from tessera.model.errors import (
    AlreadySuspended,
    ControlFailed,
    ControlRefused,
    LeaseNotActive,
    NoCapacity,
    NotSuspended,
    StateFileDamaged,
    StateFileOtherVersion,
    TesseraError,
)
from tessera.model.lease import GpuShare, Lease, LeaseState
from tessera.model.suspension import Keep, SuspendNeeds
from tessera.model.units import format_bytes
from tessera.placement import Capacity, Demand, place

_log = structlog.get_logger()

# Seconds that a gatekeeper may take: it waits for what runs, and then for the disk.
LIMIT = 1800.0
_LOOK_EVERY = 0.2

_HINTS = {
    "SuspendUnsupported": "Let the program go on; `tessera suspend --check` looks again.",
    "ResumeRefused": "Its state is whole: make room, or choose another --gpu, and resume it again.",
    "DeviceLacksFeature": "Its state is whole: resume it on a GPU like the one it had.",
    "SuspendFailed": "The lease goes on as it was. Make room, or choose another --to.",
    "StateFileDamaged": "No GPU was touched. Put a whole copy of the file back, or stop the lease.",
    "StateFileOtherVersion": "Resume it with the version of Tessera that suspended it.",
    "AlreadySuspended": "Resume it with: tessera resume LEASE",
    "NotSuspended": "`tessera ps` shows the state of each lease.",
}


def named(lease: Lease, refused: ControlRefused) -> TesseraError:
    """The gatekeeper's refusal as the error that it names."""
    for kind in errors.all_errors():
        if kind.__name__ == refused.cause:
            hint = _HINTS.get(refused.cause, "").replace("LEASE", lease.name)
            return kind(f"Lease {lease.name}: {refused.text}.", hint)
    return refused


def placed_again(
    lease: Lease, wanted: Sequence[str], capacities: Sequence[Capacity]
) -> tuple[GpuShare, ...]:
    """Where a suspended lease goes: the GPUs named, else where it was, else where it fits.

    Raises NoCapacity.
    """
    by_id = {capacity.gpu: capacity for capacity in capacities}
    if wanted and len(set(wanted)) != len(lease.gpus):
        raise NoCapacity(
            f"Lease {lease.name} has {len(lease.gpus)} GPUs.", "Name as many different ones."
        )
    names = tuple(wanted) or tuple(share.gpu for share in lease.gpus)
    shares = tuple(
        GpuShare(gpu=name, memory=share.memory)
        for name, share in zip(names, lease.gpus, strict=True)
    )
    lacking = [
        share for share in shares if share.gpu not in by_id or by_id[share.gpu].free < share.memory
    ]
    if not lacking:
        return shares
    if wanted:
        share = lacking[0]
        free = by_id[share.gpu].free if share.gpu in by_id else None
        room = "is not there" if free is None else f"has {format_bytes(free)} free"
        raise NoCapacity(
            f"{share.gpu} {room}, and lease {lease.name} needs {format_bytes(share.memory)}.",
            "`tessera gpus` shows what is free. The lease stays suspended.",
        )
    most = max(share.memory for share in lease.gpus)
    return place(Demand(len(lease.gpus), most, None), capacities)


async def check(lease: Lease, socket: Path, folder: StateFolder) -> SuspendNeeds:
    """Raises what the gatekeeper names, LeaseNotActive, AlreadySuspended, ControlFailed."""
    _require_active(lease)
    try:
        answer = await control.ask(socket, "suspend-check")
    except ControlRefused as refused:
        raise named(lease, refused) from refused
    state, device, objects = _numbers(answer)
    return SuspendNeeds(
        state=state,
        machine=await _check_machine(lease),
        device=device,
        objects=objects,
        disk=folder.free(),
        memory=_free_memory(),
    )


async def suspend(
    lease: Lease,
    to: Keep,
    socket: Path,
    folder: StateFolder,
    save: Callable[[Lease], None],
    now: Callable[[], datetime],
) -> Lease:
    """Raises as check(), and SuspendFailed; the lease then is active as before."""
    _require_active(lease)
    await _check_machine(lease)
    where = ["disk", str(folder.make(lease.id))] if to is Keep.DISK else ["memory"]
    suspending = lease.advanced(LeaseState.SUSPENDING, now())
    save(suspending)
    try:
        await control.ask(socket, "suspend", *where, limit=LIMIT)
    except ControlRefused as refused:
        save(suspending.advanced(LeaseState.ACTIVE, now()))
        folder.remove(lease.id)
        raise named(lease, refused) from refused
    except ControlFailed:
        save(await settled(suspending, socket, folder, now))
        raise
    if lease.machine:
        try:
            await machine.suspend(lease, to, folder.of(lease.id))
        except TesseraError as error:
            with suppress(ControlRefused):  # then it is as its gatekeeper says
                await control.ask(socket, "resume", limit=LIMIT)
            back = await settled(suspending, socket, folder, now)
            save(back)
            if back.state is LeaseState.ACTIVE:
                folder.remove(lease.id)
            raise _as_named(lease, error) from error
    suspended = suspending.advanced(LeaseState.SUSPENDED, now())
    save(suspended)
    _log.info("lease suspended", lease=lease.name, id=lease.id, to=to.value)
    return suspended


async def resume(
    lease: Lease,
    shares: tuple[GpuShare, ...],
    devices: Sequence[DeviceShare],
    socket: Path,
    folder: StateFolder,
    save: Callable[[Lease], None],
    now: Callable[[], datetime],
) -> Lease:
    """`devices` are the places of `shares`. Raises NotSuspended, what the gatekeeper names, ControlFailed; the lease then is suspended."""
    if lease.state is not LeaseState.SUSPENDED:
        raise NotSuspended(f"Lease {lease.name} is {lease.state}.", _HINTS["NotSuspended"])
    resuming = lease.advanced(LeaseState.RESUMING, now()).model_copy(update={"gpus": shares})
    save(resuming)
    try:
        if lease.machine:
            await machine.load(lease, folder.of(lease.id))
        words = [f"{device}@{device.board}" for device in devices]
        await control.ask(socket, "resume", *words, limit=LIMIT)
    except (ControlRefused, StateFileDamaged, StateFileOtherVersion) as refused:
        if lease.machine:
            await machine.unload(lease)
        back = resuming.advanced(LeaseState.SUSPENDED, now())
        save(back.model_copy(update={"gpus": lease.gpus}))
        raise _as_named(lease, refused) from refused
    except ControlFailed:
        save(await settled(resuming, socket, folder, now))
        raise
    if lease.machine:
        try:
            await machine.go(lease)
        except TesseraError as error:
            save(await settled(resuming, socket, folder, now))
            raise _as_named(lease, error) from error
    active = resuming.advanced(LeaseState.ACTIVE, now())
    save(active)
    folder.discard(lease.id)
    _log.info("lease resumed", lease=lease.name, id=lease.id, gpus=[s.gpu for s in shares])
    return active


async def settled(
    lease: Lease, socket: Path, folder: StateFolder, now: Callable[[], datetime]
) -> Lease:
    """A lease that was on its way, as its gatekeeper says that it ended up, and its machine with it."""
    while True:
        said = "busy"
        with suppress(ControlRefused):
            said = await control.ask(socket, "state")
        if said != "busy":
            break
        await asyncio.sleep(_LOOK_EVERY)
    if lease.machine:
        try:
            said = await machine.settled(lease, said, socket, folder.of(lease.id))
        except OSError as error:
            raise ControlFailed(f"The state of lease {lease.name} is lost: {error}.") from error
    return lease.advanced(LeaseState(said), now())


async def _check_machine(lease: Lease) -> int:
    if not lease.machine:
        return 0
    try:
        return await machine.check(lease)
    except ControlRefused as refused:
        raise named(lease, refused) from refused


def _as_named(lease: Lease, error: TesseraError) -> TesseraError:
    if isinstance(error, (StateFileDamaged, StateFileOtherVersion)):
        error = ControlRefused("", "", error.name, error.message.rstrip("."))
    return named(lease, error) if isinstance(error, ControlRefused) else error


def _require_active(lease: Lease) -> None:
    if lease.state in (LeaseState.SUSPENDED, LeaseState.SUSPENDING):
        hint = _HINTS["AlreadySuspended"].replace("LEASE", lease.name)
        raise AlreadySuspended(f"Lease {lease.name} is {lease.state} already.", hint)
    if lease.state is not LeaseState.ACTIVE:
        raise LeaseNotActive(
            f"Lease {lease.name} is {lease.state}.", f"See it with: tessera show {lease.name}"
        )


def _numbers(answer: str) -> tuple[int, int, int]:
    numbers = [int(word) for word in answer.split() if word.isdecimal()]
    return (*numbers[:3], *[0] * (3 - len(numbers[:3])))  # type: ignore[return-value]


def _free_memory() -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0
