# SPDX-License-Identifier: Apache-2.0
"""A program in a machine, from its start to its exit code.

This process is the lease's holder, QEMU's parent and the relay's. Each of the three ends with the others:
the kernel kills both children when this process ends, this process ends the rest when a child does, and
the daemon, which watches the holder, gives the lease back. So there is no state in which a part is left over,
and nothing has to be found and cleaned up by the next command. (A supervisor behind the daemon's back was
refused: a machine that outlives its command needs somebody who looks after it.)

    boot ----> running ----> ended       by its program
      |         |   ^
      |         v   |
      |       suspended                  at the daemon's word (tessera.hypervisor.holding)
      |           |
      +-----------+--------> broken      QEMU or the relay ended first, or the guest broke the protocol

Signals that come before the program runs, or while it is suspended, end the command as they end any; others
are the program's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from tessera.hypervisor import boot, terminal
from tessera.hypervisor.base import (
    FIRST_GPU,
    STDERR,
    STDIN,
    STDOUT,
    Hypervisor,
    Machine,
    MachineSpec,
)
from tessera.hypervisor.boot import Control, Program, last_words
from tessera.hypervisor.child import Child
from tessera.hypervisor.frames import BadFrame, Frame, Kind, numbers
from tessera.hypervisor.holding import Holding
from tessera.hypervisor.relay import Relay
from tessera.hypervisor.signals import Signals
from tessera.hypervisor.streams import Streams
from tessera.hypervisor.tasks import first_of
from tessera.model.errors import (
    GuestFailed,
    MachineFailed,
    ProgramNotExecutable,
    ProgramNotFound,
    TesseraError,
)

BY_SIGNAL = 128
# A relay ends with its machine. So long after it, it was the relay that ended first.
_AFTERMATH = 0.5
_POWER_OFF = 5.0


@dataclass(frozen=True)
class Workload:
    """A program, the machine to run it in, and the socket of its lease's gatekeeper, where it has one.

    The guest has `boot_limit` seconds until its init must have spoken. At `control` the daemon may suspend
    the machine; without it, nobody can.
    """

    program: Program
    spec: MachineSpec
    endpoint: str | None
    boot_limit: float
    control: socket.socket | None = None


async def run(workload: Workload, hypervisor: Hypervisor) -> int:
    """Runs a program in a machine of its own; its exit code, or 128 and the number of the signal that ended it.

    Raises MachineFailed, GuestDidNotBoot, GuestFailed, ProgramNotFound, ProgramNotExecutable and
    NativeProgramMissing. Whatever comes of it, nothing is left.
    """
    with Signals() as signals:
        return await first_of(_work(workload, hypervisor, signals), _stopped(signals))


async def _stopped(signals: Signals) -> int:
    return BY_SIGNAL + await signals.unwanted()


async def _work(workload: Workload, hypervisor: Hypervisor, signals: Signals) -> int:
    async with AsyncExitStack() as parts:
        machine = await hypervisor.start(workload.spec)
        parts.push_async_callback(machine.end)
        gpu_ports = [machine.ports.pop(n) for n in range(FIRST_GPU, workload.spec.ports + 1)]
        joined = None
        if workload.endpoint:
            joined = Relay(workload.endpoint, gpu_ports, machine.window)
            parts.push_async_callback(joined.end)
        session = _Session(workload, machine, signals)
        bodies: list[Coroutine[Any, Any, int]] = [session.run()]
        if joined:
            bodies.append(_end_of_relay(joined.child))
        if joined and workload.control:
            holding = Holding(machine, joined.child, session, hypervisor.fingerprint())
            bodies.append(holding.serve(workload.control))
        code = await first_of(*bodies)
        await session.power_off()
        return code


async def _end_of(machine: Machine) -> NoReturn:
    raise MachineFailed(
        f"The machine {await machine.wait()}. {last_words(machine)}".rstrip(),
        "Its program is lost; start it again.",
    )


async def _end_of_relay(joined: Child) -> NoReturn:
    how = await joined.wait()
    await asyncio.sleep(_AFTERMATH)
    raise MachineFailed(
        f"The relay between the machine and its GPU {how}.", "Its program is lost; start it again."
    )


class _Session:
    """What is said with one guest."""

    def __init__(self, workload: Workload, machine: Machine, signals: Signals) -> None:
        self._program = workload.program
        self._limit = workload.boot_limit
        self._machine = machine
        self._signals = signals
        self._control: Control | None = None
        self._streams: Streams | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a program runs in the guest."""
        return self._streams is not None

    async def hold(self) -> None:
        """From when this returns no byte passes, and signals are ours."""
        assert self._control
        assert self._streams
        await self._control.silence.acquire()
        self._streams.gate.close()
        self._signals.hold(True)

    async def let_go(self) -> None:
        """Bytes and signals pass again, and the guest is told the time of day."""
        assert self._control
        assert self._streams
        self._signals.hold(False)
        self._streams.gate.open()
        self._control.silence.release()
        seconds, part = divmod(time.time_ns(), 1_000_000_000)
        with suppress(OSError):  # a machine that is gone is noticed by who waits for it
            await self._control.send(Kind.TIME, numbers(seconds & 0xFFFFFFFF, seconds >> 32, part))

    async def run(self) -> int:
        """The program's exit code, once everything that it wrote is written.

        Raises MachineFailed, GuestDidNotBoot, GuestFailed, ProgramNotFound or ProgramNotExecutable.
        """
        try:
            return await self._run()
        except BadFrame as error:
            raise MachineFailed(f"The guest broke the protocol: {error}.") from error
        except (EOFError, OSError):
            await _end_of(self._machine)

    async def power_off(self) -> None:
        """Lets the guest end by itself, for as long as a guest that means well needs."""
        assert self._control
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_POWER_OFF):
                await self._control.send(Kind.END)
                await self._machine.wait()

    async def _run(self) -> int:
        self._control = control = await boot.greet(self._machine, self._limit)
        await control.start(self._program)
        answer = await control.receive()
        if answer.kind is not Kind.STARTED:
            raise _refusal(answer, self._program)
        ports = self._machine.ports
        streams = Streams((ports[STDIN], ports[STDOUT], ports[STDERR]))
        with terminal.raw() if self._program.terminal else nullcontext():
            streams.start()
            self._streams = streams
            with self._signals.passed_on(control):
                code = await _exit_code(control)
            await streams.drained()
        return code


async def _exit_code(control: Control) -> int:
    frame = await control.receive()
    if frame.kind is not Kind.EXIT:
        raise BadFrame(f"a {frame.kind.name} frame out of place")
    code, number = frame.number(0), frame.number(1)
    return BY_SIGNAL + number if number else code


def _refusal(answer: Frame, program: Program) -> TesseraError:
    if answer.kind is not Kind.FAILED:
        raise BadFrame(f"a {answer.kind.name} frame out of place")
    number, what = answer.number(0), answer.text()
    if what != program.arguments[0]:
        why = f": {os.strerror(number)}" if number else ""
        return GuestFailed(f"The guest could not prepare the program: {what}{why}.")
    if number == errno.ENOENT:
        return ProgramNotFound(
            f"There is no program '{what}' in the image.", "Check its name; PATH is the image's."
        )
    return ProgramNotExecutable(
        f"{what} in the image cannot be executed: {os.strerror(number)}.",
        "Check that it is a program for this machine.",
    )
