# SPDX-License-Identifier: Apache-2.0
"""`tessera direct` and what else shows devices of direct mode, on whatever host this is."""

from __future__ import annotations

from helpers.host import Host
from helpers.samples import a_lease
from tessera.cli import direct_tables, tables
from tessera.cli.output import console
from tessera.model.direct import (
    DeviceType,
    DirectDevice,
    DirectFinding,
    DirectKind,
    DirectUse,
    DirectView,
    FindingName,
    MediatedDevice,
    MediatedParent,
)
from tessera.model.lease import Mode

GPU, DISK = "0000:65:00.0", "0000:67:00.0"


def printed(*shown: object) -> str:
    screen = console()
    with screen.capture() as captured:
        for each in shown:
            screen.print(each)
    return captured.get()


def test_the_host_is_listed_and_its_findings_are_said(shared_fake_host: Host) -> None:
    listed = shared_fake_host.json("direct", "list", "-a")
    assert set(listed) == {"functions", "parents", "mediated", "findings"}
    done = shared_fake_host.run("direct", "list")
    assert done.stdout.startswith("ADDRESS")
    for finding in listed["findings"]:
        assert f"{finding['name']}: {finding['cause']}" in done.stderr


def test_a_device_that_is_not_there_is_checked_and_refused(shared_fake_host: Host) -> None:
    done = shared_fake_host.run("direct", "check", "ffff:ff:1f.7,ffff:ff:1f.6", code=4)
    assert "NoSuchDevice: There is no PCI function at ffff:ff:1f.7." in done.stdout
    assert "ffff:ff:1f.6" in done.stdout
    assert "tessera direct list" in done.stdout
    done = shared_fake_host.run("direct", "check", "nonsense", code=2)
    assert "names no device" in done.stderr
    done = shared_fake_host.run("direct", "check", *["ff:1f.7"] * 33, code=2)
    assert "direct" in done.stderr or "device" in done.stderr
    assert shared_fake_host.leases() == []


def test_the_doctor_says_how_direct_mode_stands(shared_fake_host: Host) -> None:
    findings = shared_fake_host.json("doctor")
    direct = [each for each in findings if each["check"] == "direct mode"]
    assert direct
    assert all(each["status"] == "ok" or each["todo"] for each in direct)


def view() -> DirectView:
    gpu = DirectUse(
        address=GPU,
        vendor_id="0x10de",
        device_id="0x2330",
        class_code=0x030200,
        driver="vfio-pci",
        group=17,
        resets=("flr", "bus"),
        lease="job",
        gpu="gpu0",
        virtual_total=16,
        types=(DeviceType(id="1428", title="NVIDIA H200X-141C"),),
    )
    disk = DirectUse(address=DISK, vendor_id="0x1b36", device_id="0x0010", class_code=0x010802)
    parent = MediatedParent(name="mtty", types=(DeviceType(id="mtty-1", available=24),))
    there = MediatedDevice(uuid="a-uuid", parent="mtty", type="mtty-1", group=20)
    finding = DirectFinding(name=FindingName.IOMMU_OFF, cause="It is off.", todo="Switch it on.")
    return DirectView(
        functions=(gpu, disk), parents=(parent,), mediated=(there,), findings=(finding,)
    )


def test_what_people_see_of_a_host() -> None:
    lines = [line.split() for line in printed(*direct_tables.view(view(), False)).splitlines()]
    assert lines[1] == [GPU, "gpu0", "10de:2330", "17", "vfio-pci", "flr,bus", "0/16", "job"]
    assert [*lines[4:6]] == [["mtty", "mtty-1", "24"], [GPU, "1428", "-", "NVIDIA", "H200X-141C"]]
    assert lines[-1] == ["a-uuid", "mtty", "mtty-1", "20"]
    text = printed(*direct_tables.view(view(), True))
    assert DISK in text
    assert "none" in text


def test_what_people_see_of_a_direct_lease() -> None:
    device = DirectDevice(
        kind=DirectKind.FUNCTION, key=GPU, group=17, former_driver="nvidia", parent=None
    )
    piece = DirectDevice(kind=DirectKind.MEDIATED, key="u", group=20, parent="mtty", type="mtty-1")
    update = {"mode": Mode.DIRECT, "direct": (device, piece)}
    lease = a_lease(0).model_copy(update=update)
    row = printed(tables.leases([lease])).splitlines()[1].split()
    assert row[:5] == ["job", "active", f"{GPU},u", "-", "direct"]
    facts = printed(tables.lease(lease))
    assert f"{GPU}, IOMMU group 17, from driver nvidia" in facts
    assert "u, mtty-1 of mtty, IOMMU group 20" in facts
