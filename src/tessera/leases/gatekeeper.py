# SPDX-License-Identifier: Apache-2.0
"""Starts and finds gatekeepers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tessera import native
from tessera.leases import process, spawn
from tessera.leases.workspace import Workspace
from tessera.model.errors import GatekeeperFailed
from tessera.model.lease import ProcessId, Transport

LISTEN_ALL = "127.0.0.1:0"


@dataclass(frozen=True)
class DeviceShare:
    """One --gpu argument: indexes as the probe lists them, and the lease's bytes there; then the GPU's
    board, and what part of its time (in ppm) the lease pays for."""

    platform_index: int
    device_index: int
    memory: int
    board: Path
    share_ppm: int

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
    weight: int,
    transport: Transport,
    environment: Mapping[str, str],
    after_fd: int,
    limit: float = spawn.READY_LIMIT,
) -> Started:
    """Starts a gatekeeper and waits until it listens; the GPUs' boards are there when the pipe `after_fd`
    ends. Raises GatekeeperFailed; then none is left."""
    arguments = _arguments(lease_id, workspace, shares, weight, transport)
    arguments += ["--after-fd", str(after_fd)]
    try:
        identity, port = await spawn.start(
            arguments, workspace.log, environment, _tcp_port(transport), limit, [after_fd]
        )
    except spawn.NotReady as failure:
        raise GatekeeperFailed(
            f"The lease's gatekeeper did not get ready ({failure}). {workspace.log_tail()}".strip(),
            "Run `tessera doctor`; with TESSERA_LOG=debug in the daemon's environment it says more.",
        ) from failure
    return Started(identity, endpoint_of(workspace, transport, port))


def endpoint_of(workspace: Workspace, transport: Transport, port: int | None) -> str:
    if transport is Transport.TCP:
        return f"tcp:127.0.0.1:{port}"
    return f"{transport}:{workspace.socket}"


def _arguments(
    lease_id: str,
    workspace: Workspace,
    shares: Sequence[DeviceShare],
    weight: int,
    transport: Transport,
) -> list[str]:
    arguments = [str(native.find(native.GATEKEEPER)), "--lease", lease_id]
    arguments += ["--listen", str(workspace.socket), "--quota", str(workspace.quota)]
    arguments += ["--control", str(workspace.control)]
    arguments += ["--weight", str(weight)]
    for share in shares:
        arguments += ["--gpu", str(share)]
        arguments += ["--board", str(share.board), "--share", str(share.share_ppm)]
    if transport is Transport.TCP:
        arguments += ["--listen-tcp", LISTEN_ALL, "--token-file", str(workspace.token)]
    return [*arguments, "--worker", str(native.find(native.WORKER))]


def _tcp_port(transport: Transport) -> Callable[[bytes], int | None]:
    def parse(line: bytes) -> int | None:
        said = json.loads(line)
        port = said.get("tcp_port") if isinstance(said, dict) else None
        if transport is not Transport.TCP:
            return None
        if not isinstance(port, int) or not 0 < port < 65536:
            raise ValueError("it names no TCP port")
        return port

    return parse


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
    leases = runtime_folder / "leases"
    found: dict[str, ProcessId] = {}
    for identity, path in process.serving(native.GATEKEEPER, "--listen"):
        if path.parent.parent == leases:
            found[path.parent.name] = identity
    return found
