# SPDX-License-Identifier: Apache-2.0
"""Live progress on standard error: a bar per side on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tessera.bench.player import Message


class Shown:
    """Follows a contest of `pairs` slices per side. A context manager."""

    def __init__(self, sides: tuple[str, ...], pairs: int) -> None:
        self._pairs = pairs
        self._began = time.monotonic()
        self._console = Console(file=sys.stderr)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:>8}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[said]}"),
                console=self._console,
                auto_refresh=False,  # drawing takes time from the cores that are measured
            )
            for side in sides:
                self._tasks[side] = self._bars.add_task(side, total=pairs, said="", start=False)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """One line of talk."""
        elapsed = time.monotonic() - self._began
        self._console.print(f"[dim]{elapsed:6.1f} s[/dim]  {text}", highlight=False, soft_wrap=True)

    def played(self, side: str, number: int, message: Message) -> None:
        """The slice of a side in pair `number` is done; there can be more pairs than planned."""
        said = describe(message)
        if self._bars is not None and side in self._tasks:
            task = self._tasks[side]
            self._bars.start_task(task)
            total = max(number, self._pairs)
            self._bars.update(task, completed=number, total=total, said=said)
            self._bars.refresh()
        elif self._bars is None:
            self.say(f"{side:>8}  {number}/{max(number, self._pairs)}  {said}".rstrip())


def describe(message: Message) -> str:
    """Speed and result of a slice, where it has them."""
    if "seconds" not in message:
        return ""
    rate = message["steps"] / message["seconds"]
    return f"{rate:.1f} steps/s, {message['shown']:.6f}"
