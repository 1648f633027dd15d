# SPDX-License-Identifier: Apache-2.0
"""The host's devices in a machine of QEMU's.

Each device of the host gets a PCI Express port of its own in the guest, with its functions together: a driver
that looks for its card's other functions finds them beside it, and drivers of cards that are no part of the
chipset do not like to be. A port can be reset without its neighbours, too.

QEMU opens /dev/vfio/N by that name: in 7.2 no option takes a descriptor. So where QEMU has a user of its own,
that user gets the nodes (tessera.direct.nodes).
"""

from __future__ import annotations

import os
from itertools import groupby

from tessera.direct import nodes
from tessera.hypervisor.base import MachineSpec
from tessera.hypervisor.child import Needs, User
from tessera.hypervisor.migration import RAM
from tessera.model.direct import LOCKED_BESIDE
from tessera.model.errors import MachineFailed

_MIB = 1 << 20


def words(spec: MachineSpec, saved: bool) -> list[str]:
    """QEMU's arguments for the devices, and for memory that they reach better: memory that was `saved` has
    its arguments already."""
    found = _memory(spec) if spec.huge_pages and not saved else []
    by_slot = groupby(sorted(spec.devices, key=lambda each: each.slot), lambda each: each.slot)
    for number, (_, devices) in enumerate(by_slot, 1):
        port = f"direct{number}"
        found += ["-device", f"pcie-root-port,id={port},chassis={number},slot={number}"]
        functions = sorted(devices, key=lambda each: each.path.name)
        for place, device in enumerate(functions):
            several = ",multifunction=on" if place == 0 and len(functions) > 1 else ""
            found += [
                "-device",
                f"vfio-pci,sysfsdev={device.path},bus={port},addr=00.{place}{several}",
            ]
    return found


def _memory(spec: MachineSpec) -> list[str]:
    size = f"{-(-spec.memory // _MIB)}M"
    backend = f"memory-backend-memfd,id={RAM},size={size},hugetlb=on,hugetlbsize=2M,prealloc=on"
    return ["-object", backend, "-machine", f"memory-backend={RAM}"]


def open_to(spec: MachineSpec, user: User | None) -> None:
    """Lets QEMU's user, where it has one of its own, open the devices' groups. Raises MachineFailed."""
    if user is None:
        return
    try:
        nodes.give(sorted({device.node for device in spec.devices}), user.uid, user.gid)
    except OSError as error:
        raise MachineFailed(
            f"{error.filename} cannot be given to QEMU's user: {error.strerror}.",
            "Run `tessera direct check` for the device.",
        ) from error


def needs(spec: MachineSpec) -> Needs:
    """A device reaches all of its machine's memory, which so must stay where it is."""
    here = os.sched_getaffinity(0)
    locked = spec.memory + LOCKED_BESIDE if spec.devices else 0
    return Needs(locked, frozenset(here & spec.near) if here & spec.near != here else frozenset())
