# SPDX-License-Identifier: Apache-2.0
"""`tessera run --vm --direct`: gets devices of the host, and puts them into the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tessera.cli import commands, run
from tessera.direct import nodes
from tessera.hypervisor.base import PORTS_WITHOUT_GPU, HostDevice, MachineSpec
from tessera.model.direct import DirectDevice, DirectKind
from tessera.model.errors import UsageError
from tessera.model.lease import Lease, LeaseRequest

_ROOT = Path("/")


def request(
    options: run.Options, devices: Sequence[str], memory: int, without_reset: bool, huge_pages: bool
) -> Lease:
    """The devices, bound to VFIO for as long as this process lives. `memory`: of the machine, in bytes.

    Raises UsageError and what the daemon answers.
    """
    if options.wait is not None:
        raise UsageError("Nobody waits for named devices.", "Leave --wait out, and ask again.")
    asked = LeaseRequest.checked(
        {
            "name": options.name,
            "gpus": int(options.gpus),
            "fraction": options.fraction,
            "memory": options.memory,
            "holder_pid": os.getpid(),
            "command": options.command,
            "direct": list(devices),
            "without_reset": without_reset,
            "machine_memory": memory,
            "huge_pages": huge_pages,
        }
    )
    with commands.client() as daemon:
        return daemon.grant(asked)


def with_devices(spec: MachineSpec, lease: Lease) -> MachineSpec:
    """The machine with the devices of a lease, and without ports for a piece of a GPU."""
    return replace(
        spec,
        ports=PORTS_WITHOUT_GPU,
        devices=tuple(_device(each) for each in lease.direct),
        near=frozenset(
            number for each in lease.direct for number in processors(each.numa_cpus or "")
        ),
    )


def _device(device: DirectDevice) -> HostDevice:
    assert device.group is not None
    node = nodes.of_group(_ROOT, device.group)
    if device.kind is DirectKind.MEDIATED:
        return HostDevice(_ROOT / "sys/bus/mdev/devices" / device.key, node, device.key)
    slot = device.key.rpartition(".")[0] if device.kind is DirectKind.FUNCTION else device.key
    return HostDevice(_ROOT / "sys/bus/pci/devices" / device.key, node, slot)


def processors(text: str) -> frozenset[int]:
    """The numbers in a list of the kernel's, such as 0-3,8."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
