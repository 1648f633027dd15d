# SPDX-License-Identifier: Apache-2.0
"""What one look at a recreated sysfs finds: functions, groups, resets, display, users, both forms of vGPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers.pci import Card, FakeKernel
from tessera.direct import host
from tessera.direct.files import Files
from tessera.model.direct import DeviceType, DirectHost, PciFunction

GPU = "0000:65:00.0"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


def seen(kernel: FakeKernel, address: str = GPU) -> PciFunction:
    found = host.look(kernel).function(address)
    assert found is not None
    return found


def test_a_function_is_read_whole(kernel: FakeKernel) -> None:
    facts = {"numa_node": "1", "local_cpulist": "0-15", "driver_override": "nvidia"}
    kernel.add(Card(GPU, group=17, files=facts))
    found = seen(kernel)
    assert (found.vendor_id, found.device_id, found.class_code) == ("0x10de", "0x2330", 0x030200)
    assert (found.driver, found.override, found.group) == ("nvidia", "nvidia", 17)
    assert (found.numa_node, found.numa_cpus, found.resets) == (1, "0-15", ("flr", "bus"))
    assert (found.display, found.users, found.virtual) == ((), (), ())
    assert found.slot == "0000:65:00"
    assert not found.is_bridge


def test_what_is_not_there_is_not_known(kernel: FakeKernel) -> None:
    kernel.add(Card(GPU, driver=None, resets=None))
    found = seen(kernel)
    assert (found.driver, found.override, found.group) == (None, None, None)
    assert (found.numa_node, found.resets, found.types) == (None, (), ())


def test_an_empty_host_has_nothing(tmp_path: Path) -> None:
    found = host.look(Files(tmp_path / "nothing"))
    assert (found.functions, found.parents, found.mediated) == ((), (), ())
    assert (found.iommu, found.vfio_pci, found.permitted) == (False, False, False)


def test_older_kernels_only_say_that_there_is_a_reset(kernel: FakeKernel) -> None:
    kernel.add(Card(GPU, resets=None, files={"reset": ""}))
    assert seen(kernel).resets == ("unnamed",)
    kernel.add(Card("0000:66:00.0", resets=""))
    assert seen(kernel, "0000:66:00.0").resets == ()


def test_a_group_has_its_members(kernel: FakeKernel) -> None:
    for address, group in ((GPU, 17), ("0000:65:00.1", 17), ("0000:66:00.0", 18)):
        kernel.add(Card(address, group=group))
    found = host.look(kernel)
    assert [each.address for each in found.members(17)] == [GPU, "0000:65:00.1"]


def test_a_monitor_and_a_console_are_the_hosts_display(kernel: FakeKernel) -> None:
    kernel.add(
        Card(
            GPU,
            files={
                "drm/card0/card0-DP-1/enabled": "enabled",
                "drm/card0/card0-HDMI-A-1/enabled": "disabled",
                "graphics/fb0/name": "nvidiadrmfb",
            },
        )
    )
    assert seen(kernel).display == ("a monitor at card0-DP-1", "the console in fb0")


@pytest.mark.parametrize("boot_vga", ["1", "0"])
def test_a_card_of_the_boot_shows_what_the_firmware_left(kernel: FakeKernel, boot_vga: str) -> None:
    kernel.add(Card(GPU, files={"boot_vga": boot_vga}))
    assert seen(kernel).display == ()
    picture = kernel.root / "sys/devices/platform/efi-framebuffer.0/graphics/fb0"
    picture.mkdir(parents=True)
    (kernel.root / "sys/class/graphics").mkdir()
    (kernel.root / "sys/class/graphics/fb0").symlink_to(picture)
    expected = ("the firmware's picture in fb0",) if boot_vga == "1" else ()
    assert seen(kernel).display == expected


def test_another_cards_console_is_not_this_ones(kernel: FakeKernel) -> None:
    kernel.add(Card(GPU, files={"boot_vga": "1"}))
    other = kernel.add(Card("0000:66:00.0", files={"graphics/fb0/name": "x"}))
    (kernel.root / "sys/class/graphics").mkdir()
    (kernel.root / "sys/class/graphics/fb0").symlink_to(other / "graphics/fb0")
    assert seen(kernel).display == ()


def test_users_of_a_driver_are_named(kernel: FakeKernel) -> None:
    folder = kernel.add(
        Card(
            GPU,
            files={
                "drm/card0/dev": "226:0",
                "drm/card0/uevent": "MAJOR=226\nDEVNAME=dri/card0",
                "nvme/nvme0/nvme0n1/dev": "259:0",
                "net/eth0/flags": "0x1003",
                "net/eth1/flags": "0x1002",
            },
        )
    )
    (folder / "nvme/nvme0/nvme0n1/holders/dm-0").mkdir(parents=True)
    kernel.open_node(812, "Xorg", "dri/card0")
    kernel.put(
        kernel.root / "proc/self/mountinfo",
        "36 35 259:0 / /data rw - ext4 /dev/x rw\n37 35 8:1 / / rw - ext4 /dev/y rw",
    )
    assert set(seen(kernel).users) == {
        "/dev/dri/card0, open in Xorg (812)",
        "nvme0n1, mounted at /data",
        "nvme0n1, used by dm-0",
        "network interface eth0, which is up",
    }


def test_functions_behind_a_bridge_are_not_its_own(kernel: FakeKernel) -> None:
    kernel.add(Card(GPU, files={"0000:66:00.0/net/eth0/flags": "0x1003"}))
    assert seen(kernel).users == ()


def test_nvidias_own_node_is_known(kernel: FakeKernel) -> None:
    kernel.add(Card(GPU))
    kernel.put(
        kernel.root / f"proc/driver/nvidia/gpus/{GPU}/information",
        "Model: \t\t H200\nDevice Minor: \t 3",
    )
    kernel.open_node(99, "python", "nvidia3")
    assert seen(kernel).users == ("/dev/nvidia3, open in python (99)",)


def test_virtual_functions_know_their_parent_and_come_in_order(kernel: FakeKernel) -> None:
    kernel.add(Card(GPU, group=17))
    kernel.add_virtual(GPU, 11, offset=4)
    kernel.write(kernel.function(GPU) / "sriov_numvfs", "11")
    found = seen(kernel)
    assert found.virtual_total == 11
    assert found.virtual[:2] == ("0000:65:00.4", "0000:65:00.5")
    assert found.virtual[10] == "0000:65:01.6"
    assert seen(kernel, "0000:65:00.4").virtual_of == GPU


def test_the_newer_form_of_vgpus(kernel: FakeKernel) -> None:
    listed = "1428 : NVIDIA H200X-141C\n1429 : NVIDIA H200X-70C\nnonsense"
    types = {"nvidia/creatable_vgpu_types": listed, "nvidia/current_vgpu_type": "0"}
    kernel.add(Card(GPU, files=types))
    found = seen(kernel)
    assert found.types == (
        DeviceType(id="1428", title="NVIDIA H200X-141C"),
        DeviceType(id="1429", title="NVIDIA H200X-70C"),
    )
    assert found.current_type is None
    kernel.put(kernel.function(GPU) / "nvidia/current_vgpu_type", "1429")
    assert seen(kernel).current_type == "1429"


def test_the_older_form_of_vgpus(kernel: FakeKernel) -> None:
    folder = kernel.add(Card(GPU, group=17))
    kernel.add_parent(GPU, {"nvidia-63": 2}, folder)
    uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    kernel.write(folder / "mdev_supported_types/nvidia-63/create", uuid)
    found = host.look(kernel)
    assert [(each.name, each.types[0].id, each.types[0].available) for each in found.parents] == [
        (GPU, "nvidia-63", 1)
    ]
    assert [(each.uuid, each.parent, each.type) for each in found.mediated] == [
        (uuid, GPU, "nvidia-63")
    ]
    assert found.mediated[0].group == 100


def iommu(found: DirectHost) -> tuple[bool, str]:
    return found.iommu, found.iommu_todo


@pytest.mark.parametrize(
    ("table", "cpu", "words"),
    [
        ("DMAR", "GenuineIntel", "intel_iommu=on"),
        ("IVRS", "AuthenticAMD", "amd_iommu=on"),
        ("FACP", "GenuineIntel", "VT-d"),
        ("FACP", "AuthenticAMD", "AMD-Vi"),
    ],
)
def test_how_the_iommu_is_switched_on(kernel: FakeKernel, table: str, cpu: str, words: str) -> None:
    kernel.put(kernel.root / "sys/firmware/acpi/tables" / table, "")
    kernel.put(kernel.root / "proc/cpuinfo", f"vendor_id : {cpu}")
    on, todo = iommu(host.look(kernel))
    assert not on
    assert words in todo


def test_a_driver_that_can_be_loaded_is_there(kernel: FakeKernel) -> None:
    assert host.look(kernel).vfio_pci
    for file in ("bind", "unbind"):
        (kernel.pci / "drivers/vfio-pci" / file).unlink()
    (kernel.pci / "drivers/vfio-pci").rmdir()
    assert not host.look(kernel).vfio_pci
    table = kernel.root / "lib/modules" / os.uname().release / "modules.dep"
    kernel.put(table, "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz")
    assert host.look(kernel).vfio_pci


def test_what_is_wrong_with_the_node_is_said(kernel: FakeKernel) -> None:
    assert host.look(kernel).vfio_node == ""
    (kernel.root / "dev/vfio/vfio").chmod(0o600)
    assert "QEMU's user" in host.look(kernel).vfio_node
    (kernel.root / "dev/vfio/vfio").unlink()
    assert "not there" in host.look(kernel).vfio_node
