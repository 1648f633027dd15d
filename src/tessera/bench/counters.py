# SPDX-License-Identifier: Apache-2.0
"""Reads the counters of this process's Tessera session, through the OpenCL loader.

Every loader in the process opens the same driver library, so the session that is asked here is the
one that the workload uses, whichever loader that came with.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes.util import find_library

NAMES = ("messages", "round_trips", "bytes_to_worker", "bytes_to_client", "wakes", "sleeps")
FUNCTION = b"clGetSessionCountersTESSERA"

Counters = dict[str, int]
_PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64)
)


def session_counters() -> Callable[[], Counters]:
    """A function that reads the counters; on a bare device it always reads zeros."""
    library = ctypes.CDLL(find_library("OpenCL") or "libOpenCL.so.1")
    platform = ctypes.c_void_p()
    find = library.clGetExtensionFunctionAddressForPlatform
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
    listed = library.clGetPlatformIDs(1, ctypes.byref(platform), None)
    address = find(platform, FUNCTION) if listed == 0 else None
    if address is None:
        return lambda: dict.fromkeys(NAMES, 0)
    function = _PROTOTYPE(address)

    def read() -> Counters:
        values = (ctypes.c_uint64 * len(NAMES))()
        status = function(platform, len(NAMES), values)
        if status != 0:
            raise RuntimeError(f"clGetSessionCountersTESSERA failed with {status}")
        return dict(zip(NAMES, values, strict=True))

    return read


def driver_facts() -> dict[str, str]:
    """Names and versions of the first platform and its first device, as in `Driver`."""
    library = ctypes.CDLL(find_library("OpenCL") or "libOpenCL.so.1")
    platform, device = ctypes.c_void_p(), ctypes.c_void_p()
    every_type = ctypes.c_uint64(0xFFFFFFFF)
    for status in (
        library.clGetPlatformIDs(1, ctypes.byref(platform), None),
        library.clGetDeviceIDs(platform, every_type, 1, ctypes.byref(device), None),
    ):
        if status != 0:
            raise RuntimeError(f"no OpenCL device: error {status}")
    platform_name, platform_version, device_name, driver_version = 0x0902, 0x0901, 0x102B, 0x102D
    return {
        "platform": _text(library.clGetPlatformInfo, platform, platform_name),
        "platform_version": _text(library.clGetPlatformInfo, platform, platform_version),
        "device": _text(library.clGetDeviceInfo, device, device_name),
        "driver_version": _text(library.clGetDeviceInfo, device, driver_version),
    }


def _text(query: Callable[..., int], of: ctypes.c_void_p, what: int) -> str:
    text = ctypes.create_string_buffer(4096)
    status = query(of, ctypes.c_uint32(what), ctypes.c_size_t(len(text)), text, None)
    if status != 0:
        raise RuntimeError(f"query {what:#x} failed with {status}")
    return text.value.decode(errors="replace")
