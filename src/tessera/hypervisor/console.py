# SPDX-License-Identifier: Apache-2.0
"""Keeps the end of what a guest's kernel says, for the error message of a guest that does not start."""

from __future__ import annotations

import asyncio
import socket

_KEPT = 8192
_CHUNK = 4096


class Console:
    """Reads a socket for as long as the event loop runs. A guest may write for ever: only the end is kept."""

    def __init__(self, source: socket.socket) -> None:
        source.setblocking(False)
        self._source = source
        self._kept = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source, self._read)

    @property
    def text(self) -> str:
        """Without the carriage returns, and what else a terminal would not show."""
        text = self._kept.decode("utf-8", "replace")
        return "".join(letter for letter in text if letter.isprintable() or letter == "\n").strip()

    def close(self) -> None:
        self._loop.remove_reader(self._source)
        self._source.close()

    def _read(self) -> None:
        try:
            data = self._source.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._source)
        self._kept = (self._kept + data)[-_KEPT:]
