# SPDX-License-Identifier: Apache-2.0
"""Runs the daemon: one per runtime folder, on a unix socket that only its owner (or a group) can open.

The lock is held on the pid file for the daemon's life and goes with the process, however it ends; so a
socket without a lock is stale and may be replaced. The new socket is bound under a temporary name and
moved into place when it already listens with its final permissions: a client never sees it half made.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import grp
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tessera import __version__, paths
from tessera.client.exchange import VERSION_HEADER
from tessera.daemon.app import make_app
from tessera.daemon.settings import Settings
from tessera.inventory import Inventory
from tessera.leases import environment
from tessera.leases.service import LeaseService
from tessera.model.errors import DaemonAlreadyRunning, RuntimeFolderUnusable, UsageError
from tessera.store import Store

_log = structlog.get_logger()

_IDLE_CHECK = 5.0  # seconds
_TICK = 1.0  # seconds


class PeerProtocol(H11Protocol):
    """Puts the peer's credentials where a TCP server has the client's address."""

    last_use = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        PeerProtocol.last_use = time.monotonic()
        connection: socket.socket = transport.get_extra_info("socket")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _gid = struct.unpack("iii", credentials)
        self.client = (str(uid), pid)


class _Server(uvicorn.Server):
    """Answers those who wait before it waits for the last answers to be sent.

    It looks once a second whether it has to end, not ten times: its looks take the cores of those who
    compute on them. Who ends it, wakes it.
    """

    def __init__(self, config: uvicorn.Config, before_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_end = before_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Has the server end soon; also from a signal's handler."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.end()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_end()
        await super().shutdown(sockets)


def run(settings: Settings, ready_fd: int | None = None) -> None:
    """Serves until SIGTERM or SIGINT. Raises DaemonAlreadyRunning and what its parts raise at start."""
    group = _group_id(settings.group)
    mode = 0o700 if group is None else 0o750
    paths.make_private_folder(str(settings.runtime_folder), mode)
    lock = _take_lock(settings.runtime_folder / paths.LOCK_NAME)
    try:
        if group is not None:
            os.chown(settings.runtime_folder, -1, group)
            settings.runtime_folder.chmod(0o750)
        _serve(settings, group, ready_fd)
    except OSError as error:
        raise paths.folder_error(str(settings.runtime_folder), error) from error
    finally:
        settings.socket.unlink(missing_ok=True)
        (settings.runtime_folder / paths.LOCK_NAME).unlink(missing_ok=True)
        os.close(lock)


def _serve(settings: Settings, group: int | None, ready_fd: int | None) -> None:
    store = Store(settings.database_url, settings.node)
    native_environment = environment.for_native_programs()
    inventory = Inventory(native_environment, settings.cpu_devices)
    service = LeaseService(
        store,
        inventory,
        settings.runtime_folder,
        settings.reserve,
        native_environment,
        settings.policy,
        settings.placement,
        state_folder=Path(paths.state_folder()),
    )
    listener = _listen(settings.socket, group)
    config = uvicorn.Config(
        make_app(settings, service),
        http=PeerProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[(VERSION_HEADER, __version__)],
        timeout_graceful_shutdown=5,
    )
    # uvicorn ends on these by itself and raises them once more afterwards; the default action would then
    # end the process before it has cleaned up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        asyncio.run(
            _main(_Server(config, service.queue.close), listener, settings, service, ready_fd)
        )
    finally:
        store.close()


async def _main(
    server: _Server,
    listener: socket.socket,
    settings: Settings,
    service: LeaseService,
    ready_fd: int | None,
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if not serving.done():
        _log.info("daemon ready", version=__version__, socket=str(settings.socket))
        _announce(ready_fd)
    idle = asyncio.create_task(_end_when_idle(server, service, settings.idle_exit))
    try:
        await serving
    finally:
        idle.cancel()


async def _end_when_idle(server: _Server, service: LeaseService, limit: float | None) -> None:
    started = time.monotonic()
    while limit is not None:
        await asyncio.sleep(min(_IDLE_CHECK, limit))
        idle_since = max(started, PeerProtocol.last_use)
        if service.live_count == 0 and time.monotonic() - idle_since > limit:
            _log.info("idle: nothing leased, nobody asks", seconds=limit)
            server.end()
            return


def _announce(ready_fd: int | None) -> None:
    if ready_fd is not None:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
    if target := os.environ.get("NOTIFY_SOCKET"):
        address = "\0" + target[1:] if target.startswith("@") else target
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.sendto(b"READY=1", address)


def _group_id(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UsageError(
            f"There is no group '{name}'.", f"Make it with: groupadd --system {name}"
        ) from error


def _take_lock(path: Path) -> int:
    while True:
        try:
            # Whoever may open it may lock it, and keep the next daemon from starting.
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise paths.folder_error(str(path), error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise DaemonAlreadyRunning(
                f"A daemon (pid {pid}) already serves {path.parent}.",
                "Stop it with `tessera daemon --stop`, or choose another TESSERA_RUNTIME_DIR.",
            ) from error
        # The one that held it before may have removed the file between our open and our lock.
        if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
            return fd
        os.close(fd)


def _listen(path: Path, group: int | None) -> socket.socket:
    fresh = path.with_suffix(".new")
    if len(os.fsencode(fresh)) > paths.MAX_SOCKET_PATH:
        raise RuntimeFolderUnusable(
            f"{path} is too long for a socket ({paths.MAX_SOCKET_PATH} bytes at most).",
            "Set TESSERA_RUNTIME_DIR to a shorter path.",
        )
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(fresh))
    finally:
        os.umask(before)
    if group is not None:
        os.chown(fresh, -1, group)
        fresh.chmod(0o660)
    listener.listen(128)
    os.replace(fresh, path)
    return listener
