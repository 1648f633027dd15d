# SPDX-License-Identifier: Apache-2.0
"""The process that joins a machine's GPU ports to its lease (native/guest/relay.cpp).

It reads what a guest wrote, so it has nothing but the ports: where root starts it, a user that owns nothing, and
no right to open anything. Its connections to the lease are opened here, one for each byte that it sends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

from tessera import native
from tessera.hypervisor.child import Child, own_user

_ASK = 1  # bytes
_HERE, _NONE = b"+", b"-"


class Relay:
    """Joins these ports, which it takes over, to the gatekeeper's socket at `endpoint`."""

    def __init__(self, endpoint: str, ports: Sequence[socket.socket], window: int | None) -> None:
        """`window` is the file of the memory that the machine shares, where it does.

        Raises MachineFailed or NativeProgramMissing.
        """
        self._endpoint = endpoint
        self._asked, theirs = socket.socketpair()
        try:
            self.child = _start(theirs.fileno(), [port.fileno() for port in ports], window)
        except BaseException:
            self._asked.close()
            raise
        finally:
            for taken in (theirs, *ports):
                taken.close()
        self._asked.setblocking(False)
        asyncio.get_running_loop().add_reader(self._asked, self._answer)

    async def end(self) -> None:
        """Ends the process; returns when it is gone."""
        self._hang_up()
        await self.child.end()

    def _answer(self) -> None:
        with suppress(BlockingIOError):
            try:
                if not self._asked.recv(_ASK):
                    self._hang_up()
                    return
                self._send_connection()
            except ConnectionError:  # it has ended; who waits for it says so
                self._hang_up()

    def _send_connection(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as lease:
            try:
                lease.connect(self._endpoint)
            except OSError:  # the lease has ended, or is overrun
                self._asked.send(_NONE)
                return
            socket.send_fds(self._asked, [_HERE], [lease.fileno()])

    def _hang_up(self) -> None:
        if self._asked.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._asked)
            self._asked.close()


def _start(connections: int, ports: Sequence[int], window: int | None) -> Child:
    path = str(native.find(native.VM_RELAY))
    words = [path, "--connections", str(connections)]
    shared = [] if window is None else [window]
    for number in shared:
        words += ["--window", str(number)]
    for number in ports:
        words += ["--port", str(number)]
    with open(path, "rb") as program:
        given = [connections, *shared, *ports, program.fileno()]
        return Child(words, given, own_user(), program=program.fileno())
