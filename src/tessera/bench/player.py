# SPDX-License-Identifier: Apache-2.0
"""One side of a comparison: a process that starts, warms up, and then waits for its turns.

The protocol is lines: the process says `ready`, is told `run N`, answers with a `slice`, and says
`end` when its standard input ends. Between turns it sleeps in a
read, so that the sides do not disturb each other although all of them live.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tessera.bench.errors import SideFailed

READY_SECONDS = 900.0  # kernels of a model may all have to be compiled first
TURN_SECONDS = 600.0
END_SECONDS = 60.0
PATIENCE_SECONDS = 5.0  # between two words about a process that is still silent

Message = dict[str, Any]


class Player:
    """The process of one side. A context manager: leaving it ends the process."""

    def __init__(self, side: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.side = side
        self._command = list(command)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        self._buffer = b""
        self._process = subprocess.Popen(
            self._command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.ready: Message = {}

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_ready(
        self, seconds: float = READY_SECONDS, waiting: Callable[[], None] | None = None
    ) -> Message:
        """What the process says of itself once it is warm. Raises SideFailed.

        `waiting` is called every few seconds until then.
        """
        self.ready = self._expect("ready", seconds, waiting)
        return self.ready

    def play(self, rounds: int) -> Message:
        """One turn of `rounds` rounds; returns its slice. Raises SideFailed."""
        self.begin(rounds)
        return self.answer()

    def begin(self, rounds: int) -> None:
        """Lets the process begin a turn, and does not wait for it. Raises SideFailed."""
        self.tell(f"run {rounds}")

    def answer(self) -> Message:
        """The slice of a turn that was begun. Raises SideFailed."""
        return self._expect("slice", TURN_SECONDS)

    def tell(self, line: str) -> None:
        """Says one line to the process. Raises SideFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._failure(f"takes no more turns ({error.strerror})") from error

    def finish(self) -> Message:
        """Ends the process by the end of its input; returns its last words. Raises SideFailed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        last = self._expect("end", END_SECONDS)
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self._failure("did not end") from error
        if code != 0:
            raise self._failure(f"ended with exit code {code}")
        return last

    def stop(self) -> None:
        """Ends the process whatever it does."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        for signal_process in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(5)
                break
            except subprocess.TimeoutExpired:
                signal_process()
        self._process.wait()
        self._log.close()

    def _expect(
        self, event: str, seconds: float, waiting: Callable[[], None] | None = None
    ) -> Message:
        deadline = time.monotonic() + seconds
        while True:
            line = self._line(min(deadline, time.monotonic() + PATIENCE_SECONDS))
            if line is None and time.monotonic() < deadline:
                if waiting is not None:
                    waiting()
                continue
            if line is None:
                raise self._failure(f"did not say '{event}' within {seconds:.0f} s")
            if not line:
                raise self._failure(f"ended before it said '{event}'")
            message = _decoded(line)
            if message is None:
                raise self._failure(f"said something else than JSON: {line[:80]!r}")
            if message.get("event") == event:
                return message

    def _line(self, deadline: float) -> bytes | None:
        """The next line, empty at the end of the stream, None when the time is up."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                piece = os.read(self._process.stdout.fileno(), 1 << 20)
                if not piece:
                    return b""
                self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def _failure(self, what: str) -> SideFailed:
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()[-12:]
        tail = "\n".join(f"  {line}" for line in said) or "  (nothing on its standard error)"
        return SideFailed(
            f"The process of side '{self.side}' {what}.\n{tail}",
            f"Run it by hand: {' '.join(self._command)}",
        )


def _decoded(line: bytes) -> Message | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
