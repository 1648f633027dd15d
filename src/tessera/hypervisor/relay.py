# SPDX-License-Identifier: Apache-2.0
"""The process that joins a machine's GPU ports to its lease (native/guest/relay.cpp)."""

from __future__ import annotations

from collections.abc import Sequence
from socket import socket

from tessera import native
from tessera.hypervisor.child import Child


def start(endpoint: str, ports: Sequence[socket], window: int | None) -> Child:
    """Starts a relay between these ports, which it takes over, and the gatekeeper's socket at `endpoint`.

    `window` is the file of the memory that the machine shares, where it does.

    Raises MachineFailed or NativeProgramMissing.
    """
    numbers = [port.fileno() for port in ports]
    words = [str(native.find(native.VM_RELAY)), "--endpoint", endpoint]
    shared = [] if window is None else [window]
    for number in shared:
        words += ["--window", str(number)]
    for number in numbers:
        words += ["--port", str(number)]
    try:
        return Child(words, [*shared, *numbers], None)
    finally:
        for port in ports:
            port.close()
