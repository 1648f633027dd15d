# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL server of its own for a test, on a unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from helpers.processes import eventually

USER = "postgres"


class Server:
    """A running server; each database of it is empty at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = USER) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of a fresh database."""
        self._count += 1
        name = f"tessera{self._count}"
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def start(self) -> None:
        options = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-h", ""]
        # Without fsync: the machine under a test does not lose power.
        words = _as_server_user([str(_program("postgres")), *options, "-F"])
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stderr=log)
        eventually(self._answers, "PostgreSQL answers", 60)

    def stop(self) -> None:
        """Ends it at once, with its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        engine = create_engine(self.url())
        try:
            with engine.connect():
                return True
        except OperationalError:
            return False
        finally:
            engine.dispose()


def _program(name: str) -> Path:
    """Of the newest PostgreSQL here; Debian keeps servers out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4]))
    assert found, f"no {name}: `make setup` installs PostgreSQL"
    return found[-1]


def _as_server_user(command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return list(command)
    options = ["--reuid", USER, "--regid", USER, "--clear-groups"]
    return ["setpriv", *options, "--", *command]


@contextmanager
def postgresql() -> Iterator[Server]:
    """A server that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tsr-pg-", dir="/tmp"))
    if os.getuid() == 0:
        owner = pwd.getpwnam(USER)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    server = Server(folder)
    try:
        options = ["-D", str(folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8", "-N"]
        words = _as_server_user([str(_program("initdb")), *options])
        subprocess.run(words, check=True, capture_output=True, cwd="/")
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
