# SPDX-License-Identifier: Apache-2.0
"""The QMP connection to one QEMU: what it is asked, and what it answers, as errors of Tessera."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from tessera.model.errors import MachineFailed

_LOOK_EVERY = 0.005
_ENDS = ("completed", "failed", "cancelled")


class Monitor:
    """A connection; `end` is this side's socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._client = QMPClient("tessera")

    async def connect(self) -> None:
        """Waits until QEMU has made its devices and answers. Raises MachineFailed."""
        try:
            await self._client.connect(self._end)
        except (QMPError, OSError, EOFError) as error:
            raise MachineFailed("QEMU did not start.") from error

    async def ask(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """What QEMU returns. Raises MachineFailed."""
        try:
            return await self._client.execute(command, dict(arguments or {}))
        except ExecuteError as error:
            raise MachineFailed(f"QEMU refuses '{command}': {error}.") from error
        except (QMPError, OSError, EOFError) as error:
            raise MachineFailed(f"QEMU does not answer '{command}'.") from error

    async def give(self, name: str, descriptor: int) -> None:
        """Lets QEMU have a copy of a descriptor, under a name. Raises MachineFailed."""
        try:
            self._client.send_fd_scm(descriptor)
        except (QMPError, OSError) as error:
            raise MachineFailed("QEMU takes no descriptor.") from error
        await self.ask("getfd", {"fdname": name})

    async def migrated(self) -> bool:
        """Waits for the end of a migration, out of this QEMU or into it; whether it succeeded.

        Raises MachineFailed.
        """
        while (status := (await self.ask("query-migrate")).get("status")) not in _ENDS:
            await asyncio.sleep(_LOOK_EVERY)
        return bool(status == "completed")

    async def close(self) -> None:
        """Where QEMU still runs, this waits for it: end it first."""
        with suppress(QMPError, OSError, EOFError):
            await self._client.disconnect()
        self._end.close()
