# SPDX-License-Identifier: Apache-2.0
"""The NVIDIA boards of this host, from the management library that comes with the driver.

Called through ctypes: five functions do not justify a dependency, and the library's name and these
entry points have been stable for a decade. Where the library is missing there are simply no facts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import CDLL, POINTER, Structure, byref, c_char, c_uint, c_ulonglong, c_void_p

from tessera.model.gpu import NvmlFacts

LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0


class _Memory(Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))
    total: int


class _PciInfo(Structure):
    _fields_ = (
        ("legacy_bus_id", c_char * 16),
        ("domain", c_uint),
        ("bus", c_uint),
        ("device", c_uint),
        ("pci_device_id", c_uint),
        ("pci_subsystem_id", c_uint),
        ("bus_id", c_char * 32),
    )
    domain: int
    bus: int
    device: int


def boards(library: str = LIBRARY) -> dict[str, NvmlFacts]:
    """The boards by PCI address (0000:65:00.0); empty without NVIDIA's driver."""
    try:
        nvml = CDLL(library)
        if nvml.nvmlInit_v2() != _SUCCESS:
            return {}
    except (OSError, AttributeError):
        return {}
    try:
        return dict(_boards(nvml))
    except AttributeError:
        return {}
    finally:
        nvml.nvmlShutdown()


def _boards(nvml: CDLL) -> Iterator[tuple[str, NvmlFacts]]:
    count = c_uint()
    if nvml.nvmlDeviceGetCount_v2(byref(count)) != _SUCCESS:
        return
    driver = _text(lambda out, size: nvml.nvmlSystemGetDriverVersion(out, size))
    nvml.nvmlDeviceGetHandleByIndex_v2.argtypes = [c_uint, POINTER(c_void_p)]
    for index in range(count.value):
        handle = c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, byref(handle)) == _SUCCESS:
            yield from _board(nvml, index, handle, driver)


def _board(
    nvml: CDLL, index: int, handle: c_void_p, driver: str
) -> Iterator[tuple[str, NvmlFacts]]:
    memory, pci = _Memory(), _PciInfo()
    if nvml.nvmlDeviceGetPciInfo_v3(handle, byref(pci)) != _SUCCESS:
        return
    nvml.nvmlDeviceGetMemoryInfo(handle, byref(memory))
    address = f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"
    yield (
        address,
        NvmlFacts(
            index=index,
            name=_text(lambda out, size: nvml.nvmlDeviceGetName(handle, out, size)),
            uuid=_text(lambda out, size: nvml.nvmlDeviceGetUUID(handle, out, size)),
            memory=memory.total,
            driver_version=driver,
        ),
    )


def _text(call: Callable[[ctypes.Array[c_char], c_uint], int]) -> str:
    buffer = ctypes.create_string_buffer(96)
    return buffer.value.decode("utf-8", "replace") if call(buffer, c_uint(96)) == _SUCCESS else ""
