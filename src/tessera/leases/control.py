# SPDX-License-Identifier: Apache-2.0
"""Tells a gatekeeper to do something, over the control socket of its lease.

One connection for each request: a line of words goes out, a line comes back, `ok TEXT` or
`error CAUSE TEXT`. native/gatekeeper/control.h is the other side.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tessera.model.errors import ControlFailed, ControlRefused

LIMIT = 10.0
_MAX_LINE = 4096


async def ask(socket: Path, *words: str | int, limit: float = LIMIT) -> str:
    """The text behind `ok`, after at most `limit` seconds.

    Raises ControlRefused for an answer that is an error, ControlFailed where none comes; what was asked
    for may then have been done all the same.
    """
    line = " ".join(str(word) for word in words)
    try:
        answer = await asyncio.wait_for(_exchange(socket, line), limit)
    except TimeoutError as error:
        raise _failed(socket, f"no answer in {limit:g} s") from error
    except OSError as error:
        raise _failed(socket, error.strerror or str(error)) from error
    verdict, _, text = answer.partition(" ")
    if verdict == "ok":
        return text
    if verdict != "error":
        raise _failed(socket, f"it answered '{answer[:80]}'")
    cause, _, text = text.partition(" ")
    message = f"The lease's gatekeeper refused to {words[0]}: {text} ({cause})."
    raise ControlRefused(message, "See `tessera stats` for what is in use.", cause, text)


async def resize(socket: Path, limits: Sequence[int]) -> None:
    """Sets the limits of all GPUs of the lease, in its order and in bytes, or none of them.

    Raises ControlRefused with cause `below-use` where one is below what is in use, and ControlFailed.
    """
    pairs = [number for pair in enumerate(limits) for number in pair]
    await ask(socket, "resize", *pairs)


async def _exchange(socket: Path, line: str) -> str:
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=_MAX_LINE)
    try:
        writer.write(os.fsencode(line) + b"\n")
        await writer.drain()
        try:
            answer = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("it closed the connection") from error
        except asyncio.LimitOverrunError as error:
            raise ConnectionError("its answer has no end") from error
        return answer.decode("utf-8", "replace").rstrip("\n")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _failed(socket: Path, why: str) -> ControlFailed:
    return ControlFailed(
        f"The gatekeeper at {socket} does not do what it is told: {why}.",
        "See gatekeeper.log beside that socket; stop the lease if this stays so.",
    )
