# SPDX-License-Identifier: Apache-2.0
"""The GPUs of this host, joined from the probe, NVML and sysfs, under ids that stay for the daemon's life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from tessera import native
from tessera.inventory import nvml
from tessera.inventory.away import restored
from tessera.inventory.probe import ProbedDevice, ProbedPlatform, ProbeReport, probe
from tessera.inventory.sysfs import SYSFS, pci_facts
from tessera.model.gpu import DeviceType, Gpu, NvmlFacts

OWN_PLATFORM = "Tessera"
PROBE_LIMIT = 60.0


class CpuDevices(StrEnum):
    """Whether leases are cut from OpenCL devices that are the CPU; `auto`: only without a real GPU."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Inventory:
    """Asks once and remembers. An empty answer is asked again: a driver may have been installed."""

    def __init__(
        self,
        environment: Mapping[str, str],
        cpu_devices: CpuDevices = CpuDevices.AUTO,
        probe_limit: float = PROBE_LIMIT,
        boards: Callable[[], Mapping[str, NvmlFacts]] = nvml.boards,
        sysfs: Path = SYSFS,
    ) -> None:
        self._environment = environment
        self._cpu_devices = cpu_devices
        self._probe_limit = probe_limit
        self._boards = boards
        self._sysfs = sysfs
        self._lock = asyncio.Lock()
        self._gpus: tuple[Gpu, ...] = ()
        self.away: tuple[Gpu, ...] = ()
        """GPUs that machines have, and drivers do not list, since an earlier daemon."""

    @property
    def known(self) -> tuple[Gpu, ...]:
        """What gpus() answered last; nothing as long as nobody has asked."""
        return self._gpus

    async def gpus(self) -> tuple[Gpu, ...]:
        """Every GPU, gpu0 first. Raises ProbeFailed (and its kinds) or NativeProgramMissing."""
        if self._gpus:
            return self._gpus
        async with self._lock:
            if not self._gpus:
                program = native.find(native.PROBE)
                report = await probe(program, self._environment, self._probe_limit)
                boards = await asyncio.to_thread(self._boards)
                whole = restored(report, self.away)
                self._gpus = join(whole, boards, self._cpu_devices, self._sysfs)
        return self._gpus


def join(
    report: ProbeReport,
    boards: Mapping[str, NvmlFacts],
    cpu_devices: CpuDevices,
    sysfs: Path = SYSFS,
) -> tuple[Gpu, ...]:
    """The GPUs in a report: no Tessera inside Tessera, no board twice, CPUs as `cpu_devices` says."""
    chosen = list(_wanted(_distinct(report), cpu_devices))
    return tuple(
        _gpu(f"gpu{number}", platform, device, boards, sysfs)
        for number, (platform, device) in enumerate(chosen)
    )


def _distinct(report: ProbeReport) -> Iterator[tuple[ProbedPlatform, ProbedDevice]]:
    # Two drivers may offer the same board, and memory leased from both would be promised twice.
    seen: set[str] = set()
    for platform in report.platforms:
        if platform.name == OWN_PLATFORM:
            continue
        for device in platform.devices:
            identity = device.pci_address or device.uuid
            if identity and identity in seen:
                continue
            seen.add(identity or "")
            if device.global_mem_size > 0:
                yield platform, device


def _wanted(
    found: Iterable[tuple[ProbedPlatform, ProbedDevice]], cpu_devices: CpuDevices
) -> list[tuple[ProbedPlatform, ProbedDevice]]:
    everything = list(found)
    cards = [pair for pair in everything if pair[1].type is not DeviceType.CPU]
    with_cpus = cpu_devices is CpuDevices.ALWAYS or (cpu_devices is CpuDevices.AUTO and not cards)
    return everything if with_cpus else cards


def _gpu(
    name: str,
    platform: ProbedPlatform,
    device: ProbedDevice,
    boards: Mapping[str, NvmlFacts],
    sysfs: Path,
) -> Gpu:
    address = device.pci_address.lower() if device.pci_address else None
    return Gpu(
        id=name,
        name=device.name.strip(),
        vendor=device.vendor.strip(),
        type=device.type,
        memory=device.global_mem_size,
        max_allocation=device.max_mem_alloc_size,
        compute_units=device.max_compute_units,
        opencl_version=device.version.strip(),
        driver_version=device.driver_version.strip(),
        platform=platform.name.strip(),
        platform_index=platform.index,
        device_index=device.index,
        uuid=device.uuid,
        extensions=device.extensions,
        pci=pci_facts(address, sysfs) if address else None,
        nvml=boards.get(address) if address else None,
    )
