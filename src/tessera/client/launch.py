# SPDX-License-Identifier: Apache-2.0
"""Starts this user's daemon when none answers.

The daemon says through a pipe that it serves, or why it cannot. A lock lets only one command at a time do
this; the others wait for the lock and then find the daemon there. The daemon is no child of the command:
`tessera run` becomes the workload, and a workload that waits for its children must not find one it never
made.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from tessera import paths
from tessera.client.exchange import NoDaemon, connect
from tessera.model.errors import (
    DaemonStartFailed,
    DaemonUnreachable,
    NotPermitted,
    TesseraError,
    from_wire,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

READY_LIMIT = 60.0
IDLE_EXIT = 1800


def may_start(path: str) -> bool:
    """Whether a command may start a daemon for the socket at `path`: only this user's own."""
    own = os.path.join(paths.runtime_folder(), paths.SOCKET_NAME)
    return path == own and os.environ.get("TESSERA_AUTOSTART", "1") != "0"


def ensure_daemon(path: str) -> None:
    """Returns when a daemon listens on `path`, and starts one if it must.

    Raises DaemonUnreachable, DaemonStartFailed, RuntimeFolderUnusable or DiskFull.
    """
    if not may_start(path):
        raise DaemonUnreachable(
            f"No daemon listens on {path}.",
            "Start it: systemctl start tesserad   (or `tessera daemon` in a terminal of its own).",
        )
    folder = os.path.dirname(path)
    paths.make_private_folder(folder)
    with _start_lock(folder):
        if not is_listening(path):
            _start(folder)


def is_listening(path: str) -> bool:
    """Whether somebody accepts connections on `path`. Raises DaemonUnreachable if that is forbidden."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connect(connection, path)
        except NoDaemon:
            return False
    return True


def daemon_pid(folder: str) -> int | None:
    """The pid of the daemon that holds the lock of a runtime folder, or None when nobody does.

    Raises NotPermitted where the folder is another user's.
    """
    try:
        fd = os.open(os.path.join(folder, paths.LOCK_NAME), os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise NotPermitted(
            f"The daemon of {folder} belongs to another user.", "Ask root, or use systemctl."
        ) from error
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(fd, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else None
    finally:
        os.close(fd)
    return None


@contextmanager
def _start_lock(folder: str) -> Iterator[None]:
    name = os.path.join(folder, paths.START_LOCK_NAME)
    try:
        fd = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise paths.folder_error(name, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _start(folder: str) -> None:
    from tessera.leases.environment import for_daemon

    log = os.path.join(folder, paths.LOG_NAME)
    ready, ready_child = os.pipe()
    try:
        with open(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab") as output:
            subprocess.run(
                [sys.executable, "-P", "-m", "tessera.daemon", "--detach"]
                + ["--ready-fd", str(ready_child), "--idle-exit", str(IDLE_EXIT)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=for_daemon(os.environ),
                cwd="/",
                pass_fds=(ready_child,),
                start_new_session=True,
                check=False,
            )
    except OSError as error:
        os.close(ready)
        raise paths.folder_error(log, error) from error
    finally:
        os.close(ready_child)
    with open(ready, "rb") as pipe:
        answer = _read(pipe)
    if not answer.startswith(b"ready"):
        raise _start_failed(answer, log)


def _read(pipe: BinaryIO) -> bytes:
    """What the daemon says until it closes the pipe, or until it has had enough time."""
    until = time.monotonic() + READY_LIMIT
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    answer = b""
    while (left := until - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                break
            answer += chunk
    return answer


def _start_failed(answer: bytes, log: str) -> TesseraError:
    try:
        named = from_wire(json.loads(answer))
    except ValueError:
        named = None
    if named is not None:
        return DaemonStartFailed(f"The daemon cannot start. {named.message}", named.hint)
    with open(log, encoding="utf-8", errors="replace") as text:
        said = "\n".join(text.read()[-4000:].splitlines()[-4:])
    return DaemonStartFailed(f"The daemon did not get ready. {said}".rstrip(), f"See {log}.")
