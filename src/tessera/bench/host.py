# SPDX-License-Identifier: Apache-2.0
"""Facts about the machine and the code that a result was measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from tessera.bench.result import Host


def cpu_model(cpuinfo: str) -> tuple[str, bool]:
    """The CPU's name in the text of /proc/cpuinfo, and whether a hypervisor is announced."""
    name, virtual = "unknown", False
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() == "flags":
            virtual = "hypervisor" in value.split()
    return name, virtual


def describe_host() -> Host:
    """This machine, now."""
    name, virtual = cpu_model(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    return Host(
        cpu=name,
        cores=os.cpu_count() or 1,
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()}",
        hypervisor=_hypervisor() if virtual else None,
        python=platform.python_version(),
        load=os.getloadavg()[0],
    )


def _hypervisor() -> str:
    try:
        return Path("/sys/hypervisor/type").read_text(encoding="ascii").strip()
    except OSError:
        return "virtual machine"


def commit() -> str | None:
    """The commit of the source tree this runs from (with `+` when it was changed), or None."""
    folder = Path(__file__).resolve().parent
    try:
        found = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{found}+" if changed else found


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
