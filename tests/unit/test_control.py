# SPDX-License-Identifier: Apache-2.0
"""The daemon's side of a control socket: what it says, and what it makes of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tessera.leases import control
from tessera.model.errors import ControlFailed, ControlRefused

Server = Callable[[bytes], bytes | None]


def exchange(tmp_path: Path, serve: Server, *words: str | int, limit: float = 5.0) -> str:
    """What ask() makes of a server that answers a line with bytes, or (None) not at all."""

    async def main() -> str:
        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answer = serve(await reader.readline())
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
            writer.close()

        async with await asyncio.start_unix_server(client, tmp_path / "socket"):
            return await control.ask(tmp_path / "socket", *words, limit=limit)

    return asyncio.run(main())


def test_a_line_goes_out_and_the_text_behind_ok_comes_back(tmp_path: Path) -> None:
    said: list[bytes] = []

    def serve(line: bytes) -> bytes:
        said.append(line)
        return b"ok at once\n"

    assert exchange(tmp_path, serve, "resize", 0, 4096) == "at once"
    assert said == [b"resize 0 4096\n"]
    assert exchange(tmp_path, lambda _: b"ok\n", "x") == ""


def test_a_refusal_keeps_its_cause(tmp_path: Path) -> None:
    answer = b"error below-use GPU 0 has 700 bytes in use\n"
    with pytest.raises(ControlRefused) as caught:
        exchange(tmp_path, lambda _: answer, "resize", 0, 1)
    assert caught.value.cause == "below-use"
    assert "GPU 0 has 700 bytes in use" in caught.value.message


@pytest.mark.parametrize(
    "answer", [b"", b"ok", b"fine\n", b"\n", b"okay\n", b"x" * 10_000, b"\xff\xfe\n"]
)
def test_what_is_no_answer_is_a_named_failure(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(ControlFailed) as caught:
        exchange(tmp_path, lambda _: answer, "resize", 0, 1)
    assert not isinstance(caught.value, ControlRefused)


def test_silence_has_a_limit(tmp_path: Path) -> None:
    with pytest.raises(ControlFailed, match="no answer in"):
        exchange(tmp_path, lambda _: None, "resize", 0, 1, limit=0.05)


def test_nobody_there_is_a_named_failure(tmp_path: Path) -> None:
    with pytest.raises(ControlFailed, match="No such file"):
        asyncio.run(control.ask(tmp_path / "missing", "resize"))
