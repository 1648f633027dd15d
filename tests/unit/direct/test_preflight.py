# SPDX-License-Identifier: Apache-2.0
"""Every finding of the pre-flight, each on a host where it is the only thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import fakes
from helpers.pci import Card, FakeKernel
from helpers.samples import a_lease
from tessera.direct.host import look
from tessera.direct.plan import plan
from tessera.direct.preflight import Machine, Uses, preflight
from tessera.direct.wanted import parse
from tessera.leases.direct_uses import explained, not_gpus, refusal, uses_of
from tessera.model.direct import (
    LOCKED_BESIDE,
    DirectDevice,
    DirectFinding,
    DirectKind,
    FindingName,
)
from tessera.model.errors import (
    DirectDeviceNotFound,
    DirectRefused,
    GpuInDirectUse,
    NoCapacity,
    QueueFull,
)
from tessera.model.gpu import Gpu, PciFacts
from tessera.model.lease import GpuShare, LeaseState, Mode
from tessera.model.units import GIB

GPU, AUDIO, OTHER = "0000:65:00.0", "0000:65:00.1", "0000:66:00.0"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A host on which GPU can be handed over."""
    kernel = FakeKernel(tmp_path)
    kernel.add(Card(GPU, group=17))
    kernel.add(Card(OTHER, group=18))
    return kernel


def findings(
    kernel: FakeKernel,
    *words: str,
    uses: Uses | None = None,
    machine: Machine | None = None,
    without_reset: bool = False,
) -> list[DirectFinding]:
    host = look(kernel)
    found = plan([parse(word) for word in words or (GPU,)], host)
    assert found.findings == []
    return preflight(found.devices, host, uses, machine, without_reset)


def test_a_host_that_is_well_has_no_finding(kernel: FakeKernel) -> None:
    assert findings(kernel) == []
    assert findings(kernel, GPU, OTHER) == []


def no_iommu(kernel: FakeKernel) -> None:
    for address in (GPU, OTHER):
        (kernel.function(address) / "iommu_group").unlink()
    for group in ("17", "18"):
        (kernel.root / "sys/kernel/iommu_groups" / group).rmdir()


def behind_no_iommu(kernel: FakeKernel) -> None:
    (kernel.function(GPU) / "iommu_group").unlink()


def no_driver(kernel: FakeKernel) -> None:
    for file in ("bind", "unbind"):
        (kernel.pci / "drivers/vfio-pci" / file).unlink()
    (kernel.pci / "drivers/vfio-pci").rmdir()


def no_node(kernel: FakeKernel) -> None:
    (kernel.root / "dev/vfio/vfio").chmod(0o600)


def shared_group(kernel: FakeKernel) -> None:
    kernel.add(Card("0000:67:00.0", driver="xhci_hcd", class_code="0x0c0330", group=17))


def no_reset(kernel: FakeKernel) -> None:
    kernel.put(kernel.function(GPU) / "reset_method", "")


def display(kernel: FakeKernel) -> None:
    kernel.put(kernel.function(GPU) / "drm/card0/card0-DP-1/enabled", "enabled")


def busy(kernel: FakeKernel) -> None:
    kernel.put(kernel.function(GPU) / "drm/card0/dev", "226:0")
    kernel.put(kernel.function(GPU) / "drm/card0/uevent", "DEVNAME=dri/card0")
    kernel.open_node(812, "Xorg", "dri/card0")


def with_virtual(kernel: FakeKernel) -> None:
    kernel.add_virtual(GPU, 2)
    kernel.write(kernel.function(GPU) / "sriov_numvfs", "2")


def with_mediated(kernel: FakeKernel) -> None:
    folder = kernel.add_parent(GPU, {"nvidia-63": 2}, kernel.function(GPU).resolve())
    uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    kernel.write(folder / "mdev_supported_types/nvidia-63/create", uuid)


WRONG: list[tuple[Callable[[FakeKernel], None], FindingName, str, str]] = [
    (no_iommu, FindingName.IOMMU_OFF, "The IOMMU is off", "VT-d"),
    (behind_no_iommu, FindingName.IOMMU_OFF, f"{GPU} is behind no IOMMU", "another slot"),
    (no_driver, FindingName.NO_VFIO_PCI, "no driver vfio-pci", "package"),
    (no_node, FindingName.NO_VFIO_NODE, "/dev/vfio/vfio", "modprobe vfio"),
    (shared_group, FindingName.GROUP_SHARED, "0000:67:00.0 (xhci_hcd)", "--direct group17"),
    (no_reset, FindingName.NO_RESET, "cannot be reset", "--without-reset"),
    (display, FindingName.DISPLAY_IN_USE, "a monitor at card0-DP-1", "another card"),
    (busy, FindingName.DRIVER_BUSY, "Xorg (812)", "End those programs"),
    (with_virtual, FindingName.HAS_VIRTUAL_FUNCTIONS, "2 virtual functions", f"{GPU}/vf"),
    (with_mediated, FindingName.HAS_MEDIATED_DEVICES, "83b8f4f2", "remove"),
]


