# SPDX-License-Identifier: Apache-2.0
"""Keys of a terminal, one at a time and without Enter, by termios alone.

The terminal gets its own settings back however the block is left. Interrupt (^C) and suspend (^Z) stay
signals. A change of the window's size ends a wait early, so that the screen is drawn anew at once. (curses
was refused: it would want to draw the screen, too.)
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from types import FrameType, TracebackType
from typing import Self

RESIZED = "resized"
STOPPED = "stopped"


class Keys:
    """Reads stdin while it is entered. Only on the main thread, because it takes signals."""

    def __init__(self) -> None:
        self._stdin = sys.stdin.fileno()
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._happened = ""

    def __enter__(self) -> Self:
        self._settings = termios.tcgetattr(self._stdin)
        tty.setcbreak(self._stdin)
        self._old_wake = signal.set_wakeup_fd(self._woken)
        self._old_resize = signal.signal(signal.SIGWINCH, self._note)
        self._old_stop = signal.signal(signal.SIGTSTP, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGTSTP, self._old_stop)
        signal.signal(signal.SIGWINCH, self._old_resize)
        signal.set_wakeup_fd(self._old_wake)
        termios.tcsetattr(self._stdin, termios.TCSADRAIN, self._settings)
        os.close(self._wake)
        os.close(self._woken)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._happened = RESIZED if number == signal.SIGWINCH else STOPPED

    def wait(self, until: float) -> str:
        """The next key, RESIZED, STOPPED, or "" when it is `until` on time.monotonic().

        Raises EOFError when the terminal is gone.
        """
        ready, _, _ = select.select(
            [self._stdin, self._wake], [], [], max(0.0, until - time.monotonic())
        )
        if self._wake in ready:
            os.read(self._wake, 64)
            happened, self._happened = self._happened, ""
            if happened:
                return happened
        if self._stdin not in ready:
            return ""
        key = os.read(self._stdin, 64)
        if not key:
            raise EOFError
        return key.decode("utf-8", "replace")[:1]

    def stop(self) -> None:
        """Stops this process as ^Z would have, with the terminal as it was; returns when it goes on."""
        termios.tcsetattr(self._stdin, termios.TCSADRAIN, self._settings)
        os.kill(os.getpid(), signal.SIGSTOP)
        tty.setcbreak(self._stdin)
