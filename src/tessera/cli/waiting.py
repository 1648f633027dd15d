# SPDX-License-Identifier: Apache-2.0
"""`tessera run --wait`: asks for a lease and waits until there is room for it.

The request stays open for as long as it waits, so that a command that is killed has left the queue. It
tells the person at the terminal where it stands. Where the daemon ends meanwhile, the next one is asked
the same again, with the time of the first request, which gets it its place back.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

from tessera.client import launch, wire
from tessera.client.encode import encode
from tessera.client.exchange import ENVIRONMENT, NoDaemon, exchange
from tessera.model.errors import DaemonStopping, TesseraError

FOREVER = 366 * 86400.0  # seconds: MAX_WAIT of tessera.model.lease
_ANSWER_LIMIT = 60.0
_PAUSE = 0.2


def lease(path: str, request: dict[str, object], limit: float) -> bytes:
    """The environment of the lease, after at most `limit` seconds.

    Raises NoDaemon where there was none in the first place, WaitTimedOut, and what else a daemon answers.
    """
    since = datetime.now(UTC)
    until = time.monotonic() + limit
    progress = _Progress(path)
    again: dict[str, object] = {}
    left = limit
    while True:
        body = {**request, **again, "wait_seconds": left}
        try:
            content, patience = encode(body), left + _ANSWER_LIMIT
            return exchange(
                path, "POST", "/v1/leases", content, ENVIRONMENT, patience, progress.tell
            )
        except DaemonStopping:
            if time.monotonic() >= until:
                raise
        except NoDaemon:
            if not again:
                raise
            _await_daemon(path)
        again = {"waiting_since": since.isoformat()}
        left = max(0.0, until - time.monotonic())


def _await_daemon(path: str) -> None:
    """Returns when it is worth asking again. Raises what ensure_daemon() raises."""
    # An old daemon that still cleans up keeps a new one from starting.
    if launch.daemon_pid(os.path.dirname(path)) is None and launch.may_start(path):
        launch.ensure_daemon(path)
    elif not launch.is_listening(path):
        time.sleep(_PAUSE)


class _Progress:
    """Says on stderr what is waited for, once for each place in the queue."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._said = ""

    def tell(self) -> None:
        line = self._line()
        if line and line != self._said:
            print(f"tessera: {line}", file=sys.stderr, flush=True)
            self._said = line

    def _line(self) -> str:
        try:
            leases = wire.call(self._path, "GET", "/v1/leases")
        except (TesseraError, NoDaemon):
            return ""
        assert isinstance(leases, list)
        for found in leases:
            place, holder = found.get("waiting"), found.get("holder")
            if place and holder and holder["pid"] == os.getpid():
                return (
                    f"waiting for {place['wants']}: position {place['position']} of {place['of']}"
                )
        return ""
