# SPDX-License-Identifier: Apache-2.0
"""Makes the roots of small container images: busybox, programs of the host, and what they need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

BUSYBOX = "/bin/busybox"
_APPLETS = (
    "sh cat echo env false head id kill ls printf pwd seq sha256sum sleep stty tr true uname wc yes"
)
_PACKAGES = "busybox-static squashfs-tools clinfo ocl-icd-libopencl1 uidmap"


def need(program: str) -> str:
    """The path of a program; a test never passes for want of one."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"{program} is not there: run `make setup` ({_PACKAGES}).", pytrace=False)
    return found


def libraries(program: str) -> list[str]:
    """The files that the dynamic linker loads with a program, itself included, and DRIVER_NEEDS."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    found: list[str] = re.findall(r"(/\S+) \(0x", listed)
    # One that is linked statically has none.
    c_libraries = [Path(path) for path in found if path.endswith("/libc.so.6")]
    beside = (str(place.with_name(name)) for place in c_libraries for name in DRIVER_NEEDS)
    return [*found, *beside]


# What Tessera's driver finds in any image that has a C library (tests/unit/test_driver_needs.py).
DRIVER_NEEDS = ("libm.so.6", "libpthread.so.0")


def fill_root(folder: Path, programs: Sequence[str]) -> Path:
    """A root file system with busybox and these programs of the host, each with its libraries."""
    for name in ("bin", "etc", "tmp", "root", "proc"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(need(BUSYBOX), folder / "bin/busybox")
    for applet in _APPLETS.split():
        (folder / "bin" / applet).symlink_to("busybox")
    for program in programs:
        path = need(program)
        for file in (path, *libraries(path)):
            # Where /lib is a link, the linker still finds what lies under its own name.
            target = folder / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(file), target)
    return folder


def squash(folder: Path, file: Path, packed: bool = True) -> Path:
    """Packs a folder into a squashfs; without `packed` in the time that a copy takes."""
    words = [need("mksquashfs"), str(folder), str(file), "-noappend", "-all-root", "-quiet"]
    words += ["-comp", "lzo"] if packed else ["-noI", "-noD", "-noF", "-noX"]
    subprocess.run([*words, "-no-progress"], check=True, capture_output=True)
    return file
