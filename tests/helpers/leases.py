# SPDX-License-Identifier: Apache-2.0
"""A host that several tests share, and leases on it without a program."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.host import Host
from helpers.programs import device_environment, native
from tessera.client import launch, wire

NATIVE = ("tessera-probe", "tessera-gatekeeper", "tessera-worker", "libtessera-opencl.so")


@contextmanager
def real_host() -> Iterator[Host]:
    """A host with the real native programs and a warm kernel cache; fails where one is missing."""
    for name in NATIVE:
        native(name)
    folder = Path(tempfile.mkdtemp(prefix="tsr-", dir="/tmp"))
    host = Host(folder)
    host.environment |= device_environment()
    try:
        yield host
    finally:
        host.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def null_gpu_host() -> Iterator[tuple[Host, Path]]:
    """A host whose only GPU is the null driver's: with the file that is the GPU's memory.

    What a process leaves in that memory stays there (native/opencl/null/device_memory.h).
    """
    with real_host() as host:
        vendors, memory = host.folder / "vendors", host.folder / "device-memory"
        vendors.mkdir()
        (vendors / "null.icd").write_text(native("libtessera-null.so"))
        host.environment |= {"OCL_ICD_VENDORS": str(vendors), "GPU_NULL_MEMORY": str(memory)}
        yield host, memory


@contextmanager
def lease_of(
    host: Host, fraction: str = "1/4", transport: str = "shm", memory: int | None = None
) -> Iterator[dict[str, Any]]:
    """A lease held by this process: the daemon's own description of it."""
    if not launch.is_listening(str(host.socket)):
        host.json("gpus")  # starts the daemon
    request: dict[str, Any] = {"gpus": 1, "transport": transport, "holder_pid": os.getpid()}
    request |= {"fraction": fraction} if memory is None else {"memory": memory}
    lease = wire.call(str(host.socket), "POST", "/v1/leases", request)
    assert isinstance(lease, dict)
    try:
        yield lease
    finally:
        wire.call(str(host.socket), "DELETE", f"/v1/leases/{lease['id']}")


def inside(host: Host, lease: dict[str, Any]) -> dict[str, str]:
    """The environment of a program of that lease."""
    kept = {k: v for k, v in host.environment.items() if k not in lease["environment_unset"]}
    return {**kept, **lease["environment"]}


def stats(host: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """What `tessera stats` shows of a lease, without the start of a process."""
    found = wire.call(str(host.socket), "GET", f"/v1/leases/{lease['id']}/stats")
    assert isinstance(found, dict)
    return found
