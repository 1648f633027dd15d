# SPDX-License-Identifier: Apache-2.0
"""A host of its own for a test: runtime and state folders, and the `tessera` command in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from helpers.processes import command_lines_with, eventually, is_running
from tessera.client import launch
from tessera.client.rest import Client
from tessera.model.lease import Lease

TESSERA = (sys.executable, "-P", "-m", "tessera")
LIMIT = 120.0


class Running(subprocess.Popen[str]):
    """A process that a failing test does not wait for."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


class Host:
    """Runs commands against a daemon that serves this test alone."""

    def __init__(self, folder: Path, native: Path | None = None) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.state = folder / "state"
        self.environment = {
            **os.environ,
            "TESSERA_RUNTIME_DIR": str(self.runtime),
            "TESSERA_STATE_DIR": str(self.state),
        }
        self.environment.pop("TESSERA_LEASE", None)
        if native is not None:
            self.environment["TESSERA_NATIVE_DIR"] = str(native)

    @property
    def socket(self) -> Path:
        return self.runtime / "tesserad.sock"

    @property
    def log(self) -> str:
        path = self.runtime / "tesserad.log"
        return path.read_text() if path.exists() else ""

    def run(
        self,
        *arguments: str,
        code: int | None = 0,
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """`tessera ARGUMENTS`, which must end with `code` (None: with any)."""
        done = subprocess.run(
            [*TESSERA, *arguments],
            env={**self.environment, **(environment or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, (arguments, done, self.log)
        return done

    def json(self, *arguments: str) -> Any:
        """The decoded output of `tessera ARGUMENTS -o json`."""
        return json.loads(self.run(*arguments, "-o", "json").stdout)

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
    ) -> Running:
        """`tessera ARGUMENTS` in the background, with pipes."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        return Running(
            [*TESSERA, *arguments],
            env={**self.environment, **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
            **(pipes | options),
        )

    def client(self) -> Client:
        return Client(str(self.socket))

    def leases(self) -> list[Lease]:
        """The live leases, as a daemon tells; one is started where none runs."""
        if not launch.is_listening(str(self.socket)):
            self.run("ps")
        with self.client() as client:
            return client.leases()

    def daemon_pid(self) -> int | None:
        return launch.daemon_pid(str(self.runtime))

    def kill_daemon(self) -> None:
        """Ends the daemon as a crash would, and waits until it is gone."""
        pid = self.daemon_pid()
        assert pid is not None, self.log
        os.kill(pid, signal.SIGKILL)
        # A process is a zombie already while its last threads still hold its files.
        eventually(lambda: self.daemon_pid() is None, "its lock is free")
        eventually(lambda: not launch.is_listening(str(self.socket)), "its socket is closed")

    def processes(self) -> Sequence[int]:
        """Gatekeepers and arbiters of this host: the only processes that name its runtime folder."""
        return [pid for pid in command_lines_with(str(self.runtime)) if is_running(pid)]

    def lease_folders(self) -> list[str]:
        folder = self.runtime / "leases"
        return sorted(os.listdir(folder)) if folder.exists() else []

    def close(self) -> None:
        """Ends whatever the test left running."""
        for pid in (self.daemon_pid(), *self.processes()):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
