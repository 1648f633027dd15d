# SPDX-License-Identifier: Apache-2.0
"""A host that is itself a machine: with an IOMMU and devices that this host need not have, all emulated.

It boots Debian's kernel for clouds, runs one Python script in a root that holds Tessera, and ends with it.
What the script says (a line of JSON each) comes back over a serial line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import nested_root, roots
from helpers.programs import CACHE, ROOT
from tessera.hypervisor import cpio

_LIMIT = 3000.0
_ROOT_MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev",
                 "virtio_pci", "virtio_blk", "squashfs", "overlay")  # fmt: skip
# To be loaded by name in the machine, with what they need.
MODULES = ("irqbypass", "vfio", "vfio_iommu_type1", "vfio_virqfd", "vfio-pci-core", "vfio-pci",
           "uio", "uio_pci_generic", "kvm", "kvm-amd")  # fmt: skip
_KERNEL = "intel_iommu=on console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /lower /rw /new
$b mount -t devtmpfs none /dev
for m in /modules/*.ko; do $b insmod $m; done
$b mount -t squashfs /dev/vda /lower
$b mount -t tmpfs none /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work none /new
$b mount -t proc none /new/proc
$b mount -t sysfs none /new/sys
$b mount -t devtmpfs none /new/dev
$b mkdir -p /new/dev/shm /new/dev/pts
$b mount -t tmpfs none /new/dev/shm
$b mount -t devpts none /new/dev/pts
$b mount -t tmpfs none /new/run
$b mount -t tmpfs none /new/tmp
$b chroot /new /bin/busybox sh /start
$b poweroff -f
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel and all its modules, as they lie in Debian's package."""

    image: Path
    modules: Path
    release: str

    def module(self, name: str) -> Path:
        (found,) = self.modules.rglob(f"{name}.ko")
        return found


def kernel() -> Kernel:
    """Debian's kernel for clouds, unpacked below .cache. Raises CalledProcessError."""
    guest = ROOT / "src/tessera/_native/guest"
    release = (guest / "release").read_text().strip()
    folder = CACHE / "nested" / release
    if not folder.exists():
        unpacked = folder.with_name(f"{release}.{os.getpid()}")
        unpacked.mkdir(parents=True)
        download(f"linux-image-{release}", unpacked)
        unpacked.rename(folder)
    return Kernel(guest / "kernel", folder / "lib/modules" / release, release)


def download(package: str, folder: Path) -> None:
    """Unpacks a Debian package into a folder, and installs nothing."""
    subprocess.run(
        ["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True
    )
    (file,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg", "-x", file.name, "."], cwd=folder, check=True)
    file.unlink()


def make_root(folder: Path, found: Kernel, script: Path, more: Sequence[Path] = ()) -> Path:
    """The machine's root, which runs `script`; with the images and modules `more`. Its squashfs."""
    root = nested_root.fill(folder / "root")
    place = root / "lib/modules" / found.release
    place.mkdir(parents=True)
    for name in MODULES:
        shutil.copy(found.module(name), place)
    for file in more:
        shutil.copy(file, place if file.suffix == ".ko" else root / "images")
    subprocess.run([roots.BUSYBOX, "depmod", "-b", str(root), found.release], check=True)
    guest = root / str(nested_root.TESSERA / "guest").lstrip("/")
    shutil.copytree(ROOT / "src/tessera/_native/guest", guest)
    variables = [f"export {name}='{value}'" for name, value in nested_root.environment().items()]
    shutil.copy(script, root / "script.py")
    run = f"{nested_root.python()} /script.py >/dev/ttyS1 2>/dev/ttyS0"
    (root / "start").write_text("\n".join([*variables, run, ""]))
    return roots.squash(root, folder / "root.squashfs")


def initramfs(found: Kernel) -> bytes:
    files = {"init": _INIT.encode(), "bin/busybox": Path(roots.BUSYBOX).read_bytes()}
    for number, name in enumerate(_ROOT_MODULES, 10):
        files[f"modules/{number}-{name}.ko"] = found.module(name).read_bytes()
    return cpio.archive(files)


class NestedHost:
    """Runs until its script has ended; `said` is what that printed."""

    def __init__(self, folder: Path, found: Kernel, root: Path, devices: Sequence[str]) -> None:
        self._folder = folder
        first = folder / "initramfs"
        first.write_bytes(initramfs(found))
        words = [roots.need(nested_root.QEMU), "-nodefaults", "-no-user-config", "-no-reboot"]
        words += ["-machine", "q35,kernel-irqchip=off", "-accel", "tcg,thread=multi"]
        words += ["-cpu", "max", "-smp", "2", "-m", "3G", "-display", "none", "-vga", "none"]
        words += ["-device", "intel-iommu,intremap=on"]
        words += ["-kernel", str(found.image), "-initrd", str(first), "-append", _KERNEL]
        words += ["-serial", f"file:{folder}/console", "-serial", f"file:{folder}/said"]
        words += ["-drive", f"file={root},format=raw,if=none,id=root,readonly=on"]
        words += ["-device", "virtio-blk-pci,drive=root"]
        for device in devices:
            words += ["-device", device]
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    def wait(self, limit: float = _LIMIT) -> list[dict[str, Any]]:
        """What the script said, once the machine has ended. Raises AssertionError when it does not."""
        until = time.monotonic() + limit
        while self._process.poll() is None:
            if time.monotonic() > until:
                self.end()
                raise AssertionError(f"The nested host did not end in {limit:g} s. {self.console}")
            time.sleep(0.5)
        return list(self.said())

    def said(self) -> Iterator[dict[str, Any]]:
        text = (self._folder / "said").read_text(errors="replace")
        for line in text.splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    @property
    def console(self) -> str:
        return (self._folder / "console").read_text(errors="replace")[-4000:]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
