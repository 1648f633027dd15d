# SPDX-License-Identifier: Apache-2.0
"""Facts of a PCI function out of sysfs. What is not there stays unknown; nothing here raises."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tessera.model.gpu import PciFacts

SYSFS = Path("/sys")


def pci_facts(address: str, sysfs: Path = SYSFS) -> PciFacts:
    """What the kernel knows about the function at `address`, such as 0000:65:00.0."""
    device = sysfs / "bus" / "pci" / "devices" / address.lower()
    group = _link_name(device / "iommu_group")
    node = _number(_text(device / "numa_node"))
    return PciFacts(
        address=address.lower(),
        vendor_id=_text(device / "vendor"),
        device_id=_text(device / "device"),
        driver=_link_name(device / "driver"),
        iommu_group=_number(group),
        # The kernel says -1 on a machine that has no NUMA nodes.
        numa_node=node if node is not None and node >= 0 else None,
        local_cpus=_text(device / "local_cpulist"),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None


def _link_name(path: Path) -> str | None:
    with suppress(OSError):
        return os.path.basename(os.readlink(path))
    return None


def _number(text: str | None) -> int | None:
    with suppress(ValueError, TypeError):
        return int(text or "")
    return None
