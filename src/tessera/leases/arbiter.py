# SPDX-License-Identifier: Apache-2.0
"""One arbiter: the folder of its GPU, gpus/<id>/{board,arbiter.log}, and how it is started and found."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tessera import native, paths
from tessera.leases import process, spawn
from tessera.model.errors import ArbiterFailed
from tessera.model.lease import ProcessId
from tessera.model.policy import PolicyChange

BOARD = "board"
_READY = b"ready\n"


class GpuFolder:
    """The files of a GPU in use, under the runtime folder; nobody but the daemon's user sees them."""

    def __init__(self, runtime_folder: Path, gpu: str) -> None:
        self.gpu = gpu
        self.folder = runtime_folder / "gpus" / gpu
        self.board = self.folder / BOARD
        self.log = self.folder / "arbiter.log"

    def create(self) -> None:
        """Makes the folder unless it is there. Raises RuntimeFolderUnusable or DiskFull."""
        try:
            self.folder.parent.mkdir(mode=0o700, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise paths.folder_error(str(self.folder), error) from error

    def remove(self) -> None:
        """Removes the folder and all in it; what is already gone is no error."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def start(
    files: GpuFolder,
    policy: PolicyChange,
    environment: Mapping[str, str],
    limit: float = spawn.READY_LIMIT,
    *,
    on_host_cores: bool,
) -> ProcessId:
    """Starts an arbiter, over the board that is there if one is, and waits until it is ready.

    Raises ArbiterFailed, NativeProgramMissing, RuntimeFolderUnusable or DiskFull; then none is left.
    """
    arguments = [str(native.find(native.ARBITER)), "--board", str(files.board), "--gpu", files.gpu]
    arguments += ["--policy", policy.policy.value, "--slice-us", str(policy.slice_us or 0)]
    if on_host_cores:
        arguments.append("--on-host-cores")
    files.create()
    try:
        identity, _ = await spawn.start(arguments, files.log, environment, _check_ready, limit)
    except spawn.NotReady as failure:
        raise ArbiterFailed(
            f"The arbiter of {files.gpu} did not get ready ({failure}). "
            f"{spawn.log_tail(files.log)}".strip(),
            "Run `tessera doctor`; with TESSERA_LOG=debug in the daemon's environment it says more.",
        ) from failure
    return identity


def _check_ready(line: bytes) -> None:
    if line != _READY:
        raise ValueError("it did not say that it is ready")


def running_under(runtime_folder: Path) -> list[tuple[str, ProcessId]]:
    """Every arbiter whose board is inside `runtime_folder`, with its GPU's id, whoever started it."""
    gpus = runtime_folder / "gpus"
    return [
        (path.parent.name, identity)
        for identity, path in process.serving(native.ARBITER, "--board")
        if path.name == BOARD and path.parent.parent == gpus
    ]


def folders(runtime_folder: Path) -> list[str]:
    """The ids of GPUs that have a folder."""
    try:
        return sorted(entry.name for entry in (runtime_folder / "gpus").iterdir())
    except OSError:
        return []
