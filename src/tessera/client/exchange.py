# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange over the daemon's unix socket, with almost no imports.

`tessera run` asks for one lease and then becomes the workload. Importing httpx and pydantic for that one
request costs 150 ms before the first instruction of the program, and the standard library's socket, json
and what they import (enum, re, selectors) still 20, as much again as the interpreter itself. So this page
takes the class below socket.socket, which has all that is needed, and leaves the content to others: bytes
go in and bytes come out. It speaks only what tesserad answers: one response with a Content-Length on a
connection that closes. tessera.client.wire puts JSON into it; everything else uses tessera.client.rest.
"""

from __future__ import annotations

import time
from _socket import AF_UNIX, SOCK_STREAM, socket

from tessera import __version__
from tessera.model.errors import (
    DaemonStopping,
    DaemonUnreachable,
    DaemonVersionMismatch,
    TesseraError,
    from_wire,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VERSION_HEADER = "tessera-version"
JSON = "application/json"
# What a lease's workload needs to find it: words that end with a zero byte, NAME=VALUE for a variable to
# set and NAME for one to remove, as `env` takes them.
ENVIRONMENT = "application/vnd.tessera.environment"
_MAX_RESPONSE = 8 << 20
_LOOK = 1.0


class NoDaemon(Exception):
    """Nobody listens on the socket: the one case where starting a daemon helps."""


def exchange(
    path: str,
    method: str,
    route: str,
    content: bytes = b"",
    accept: str = JSON,
    limit: float = 60.0,
    meanwhile: Callable[[], None] | None = None,
) -> bytes:
    """The content of the answer, of the media type `accept`; `content` is JSON, and `limit` is in seconds
    for each step of the exchange. While there is no answer, `meanwhile` is called every second.

    Raises NoDaemon, DaemonUnreachable, DaemonStopping, DaemonVersionMismatch, or the error that the daemon
    answered.
    """
    head = (
        f"{method} {route} HTTP/1.1\r\nHost: tessera\r\nConnection: close\r\nAccept: {accept}\r\n"
        f"Content-Type: {JSON}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.settimeout(limit)
        connect(connection, path)
        try:
            connection.sendall(head.encode("ascii") + content)
            answer = _read_all(connection, limit, meanwhile)
        except ConnectionError as error:
            raise _hung_up(path) from error
        except OSError as error:
            raise no_answer(path, str(error)) from error
    finally:
        connection.close()
    if not answer:
        raise _hung_up(path)
    return _content(path, answer, accept)


def connect(connection: socket, path: str) -> None:
    """Connects to the daemon's socket. Raises NoDaemon or DaemonUnreachable."""
    try:
        connection.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NoDaemon(path) from error
    except OSError as error:
        raise DaemonUnreachable(
            f"The daemon's socket {path} cannot be opened: {error.strerror or error}.",
            "Join the group that owns it, or set TESSERA_RUNTIME_DIR to a folder of your own.",
        ) from error


def no_answer(path: str, why: str) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"What listens on {path} does not answer as a Tessera daemon: {why}.",
        "Look into tesserad.log beside that socket; restart with `tessera daemon --stop`.",
    )


def check_version(path: str, version: str | None) -> None:
    """Raises DaemonUnreachable for no daemon of ours, DaemonVersionMismatch for another version."""
    if version is None:
        raise no_answer(path, "it names no version")
    if version != __version__:
        raise DaemonVersionMismatch(
            f"The daemon is version {version}, this command is {__version__}.",
            "Restart it with `tessera daemon --stop`; running leases go on and are adopted.",
        )


def _hung_up(path: str) -> DaemonStopping:
    return DaemonStopping(
        f"The daemon on {path} ended before it answered.",
        "Ask again; if that does not help, restart it with `tessera daemon --stop`.",
    )


def _read_all(connection: socket, limit: float, meanwhile: Callable[[], None] | None) -> bytes:
    data = bytearray()
    while chunk := _receive(connection, limit, meanwhile):
        data += chunk
        if len(data) > _MAX_RESPONSE:
            raise OSError("its answer has no end")
    return bytes(data)


def _receive(connection: socket, limit: float, meanwhile: Callable[[], None] | None) -> bytes:
    if meanwhile is None:
        return connection.recv(1 << 16)
    until = time.monotonic() + limit
    connection.settimeout(_LOOK)
    while True:
        try:
            return connection.recv(1 << 16)
        except TimeoutError:
            if time.monotonic() > until:
                raise
            meanwhile()


def _content(path: str, answer: bytes, accept: str) -> bytes:
    head, separator, content = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if not separator or len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise no_answer(path, "this is not HTTP")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    check_version(path, fields.get(VERSION_HEADER))
    if fields.get("content-length", "") != str(len(content)):
        raise no_answer(path, "its answer is cut short")
    if not words[1].startswith("2"):
        raise from_wire(decoded(path, content)) or TesseraError(f"The daemon answered {lines[0]}.")
    if fields.get("content-type") != accept:
        raise no_answer(path, f"its answer is no {accept}")
    return content


def decoded(path: str, content: bytes) -> object:
    """What the daemon on `path` says in JSON. Raises DaemonUnreachable if it is none."""
    import json

    try:
        value: object = json.loads(content)
    except ValueError as error:
        raise no_answer(path, "its answer is no JSON") from error
    return value
