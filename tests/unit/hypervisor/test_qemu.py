# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line: what a machine has, and what it cannot have."""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tessera.hypervisor import child, cpio, guest, qemu
from tessera.hypervisor.base import (
    FIRST_GPU,
    PORT_WINDOW,
    Accelerator,
    Disk,
    MachineSpec,
    Share,
)
from tessera.hypervisor.qemu import Descriptors, command_line
from tessera.model.errors import GuestKernelMissing, HypervisorMissing, MachineFailed

GIVEN = Descriptors(kernel=3, initramfs=4, monitor=5, console=6, ports={1: 7, 2: 8})
WITH_DISK = replace(GIVEN, disks=[9])


def spec(accelerator: Accelerator = Accelerator.TCG, disk: Disk | None = None) -> MachineSpec:
    return MachineSpec(
        name="abc",
        cpus=2,
        memory=(512 << 20) + 1,
        kernel=Path("/kernel"),
        initramfs=b"",
        disk=disk,
        accelerator=accelerator,
        ports=2,
    )


def values(words: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def test_a_machine_has_its_ports_and_nothing_that_was_not_asked_for() -> None:
    words = command_line("qemu", spec(), GIVEN)
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(words)
    assert values(words, "-device") == [
        "virtio-serial-pci",
        "virtserialport,nr=1,chardev=port1",
        "virtserialport,nr=2,chardev=port2",
    ]
    assert not [word for word in words if "netdev" in word or word in ("-net", "-nic", "-drive")]
    assert (values(words, "-smp"), values(words, "-m")) == (["2"], ["513M"])
    assert values(words, "-append")[0].endswith("tessera_ports=2")


def test_memory_is_shared_for_gpu_ports_only_and_is_saved_with_the_machine() -> None:
    assert spec().window == 0
    machine = replace(spec(), ports=FIRST_GPU + 2)
    assert machine.window == 4 << 20
    words = command_line("qemu", machine, replace(GIVEN, window=11))
    (file,) = (json.loads(value) for value in values(words, "-object"))
    assert (file["mem-path"], file["size"], file["share"]) == ("/proc/self/fd/11", 4 << 20, True)
    assert "ivshmem-plain,memdev=window,master=on" in values(words, "-device")
    assert 11 in replace(GIVEN, window=11).all()


def test_both_ends_have_the_same_idea_of_a_ports_memory() -> None:
    header = (Path(__file__).parents[3] / "native/guest/window.h").read_text(encoding="utf-8")
    slots, kib = (
        int(re.search(pattern, header)[1])  # type: ignore[index]
        for pattern in (r"kSlots = (\d+);", r"kSlotBytes = (\d+) \* 1024;")
    )
    assert 2 * slots * kib * 1024 == PORT_WINDOW


def test_everything_comes_by_descriptor() -> None:
    words = command_line("qemu", spec(disk=Disk(Path("/home/me/app.sif"), 4096, 8192)), WITH_DISK)
    assert values(words, "-kernel") == ["/proc/self/fd/3"]
    assert values(words, "-initrd") == ["/proc/self/fd/4"]
    assert [value for value in values(words, "-chardev") if ",fd=" not in value] == []
    assert values(words, "-add-fd") == ["fd=9,set=0"]
    assert "app.sif" not in " ".join(words)
    assert sorted(WITH_DISK.all()) == [3, 4, 5, 6, 7, 8, 9]


def test_the_disk_is_a_window_that_cannot_be_written() -> None:
    words = command_line("qemu", spec(disk=Disk(Path("/x"), 32768, 8192)), WITH_DISK)
    disk = json.loads(values(words, "-blockdev")[0])
    assert (disk["driver"], disk["offset"], disk["size"]) == ("raw", 32768, 8192)
    assert disk["read-only"]
    assert disk["file"]["read-only"]


def test_folders_of_the_host_are_disks_behind_the_images() -> None:
    disk = Disk(Path("/x"), 0, 4096)
    given = replace(GIVEN, disks=[9, 10])
    machine = replace(spec(disk=disk), shares=(Share(replace(disk, size=8192), "/data"),))
    words = command_line("qemu", machine, given)
    assert [json.loads(word)["size"] for word in values(words, "-blockdev")] == [4096, 8192]
    devices = [word for word in values(words, "-device") if word.startswith("virtio-blk")]
    assert devices == ["virtio-blk-pci,drive=disk0", "virtio-blk-pci,drive=disk1"]


def test_a_machine_may_start_no_program_and_gain_no_right() -> None:
    (sandbox,) = values(command_line("qemu", spec(), GIVEN), "-sandbox")
    assert sandbox.split(",")[0] == "on"
    assert {"elevateprivileges=deny", "spawn=deny"} <= set(sandbox.split(","))


@pytest.mark.parametrize(
    ("accelerator", "cpu"), [(Accelerator.KVM, "host"), (Accelerator.TCG, "max")]
)
def test_the_accelerator_is_the_one_that_was_found(accelerator: Accelerator, cpu: str) -> None:
    words = command_line("qemu", spec(accelerator), GIVEN)
    assert (values(words, "-accel"), values(words, "-cpu")) == ([accelerator.value], [cpu])


def test_no_qemu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HypervisorMissing, match="qemu-system-"):
        qemu.Qemu()


def test_a_file_that_is_gone_is_named() -> None:
    with pytest.raises(MachineFailed, match="/no/such"):
        asyncio.run(qemu.Qemu().start(spec(disk=Disk(Path("/no/such.sif"), 0, 512))))


def test_no_kernel_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TESSERA_GUEST_KERNEL", str(tmp_path))
    with pytest.raises(GuestKernelMissing) as caught:
        guest.find_kernel()
    assert str(tmp_path) in caught.value.message
    assert "scripts/guest-kernel" in caught.value.hint


def test_modules_come_in_the_order_of_their_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "modules").mkdir()
    for name in ("11-b.ko", "10-c.ko", "notes"):
        (tmp_path / "modules" / name).write_text("")
    (tmp_path / "release").write_text("6.1\n")
    monkeypatch.setenv("TESSERA_GUEST_KERNEL", str(tmp_path))
    kernel = guest.find_kernel()
    assert kernel.release == "6.1"
    assert [path.name for path in kernel.modules] == ["10-c.ko", "11-b.ko"]


def test_an_archive_is_what_cpio_reads() -> None:
    data = cpio.archive({"init": b"12345", "a/b/c": b"x"})
    assert data == cpio.archive({"init": b"12345", "a/b/c": b"x"})
    assert len(data) % 4 == 0
    found, at = [], 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        at += (110 + fields[11] + 3) // 4 * 4
        found.append((name, fields[1], data[at : at + fields[6]]))
        at += (fields[6] + 3) // 4 * 4
    assert found == [
        ("a", 0o40755, b""),
        ("a/b", 0o40755, b""),
        ("init", 0o100755, b"12345"),
        ("a/b/c", 0o100755, b"x"),
        ("TRAILER!!!", 0, b""),
    ]


def test_root_gives_a_hypervisor_a_user_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    user = child.own_user()
    assert user is not None
    assert user.uid != 0
    assert user.uid == user.gid
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert child.own_user() is None
