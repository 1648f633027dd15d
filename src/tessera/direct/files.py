# SPDX-License-Identifier: Apache-2.0
"""The files of the kernel that direct mode reads and writes, below a root that can be another one.

Everything that changes the host passes through write(), so that a test can put a kernel of its own behind
a tree of plain files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Files:
    """Reading never raises: what cannot be read is not known."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.pci = root / "sys/bus/pci"
        self.mdev = root / "sys/bus/mdev/devices"

    def function(self, address: str) -> Path:
        return self.pci / "devices" / address

    def text(self, path: Path) -> str | None:
        """Without the blanks around it; None where it is empty or not there."""
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip() or None
        except (OSError, ValueError):
            return None

    def number(self, path: Path) -> int | None:
        """Decimal, or hexadecimal with 0x."""
        with suppress(ValueError):
            return int(self.text(path) or "", 0)
        return None

    def link(self, path: Path) -> str | None:
        """The last word of what a link points to."""
        with suppress(OSError):
            return os.path.basename(os.readlink(path))
        return None

    def names(self, path: Path) -> list[str]:
        with suppress(OSError):
            return sorted(os.listdir(path))
        return []

    def may_write(self, path: Path) -> bool:
        return os.access(path, os.W_OK)

    def write(self, path: Path, text: str) -> None:
        """Tells the kernel something. Raises OSError."""
        # Never made where it is missing, and in one piece: each write is a command.
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
