# SPDX-License-Identifier: Apache-2.0
"""Starts, finds and ends gatekeepers.

A gatekeeper is started in a session of its own, with a clean environment and its output in a file, so
that nothing that happens to the daemon reaches it. It says through a pipe when it listens; there is no
guessing and no polling.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tessera import native, paths
from tessera.leases import process
from tessera.leases.watch import wait_for_exit
from tessera.leases.workspace import Workspace
from tessera.model.errors import GatekeeperFailed
from tessera.model.lease import ProcessId, Transport

READY_LIMIT = 20.0
_STOP_LIMIT = 5.0
_MAX_READY_LINE = 4096
LISTEN_ALL = "127.0.0.1:0"


@dataclass(frozen=True)
class DeviceShare:
    """One --gpu argument: indexes as the probe lists them, and the lease's bytes there."""

    platform_index: int
    device_index: int
    memory: int

    def __str__(self) -> str:
        return f"{self.platform_index}:{self.device_index}:{self.memory}"


@dataclass(frozen=True)
class Started:
    """A gatekeeper that listens."""

    process: ProcessId
    endpoint: str


async def start(
    lease_id: str,
    workspace: Workspace,
    shares: Sequence[DeviceShare],
    transport: Transport,
    environment: Mapping[str, str],
    limit: float = READY_LIMIT,
) -> Started:
    """Starts a gatekeeper and waits until it listens. Raises GatekeeperFailed; then none is left."""
    ready, ready_child = os.pipe()
    try:
        arguments = _arguments(lease_id, workspace, shares, transport, ready_child)
        child = _spawn(arguments, workspace, environment, ready_child)
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(ready_child)
    try:
        line = await asyncio.wait_for(_read_line(ready), limit)
        port = _tcp_port(line, transport)
        identity = process.identify(child.pid)
    except (TimeoutError, ValueError) as error:
        _end_now(child)
        raise _not_ready(workspace, child.returncode, limit, error) from error
    except BaseException:
        _end_now(child)
        raise
    finally:
        os.close(ready)
    if identity is None:
        _end_now(child)
        raise _not_ready(workspace, child.returncode, limit, None)
    # From here on the process is watched and reaped by pidfd; Popen would warn when it is dropped.
    child.returncode = 0
    return Started(identity, endpoint_of(workspace, transport, port))


def endpoint_of(workspace: Workspace, transport: Transport, port: int | None) -> str:
    if transport is Transport.TCP:
        return f"tcp:127.0.0.1:{port}"
    return f"{transport}:{workspace.socket}"


def _arguments(
    lease_id: str,
    workspace: Workspace,
    shares: Sequence[DeviceShare],
    transport: Transport,
    ready_fd: int,
) -> list[str]:
    arguments = [str(native.find(native.GATEKEEPER)), "--lease", lease_id]
    arguments += ["--listen", str(workspace.socket), "--quota", str(workspace.quota)]
    arguments += ["--control", str(workspace.control)]
    for share in shares:
        arguments += ["--gpu", str(share)]
    if transport is Transport.TCP:
        arguments += ["--listen-tcp", LISTEN_ALL, "--token-file", str(workspace.token)]
    arguments += ["--worker", str(native.find(native.WORKER)), "--ready-fd", str(ready_fd)]
    return arguments


def _spawn(
    arguments: Sequence[str], workspace: Workspace, environment: Mapping[str, str], ready_fd: int
) -> subprocess.Popen[bytes]:
    try:
        log = os.open(workspace.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise paths.folder_error(str(workspace.log), error) from error
    try:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            cwd="/",
            pass_fds=(ready_fd,),
            start_new_session=True,
        )
    except OSError as error:
        raise GatekeeperFailed(
            f"{arguments[0]} cannot be started: {error.strerror}.", "Run `make setup`."
        ) from error
    finally:
        os.close(log)


async def _read_line(fd: int) -> bytes:
    os.set_blocking(fd, False)
    loop = asyncio.get_running_loop()
    data = b""
    while not data.endswith(b"\n") and len(data) <= _MAX_READY_LINE:
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(fd, _resolve, readable)
        try:
            await readable
        finally:
            loop.remove_reader(fd)
        with suppress(BlockingIOError):
            chunk = os.read(fd, _MAX_READY_LINE)
            if not chunk:
                raise ValueError("it ended before it was ready")
            data += chunk
    return data


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _tcp_port(line: bytes, transport: Transport) -> int | None:
    said = json.loads(line)
    port = said.get("tcp_port") if isinstance(said, dict) else None
    if transport is not Transport.TCP:
        return None
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("it names no TCP port")
    return port


def _end_now(child: subprocess.Popen[bytes]) -> None:
    # A gatekeeper that failed by itself has its own exit code, which belongs into the message.
    with suppress(subprocess.TimeoutExpired):
        child.wait(0.2)
    child.kill()
    child.wait()


def _not_ready(
    workspace: Workspace, code: int | None, limit: float, error: Exception | None
) -> GatekeeperFailed:
    why = f"no answer in {limit:g} s" if isinstance(error, TimeoutError) else str(error or "gone")
    said = workspace.log_tail()
    return GatekeeperFailed(
        f"The lease's gatekeeper did not get ready ({why}; exit code {code}). {said}".strip(),
        "Run `tessera doctor`; with TESSERA_LOG=debug in the daemon's environment it says more.",
    )


async def stop(gatekeeper: ProcessId) -> None:
    """Ends a gatekeeper and its workers: politely, then after 5 s without asking."""
    if process.send(gatekeeper, signal.SIGTERM) and await wait_for_exit(gatekeeper, _STOP_LIMIT):
        process.reap(gatekeeper.pid)
        return
    if process.send(gatekeeper, signal.SIGKILL):
        await wait_for_exit(gatekeeper, _STOP_LIMIT)
    process.reap(gatekeeper.pid)


def is_listening(socket: Path) -> bool:
    """Whether somebody listens on a unix socket. Asks the kernel: connecting would start a worker."""
    try:
        table = Path("/proc/net/unix").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    accepts_connections = 0x10000
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        # The sockets of accepted clients bear the same path, and any of them may come first.
        if (
            len(fields) == 8
            and fields[7] == str(socket)
            and int(fields[3], 16) & accepts_connections
        ):
            return True
    return False


def running_under(runtime_folder: Path) -> dict[str, ProcessId]:
    """Every gatekeeper that listens inside `runtime_folder`, by lease id, whoever started it."""
    found: dict[str, ProcessId] = {}
    leases = runtime_folder / "leases"
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            lease_id = _lease_served(words, leases)
            identity = process.identify(int(entry.name)) if lease_id else None
            if lease_id and identity:
                found[lease_id] = identity
    return found


def _lease_served(words: Sequence[bytes], leases: Path) -> str | None:
    if not any(os.path.basename(word) == native.GATEKEEPER.encode() for word in words[:3]):
        return None
    for option, value in pairwise(words):
        if option == b"--listen" and Path(os.fsdecode(value)).parent.parent == leases:
            return Path(os.fsdecode(value)).parent.name
    return None
