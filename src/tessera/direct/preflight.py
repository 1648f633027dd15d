# SPDX-License-Identifier: Apache-2.0
"""Everything that keeps devices from being handed over, found before anything is changed.

A pure function, so that each finding can be tested without the hardware that has it. It names all that it
finds, not only the first: who switches an IOMMU on boots the machine for that, and wants to know what
comes next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tessera.direct.host import DRIVER
from tessera.model.direct import (
    LOCKED_BESIDE,
    DirectDevice,
    DirectFinding,
    DirectHost,
    DirectKind,
    FindingName,
    PciFunction,
)
from tessera.model.units import format_bytes

# Drivers of functions that VFIO allows beside its own in a group, because they move no data by themselves.
_HARMLESS = frozenset({None, DRIVER, "pci-stub", "pcieport"})


@dataclass(frozen=True)
class Uses:
    """What leases have: the direct lease of each device by its key; the shared leases of each GPU, and of
    GPUs that its driver lists behind it, by the address of its function."""

    direct: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, Sequence[str]] = field(default_factory=dict)
    behind: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """What the machine needs: its memory and whether that lies in huge pages, in bytes, against what the one
    who starts it may lock and what huge pages are free (None: no limit, or nobody asked)."""

    memory: int = 0
    may_lock: int | None = None
    huge_pages_free: int | None = None


def host_findings(host: DirectHost) -> list[DirectFinding]:
    """What is missing on this host, whichever device is meant."""
    return list(_of_host(host))


def preflight(
    devices: Sequence[DirectDevice],
    host: DirectHost,
    uses: Uses | None = None,
    machine: Machine | None = None,
    without_reset: bool = False,
) -> list[DirectFinding]:
    """`without_reset`: it is accepted that a machine leaves in a device what the next one finds."""
    uses = uses or Uses()
    findings = host_findings(host)
    asked = {device.key for device in devices}
    for device in devices:
        findings += _of_use(device, uses)
        function = host.function(device.key)
        if function is not None:
            findings += _of_function(device, function, host, asked, without_reset)
    return [*findings, *_of_machine(machine or Machine())]


def _of_host(host: DirectHost) -> Iterator[DirectFinding]:
    if not host.iommu:
        yield DirectFinding(
            name=FindingName.IOMMU_OFF,
            cause="The IOMMU is off: nothing would keep a machine's device from all memory of this host.",
            todo=host.iommu_todo,
        )
    if not host.vfio_pci:
        yield DirectFinding(
            name=FindingName.NO_VFIO_PCI,
            cause=f"This kernel has no driver {DRIVER}.",
            todo=f"Install the kernel's package that has the module {DRIVER}.",
        )
    if host.vfio_node:
        yield DirectFinding(
            name=FindingName.NO_VFIO_NODE,
            cause=f"/dev/vfio/vfio {host.vfio_node}.",
            todo="Run: modprobe vfio; chmod 0666 /dev/vfio/vfio   (in a container: pass /dev/vfio in.)",
        )
    if not host.permitted:
        yield DirectFinding(
            name=FindingName.NOT_PERMITTED,
            cause="The daemon may not change the drivers of devices.",
            todo="Run tesserad as root, with /sys writable; see packaging/systemd/tesserad-direct.conf.",
        )


def _of_use(device: DirectDevice, uses: Uses) -> Iterator[DirectFinding]:
    for key in filter(None, (device.key, device.parent)):
        if not (lease := uses.direct.get(key)):
            continue
        yield DirectFinding(
            name=FindingName.IN_DIRECT_USE,
            device=device.key,
            cause=f"{key} is in direct use by lease {lease}.",
            todo=f"Wait for its end, or end it with: tessera stop {lease}",
        )
    if leases := uses.shared.get(device.key):
        names = " ".join(leases)
        yield DirectFinding(
            name=FindingName.IN_SHARED_USE,
            device=device.key,
            cause=f"{_gpu_name(device)} is shared by {_leases(leases)}.",
            todo=f"Wait for their end, or end them with: tessera stop {names}",
        )
    if leases := uses.behind.get(device.key):
        names = " ".join(leases)
        yield DirectFinding(
            name=FindingName.GPUS_BEHIND,
            device=device.key,
            cause=f"{_leases(leases)} would lose their place: their GPUs come behind {_gpu_name(device)} "
            "in their driver's list.",
            todo=f"Hand over the last GPUs first, or end them with: tessera stop {names}",
        )


def _of_function(
    device: DirectDevice,
    function: PciFunction,
    host: DirectHost,
    asked: set[str],
    without_reset: bool,
) -> Iterator[DirectFinding]:
    address = function.address
    if function.is_bridge:
        yield DirectFinding(
            name=FindingName.IS_BRIDGE,
            device=address,
            cause=f"{address} is a bridge: it leads to devices and is none.",
            todo="Name a function behind it; `tessera direct list` shows them.",
        )
        return
    if host.iommu and function.group is None:
        yield DirectFinding(
            name=FindingName.IOMMU_OFF,
            device=address,
            cause=f"{address} is behind no IOMMU.",
            todo="Move the card to another slot; its group must be shown by `tessera direct list`.",
        )
    if function.group is not None:
        yield from group_findings(address, function.group, host, asked)
    if device.kind is DirectKind.FUNCTION:
        yield from _of_pieces(function, host)
    if device.kind is DirectKind.VGPU:
        return  # Its vendor's driver keeps it, resets it and knows who uses it.
    if not function.resets and not without_reset:
        yield DirectFinding(
            name=FindingName.NO_RESET,
            device=address,
            cause=f"{address} cannot be reset: the next one would find what a machine leaves in it.",
            todo="Put it behind a port of its own, or accept that with --without-reset.",
        )
    yield from _of_display_and_driver(function)


def _of_pieces(function: PciFunction, host: DirectHost) -> Iterator[DirectFinding]:
    address = function.address
    if function.virtual:
        yield DirectFinding(
            name=FindingName.HAS_VIRTUAL_FUNCTIONS,
            device=address,
            cause=f"{address} has {len(function.virtual)} virtual functions, which would go with it.",
            todo=f"Ask for {address}/vf, or remove them: "
            f"echo 0 >/sys/bus/pci/devices/{address}/sriov_numvfs",
        )
    if mediated := [each.uuid for each in host.mediated if each.parent == address]:
        yield DirectFinding(
            name=FindingName.HAS_MEDIATED_DEVICES,
            device=address,
            cause=f"{address} has mediated devices, which would go with it: {', '.join(mediated)}.",
            todo="Ask for one of those, or remove each: echo 1 >/sys/bus/mdev/devices/UUID/remove",
        )


def _of_display_and_driver(function: PciFunction) -> Iterator[DirectFinding]:
    address = function.address
    if function.display:
        yield DirectFinding(
            name=FindingName.DISPLAY_IN_USE,
            device=address,
            cause=f"The host's display is on {address}: {', '.join(function.display)}.",
            todo="Give the display another card in the firmware's setup, or end what draws on this one "
            "and boot with video=efifb:off.",
        )
    if function.users and function.driver != DRIVER:
        yield DirectFinding(
            name=FindingName.DRIVER_BUSY,
            device=address,
            cause=f"{address} is in use through its driver {function.driver}: "
            f"{'; '.join(function.users)}.",
            todo="End those programs, unmount what is mounted, and ask again.",
        )
    elif function.users:
        yield DirectFinding(
            name=FindingName.DRIVER_BUSY,
            device=address,
            cause=f"{address} was handed over by somebody else: {'; '.join(function.users)}.",
            todo="End that program, and ask again.",
        )


def group_findings(
    address: str, group: int, host: DirectHost, asked: set[str]
) -> Iterator[DirectFinding]:
    """Whether others of its IOMMU group were not asked for: the group is the smallest thing that the
    hardware can keep apart. Bridges stay with the host."""
    others = [
        each
        for each in host.members(group)
        if each.address not in asked and not each.is_bridge and each.address != address
    ]
    if others:
        told = ", ".join(f"{each.address} ({each.driver or 'no driver'})" for each in others)
        harmless = all(each.driver in _HARMLESS for each in others)
        why = "idle now, but in reach of the machine" if harmless else "in use by this host"
        yield DirectFinding(
            name=FindingName.GROUP_SHARED,
            device=address,
            cause=f"{address} shares IOMMU group {group} with {told}: {why}.",
            todo=f"Ask for all of them: --direct group{group}   (or use a slot that is apart.)",
        )


def _of_machine(machine: Machine) -> Iterator[DirectFinding]:
    locked = machine.memory + LOCKED_BESIDE
    if machine.memory and machine.may_lock is not None and machine.may_lock < locked:
        yield DirectFinding(
            name=FindingName.MEMORY_LOCK,
            cause=f"A device reaches all memory of its machine, so {format_bytes(locked)} are "
            f"locked, and this user may lock {format_bytes(machine.may_lock)}.",
            todo="Raise it (`ulimit -l`, memlock in /etc/security/limits.conf, LimitMEMLOCK= of a unit), "
            "or ask for less --guest-memory.",
        )
    if machine.huge_pages_free is not None and machine.huge_pages_free < machine.memory:
        yield DirectFinding(
            name=FindingName.HUGE_PAGES,
            cause=f"The machine needs {format_bytes(machine.memory)} in huge pages, and "
            f"{format_bytes(machine.huge_pages_free)} are free.",
            todo=f"Run: sysctl vm.nr_hugepages={-(-machine.memory >> 21)}   or leave --huge-pages out.",
        )


def _gpu_name(device: DirectDevice) -> str:
    return f"{device.gpu.id} ({device.key})" if device.gpu else device.key


def _leases(names: Sequence[str]) -> str:
    return f"lease {names[0]}" if len(names) == 1 else f"leases {', '.join(names)}"
