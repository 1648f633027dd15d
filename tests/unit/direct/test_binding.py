# SPDX-License-Identifier: Apache-2.0
"""Devices are taken all or none and given back whatever happens: refusals and deaths at every step."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pci import VFIO, Card, Died, FakeKernel
from tessera.direct import nodes
from tessera.direct.binding import Binder
from tessera.direct.host import look
from tessera.direct.plan import plan
from tessera.direct.wanted import parse
from tessera.model.direct import DirectDevice
from tessera.model.errors import DirectFailed, GiveBackFailed

GPU, AUDIO, IDLE, OURS = "0000:65:00.0", "0000:65:00.1", "0000:66:00.0", "0000:67:00.0"
CARD, VGPU = "0000:70:00.0", "0000:70:00.4"
EVERYTHING = (GPU, AUDIO, IDLE, OURS, f"{CARD}/vf", f"{CARD}/vf", f"{GPU}/nvidia-63",
              "0000:80:00.4/1428")  # fmt: skip


def make_host(root: Path) -> FakeKernel:
    """One of each: bound, bound with an override, without a driver, already VFIO's, a card with virtual
    functions to make, a parent of mediated devices, a virtual function that can become a vGPU."""
    kernel = FakeKernel(root)
    kernel.add(Card(GPU, group=17))
    kernel.add(Card(AUDIO, driver="snd", group=17, files={"driver_override": "snd"}))
    kernel.add(Card(IDLE, driver=None, group=18))
    kernel.add(Card(OURS, driver=VFIO, group=19, files={"driver_override": VFIO}))
    kernel.add(Card(CARD, group=20))
    kernel.add_virtual(CARD, 3)
    kernel.add_parent(GPU, {"nvidia-63": 2}, kernel.function(GPU).resolve())
    kernel.add(
        Card(
            "0000:80:00.4",
            group=21,
            files={
                "nvidia/creatable_vgpu_types": "1428 : NVIDIA H200X-141C",
                "nvidia/current_vgpu_type": "0",
            },
        )
    )
    return kernel


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return make_host(tmp_path)


def planned(kernel: FakeKernel, *words: str) -> list[DirectDevice]:
    found = plan([parse(word) for word in words], look(kernel))
    assert found.findings == []
    return found.devices


def binder(kernel: FakeKernel) -> Binder:
    return Binder(kernel, load=lambda: None, patience=0.2)


def test_a_function_goes_to_vfio_and_comes_back(kernel: FakeKernel) -> None:
    before = kernel.state()
    (device,) = binder(kernel).take(planned(kernel, GPU))
    assert kernel.driver(GPU) == VFIO
    assert device.group == 17
    assert nodes.of_group(kernel.root, 17).exists()
    binder(kernel).give_back([device])
    assert kernel.state() == before
    assert kernel.driver(GPU) == "nvidia"


def test_everything_at_once_comes_back_as_it_was(kernel: FakeKernel) -> None:
    before = kernel.state()
    devices = binder(kernel).take(planned(kernel, *EVERYTHING))
    assert all(device.group is not None for device in devices)
    assert [kernel.driver(address) for address in (GPU, AUDIO, IDLE, "0000:70:00.5")] == [VFIO] * 4
    assert kernel.text(kernel.function("0000:80:00.4") / "nvidia/current_vgpu_type") == "1428"
    assert kernel.driver("0000:80:00.4") == "nvidia"
    binder(kernel).give_back(devices)
    assert kernel.state() == before


def test_what_was_vfios_before_stays_there(kernel: FakeKernel) -> None:
    devices = binder(kernel).take(planned(kernel, OURS))
    assert kernel.writes == []
    binder(kernel).give_back(devices)
    assert kernel.writes == []
    assert kernel.driver(OURS) == VFIO


def test_a_missing_module_is_loaded_first(kernel: FakeKernel) -> None:
    for file in ("bind", "unbind"):
        (kernel.pci / "drivers" / VFIO / file).unlink()
    (kernel.function(OURS) / "driver").unlink()
    (kernel.pci / "drivers" / VFIO).rmdir()
    loading = Binder(kernel, load=lambda: kernel.add_driver(VFIO))
    loading.take(planned(kernel, GPU))
    assert kernel.driver(GPU) == VFIO


def test_a_driver_that_takes_nothing_is_named_and_undone(kernel: FakeKernel) -> None:
    for file in ("bind", "unbind"):
        (kernel.pci / "drivers" / VFIO / file).unlink()
    (kernel.function(OURS) / "driver").unlink()
    (kernel.pci / "drivers" / VFIO).rmdir()
    before = kernel.state()
    with pytest.raises(DirectFailed, match="vfio-pci did not take") as caught:
        binder(kernel).take(planned(kernel, GPU))
    assert "modprobe" in caught.value.hint
    assert kernel.state() == before


def test_virtual_functions_that_others_use_stay(kernel: FakeKernel) -> None:
    before = kernel.state()
    first = binder(kernel).take(planned(kernel, f"{CARD}/vf"))
    there = planned(kernel, "0000:70:00.5")
    second = [each.model_copy(update={"made": True}) for each in there]
    binder(kernel).take(second, kept={CARD})
    binder(kernel).give_back(first, kept={CARD})
    assert kernel.driver("0000:70:00.5") == VFIO
    assert kernel.driver("0000:70:00.4") is None
    binder(kernel).give_back(second)
    assert kernel.state() == before


def test_no_driver_of_the_host_gets_a_fresh_virtual_function(kernel: FakeKernel) -> None:
    binder(kernel).take(planned(kernel, f"{CARD}/vf"))
    assert kernel.driver("0000:70:00.4") == VFIO
    assert kernel.driver("0000:70:00.5") is None
    assert kernel.text(kernel.function(CARD) / "sriov_drivers_autoprobe") == "1"


def test_a_group_that_is_open_is_waited_for_and_then_named(kernel: FakeKernel) -> None:
    devices = binder(kernel).take(planned(kernel, GPU))
    kernel.open_node(77, "qemu-system-x86", "vfio/17")
    with pytest.raises(GiveBackFailed, match=r"qemu-system-x86 \(77\) still has it"):
        binder(kernel).give_back(devices)
    assert kernel.driver(GPU) == VFIO
    kernel.close_node(77)
    binder(kernel).give_back(devices)
    assert kernel.driver(GPU) == "nvidia"


def test_what_can_be_given_back_is_though_another_device_stays(kernel: FakeKernel) -> None:
    devices = binder(kernel).take(planned(kernel, GPU, AUDIO))
    kernel.refuses = "drivers/snd/bind"
    with pytest.raises(GiveBackFailed, match=AUDIO):
        binder(kernel).give_back(devices)
    assert kernel.driver(GPU) == "nvidia"
    kernel.refuses = None
    binder(kernel).give_back(devices)
    assert kernel.driver(AUDIO) == "snd"


def test_a_former_driver_that_was_unloaded_is_named(kernel: FakeKernel) -> None:
    devices = binder(kernel).take(planned(kernel, AUDIO))
    for file in ("bind", "unbind"):
        (kernel.pci / "drivers/snd" / file).unlink()
    (kernel.pci / "drivers/snd").rmdir()
    with pytest.raises(GiveBackFailed, match="snd is not loaded"):
        binder(kernel).give_back(devices)


def test_after_a_boot_nothing_is_touched(kernel: FakeKernel) -> None:
    devices = binder(kernel).take(planned(kernel, *EVERYTHING))
    with tempfile.TemporaryDirectory() as folder:
        fresh = make_host(Path(folder))
        before = fresh.state()
        binder(fresh).give_back(devices)
        assert fresh.state() == before
        assert fresh.writes == []


def test_a_device_that_was_pulled_is_no_error(kernel: FakeKernel) -> None:
    devices = binder(kernel).take(planned(kernel, GPU))
    (kernel.pci / "devices" / GPU).unlink()
    binder(kernel).give_back(devices)


CHOICES = st.lists(st.sampled_from(sorted(set(EVERYTHING))), min_size=1, unique=True)


@settings(max_examples=40, deadline=None)
@given(words=CHOICES, death=st.integers(0, 15))
def test_whoever_dies_while_taking_leaves_what_the_record_gives_back(
    words: list[str], death: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kernel = make_host(Path(folder))
        before = kernel.state()
        devices = planned(kernel, *words)
        kernel.dies_at = death
        with suppress(Died):
            binder(kernel).take(devices)
        kernel.dies_at = None
        binder(kernel).give_back(devices)
        assert kernel.state() == before


@settings(max_examples=30, deadline=None)
@given(words=CHOICES, deaths=st.lists(st.integers(0, 12), max_size=4))
def test_whoever_dies_while_giving_back_leaves_it_to_the_next(
    words: list[str], deaths: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kernel = make_host(Path(folder))
        before = kernel.state()
        devices = binder(kernel).take(planned(kernel, *words))
        for death in deaths:
            kernel.dies_at = death
            with suppress(Died):
                binder(kernel).give_back(devices)
        kernel.dies_at = None
        binder(kernel).give_back(devices)
        assert kernel.state() == before


REFUSALS = ("driver_override", "unbind", "drivers_probe", "sriov_numvfs", "create", "vgpu_type")


@pytest.mark.parametrize("refused", REFUSALS)
def test_a_step_that_the_kernel_refuses_undoes_the_others(kernel: FakeKernel, refused: str) -> None:
    before = kernel.state()
    devices = planned(kernel, *EVERYTHING)
    # What undoes is not refused.
    kernel.refuses = refused
    real = kernel.write

    def once(path: Path, text: str) -> None:
        try:
            real(path, text)
        except OSError:
            kernel.refuses = None
            raise

    kernel.write = once  # type: ignore[method-assign]
    with pytest.raises(DirectFailed, match=refused):
        binder(kernel).take(devices)
    assert kernel.state() == before


def test_what_cannot_even_be_undone_is_said(kernel: FakeKernel) -> None:
    kernel.refuses = "driver_override"
    devices = planned(kernel, f"{CARD}/vf")
    with pytest.raises(DirectFailed, match="driver_override"):
        binder(kernel).take(devices)
    kernel.refuses = "sriov_numvfs"
    kernel.put(kernel.function(CARD) / "sriov_numvfs", "3")
    with pytest.raises(GiveBackFailed, match="keeps its virtual functions"):
        binder(kernel).give_back(devices)
