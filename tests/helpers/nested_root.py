# SPDX-License-Identifier: Apache-2.0
"""The root of a host that is itself a machine: this Python, Tessera, QEMU, and what they need, from this host.

Everything is copied under its own path, so that nothing notices; what is not needed is left out, because the
machine is emulated and reads slowly.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from helpers import roots
from helpers.programs import ROOT, native

TESSERA = Path("/opt/tessera")  # in the machine
SITE = TESSERA / "site"
QEMU = "qemu-system-x86_64"
_QEMU_DATA = ("/usr/share/qemu", "/usr/share/seabios")
_QEMU_MODULES = Path("/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so")
_APPLETS = ("cp cut dd depmod dmesg grep insmod ln lsmod mkdir modprobe mount rm sort tail test "
            "touch umount chroot poweroff")  # fmt: skip
_NOT_NEEDED = shutil.ignore_patterns(
    "site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "config-*",
    "turtledemo", "pydoc_data", "*.a", "*.opt-2.pyc",
)  # fmt: skip


def fill(folder: Path) -> Path:
    """Raises what copying raises; a test fails by name for want of a program."""
    roots.fill_root(folder, [QEMU])
    for applet in _APPLETS.split():
        _link(folder / "bin" / applet, "busybox")
    _link(folder / "sbin/modprobe", "/bin/busybox")
    for place in _QEMU_DATA:
        _copy(folder, Path(place))
    if _QEMU_MODULES.exists():
        _copy(folder, _QEMU_MODULES)
    _copy_python(folder)
    _copy_tessera(folder)
    for name in ("dev", "proc", "sys", "run", "var/lib", "lib/modules", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    _copy_libraries(folder)
    return folder


def python() -> str:
    """The interpreter without a virtual environment, by its own path."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(Path(sys.base_prefix) / "bin" / name)


def environment() -> dict[str, str]:
    """Of programs in the machine."""
    return {
        "PATH": "/usr/bin:/bin:/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{TESSERA}/src:{SITE}",
        "PYTHONDONTWRITEBYTECODE": "1",
        # An emulated machine in an emulated machine.
        "TESSERA_BOOT_LIMIT": "1200",
        "TESSERA_NATIVE_DIR": str(TESSERA / "native"),
        "TESSERA_GUEST_KERNEL": str(TESSERA / "guest"),
    }


def _copy_python(folder: Path) -> None:
    _copy(folder, Path(python()))
    standard = Path(os.__file__).parent
    shutil.copytree(standard, _inside(folder, standard), ignore=_NOT_NEEDED, dirs_exist_ok=True)
    site = _inside(folder, SITE)
    for distribution in _needed("tessera", {"tessera"}):
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and source.is_file():
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def _needed(name: str, seen: set[str]) -> Iterator[metadata.Distribution]:
    """The distributions that one needs when it is used plainly, without itself."""
    for requirement in metadata.requires(name) or ():
        if "extra ==" in requirement:
            continue
        found = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert found
        other = found.group().lower()
        if other in seen:
            continue
        seen.add(other)
        try:
            distribution = metadata.distribution(other)
        except metadata.PackageNotFoundError:
            continue  # for another Python or system
        yield distribution
        yield from _needed(other, seen)


def _copy_tessera(folder: Path) -> None:
    source = _inside(folder, TESSERA / "src/tessera")
    shutil.copytree(ROOT / "src/tessera", source, ignore=shutil.ignore_patterns("_native"))
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-s", str(folder), str(source.parent)],
        check=True,
    )
    target = _inside(folder, TESSERA / "native")
    target.mkdir()
    for name in ("tessera-guest-init", "libtessera-guest-opencl.so"):
        shutil.copy2(native(name), target)


def _copy_libraries(folder: Path) -> None:
    """What the programs and extension modules that are there load."""
    for file in [*folder.rglob("*.so"), *folder.rglob("*.so.*"), _inside(folder, Path(python()))]:
        original = Path("/") / file.relative_to(folder)
        known = original if original.exists() else file
        for library in roots.libraries(str(known)):
            if not _inside(folder, Path(library)).exists():
                _copy(folder, Path(library))


def _copy(folder: Path, source: Path) -> None:
    target = _inside(folder, source)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(os.path.realpath(source), target)


def _inside(folder: Path, path: Path) -> Path:
    return folder / path.relative_to("/")


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target)
