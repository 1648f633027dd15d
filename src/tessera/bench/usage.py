# SPDX-License-Identifier: Apache-2.0
"""What processes have used so far, from /proc.

CPU time is read from schedstat, in nanoseconds: the clock ticks of /proc/PID/stat are 10 ms, half
a percent of a slice. Only the part spent in the kernel has to come from the ticks, which add up
over a run. The threads that ended are in no schedstat file, so their ticks are added from the
process's total.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tessera.native import WORKER

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds of a core, and context switches, since the process began."""

    cpu_seconds: float = 0.0
    system_seconds: float = 0.0
    switches: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_seconds + other.cpu_seconds,
            self.system_seconds + other.system_seconds,
            self.switches + other.switches,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_seconds - other.cpu_seconds,
            self.system_seconds - other.system_seconds,
            self.switches - other.switches,
        )


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on, or None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def usage_of(pid: int | None) -> Usage:
    """What the process has used; nothing when there is none."""
    fields = stat_fields(pid) if pid is not None else None
    if fields is None:
        return Usage()
    precise, ticked, switches = 0.0, 0.0, 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            precise += int((task / "schedstat").read_text().split()[0]) * 1e-9
            ticked += _cpu_ticks((task / "stat").read_text(errors="replace")) * TICK
            switches += _switches((task / "status").read_text(errors="replace"))
        except OSError:
            continue
    total = (int(fields[11]) + int(fields[12])) * TICK
    ended = max(0.0, total - ticked)
    return Usage(precise + ended, int(fields[12]) * TICK, switches)


def _cpu_ticks(stat: str) -> int:
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def _switches(status: str) -> int:
    return sum(
        int(line.split(":")[1])
        for line in status.splitlines()
        if line.startswith(("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))
    )


def machine_busy_seconds() -> float:
    """Seconds of all cores that were neither idle nor waiting for a disk, since boot."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, interrupts, softirqs, steal = map(int, fields[:8])
    return (user + nice + system + interrupts + softirqs + steal) * TICK


def servers_of(lease: str) -> tuple[int, ...]:
    """The worker of the lease's only session, its gatekeeper, their daemon; empty without any."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or _name(folder) != WORKER:
            continue
        worker = int(folder.name)
        gatekeeper = _parent(worker)
        if gatekeeper is not None and lease in _arguments(gatekeeper):
            daemon = _parent(gatekeeper)
            # A gatekeeper whose daemon is gone belongs to the system's first process.
            return (worker, gatekeeper) if daemon in (None, 1) else (worker, gatekeeper, daemon)
    return ()


def children_of(parent: int) -> tuple[int, ...]:
    """The processes that a process has started itself."""
    pids = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return tuple(pid for pid in pids if _parent(pid) == parent)


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return ""


def _parent(pid: int) -> int | None:
    fields = stat_fields(pid)
    return int(fields[1]) if fields is not None else None


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
