# SPDX-License-Identifier: Apache-2.0
"""Mediated devices out of sysfs: the older form of a vendor's vGPUs, and of the kernel's own samples."""

from __future__ import annotations

from pathlib import Path

from tessera.direct.files import Files
from tessera.direct.functions import group_of
from tessera.model.direct import DeviceType, MediatedDevice, MediatedParent


def parent_folder(files: Files, name: str) -> Path:
    """Of a device that mediated devices can be made of, whether it is on a bus or not."""
    return files.root / "sys/class/mdev_bus" / name


def read_parents(files: Files) -> tuple[MediatedParent, ...]:
    return tuple(
        MediatedParent(name=name, types=tuple(_types(files, parent_folder(files, name))))
        for name in files.names(files.root / "sys/class/mdev_bus")
    )


def _types(files: Files, parent: Path) -> list[DeviceType]:
    place = parent / "mdev_supported_types"
    return [
        DeviceType(
            id=name,
            title=files.text(place / name / "name") or "",
            available=files.number(place / name / "available_instances"),
        )
        for name in files.names(place)
    ]


def read_mediated(files: Files) -> tuple[MediatedDevice, ...]:
    """The mediated devices that are there. Each lies in the folder of its parent."""
    return tuple(
        MediatedDevice(
            uuid=name,
            parent=(files.mdev / name).resolve().parent.name,
            type=files.link(files.mdev / name / "mdev_type") or "",
            group=group_of(files, files.mdev / name),
        )
        for name in files.names(files.mdev)
    )
