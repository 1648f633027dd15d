# SPDX-License-Identifier: Apache-2.0
"""Where the native programs and libraries are."""

from __future__ import annotations

import os
from pathlib import Path

from tessera.model.errors import NativeProgramMissing

PROBE = "tessera-probe"
ARBITER = "tessera-arbiter"
GATEKEEPER = "tessera-gatekeeper"
WORKER = "tessera-worker"
CLIENT_LIBRARY = "libtessera-opencl.so"
VM_RELAY = "tessera-vm-relay"
GUEST_INIT = "tessera-guest-init"
GUEST_DRIVER = "libtessera-guest-opencl.so"

ALL = (PROBE, ARBITER, GATEKEEPER, WORKER, CLIENT_LIBRARY, VM_RELAY, GUEST_INIT, GUEST_DRIVER)


def folder() -> Path:
    """$TESSERA_NATIVE_DIR, else the package's own: one build, never a mixture of two."""
    chosen = os.environ.get("TESSERA_NATIVE_DIR")
    return Path(chosen).resolve() if chosen else Path(__file__).resolve().parent / "_native"


def find(name: str) -> Path:
    """The absolute path of a native program or library. Raises NativeProgramMissing."""
    path = folder() / name
    if path.is_file():
        return path
    raise NativeProgramMissing(
        f"{name} is not in {path.parent}.",
        "Run `make setup` to build it, or set TESSERA_NATIVE_DIR to the folder that holds it.",
    )
