# SPDX-License-Identifier: Apache-2.0
"""GPUs that machines have keep their places in the inventory of a daemon that starts meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from helpers import fakes
from tessera.inventory import CpuDevices
from tessera.inventory.away import is_out_of_place, restored
from tessera.inventory.inventory import join
from tessera.inventory.probe import ProbeReport
from tessera.model.gpu import Gpu

LAYOUTS = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def reported(layout: list[int], without: set[str], empty: bool) -> ProbeReport:
    """What the probe says of so many cards on each platform, less those at some addresses; `empty`: whether
    a platform without cards is listed."""
    platforms: list[dict[str, Any]] = []
    for number, count in enumerate(layout):
        addresses = [f"0000:{number}{card}:00.0" for card in range(count)]
        left = [address for address in addresses if address not in without]
        if left or empty:
            devices = [
                fakes.device(index, pci_address=address, name=address)
                for index, address in enumerate(left)
            ]
            whole = fakes.report(devices, names=(f"Maker {number}",))["platforms"]
            platforms += [{**each, "index": len(platforms)} for each in whole]  # type: ignore[attr-defined]
    return ProbeReport.model_validate({"platforms": platforms})


def found(report: ProbeReport) -> tuple[Gpu, ...]:
    return join(report, {}, CpuDevices.AUTO)


@given(layout=LAYOUTS, empty=st.booleans(), data=st.data())
def test_the_inventory_is_the_same_whoever_is_away(
    layout: list[int], empty: bool, data: st.DataObject
) -> None:
    whole = found(reported(layout, set(), empty))
    away = data.draw(st.lists(st.sampled_from(whole), unique_by=lambda gpu: gpu.id))
    without = {gpu.pci.address for gpu in away if gpu.pci}
    assert found(restored(reported(layout, without, empty), away)) == whole
    # Who is back already is not there twice.
    assert found(restored(reported(layout, set(), empty), away)) == whole


@given(layout=LAYOUTS, empty=st.booleans(), data=st.data())
def test_who_is_not_out_of_place_is_where_the_driver_says(
    layout: list[int], empty: bool, data: st.DataObject
) -> None:
    whole = found(reported(layout, set(), empty))
    away = data.draw(st.lists(st.sampled_from(whole), unique_by=lambda gpu: gpu.id))
    without = {gpu.pci.address for gpu in away if gpu.pci}
    now = {gpu.name: gpu for gpu in found(reported(layout, without, empty))}
    for gpu in whole:
        if gpu not in away and not is_out_of_place(gpu, away):
            there = now[gpu.name]
            assert (there.platform_index, there.device_index) == (
                gpu.platform_index,
                gpu.device_index,
            )
