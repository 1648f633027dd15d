# SPDX-License-Identifier: Apache-2.0
"""A physical device of this host, as the inventory found it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class DeviceType(StrEnum):
    """The OpenCL device type."""

    CPU = "CPU"
    GPU = "GPU"
    ACCELERATOR = "ACCELERATOR"
    CUSTOM = "CUSTOM"


class PciFacts(BaseModel):
    """What sysfs says about the device's PCI function."""

    model_config = ConfigDict(frozen=True)

    address: str
    vendor_id: str | None = None
    device_id: str | None = None
    driver: str | None = None
    iommu_group: int | None = None
    numa_node: int | None = None
    local_cpus: str | None = None


class NvmlFacts(BaseModel):
    """What NVIDIA's management library says; `memory` is the board's, in bytes."""

    model_config = ConfigDict(frozen=True)

    index: int
    name: str
    uuid: str
    memory: int
    driver_version: str


class Gpu(BaseModel):
    """One device that leases are cut from; `memory` is in bytes."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    vendor: str
    type: DeviceType
    memory: int
    max_allocation: int
    compute_units: int
    opencl_version: str
    driver_version: str
    platform: str
    platform_index: int
    device_index: int
    uuid: str | None = None
    extensions: tuple[str, ...] = ()
    pci: PciFacts | None = None
    nvml: NvmlFacts | None = None

    @property
    def on_host_cores(self) -> bool:
        """An embedded device: it computes on the cores that programs and Tessera itself run on."""
        return self.type is DeviceType.CPU


class GpuUse(Gpu):
    """A GPU with what its leases take of it, in bytes: leased + free + reserve = memory."""

    reserve: int = 0
    leased: int = 0
    free: int = 0
    leases: tuple[str, ...] = Field(default=(), description="names of the leases on this GPU")
    direct: str | None = Field(default=None, description="the lease whose machine has it whole")
