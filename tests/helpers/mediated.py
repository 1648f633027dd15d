# SPDX-License-Identifier: Apache-2.0
"""Builds the kernel's own sample of a mediated device, mtty, and the core that it needs.

Debian's kernel for clouds has neither; their sources are in Debian's package of the kernel's source, and
are built here against the headers of that very kernel, which are only unpacked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from helpers.nested import download
from helpers.programs import CACHE

_MAKEFILE = """obj-m := mdev.o mtty.o
mdev-y := mdev_core.o mdev_sysfs.o mdev_driver.o
"""
_NAMES = ("mdev.ko", "mtty.ko")


def build_modules(release: str) -> list[Path]:
    """The modules in the order in which they are to be loaded; kept below .cache.

    Raises CalledProcessError.
    """
    folder = CACHE / "nested" / f"mediated-{release}"
    if not folder.exists():
        work = folder.with_name(f"{folder.name}.{os.getpid()}")
        work.mkdir(parents=True)
        try:
            _build(release, work)
            (work / "made").rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return [folder / name for name in _NAMES]


def _build(release: str, work: Path) -> None:
    version = ".".join(release.split(".")[:2])
    common = re.sub(r"-[a-z-]*[a-z]+[0-9]*$", "-common", release)
    for package in (f"linux-headers-{release}", f"linux-headers-{common}"):
        download(package, work)
    for package in (f"linux-kbuild-{version}", f"linux-source-{version}"):
        download(package, work)
    made = work / "made"
    made.mkdir()
    archive = work / f"usr/src/linux-source-{version}.tar.xz"
    names = ("*/drivers/vfio/mdev/*.[ch]", "*/samples/vfio-mdev/mtty.c")
    unpack = [
        "tar",
        "-xf",
        str(archive),
        "--wildcards",
        "--strip-components=1",
        "-C",
        str(work),
        *names,
    ]
    subprocess.run(unpack, check=True)
    for file in [*work.glob("drivers/vfio/mdev/*.[ch]"), work / "samples/vfio-mdev/mtty.c"]:
        shutil.copy(file, made)
    (made / "Makefile").write_text(_MAKEFILE)
    headers = work / f"usr/src/linux-headers-{release}"
    # It names the other package by its path on a host where both are installed.
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{work}/usr/src/"))
    subprocess.run(["make", "-s", "-C", headers, f"M={made}", "modules"], check=True)
