# SPDX-License-Identifier: Apache-2.0
"""PCI functions out of sysfs: pure reading, one function from one folder.

A kernel since 5.15 names the ways to reset a function (`reset_method`); an older one only shows that there
is one (`reset`). VFIO itself can also reset a whole slot or bus where all of it is handed over, which sysfs
does not tell; so what is listed here is the least that there is.
"""

from __future__ import annotations

from pathlib import Path

from tessera.direct.display import display_of
from tessera.direct.files import Files
from tessera.direct.users import Openers, users_of
from tessera.model.direct import DeviceType, PciFunction

# What the kernel writes where a text is not set.
_NOTHING = "(null)"
_NVIDIA = "nvidia"


def read_functions(files: Files) -> tuple[PciFunction, ...]:
    """All functions of the host, in the order of their addresses."""
    openers = Openers(files)
    return tuple(
        read_function(files, address, openers) for address in files.names(files.pci / "devices")
    )


def read_function(files: Files, address: str, openers: Openers) -> PciFunction:
    folder = files.function(address)
    node = files.number(folder / "numa_node")
    types, current = _vgpu(files, folder)
    return PciFunction(
        address=address,
        vendor_id=files.text(folder / "vendor") or "",
        device_id=files.text(folder / "device") or "",
        class_code=files.number(folder / "class") or 0,
        driver=driver_of(files, address),
        override=override_of(files, address),
        group=group_of(files, folder),
        # The kernel says -1 on a machine that has no NUMA nodes.
        numa_node=node if node is not None and node >= 0 else None,
        numa_cpus=files.text(folder / "local_cpulist"),
        resets=_resets(files, folder),
        display=display_of(files, folder),
        users=users_of(files, folder, openers),
        virtual_of=files.link(folder / "physfn"),
        virtual_total=files.number(folder / "sriov_totalvfs") or 0,
        virtual=_virtual(files, folder),
        virtual_offset=files.number(folder / "sriov_offset") or 0,
        virtual_stride=files.number(folder / "sriov_stride") or 0,
        autoprobe=files.text(folder / "sriov_drivers_autoprobe"),
        types=types,
        current_type=current,
    )


def driver_of(files: Files, address: str) -> str | None:
    return files.link(files.function(address) / "driver")


def override_of(files: Files, address: str) -> str | None:
    """The only driver that the function may have, where one was set."""
    text = files.text(files.function(address) / "driver_override")
    return None if text == _NOTHING else text


def group_of(files: Files, folder: Path) -> int | None:
    name = files.link(folder / "iommu_group") or ""
    return int(name) if name.isdecimal() else None


def _resets(files: Files, folder: Path) -> tuple[str, ...]:
    if (folder / "reset_method").exists():
        return tuple((files.text(folder / "reset_method") or "").split())
    return ("unnamed",) if (folder / "reset").exists() else ()


def _virtual(files: Files, folder: Path) -> tuple[str, ...]:
    names = [name for name in files.names(folder) if name.startswith("virtfn")]
    names.sort(key=lambda name: int(name.removeprefix("virtfn")))
    return tuple(target for name in names if (target := files.link(folder / name)))


def _vgpu(files: Files, folder: Path) -> tuple[tuple[DeviceType, ...], str | None]:
    """The newer form of a vendor's vGPUs: each virtual function has a folder with the types that it can
    become now, a line each (`1428 : NVIDIA H200X-141C`), and the one that it is."""
    place = folder / _NVIDIA
    lines = (files.text(place / "creatable_vgpu_types") or "").splitlines()
    pairs = [line.partition(":") for line in lines]
    types = [
        DeviceType(id=number.strip(), title=title.strip())
        for number, _, title in pairs
        if number.strip().isdecimal()
    ]
    current = files.text(place / "current_vgpu_type")
    return tuple(types), None if current in (None, "0") else current
