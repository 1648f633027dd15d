# SPDX-License-Identifier: Apache-2.0
"""The guest's side of a machine: its kernel, and the file system that it begins with.

The kernel is the distribution's own, in a folder of its own (`scripts/guest-kernel` fills it):

    kernel, release                 what it is
    modules/NN-NAME.ko              what the guest loads, in the order of the names

The first file system holds Tessera's init, these modules, and what the program needs to find its lease:
the driver and the file that names it.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from tessera import native
from tessera.hypervisor import cpio
from tessera.model.errors import GuestKernelMissing

FOLDER = "/run/tessera"  # kTesseraFolder of native/guest/root.h
VARIABLES = {
    "OCL_ICD_VENDORS": f"{FOLDER}/vendors",
    "TESSERA_ENDPOINT": f"unix:{FOLDER}/gpu.sock",
}


@dataclass(frozen=True)
class Kernel:
    """A kernel that a machine can start, and the modules that it needs in their order."""

    image: Path
    release: str
    modules: tuple[Path, ...]


def kernel_folder() -> Path:
    """$TESSERA_GUEST_KERNEL, else the one that `make setup` fills."""
    chosen = os.environ.get("TESSERA_GUEST_KERNEL")
    return Path(chosen) if chosen else Path(native.__file__).resolve().parent / "_native" / "guest"


def find_kernel() -> Kernel:
    """Raises GuestKernelMissing."""
    folder = kernel_folder()
    try:
        release = (folder / "release").read_text(encoding="utf-8").strip()
        modules = tuple(sorted((folder / "modules").glob("*.ko")))
    except OSError as error:
        raise GuestKernelMissing(
            f"There is no kernel for virtual machines in {folder}.",
            f"Run: scripts/guest-kernel {folder}   or set TESSERA_GUEST_KERNEL to such a folder.",
        ) from error
    return Kernel(folder / "kernel", release, modules)


def initramfs(kernel: Kernel) -> bytes:
    """The file system that the kernel begins with. Raises NativeProgramMissing."""
    files = {"init": native.find(native.GUEST_INIT).read_bytes()}
    files |= {f"modules/{path.name}": path.read_bytes() for path in kernel.modules}
    driver = native.find(native.GUEST_DRIVER)
    files[f"tessera/{driver.name}"] = driver.read_bytes()
    files["tessera/vendors/tessera.icd"] = f"{FOLDER}/{driver.name}\n".encode()
    return cpio.archive(files)


def architecture() -> str:
    """Of the guests, which is the host's."""
    return platform.machine()
