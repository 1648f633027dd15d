# SPDX-License-Identifier: Apache-2.0
"""Looks at processes from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def eventually(condition: Callable[[], bool], what: str, limit: float = 10.0) -> None:
    """Waits until something holds. Raises AssertionError with `what` after `limit` seconds."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not within {limit:g} s: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"


def descriptors(pid: int | str = "self") -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def command_lines_with(text: str) -> list[int]:
    """The pids whose command line contains `text`."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) != os.getpid():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line:
                found.append(int(entry))
    return found
