# SPDX-License-Identifier: Apache-2.0
"""Starts a native program that stands on its own and says when it is ready.

It runs in a session of its own, with a clean environment and its output in a file, so that nothing that
happens to the daemon reaches it. It says through a pipe (--ready-fd) when it serves; there is no guessing
and no polling.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tessera import paths
from tessera.leases import process
from tessera.leases.watch import wait_for_exit
from tessera.model.lease import ProcessId

T = TypeVar("T")

READY_LIMIT = 20.0
_STOP_LIMIT = 5.0
_MAX_READY_LINE = 4096
_LOG_TAIL = 2000


class NotReady(Exception):
    """A program that ended, kept silent or said something else; it is gone. `str()` says why."""


async def start(
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    parse: Callable[[bytes], T],
    limit: float,
    inherited: Sequence[int] = (),
) -> tuple[ProcessId, T]:
    """Starts a program and waits until it is ready; `parse` reads its line, with ValueError for nonsense.
    It has the descriptors `inherited`, under the same numbers.

    Raises NotReady, and DiskFull or RuntimeFolderUnusable for the log; then none is left.
    """
    ready, ready_child = os.pipe()
    try:
        words = [*arguments, "--ready-fd", str(ready_child)]
        child = _spawn(words, log, environment, (ready_child, *inherited))
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(ready_child)
    try:
        said = parse(await asyncio.wait_for(_read_line(ready), limit))
        identity = process.identify(child.pid)
        if identity is None:
            raise ValueError("gone")
    except (TimeoutError, ValueError) as error:
        await _end(child)
        why = f"no answer in {limit:g} s" if isinstance(error, TimeoutError) else str(error)
        raise NotReady(f"{why}; exit code {child.returncode}") from error
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        os.close(ready)
    # From here on the process is watched and reaped by pidfd; Popen would warn when it is dropped.
    child.returncode = 0
    return identity, said


def _spawn(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str], inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    try:
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise paths.folder_error(str(log), error) from error
    try:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd="/",
            pass_fds=tuple(inherited),
            start_new_session=True,
        )
    except OSError as error:
        raise NotReady(f"{arguments[0]} cannot be started: {error.strerror}") from error
    finally:
        os.close(output)


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


async def _end(child: subprocess.Popen[bytes]) -> None:
    # A program that failed by itself has its own exit code, which belongs into the message.
    identity = process.identify(child.pid)
    try:
        if identity:
            await wait_for_exit(identity, 0.2)
    finally:
        child.kill()
        child.wait()


async def stop(running: ProcessId) -> None:
    """Ends a process: politely, then after 5 s without asking."""
    if process.send(running, signal.SIGTERM) and await wait_for_exit(running, _STOP_LIMIT):
        process.reap(running.pid)
        return
    if process.send(running, signal.SIGKILL):
        await wait_for_exit(running, _STOP_LIMIT)
    process.reap(running.pid)


def log_tail(log: Path) -> str:
    """The end of a program's log, for an error message; empty when there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text[-_LOG_TAIL:].strip()
