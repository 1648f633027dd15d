# SPDX-License-Identifier: Apache-2.0
"""GPUs are found once each, joined with what else is known of them, and a bad probe has a name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helpers import fakes
from tessera.inventory import CpuDevices, Inventory
from tessera.inventory.inventory import join
from tessera.inventory.nvml import boards
from tessera.inventory.probe import ProbeReport
from tessera.inventory.sysfs import pci_facts
from tessera.model.errors import NativeProgramMissing, ProbeCrashed, ProbeFailed, ProbeTimedOut
from tessera.model.gpu import Gpu, NvmlFacts

ADDRESS = "0000:65:00.0"
BOARD = NvmlFacts(index=0, name="H200", uuid="GPU-1", memory=1, driver_version="570")


def joined(
    *platforms: list[dict[str, object]],
    names: tuple[str, ...] = (),
    cpus: CpuDevices = CpuDevices.AUTO,
    sysfs: Path = Path("/nonexistent"),
) -> tuple[Gpu, ...]:
    report = ProbeReport.model_validate(fakes.report(*platforms, names=names))
    return join(report, {ADDRESS: BOARD}, cpus, sysfs)


def test_tessera_is_not_found_inside_tessera() -> None:
    found = joined([fakes.device()], [fakes.device(0, name="real")], names=("Tessera", "Real"))
    assert [(gpu.id, gpu.name, gpu.platform_index) for gpu in found] == [("gpu0", "real", 1)]


def test_a_board_behind_two_drivers_is_one_gpu() -> None:
    found = joined([fakes.device(pci_address=ADDRESS)], [fakes.device(pci_address=ADDRESS)])
    assert len(found) == 1


def test_devices_without_an_address_are_all_kept() -> None:
    assert len(joined([fakes.device(0), fakes.device(1)])) == 2


@pytest.mark.parametrize(
    ("cpus", "ids"),
    [
        (CpuDevices.AUTO, ["card 1"]),
        (CpuDevices.ALWAYS, ["card 0", "card 1"]),
        (CpuDevices.NEVER, ["card 1"]),
    ],
)
def test_a_cpu_is_offered_only_where_no_card_is(cpus: CpuDevices, ids: list[str]) -> None:
    found = joined([fakes.device(0, type="CPU"), fakes.device(1)], cpus=cpus)
    assert [gpu.name for gpu in found] == ids
    alone = joined([fakes.device(0, type="CPU")], cpus=cpus)
    assert len(alone) == (0 if cpus is CpuDevices.NEVER else 1)


def test_facts_of_the_board_are_joined_by_address(tmp_path: Path) -> None:
    device = tmp_path / "bus" / "pci" / "devices" / ADDRESS
    device.mkdir(parents=True)
    (device / "numa_node").write_text("1\n")
    (device / "vendor").write_text("0x10de\n")
    (device / "local_cpulist").write_text("0-15\n")
    (device / "driver").symlink_to("../../../drivers/nvidia")
    (device / "iommu_group").symlink_to("../../../kernel/iommu_groups/17")
    found = joined([fakes.device(pci_address=ADDRESS.upper())], sysfs=tmp_path)[0]
    assert found.nvml == BOARD
    assert found.pci is not None
    assert (found.pci.numa_node, found.pci.vendor_id, found.pci.driver) == (1, "0x10de", "nvidia")
    assert (found.pci.iommu_group, found.pci.local_cpus) == (17, "0-15")


def test_what_sysfs_does_not_know_is_unknown(tmp_path: Path) -> None:
    device = tmp_path / "bus" / "pci" / "devices" / ADDRESS
    device.mkdir(parents=True)
    (device / "numa_node").write_text("-1\n")
    facts = pci_facts(ADDRESS, tmp_path)
    assert facts.numa_node is None
    assert facts.driver is None


def test_no_nvidia_library_means_no_boards() -> None:
    assert boards("libno-such-library.so.1") == {}
    assert boards("libc.so.6") == {}


@pytest.fixture
def natives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = fakes.install(tmp_path / "native")
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(folder))
    return folder


def asked(limit: float = 30.0) -> tuple[Gpu, ...]:
    async def ask() -> tuple[Gpu, ...]:
        inventory = Inventory({}, probe_limit=limit, boards=dict)
        first = await inventory.gpus()
        assert await inventory.gpus() is first
        return first

    return asyncio.run(ask())


def test_the_probe_is_asked(natives: Path) -> None:
    assert [gpu.id for gpu in asked()] == ["gpu0", "gpu1"]


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        ("crash", ProbeCrashed, "SIGABRT"),
        ("hang", ProbeTimedOut, "0.5 s"),
        ("fail", ProbeFailed, "cannot open shared object"),
        ("garbage", ProbeFailed, "something else"),
    ],
)
def test_a_probe_that_fails_has_a_named_error(
    natives: Path, mode: str, error: type[ProbeFailed], said: str
) -> None:
    (natives / "probe-mode").write_text(mode)
    with pytest.raises(error, match=said) as failure:
        asked(0.5 if mode == "hang" else 30.0)
    assert failure.value.hint


def test_a_missing_probe(natives: Path) -> None:
    (natives / "tessera-probe").unlink()
    with pytest.raises(NativeProgramMissing, match="tessera-probe") as failure:
        asked()
    assert "make setup" in failure.value.hint
