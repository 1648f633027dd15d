# SPDX-License-Identifier: Apache-2.0
"""The process that joins a machine's GPU ports to its lease (native/guest/relay.cpp)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from socket import socket

from tessera import native
from tessera.hypervisor import child
from tessera.model.errors import MachineFailed

_LOG_TAIL = 2000


class Relay:
    """A relay that runs. It never outlives the process that started it."""

    def __init__(self, process: asyncio.subprocess.Process, log: tempfile._TemporaryFileWrapper[bytes]) -> None:
        self._process = process
        self._log = log

    async def wait(self) -> str:
        """Waits until it has ended; how it did."""
        how = child.how_it_ended(await self._process.wait())
        self._log.seek(0)
        said = self._log.read()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
        return f"{how}. {said}".rstrip()

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._log.close()


async def start(endpoint: str, ports: Sequence[socket]) -> Relay:
    """Starts a relay between these ports, which it takes over, and the gatekeeper's socket at `endpoint`.

    Raises MachineFailed or NativeProgramMissing.
    """
    numbers = [port.fileno() for port in ports]
    words = [str(native.find(native.VM_RELAY)), "--endpoint", endpoint]
    for number in numbers:
        words += ["--port", str(number)]
    log = tempfile.TemporaryFile()
    try:
        process = await child.start(words, numbers, log)
    except OSError as error:
        log.close()
        raise MachineFailed(f"{words[0]} cannot be started: {error}.") from error
    finally:
        for port in ports:
            port.close()
    return Relay(process, log)
