# SPDX-License-Identifier: Apache-2.0
"""What long work on images tells about itself."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Somebody who waits."""

    def step(self, text: str) -> None:
        """A part of the work begins."""

    def advance(self, done: int, total: int) -> None:
        """So many bytes of the present part are done; `total` is 0 where nobody knows it."""


class Silent:
    """Nobody waits."""

    def step(self, text: str) -> None:
        pass

    def advance(self, done: int, total: int) -> None:
        pass
