# SPDX-License-Identifier: Apache-2.0
"""Makes small container images: busybox, clinfo, an OpenCL loader and what they need, as a SIF file."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

BUSYBOX = "/bin/busybox"
_APPLETS = (
    "sh cat echo env false head kill ls printf pwd seq sha256sum sleep stty tr true uname wc yes"
)
_PACKAGES = "busybox-static squashfs-tools clinfo ocl-icd-libopencl1"
AMD64, ARM64 = b"02\0", b"04\0"


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
    if not found:
        return []  # linked statically
    (c_library,) = (path for path in found if path.endswith("/libc.so.6"))
    return [*found, *(str(Path(c_library).with_name(name)) for name in DRIVER_NEEDS)]


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


def squash(folder: Path, file: Path) -> Path:
    """Packs a folder into a squashfs."""
    words = [need("mksquashfs"), str(folder), str(file), "-noappend", "-all-root", "-quiet"]
    subprocess.run([*words, "-no-progress", "-comp", "lzo"], check=True, capture_output=True)
    return file


def wrap(content: bytes, file: Path, architecture: bytes = AMD64, kind: int = 1) -> Path:
    """A SIF file whose primary partition is `content`, of the file system `kind` (1: squashfs)."""
    table, start = 4096, 32768
    head = struct.pack(
        "<32s10s3s3s16s8q",
        b"#!/usr/bin/env run-singularity\n",
        b"SIF_MAGIC\0",
        b"01\0",
        architecture,
        bytes(16),
        *(0, 0, 47, 48, table, 48 * 585, start, len(content)),
    )
    extra = struct.pack("<ii3s", kind, 2, architecture)
    entry = struct.pack(
        "<i?III7q128s384s",
        0x4004,
        True,
        *(1, 1, 0),
        *(start, len(content), len(content), 0, 0, 0, 0),
        b"root",
        extra,
    )
    file.write_bytes((head.ljust(table, b"\0") + entry).ljust(start, b"\0") + content)
    return file
