# SPDX-License-Identifier: Apache-2.0
"""Commands that run virtual machines, seen from outside."""

from __future__ import annotations

from pathlib import Path


def words(image: Path, *command: str, options: tuple[str, ...] = ()) -> list[str]:
    """`tessera run` of a command in a machine, on a quarter of the device."""
    return ["run", "--vm", "--image", str(image), "--fraction", "1/4", *options, "--", *command]


def said(errors: str) -> str:
    """What was said beside the remark that the machine is emulated."""
    lines = [line for line in errors.splitlines() if "the machine is emulated" not in line]
    return "\n".join(lines)


def children(pid: int, name: str) -> list[int]:
    """The processes of this name that `pid` has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and name in _comm(entry) and _parent(entry) == pid:
            found.append(int(entry.name))
    return found


def _comm(entry: Path) -> str:
    try:
        return (entry / "comm").read_text()
    except OSError:
        return ""


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0
