# SPDX-License-Identifier: Apache-2.0
"""Devices handed over to a machine for real: QEMU's emulated IOMMU and devices in a host that is a machine.

The nested host boots once, runs tests/nested/direct.py, and each test looks at one part of what that saw.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers import nested, roots
from helpers.images import SifFile, primary
from helpers.mediated import build_modules
from helpers.programs import ROOT, native

pytestmark = pytest.mark.slow

Seen = dict[str, dict[str, Any]]

PORTS = [f"pcie-root-port,id=port{number},chassis={number},slot={number}" for number in (1, 2, 3)]
# The device that computes; it reaches all memory of its machine, and not only 256 MiB.
EDUS = [f"edu,bus=port{number},dma_mask=0xffffffffffffffff" for number in (1, 2)]
_PIECES = "sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=2"
NVME = [
    "nvme-subsys,id=subsystem",
    f"nvme,serial=tessera,subsys=subsystem,bus=port3,max_ioqpairs=7,msix_qsize=8,{_PIECES}",
]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("nested")
    kernel = nested.kernel()
    modules = build_modules(kernel.release)
    image = make_image(folder / "image", kernel)
    script = ROOT / "tests/nested/direct.py"
    root = nested.make_root(folder, kernel, script, [image, *modules])
    host = nested.NestedHost(folder, kernel, root, [*PORTS, *EDUS, *NVME])
    try:
        said = host.wait()
    finally:
        host.end()
    found = {each["step"]: each for each in said}
    assert "end" in found, (found.get("broken"), found.get("daemon"), host.console)
    return found


def make_image(folder: Path, kernel: nested.Kernel) -> Path:
    """Busybox, the programs that use the devices, and the modules by which they get interrupts."""
    root = roots.fill_root(folder / "root", [])
    for name in ("guest_edu", "guest_pieces"):
        shutil.copy(native(name), root / "bin")
    for name in ("uio", "uio_pci_generic"):
        shutil.copy(kernel.module(name), root)
    packed = roots.squash(root, folder / "root.squashfs").read_bytes()
    return SifFile((primary(data=packed),)).write(folder, "edu.sif")


def test_each_device_is_found_with_its_group_and_its_resets(seen: Seen) -> None:
    listed = json.loads(seen["list"]["out"])
    functions = {each["address"]: each for each in listed["functions"]}
    edus = [functions[address] for address in seen["devices"]["edus"]]
    assert len(edus) == 2
    assert listed["findings"] == []
    assert all(each["driver"] == "uio_pci_generic" and each["resets"] for each in edus)
    assert len({each["group"] for each in edus} - {None}) == 2
    assert seen["check"]["code"] == 0, seen["check"]


def test_both_devices_compute_in_a_machine(seen: Seen) -> None:
    computed = seen["computed"]
    lines = computed["lines"]
    assert computed["code"] == 0, computed
    assert lines[-2:] == ["2 devices", "code 0"]
    assert [re.sub(r"^\S+ ", "", line) for line in lines[:2]] == ["registers interrupt dma"] * 2


def test_qemus_own_user_and_nobody_else_had_the_nodes(seen: Seen) -> None:
    nodes = dict(seen["computed"]["nodes"])
    assert nodes.pop("vfio") == 0
    assert len(nodes) == 2
    (owner,) = set(nodes.values())
    assert owner != 0


def test_a_third_that_asks_for_one_of_them_is_refused(seen: Seen) -> None:
    third = seen["third"]
    assert third["code"] == 4
    assert "InDirectUse" in third["errors"]
    assert "lease both" in third["errors"]
    assert "tessera stop both" in third["errors"]


def test_suspend_refuses_with_the_reason(seen: Seen) -> None:
    assert seen["suspend"]["code"] == 4
    assert "cannot migrate" in seen["suspend"]["errors"]
    (lease,) = json.loads(seen["leases"]["out"])
    assert (lease["name"], lease["mode"], lease["state"]) == ("both", "direct", "active")


def test_afterwards_both_are_back_with_their_driver(seen: Seen) -> None:
    assert seen["devices"]["drivers"] == ["uio_pci_generic"] * 2
    assert seen["bound"]["drivers"] == ["vfio-pci"] * 2
    assert seen["after"]["drivers"] == ["uio_pci_generic"] * 2
    assert seen["after"]["nodes"] == ["vfio"]


def test_the_next_daemon_gives_back_when_everybody_was_killed(seen: Seen) -> None:
    assert seen["killed"]["driver"] == "vfio-pci"
    assert seen["next daemon"]["driver"] == "uio_pci_generic"
    assert seen["next daemon"]["leases"] == []


def test_a_virtual_function_and_a_mediated_device_work_in_a_machine(seen: Seen) -> None:
    listed = json.loads(seen["types"]["out"])
    assert [each["name"] for each in listed["parents"]] == ["mtty"]
    pieces = seen["pieces"]
    assert pieces["code"] == 0, pieces
    assert pieces["out"].splitlines() == ["nvme 00000002", "serial 5a", "serial a5"]


def test_pieces_are_gone_afterwards(seen: Seen) -> None:
    after = seen["pieces after"]
    assert (after["virtual"], after["mediated"], after["driver"]) == ("0", [], "nvme")