@pytest.mark.parametrize(("spoil", "name", "cause", "todo"), WRONG)
def test_what_is_wrong_is_named_with_what_to_do(
    kernel: FakeKernel,
    spoil: Callable[[FakeKernel], None],
    name: FindingName,
    cause: str,
    todo: str,
) -> None:
    spoil(kernel)
    (finding,) = findings(kernel)
    assert finding.name is name
    assert cause in finding.cause
    assert todo in finding.todo


def test_every_finding_is_tried() -> None:
    tried = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in FindingName if f"FindingName.{name.name}" not in tried] == []


def test_a_daemon_without_rights_is_named(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "may_write", lambda path: False)
    (finding,) = findings(kernel)
    assert finding.name is FindingName.NOT_PERMITTED
    assert "as root" in finding.todo


def test_all_is_named_at_once(kernel: FakeKernel) -> None:
    for spoil in (no_driver, no_node, shared_group, no_reset, display):
        spoil(kernel)
    assert [each.name for each in findings(kernel)] == [
        FindingName.NO_VFIO_PCI,
        FindingName.NO_VFIO_NODE,
        FindingName.GROUP_SHARED,
        FindingName.NO_RESET,
        FindingName.DISPLAY_IN_USE,
    ]


def test_a_whole_group_and_its_bridge_are_no_finding(kernel: FakeKernel) -> None:
    kernel.add(Card(AUDIO, class_code="0x040300", driver="snd_hda_intel", group=17))
    kernel.add(Card("0000:64:00.0", class_code="0x060400", driver="pcieport", group=17))
    assert [each.name for each in findings(kernel, GPU)] == [FindingName.GROUP_SHARED]
    assert findings(kernel, "65:00") == []
    assert findings(kernel, "group17") == []


def test_an_idle_neighbour_is_told_from_a_busy_one(kernel: FakeKernel) -> None:
    kernel.add(Card("0000:67:00.0", driver=None, group=17))
    (finding,) = findings(kernel)
    assert "idle now" in finding.cause
    kernel.add(Card("0000:68:00.0", driver="ahci", group=17))
    (finding,) = findings(kernel)
    assert "in use by this host" in finding.cause


def test_a_bridge_cannot_be_handed_over(kernel: FakeKernel) -> None:
    kernel.add(Card("0000:64:00.0", class_code="0x060400", driver="pcieport", group=19))
    (finding,) = findings(kernel, "0000:64:00.0")
    assert finding.name is FindingName.IS_BRIDGE


def test_a_missing_reset_can_be_accepted(kernel: FakeKernel) -> None:
    no_reset(kernel)
    assert findings(kernel, without_reset=True) == []


def test_somebody_elses_machine_is_named(kernel: FakeKernel) -> None:
    kernel.write(kernel.function(GPU) / "driver_override", "vfio-pci")
    kernel.write(kernel.function(GPU) / "driver/unbind", GPU)
    kernel.write(kernel.pci / "drivers_probe", GPU)
    assert findings(kernel) == []
    kernel.put(kernel.function(GPU) / "vfio-dev/vfio0/dev", "511:0")
    kernel.put(kernel.function(GPU) / "vfio-dev/vfio0/uevent", "DEVNAME=vfio/17")
    kernel.open_node(77, "qemu", "vfio/17")
    (finding,) = findings(kernel)
    assert finding.name is FindingName.DRIVER_BUSY
    assert "somebody else" in finding.cause


USES = [
    (Uses(direct={GPU: "job"}), FindingName.IN_DIRECT_USE, "by lease job", "stop job"),
    (Uses(shared={GPU: ["a"]}), FindingName.IN_SHARED_USE, "by lease a.", "stop a"),
    (Uses(shared={GPU: ["a", "b"]}), FindingName.IN_SHARED_USE, "leases a, b", "stop a b"),
    (Uses(behind={GPU: ["c"]}), FindingName.GPUS_BEHIND, "lease c would lose", "last GPUs first"),
]


@pytest.mark.parametrize(("uses", "name", "cause", "todo"), USES)
def test_other_leases_are_named(
    kernel: FakeKernel, uses: Uses, name: FindingName, cause: str, todo: str
) -> None:
    (finding,) = findings(kernel, uses=uses)
    assert finding.name is name
    assert cause in finding.cause
    assert todo in finding.todo
    assert findings(kernel, OTHER, uses=uses) == []


