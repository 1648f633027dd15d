# SPDX-License-Identifier: Apache-2.0
"""Tells the event loop when a process ends, at once and without polling."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from tessera.leases import process
from tessera.model.lease import ProcessId


class Watch:
    """Calls back once, from the event loop, when a process has ended."""

    def __init__(self, watched: ProcessId, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._pidfd = process.open_pidfd(watched)
        if self._pidfd is None:
            self._loop.call_soon(self._fire)
        else:
            self._loop.add_reader(self._pidfd, self._fire)

    def check(self) -> None:
        """Calls back now if the process has ended but the event loop has not come round to it."""
        if self._pidfd is not None and process.has_ended(self._pidfd):
            self._fire()

    def cancel(self) -> None:
        """Watches no longer; the callback will not come any more."""
        self._ended = _nothing
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _fire(self) -> None:
        callback = self._ended
        self.cancel()
        callback()


def _nothing() -> None:
    pass


async def wait_for_exit(watched: ProcessId, limit: float) -> bool:
    """Waits at most `limit` seconds for the end of a process; whether it ended."""
    ended = asyncio.Event()
    watch = Watch(watched, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), limit)
    except TimeoutError:
        return False
    finally:
        watch.cancel()
    return True
