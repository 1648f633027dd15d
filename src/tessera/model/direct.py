# SPDX-License-Identifier: Apache-2.0
"""Direct mode: what of this host can be handed over whole to a machine, and what keeps it from that."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from tessera.model.gpu import Gpu

# Beside a machine's memory, what its firmware and option ROMs take of what its user may lock.
LOCKED_BESIDE = 128 << 20


class DirectKind(StrEnum):
    """What a handed-over device is to the kernel.

    `vgpu` is a virtual function that its vendor's own driver has cut a piece of a card into, and keeps.
    """

    FUNCTION = "function"
    VIRTUAL = "virtual"
    MEDIATED = "mediated"
    VGPU = "vgpu"


class DirectDevice(BaseModel):
    """One device of a direct lease, with all that is needed to give it back. It is written down before
    anything is changed."""

    model_config = ConfigDict(frozen=True)

    kind: DirectKind
    key: str = Field(description="its PCI address, or the UUID of a mediated device")
    group: int | None = Field(default=None, description="its IOMMU group, once it is there")
    parent: str | None = Field(default=None, description="what a virtual or mediated device is of")
    type: str | None = Field(default=None, description="of a mediated device or a vGPU")
    made: bool = Field(default=False, description="made for the lease, and removed behind it")
    former_driver: str | None = None
    former_override: str | None = None
    former_autoprobe: str | None = Field(
        default=None, description="what its parent did with fresh virtual functions"
    )
    numa_cpus: str | None = Field(default=None, description="processors that are near")
    gpu: Gpu | None = Field(default=None, description="the GPU that it is while no machine has it")


class DeviceType(BaseModel):
    """A kind of piece that a card can be cut into: of mediated devices, or of vGPUs."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str = ""
    available: int | None = None


class PciFunction(BaseModel):
    """A PCI function as sysfs shows it."""

    model_config = ConfigDict(frozen=True)

    address: str
    vendor_id: str = ""
    device_id: str = ""
    class_code: int = 0
    driver: str | None = None
    override: str | None = None
    group: int | None = None
    numa_node: int | None = None
    numa_cpus: str | None = None
    resets: tuple[str, ...] = Field(default=(), description="ways to reset it alone, as the kernel")
    display: tuple[str, ...] = Field(default=(), description="what shows the host's display on it")
    users: tuple[str, ...] = Field(default=(), description="what uses it through its driver now")
    virtual_of: str | None = None
    virtual_total: int = 0
    virtual: tuple[str, ...] = Field(default=(), description="its virtual functions that are there")
    virtual_offset: int = 0
    virtual_stride: int = 0
    autoprobe: str | None = Field(
        default=None, description="whether fresh virtual functions get a driver at once: 0 or 1"
    )
    types: tuple[DeviceType, ...] = Field(default=(), description="vGPUs that it can become")
    current_type: str | None = None

    @property
    def slot(self) -> str:
        """The address without its function."""
        return self.address.rpartition(".")[0]

    @property
    def is_bridge(self) -> bool:
        return self.class_code >> 16 == 0x06

    @property
    def is_gpu(self) -> bool:
        """By its class: a display controller, a processing accelerator or a coprocessor."""
        return self.class_code >> 16 in (0x03, 0x12) or self.class_code >> 8 == 0x0B40


class MediatedParent(BaseModel):
    """A device that mediated devices can be made of."""

    model_config = ConfigDict(frozen=True)

    name: str
    types: tuple[DeviceType, ...] = ()


class MediatedDevice(BaseModel):
    """A mediated device that is there."""

    model_config = ConfigDict(frozen=True)

    uuid: str
    parent: str
    type: str
    group: int | None = None


class DirectHost(BaseModel):
    """One look at all that direct mode is made of."""

    model_config = ConfigDict(frozen=True)

    functions: tuple[PciFunction, ...] = ()
    parents: tuple[MediatedParent, ...] = ()
    mediated: tuple[MediatedDevice, ...] = ()
    iommu: bool = False
    iommu_todo: str = Field(default="", description="how it is switched on, where it is off")
    vfio_pci: bool = Field(
        default=False, description="whether the driver is there, or can be loaded"
    )
    vfio_node: str = Field(default="", description="what is wrong with /dev/vfio/vfio, if anything")
    permitted: bool = Field(default=False, description="whether the daemon may change drivers")

    def function(self, address: str) -> PciFunction | None:
        return next((each for each in self.functions if each.address == address), None)

    def members(self, group: int) -> tuple[PciFunction, ...]:
        """The functions of an IOMMU group."""
        return tuple(each for each in self.functions if each.group == group)


class FindingName(StrEnum):
    """What can keep a device from being handed over."""

    NO_SUCH_DEVICE = "NoSuchDevice"
    IS_BRIDGE = "IsBridge"
    IOMMU_OFF = "IommuOff"
    NO_VFIO_PCI = "NoVfioPci"
    NO_VFIO_NODE = "NoVfioNode"
    NOT_PERMITTED = "NotPermitted"
    NOT_A_GPU = "NotAGpu"
    GROUP_SHARED = "GroupShared"
    NO_RESET = "NoReset"
    DISPLAY_IN_USE = "DisplayInUse"
    IN_DIRECT_USE = "InDirectUse"
    IN_SHARED_USE = "InSharedUse"
    GPUS_BEHIND = "GpusBehindInUse"
    DRIVER_BUSY = "DriverBusy"
    HAS_VIRTUAL_FUNCTIONS = "HasVirtualFunctions"
    HAS_MEDIATED_DEVICES = "HasMediatedDevices"
    NO_VIRTUAL_FUNCTION = "NoVirtualFunction"
    NO_SUCH_TYPE = "NoSuchType"
    TYPE_USED_UP = "TypeUsedUp"
    MEMORY_LOCK = "MemoryLock"
    HUGE_PAGES = "HugePages"


class DirectFinding(BaseModel):
    """One thing that keeps `device` (empty: any) from being handed over, and what to do about it."""

    model_config = ConfigDict(frozen=True)

    name: FindingName
    device: str = ""
    cause: str
    todo: str


class DirectUse(PciFunction):
    """A function with the direct lease that has it."""

    lease: str | None = None
    gpu: str | None = None


class DirectView(BaseModel):
    """What `tessera direct list` shows."""

    model_config = ConfigDict(frozen=True)

    functions: tuple[DirectUse, ...]
    parents: tuple[MediatedParent, ...]
    mediated: tuple[MediatedDevice, ...]
    findings: tuple[DirectFinding, ...] = Field(
        default=(), description="what is missing on this host for any device"
    )


class DirectCheck(BaseModel):
    """The answer of a pre-flight: empty findings mean that the devices can be handed over now."""

    model_config = ConfigDict(frozen=True)

    devices: tuple[str, ...]
    findings: tuple[DirectFinding, ...]