def test_pieces_of_a_card_that_a_machine_has_are_in_use(kernel: FakeKernel) -> None:
    kernel.add_parent(GPU, {"nvidia-63": 2}, kernel.function(GPU).resolve())
    (finding,) = findings(kernel, f"{GPU}/nvidia-63", uses=Uses(direct={GPU: "job"}))
    assert finding.name is FindingName.IN_DIRECT_USE


def test_a_piece_needs_no_reset_and_has_no_neighbours(kernel: FakeKernel) -> None:
    no_reset(kernel)
    shared_group(kernel)
    kernel.add_parent(GPU, {"nvidia-63": 2}, kernel.function(GPU).resolve())
    assert findings(kernel, f"{GPU}/nvidia-63") == []


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Machine(GIB, GIB + LOCKED_BESIDE, None), []),
        (Machine(GIB, None, None), []),
        (Machine(0, 0, None), []),
        (Machine(GIB, GIB + LOCKED_BESIDE - 1, None), [FindingName.MEMORY_LOCK]),
        (Machine(GIB, None, GIB), []),
        (Machine(GIB, None, GIB - 1), [FindingName.HUGE_PAGES]),
    ],
)
def test_the_machine_must_have_what_it_needs(
    kernel: FakeKernel, machine: Machine, expected: list[FindingName]
) -> None:
    found = findings(kernel, machine=machine)
    assert [each.name for each in found] == expected
    assert all("512" in each.todo for each in found if each.name is FindingName.HUGE_PAGES)


def test_only_root_hands_over_what_is_no_gpu(kernel: FakeKernel) -> None:
    kernel.add(Card(AUDIO, class_code="0x040300", driver="snd_hda_intel", group=17))
    kernel.add(Card("0000:67:00.0", class_code="0x010802", driver="nvme", group=19))
    kernel.add_parent("mtty", {"mtty-1": 2})
    kernel.add_parent(GPU, {"nvidia-63": 2}, kernel.function(GPU).resolve())
    host = look(kernel)

    def refused(*words: str, gpus: tuple[str, ...] = ()) -> list[FindingName]:
        devices = plan([parse(word) for word in words], host).devices
        return [each.name for each in not_gpus(devices, host, gpus)]

    assert refused(GPU, AUDIO, f"{GPU}/nvidia-63") == []
    assert refused("67:00.0") == [FindingName.NOT_A_GPU]
    assert refused("mtty/mtty-1") == [FindingName.NOT_A_GPU]
    assert refused("67:00.0", gpus=("0000:67:00.0",)) == []


def gpu(number: int, address: str) -> Gpu:
    update = {"pci": PciFacts(address=address), "device_index": number}
    return fakes.gpu(number).model_copy(update=update)


def test_leases_are_counted_where_they_are() -> None:
    gpus = {"gpu0": gpu(0, GPU), "gpu1": gpu(1, OTHER)}
    shares = (GpuShare(gpu="gpu1", memory=100),)
    shared = a_lease().model_copy(update={"gpus": shares})
    found = uses_of([shared], gpus)
    assert (found.shared, found.behind, found.direct) == ({OTHER: ["job"]}, {GPU: ["job"]}, {})
    suspended = shared.model_copy(update={"state": LeaseState.SUSPENDED})
    assert uses_of([suspended], gpus) == Uses()
    device = DirectDevice(kind=DirectKind.FUNCTION, key=GPU)
    direct = a_lease(0).model_copy(update={"mode": Mode.DIRECT, "direct": (device,)})
    assert uses_of([direct], gpus) == Uses(direct={GPU: "job"})


def test_one_finding_keeps_its_name_and_several_are_listed() -> None:
    def finding(name: FindingName) -> DirectFinding:
        return DirectFinding(name=name, device=GPU, cause="Because.", todo="Do.")

    missing = refusal([GPU], [finding(FindingName.NO_SUCH_DEVICE)])
    assert isinstance(missing, DirectDeviceNotFound)
    one = refusal([GPU], [finding(FindingName.IOMMU_OFF)])
    assert isinstance(one, DirectRefused)
    assert (one.message, one.hint) == ("IommuOff: Because.", "Do.")
    two = refusal([GPU], [finding(FindingName.IOMMU_OFF), finding(FindingName.NO_RESET)])
    assert two.exit_code == 4
    assert "IommuOff: Because.\n  Do." in two.message
    assert "NoReset: Because." in two.message


def test_no_room_is_explained_by_who_has_it() -> None:
    plain = NoCapacity("No room.", "Wait.")
    assert explained(plain, {}) is plain
    full = QueueFull("Full.", "")
    assert explained(full, {"gpu0": "job"}) is full
    told = explained(plain, {"gpu0": "job"})
    assert isinstance(told, GpuInDirectUse)
    assert "gpu0 is in direct use by lease job" in told.message
    assert "tessera stop job" in told.hint
