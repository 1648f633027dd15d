# SPDX-License-Identifier: Apache-2.0
"""What a person writes behind --direct, and which devices that is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import fakes
from helpers.pci import Card, FakeKernel
from tessera.direct.host import look
from tessera.direct.plan import Plan, plan
from tessera.direct.wanted import Wanted, WantedKind, full_address, parse
from tessera.model.direct import DirectKind, FindingName
from tessera.model.errors import InvalidDirectDevice
from tessera.model.gpu import PciFacts

GPU, AUDIO, OTHER = "0000:65:00.0", "0000:65:00.1", "0000:66:00.0"
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

WORDS = [
    (GPU, Wanted(WantedKind.FUNCTION, GPU)),
    ("65:00.0", Wanted(WantedKind.FUNCTION, GPU)),
    ("65:00", Wanted(WantedKind.SLOT, "0000:65:00")),
    ("group17", Wanted(WantedKind.GROUP, "17")),
    ("gpu0", Wanted(WantedKind.GPU, "gpu0")),
    ("65:00.0/vf", Wanted(WantedKind.VIRTUAL, GPU)),
    ("65:00.0/nvidia-63", Wanted(WantedKind.TYPE, GPU, "nvidia-63")),
    ("0000:65:00.4/1428", Wanted(WantedKind.TYPE, "0000:65:00.4", "1428")),
    ("mtty/mtty-1", Wanted(WantedKind.TYPE, "mtty", "mtty-1")),
    (UUID.upper(), Wanted(WantedKind.MEDIATED, UUID)),
]


@pytest.mark.parametrize(("text", "wanted"), WORDS)
def test_each_form_means_one_thing(text: str, wanted: Wanted) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "x", "65:00.9", "65:20.0", "group", "gpu", "group1.5", "/vf", "mtty/vf", "65:00/vf",
     "65:00.0/", "../../etc/passwd", "65:00.0/../x", "gpu0/vf/x", "65:00.0/a b"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidDirectDevice):
        parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_device_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except InvalidDirectDevice:
        return
    # They become names of files.
    assert "/" not in found.name + found.type
    assert not {".", ".."} & {found.name, found.type}


@given(st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
def test_every_address_is_known(domain: int, bus: int, slot: int, function: int) -> None:
    text = f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"
    assert full_address(text) == text


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    kernel = FakeKernel(tmp_path)
    kernel.add(Card(GPU, group=17, files={"local_cpulist": "0-3"}))
    kernel.add(Card(AUDIO, class_code="0x040300", driver="snd_hda_intel", group=17))
    kernel.add(Card("0000:64:00.0", class_code="0x060400", driver="pcieport", group=17))
    kernel.add(Card(OTHER, driver=None, group=18))
    return kernel


def planned(kernel: FakeKernel, *words: str, taken: tuple[str, ...] = ()) -> Plan:
    gpu = fakes.gpu(0).model_copy(update={"pci": PciFacts(address=GPU)})
    uuids = iter(f"{UUID[:-1]}{number}" for number in range(10))
    return plan([parse(word) for word in words], look(kernel), {"gpu0": gpu}, taken, uuids.__next__)


def keys(found: Plan) -> list[str]:
    assert found.findings == []
    return [device.key for device in found.devices]


def names(found: Plan) -> list[FindingName]:
    assert found.devices == []
    return [finding.name for finding in found.findings]


def test_what_a_function_was_is_kept(kernel: FakeKernel) -> None:
    (device,) = planned(kernel, GPU).devices
    assert (device.kind, device.group, device.former_driver) == (DirectKind.FUNCTION, 17, "nvidia")
    assert (device.former_override, device.numa_cpus, device.made) == (None, "0-3", False)
    assert device.gpu is not None
    assert device.gpu.id == "gpu0"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["65:00"], [GPU, AUDIO]),
        (["group17"], [GPU, AUDIO]),
        (["gpu0"], [GPU]),
        ([OTHER, "65:00.1"], [OTHER, AUDIO]),
        (["65:00", GPU, "group17", "gpu0"], [GPU, AUDIO]),
    ],
)
def test_slots_groups_and_gpus_are_their_functions_each_once(
    kernel: FakeKernel, words: list[str], expected: list[str]
) -> None:
    assert keys(planned(kernel, *words)) == expected


@pytest.mark.parametrize("word", ["0000:99:00.0", "99:00", "group99", "gpu7", UUID, "99:00.0/vf"])
def test_what_is_not_there_is_named(kernel: FakeKernel, word: str) -> None:
    assert names(planned(kernel, word)) == [FindingName.NO_SUCH_DEVICE]


def test_virtual_functions_are_named_before_they_are_made(kernel: FakeKernel) -> None:
    kernel.add_virtual(GPU, 3)
    found = planned(kernel, "65:00.0/vf", "65:00.0/vf")
    assert keys(found) == ["0000:65:00.4", "0000:65:00.5"]
    assert all(device.made and device.parent == GPU for device in found.devices)
    assert {device.former_autoprobe for device in found.devices} == {"1"}
    kernel.write(kernel.function(GPU) / "sriov_numvfs", "3")
    there = planned(kernel, "65:00.0/vf", taken=("0000:65:00.4",))
    assert keys(there) == ["0000:65:00.5"]
    assert there.devices[0].made is False
    assert there.devices[0].former_driver == "nvidia"


def test_no_virtual_function_is_left(kernel: FakeKernel) -> None:
    assert names(planned(kernel, "66:00.0/vf")) == [FindingName.NO_VIRTUAL_FUNCTION]
    kernel.add_virtual(GPU, 1)
    found = planned(kernel, "65:00.0/vf", taken=("0000:65:00.4",))
    assert names(found) == [FindingName.NO_VIRTUAL_FUNCTION]


def test_a_slot_is_not_its_virtual_functions(kernel: FakeKernel) -> None:
    kernel.add_virtual(GPU, 2)
    kernel.write(kernel.function(GPU) / "sriov_numvfs", "2")
    assert keys(planned(kernel, "65:00")) == [GPU, AUDIO]


def test_mediated_devices_get_a_name_and_are_counted(kernel: FakeKernel) -> None:
    kernel.add_parent(GPU, {"nvidia-63": 2, "nvidia-64": 0}, kernel.function(GPU).resolve())
    found = planned(kernel, "65:00.0/nvidia-63", "65:00.0/nvidia-63")
    assert keys(found) == [f"{UUID[:-1]}0", f"{UUID[:-1]}1"]
    assert {device.numa_cpus for device in found.devices} == {"0-3"}
    third = planned(kernel, *["65:00.0/nvidia-63"] * 3)
    assert [finding.name for finding in third.findings] == [FindingName.TYPE_USED_UP]
    assert names(planned(kernel, "65:00.0/nvidia-64")) == [FindingName.TYPE_USED_UP]
    missing = planned(kernel, "65:00.0/nvidia-65")
    assert names(missing) == [FindingName.NO_SUCH_TYPE]
    assert "nvidia-63, nvidia-64" in missing.findings[0].cause


def test_a_mediated_device_that_is_there_is_not_removed(kernel: FakeKernel) -> None:
    place = kernel.add_parent("mtty", {"mtty-1": 2})
    kernel.write(place / "mdev_supported_types/mtty-1/create", UUID)
    found = planned(kernel, UUID, UUID)
    assert keys(found) == [UUID]
    assert (found.devices[0].made, found.devices[0].group) == (False, 100)


def with_vgpus(kernel: FakeKernel) -> None:
    kernel.add_virtual(GPU, 2)
    kernel.write(kernel.function(GPU) / "sriov_numvfs", "2")
    for address in ("0000:65:00.4", "0000:65:00.5"):
        folder = kernel.function(address) / "nvidia"
        kernel.put(folder / "creatable_vgpu_types", "1428 : NVIDIA H200X-141C")
        kernel.put(folder / "current_vgpu_type", "0")


def test_a_vgpu_is_cut_into_the_first_free_virtual_function(kernel: FakeKernel) -> None:
    with_vgpus(kernel)
    found = planned(kernel, "65:00.0/1428", "65:00.0/1428")
    assert keys(found) == ["0000:65:00.4", "0000:65:00.5"]
    assert {(each.kind, each.type, each.made) for each in found.devices} == {
        (DirectKind.VGPU, "1428", True)
    }
    assert keys(planned(kernel, "0000:65:00.5/1428")) == ["0000:65:00.5"]
    assert names(planned(kernel, "65:00.0/1500")) == [FindingName.NO_SUCH_TYPE]
    used = planned(kernel, "65:00.0/1428", taken=("0000:65:00.4", "0000:65:00.5"))
    assert names(used) == [FindingName.TYPE_USED_UP]


def test_a_vgpu_that_is_there_is_handed_over_as_it_is(kernel: FakeKernel) -> None:
    with_vgpus(kernel)
    kernel.put(kernel.function("0000:65:00.4") / "nvidia/current_vgpu_type", "1428")
    (device,) = planned(kernel, "0000:65:00.4").devices
    assert (device.kind, device.type, device.made) == (DirectKind.VGPU, "1428", False)
    assert keys(planned(kernel, "65:00.0/vf")) == ["0000:65:00.5"]
