# SPDX-License-Identifier: Apache-2.0
"""A host for virtual machines, an image for them, and the processes that a machine is made of.

Import the fixtures by their names: `image`, `one_host`, `vm_host`.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import roots
from helpers.host import Host
from helpers.images import SifFile, primary
from helpers.programs import device_environment, native

BOOT = 120.0  # seconds that an emulated machine may need where others compute
PROGRAMS = (
    "tessera-conformance",
    "tessera-roundtrips",
    "tessera-bench-tenant",
    "guest_connections",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A container image with busybox, clinfo, an OpenCL loader and two programs that compute."""
    folder = tmp_path_factory.mktemp("image")
    programs = ["clinfo", *(native(name) for name in PROGRAMS)]
    root = roots.fill_root(folder / "root", programs)
    for name in PROGRAMS:
        (root / "bin" / name).symlink_to(native(name))
    packed = roots.squash(root, folder / "root.squashfs").read_bytes()
    return SifFile((primary(data=packed),)).write(folder)


@pytest.fixture(scope="module")
def one_host() -> Iterator[Host]:
    """One host for all: whether KVM boots a guest is found out once."""
    with tempfile.TemporaryDirectory(prefix="tsr-", dir="/tmp") as folder:
        host = Host(Path(folder))
        host.environment.update(device_environment())
        yield host
        host.close()


@pytest.fixture
def vm_host(one_host: Host) -> Iterator[Host]:
    """The host, on which a test must leave nothing."""
    yield one_host
    assert one_host.leases() == []
    assert one_host.lease_folders() == []
    assert one_host.processes() == []


def words(image: Path, *command: str, options: tuple[str, ...] = ()) -> list[str]:
    return ["run", "--vm", "--image", str(image), "--fraction", "1/4", *options, "--", *command]


def said(errors: str) -> str:
    """What was said beside the remark that the machine is emulated."""
    lines = [line for line in errors.splitlines() if "the machine is emulated" not in line]
    return "\n".join(lines)


def children(pid: int, name: str) -> list[int]:
    """The processes of this name that `pid` has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and name in _comm(entry) and _parent(entry) == pid:
            found.append(int(entry.name))
    return found


def _comm(entry: Path) -> str:
    try:
        return (entry / "comm").read_text()
    except OSError:
        return ""


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def running(host: Host, image: Path, *command: str) -> tuple[subprocess.Popen[str], int, int]:
    """A command whose program has started, its QEMU and its relay."""
    started = host.start(*words(image, *command))
    assert started.stdout
    assert started.stdout.readline() == "ready\n"
    (qemu,) = children(started.pid, "qemu")
    (relay,) = children(started.pid, "tessera-vm-rela")
    return started, qemu, relay
