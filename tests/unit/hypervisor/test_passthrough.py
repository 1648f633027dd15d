# SPDX-License-Identifier: Apache-2.0
"""The host's devices in a machine: QEMU's arguments, who may open what, how much may be locked."""

from __future__ import annotations

import asyncio
import os
import resource
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from helpers.samples import a_lease
from tessera.cli import run, vm
from tessera.cli.vm_direct import processors, request, with_devices
from tessera.hypervisor import passthrough
from tessera.hypervisor.base import PORTS_WITHOUT_GPU, Accelerator, HostDevice, MachineSpec
from tessera.hypervisor.child import Child, Needs, User
from tessera.hypervisor.qemu import Descriptors, command_line
from tessera.model.direct import LOCKED_BESIDE, DirectDevice, DirectKind
from tessera.model.errors import MachineFailed, UsageError

SYS = Path("/sys/bus/pci/devices")
SPEC = MachineSpec("abc", 1, 512 << 20, Path("/k"), b"", None, Accelerator.TCG, 1)
GIVEN = Descriptors(kernel=3, initramfs=4, monitor=5, console=6, ports={1: 7})


def device(address: str, group: int = 17, slot: str = "") -> HostDevice:
    slot = slot or address.rpartition(".")[0]
    return HostDevice(SYS / address, Path(f"/dev/vfio/{group}"), slot)


def devices_of(spec: MachineSpec) -> list[str]:
    words = command_line("qemu", spec, GIVEN)
    given = [value for name, value in pairwise(words) if name == "-device"]
    return [value for value in given if not value.startswith("virt")]


def test_each_device_has_a_port_and_its_functions_stay_together() -> None:
    spec = replace(
        SPEC, devices=(device("0000:66:00.0", 18), device("0000:65:00.1"), device("0000:65:00.0"))
    )
    assert devices_of(spec) == [
        "pcie-root-port,id=direct1,chassis=1,slot=1",
        f"vfio-pci,sysfsdev={SYS}/0000:65:00.0,bus=direct1,addr=00.0,multifunction=on",
        f"vfio-pci,sysfsdev={SYS}/0000:65:00.1,bus=direct1,addr=00.1",
        "pcie-root-port,id=direct2,chassis=2,slot=2",
        f"vfio-pci,sysfsdev={SYS}/0000:66:00.0,bus=direct2,addr=00.0",
    ]


def test_a_machine_without_devices_has_none() -> None:
    assert devices_of(SPEC) == []
    assert "-object" not in command_line("qemu", SPEC, GIVEN)


def test_huge_pages_are_as_large_as_the_memory() -> None:
    words = command_line("qemu", replace(SPEC, huge_pages=True), GIVEN)
    (backend,) = (value for name, value in pairwise(words) if name == "-object")
    assert "size=512M" in backend.split(",")
    assert "hugetlbsize=2M" in backend.split(",")
    assert ("-m", "512M") in list(pairwise(words))


def test_only_a_machine_with_devices_locks_its_memory() -> None:
    assert passthrough.needs(SPEC).locked == 0
    assert passthrough.needs(replace(SPEC, devices=(device("0000:65:00.0"),))).locked == (
        (512 << 20) + LOCKED_BESIDE
    )


def test_a_machine_runs_near_its_devices_where_it_may() -> None:
    here = os.sched_getaffinity(0)
    one = frozenset(list(here)[:1])
    elsewhere = frozenset({max(here) + 1})
    assert passthrough.needs(replace(SPEC, near=one | elsewhere)).processors == (
        one if len(here) > 1 else frozenset()
    )
    assert passthrough.needs(replace(SPEC, near=elsewhere)).processors == frozenset()
    assert passthrough.needs(replace(SPEC, near=frozenset(here))).processors == frozenset()


def test_nodes_go_to_the_user_of_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda node, uid, gid: given.append((node.name, uid, gid)))
    node = tmp_path / "17"
    node.write_text("")
    spec = replace(
        SPEC, devices=(HostDevice(SYS / "a", node, "a"), HostDevice(SYS / "b", node, "b"))
    )
    passthrough.open_to(spec, User(4242, 4243))
    assert given == [("17", 4242, 4243)]
    assert node.stat().st_mode & 0o777 == 0o600
    passthrough.open_to(spec, None)
    assert len(given) == 1


def test_a_node_that_is_gone_is_named() -> None:
    spec = replace(SPEC, devices=(HostDevice(SYS / "a", Path("/no/such/17"), "a"),))
    with pytest.raises(MachineFailed, match="/no/such/17"):
        passthrough.open_to(spec, User(os.getuid(), os.getgid()))


def test_a_child_may_lock_what_it_needs_and_its_parent_stays_as_it_was() -> None:
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    soft = 64 << 10
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, before[1]))
    wanted = 256 << 10
    script = f"test $(ulimit -l) = {wanted >> 10}"

    async def scenario() -> str:
        child = Child(["/bin/sh", "-c", script], [], None, Needs(locked=wanted))
        assert resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == soft
        how = await child.wait()
        await child.end()
        return how

    try:
        assert asyncio.run(scenario()) == "ended with code 0."
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)


def test_a_child_stays_on_the_processors_that_it_was_given() -> None:
    (one, *_) = sorted(os.sched_getaffinity(0))

    async def scenario() -> str:
        script = f"grep -q '^Cpus_allowed_list:.{one}$' /proc/self/status"
        child = Child(["/bin/sh", "-c", script], [], None, Needs(processors=frozenset({one})))
        how = await child.wait()
        await child.end()
        return how

    assert asyncio.run(scenario()) == "ended with code 0."


def test_a_lease_becomes_the_devices_of_a_machine() -> None:
    lease = a_lease(0).model_copy(
        update={
            "direct": (
                DirectDevice(
                    kind=DirectKind.FUNCTION, key="0000:65:00.0", group=17, numa_cpus="0-1,5"
                ),
                DirectDevice(kind=DirectKind.VIRTUAL, key="0000:66:00.4", group=18),
                DirectDevice(kind=DirectKind.MEDIATED, key="a-uuid", group=19),
            )
        }
    )
    spec = with_devices(SPEC, lease)
    assert spec.ports == PORTS_WITHOUT_GPU
    assert spec.near == {0, 1, 5}
    assert [(str(each.path), str(each.node), each.slot) for each in spec.devices] == [
        ("/sys/bus/pci/devices/0000:65:00.0", "/dev/vfio/17", "0000:65:00"),
        ("/sys/bus/pci/devices/0000:66:00.4", "/dev/vfio/18", "0000:66:00.4"),
        ("/sys/bus/mdev/devices/a-uuid", "/dev/vfio/19", "a-uuid"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"), [("", set()), ("3", {3}), ("0-2,8", {0, 1, 2, 8}), ("x,1-y", set())]
)
def test_lists_of_processors_are_read(text: str, expected: set[int]) -> None:
    assert processors(text) == expected


def test_devices_may_be_named_in_one_word_or_several() -> None:
    machine = vm.checked("image", 1, "201MiB", "shm", [])
    given = vm.with_devices(machine, ["65:00.0,66:00.0", "gpu1"], True, True)
    assert given.direct == ("65:00.0", "66:00.0", "gpu1")
    assert given.memory == 202 << 20
    with pytest.raises(UsageError):
        vm.with_devices(machine, None, True, False)


def test_nobody_waits_for_a_device() -> None:
    options = run.Options(["true"])
    options.wait = run.FOREVER
    with pytest.raises(UsageError, match="Nobody waits"):
        request(options, ["65:00.0"], 1 << 30, False, False)
