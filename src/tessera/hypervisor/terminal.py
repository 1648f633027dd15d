# SPDX-License-Identifier: Apache-2.0
"""The terminal of a person whose program runs in a guest.

The program has a terminal of its own there, which edits lines and makes signals of keys. So this one here
must do neither for as long: it is made raw, and afterwards what it was.
"""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


def is_interactive() -> bool:
    """Whether a person types here and reads here."""
    return os.isatty(0) and os.isatty(1)


def size() -> tuple[int, int]:
    """Rows and columns."""
    columns, rows = os.get_terminal_size(0)
    return rows, columns


@contextmanager
def raw() -> Iterator[None]:
    """The terminal passes on every key as it is."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
