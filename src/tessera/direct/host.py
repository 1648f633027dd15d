# SPDX-License-Identifier: Apache-2.0
"""One look at all of this host that direct mode is made of."""

from __future__ import annotations

import os

from tessera.direct.files import Files
from tessera.direct.functions import read_functions
from tessera.direct.mediated import read_mediated, read_parents
from tessera.model.direct import DirectHost

DRIVER = "vfio-pci"


def look(files: Files) -> DirectHost:
    """Never raises: what cannot be read is not there."""
    functions = read_functions(files)
    return DirectHost(
        functions=functions,
        parents=read_parents(files),
        mediated=read_mediated(files),
        iommu=bool(files.names(files.root / "sys/kernel/iommu_groups")),
        iommu_todo=_how_to_switch_on(files),
        vfio_pci=is_loaded(files) or _can_be_loaded(files),
        vfio_node=_what_is_wrong(files),
        permitted=_may_change(files, functions[0].address if functions else ""),
    )


def is_loaded(files: Files) -> bool:
    return (files.pci / "drivers" / DRIVER).exists()


def _can_be_loaded(files: Files) -> bool:
    folder = files.root / "lib/modules" / os.uname().release
    for table in ("modules.dep", "modules.builtin"):
        for line in (files.text(folder / table) or "").splitlines():
            if line.partition(":")[0].rpartition("/")[2].startswith(f"{DRIVER}.ko"):
                return True
    return False


def _what_is_wrong(files: Files) -> str:
    """With the node through which QEMU gets at VFIO. It comes with the module."""
    node = files.root / "dev/vfio/vfio"
    if not node.exists():
        return "is not there" if is_loaded(files) else ""
    # QEMU is a user of its own, so what counts is what everybody may.
    return "" if node.stat().st_mode & 0o006 == 0o006 else "cannot be opened by QEMU's user"


def _how_to_switch_on(files: Files) -> str:
    tables = files.names(files.root / "sys/firmware/acpi/tables")
    amd = "AuthenticAMD" in (files.text(files.root / "proc/cpuinfo") or "")
    parameter = "amd_iommu=on" if amd else "intel_iommu=on"
    if "DMAR" not in tables and "IVRS" not in tables:
        name = "AMD-Vi (IOMMU)" if amd else "VT-d"
        return f"Switch {name} on in the firmware's setup; a virtual machine needs one of its own."
    return f"Boot this kernel with {parameter} on its command line."


def _may_change(files: Files, address: str) -> bool:
    return files.may_write(files.pci / "drivers_probe") and (
        not address or files.may_write(files.function(address) / "driver_override")
    )
