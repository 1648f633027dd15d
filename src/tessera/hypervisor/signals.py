# SPDX-License-Identifier: Apache-2.0
"""Signals that this process gets in place of the program in the guest."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from tessera.hypervisor import terminal
from tessera.hypervisor.boot import Control
from tessera.hypervisor.frames import Kind, numbers

_PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


class Signals:
    """Takes signals while it is entered: for the guest's program, or where there is none, for us."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unwanted: asyncio.Future[int] = self._loop.create_future()
        self._control: Control | None = None
        self._held = False
        self._sending: set[asyncio.Task[None]] = set()
        # Who starts a program under nohup, or behind a script's &, wants some of them ignored.
        self._taken = [n for n in _PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]

    def __enter__(self) -> Self:
        for number in self._taken:
            self._loop.add_signal_handler(number, self._take, number)
        self._loop.add_signal_handler(signal.SIGWINCH, self._resized)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in (*self._taken, signal.SIGWINCH):
            self._loop.remove_signal_handler(number)

    async def unwanted(self) -> int:
        """Waits for a signal that came while no program ran; its number."""
        return await self._unwanted

    @contextmanager
    def passed_on(self, control: Control) -> Iterator[None]:
        """A program runs: signals are its own."""
        self._control = control
        try:
            yield
        finally:
            self._control = None

    def hold(self, held: bool) -> None:
        """A program that is suspended takes no signal: while it is `held` they are our own again."""
        self._held = held

    def _take(self, number: signal.Signals) -> None:
        if self._control is not None and not self._held:
            self._send(Kind.SIGNAL, numbers(number))
        elif not self._unwanted.done():
            self._unwanted.set_result(number)

    def _resized(self) -> None:
        if self._control is not None and terminal.is_interactive():
            self._send(Kind.SIZE, numbers(*terminal.size()))

    def _send(self, kind: Kind, payload: bytes) -> None:
        assert self._control
        task = self._loop.create_task(_quietly(self._control, kind, payload))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def _quietly(control: Control, kind: Kind, payload: bytes) -> None:
    # A machine that is gone is noticed by who waits for it.
    with suppress(OSError):
        await control.send(kind, payload)
