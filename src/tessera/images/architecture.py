# SPDX-License-Identifier: Apache-2.0
"""Processors by the names that OCI gives them, the codes of SIF, and what the kernel says of this host."""

from __future__ import annotations

import platform

from tessera.images.text import printable
from tessera.model.errors import ImageOfOtherArchitecture

SIF_CODES = {
    "386": "01",
    "amd64": "02",
    "arm": "03",
    "arm64": "04",
    "ppc64": "05",
    "ppc64le": "06",
    "mips": "07",
    "mipsle": "08",
    "mips64": "09",
    "mips64le": "10",
    "s390x": "11",
    "riscv64": "12",
}
BY_SIF_CODE = {code: name for name, code in SIF_CODES.items()}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def of_this_host() -> str:
    """OCI's name for this host's processor."""
    machine = platform.machine()
    return _MACHINES.get(machine, machine)


def check(architecture: str) -> None:
    """Raises ImageOfOtherArchitecture where this host cannot run such programs."""
    if architecture != of_this_host():
        raise ImageOfOtherArchitecture(
            f"The image is for {printable(architecture[:40]) or 'an unknown processor'}, "
            f"this host is {of_this_host()}.",
            f"Get the image that was built for {of_this_host()}.",
        )
