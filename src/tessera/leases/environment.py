# SPDX-License-Identifier: Apache-2.0
"""The environments that Tessera hands on: to its native programs, and to the workload.

Native programs get an allow-list, not the daemon's environment: LD_PRELOAD, a proxy or a stray
TESSERA_ENDPOINT of the shell that happened to start the daemon must not reach every tenant's worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from tessera.model.lease import Identity

_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LIBOCL_PATH",
        "LOGNAME",
        "OCL_ICD_FILENAMES",
        "OCL_ICD_VENDORS",
        "PATH",
        "TESSERA_LOG",
        "TMPDIR",
        "TZ",
        "USER",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
        "ASAN_OPTIONS",
        "LSAN_OPTIONS",
        "TSAN_OPTIONS",
        "UBSAN_OPTIONS",
    }
)
_PREFIXES = ("LC_", "POCL_", "CUDA_", "NVIDIA_", "GPU_", "HSA_", "HIP_", "ROCR_", "ZE_", "NEO")

# An embedded device has its memory from the C library, in pages of 4 KiB: a fault for each costs more
# than the copy that fills it. With this it asks the kernel for pages of 2 MiB (glibc 2.35 and later).
_HUGE_PAGES = "glibc.malloc.hugetlb=1"

_FOLDERS = (
    "TESSERA_RUNTIME_DIR",
    "TESSERA_STATE_DIR",
    "TESSERA_NATIVE_DIR",
    "PYTHONPATH",
)

INSIDE_A_LEASE = (
    "TESSERA_ENDPOINT",
    "TESSERA_IDENTITY",
    "TESSERA_LEASE",
    "TESSERA_TOKEN",
    "TESSERA_STATS_FILE",
)

# What Apptainer and SingularityCE bind into every container, separated by commas.
BINDS = ("APPTAINER_BIND", "SINGULARITY_BIND")

UNSET_IN_WORKLOAD = ("OCL_ICD_FILENAMES", "TESSERA_TOKEN")


def for_native_programs(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the probe, gatekeepers and workers may see of `source` (this process's environment)."""
    source = os.environ if source is None else source
    kept = {
        name: value
        for name, value in source.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
    return kept | {"GLIBC_TUNABLES": _HUGE_PAGES}


def for_daemon(source: Mapping[str, str]) -> dict[str, str]:
    """What a daemon started by a command may see: everything, less the traces of a surrounding lease.

    A daemon started inside a lease would otherwise find Tessera's own driver, and no GPU. Paths are made
    absolute, because the daemon does not stay in the folder of the command.
    """
    kept = {name: value for name, value in source.items() if name not in INSIDE_A_LEASE}
    if "TESSERA_LEASE" in source:
        kept.pop("OCL_ICD_VENDORS", None)
    for name in _FOLDERS:
        if name in kept:
            places = kept[name].split(os.pathsep)
            kept[name] = os.pathsep.join(os.path.abspath(place) for place in places if place)
    # This one may also name a library, which the loader searches for.
    if os.path.exists(kept.get("OCL_ICD_VENDORS", "")):
        kept["OCL_ICD_VENDORS"] = os.path.abspath(kept["OCL_ICD_VENDORS"])
    return kept


def for_workload(
    lease_id: str,
    endpoint: str,
    vendors: str,
    driver: str,
    identity: Identity = Identity.TESSERA,
) -> dict[str, str]:
    """What makes an OpenCL loader find the lease and nothing else, under the names of `identity`.

    A program may start a container with Apptainer or SingularityCE, which hand the environment on and have a
    root of their own: they are told to show there, in the same places, what the variables lead to.
    """
    shown = [vendors, driver]
    _, _, socket = endpoint.partition(":")
    if socket.startswith("/"):
        shown.append(socket)
    return {
        "OCL_ICD_VENDORS": vendors,
        "TESSERA_ENDPOINT": endpoint,
        "TESSERA_IDENTITY": identity.value,
        "TESSERA_LEASE": lease_id,
    } | dict.fromkeys(BINDS, ",".join(shown))


def as_words(change: Mapping[str, str], unset: Iterable[str]) -> bytes:
    """The change of a workload's environment, in the form of tessera.client.exchange.ENVIRONMENT."""
    words = [*unset, *(f"{name}={value}" for name, value in change.items())]
    return b"".join(os.fsencode(word) + b"\0" for word in words)
