# SPDX-License-Identifier: Apache-2.0
"""GPUs that are in a machine while a daemon starts, and so are missing in what OpenCL drivers list.

They are put back into the report at the places that they had. So each GPU keeps its id, with which leases
are written down, and its index in its driver's list, which is what the list has again when all are back.
Until then the driver counts those behind a missing one differently: is_out_of_place().
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tessera.inventory.probe import ProbedDevice, ProbedPlatform, ProbeReport
from tessera.model.gpu import Gpu


def is_out_of_place(gpu: Gpu, away: Iterable[Gpu]) -> bool:
    """Whether the drivers list `gpu` at another index than the inventory while `away` are missing.

    Those of later platforms count, too: a platform may be missing with its last device.
    """
    place = (gpu.platform_index, gpu.device_index)
    return any((each.platform_index, each.device_index) < place for each in away)


def restored(report: ProbeReport, away: Sequence[Gpu]) -> ProbeReport:
    """The report as it was with these GPUs."""
    platforms = list(report.platforms)
    for gpu in sorted(away, key=lambda gpu: (gpu.platform_index, gpu.device_index)):
        _put_back(platforms, gpu)
    return ProbeReport(platforms=tuple(platforms))


def _put_back(platforms: list[ProbedPlatform], gpu: Gpu) -> None:
    at = gpu.platform_index
    if at >= len(platforms) or platforms[at].name.strip() != gpu.platform:
        empty = ProbedPlatform(
            index=at, name=gpu.platform, vendor=gpu.vendor, version=gpu.opencl_version, devices=()
        )
        platforms.insert(at, empty)
        platforms[at + 1 :] = [
            each.model_copy(update={"index": each.index + 1}) for each in platforms[at + 1 :]
        ]
    devices = list(platforms[at].devices)
    if any(device.pci_address == (gpu.pci and gpu.pci.address) for device in devices):
        return
    behind = [each.model_copy(update={"index": each.index + 1})
              for each in devices[gpu.device_index :]]  # fmt: skip
    devices[gpu.device_index :] = [_probed(gpu), *behind]
    platforms[at] = platforms[at].model_copy(update={"devices": tuple(devices)})


def _probed(gpu: Gpu) -> ProbedDevice:
    return ProbedDevice(
        index=gpu.device_index,
        name=gpu.name,
        vendor=gpu.vendor,
        version=gpu.opencl_version,
        driver_version=gpu.driver_version,
        type=gpu.type,
        global_mem_size=gpu.memory,
        max_mem_alloc_size=gpu.max_allocation,
        max_compute_units=gpu.compute_units,
        pci_address=gpu.pci.address if gpu.pci else None,
        uuid=gpu.uuid,
        extensions=gpu.extensions,
    )
