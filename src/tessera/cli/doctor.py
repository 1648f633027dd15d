# SPDX-License-Identifier: Apache-2.0
"""`tessera doctor`: what Tessera needs on this host, each finding with what to do about it.

Drivers are tried one at a time in a process of their own, because the one that is broken may crash or
hang whoever loads it, and because a broken one hides the others.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from tessera import __version__, native, paths
from tessera.cli import output
from tessera.client import launch
from tessera.client.rest import Client
from tessera.images import squashfs
from tessera.inventory import nvml
from tessera.inventory.inventory import OWN_PLATFORM
from tessera.inventory.probe import probe
from tessera.leases.environment import for_daemon, for_native_programs
from tessera.model.errors import HostError, NativeProgramMissing, TesseraError, ToolMissing
from tessera.model.units import GIB, MIB, format_bytes
from tessera.sandbox import idmap, tools

DEFAULT_VENDORS = "/etc/OpenCL/vendors"
NVIDIA_DRIVER = "libnvidia-opencl.so.1"
_DRIVER_LIMIT = 30.0
_WANTED_SHM = 256 * MIB
_WANTED_DISK = 1 * GIB
# landlock_create_ruleset(2), the same number on every architecture, asked for its version.
_LANDLOCK, _LANDLOCK_VERSION = 444, 1


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(BaseModel):
    """One thing looked at; `todo` is empty when all is well."""

    model_config = ConfigDict(frozen=True)

    check: str
    status: Status
    detail: str
    todo: str = ""


def examine() -> list[Finding]:
    """All findings, in the order in which a person would look."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions,
        _native_programs,
        _loader,
        _drivers,
        _nvidia,
        _confinement,
        _shared_memory,
        _folders,
        _images,
        _sandboxes,
        _machines,
        _direct,
        _daemon,
    )
    return [finding for check in checks for finding in check()]


def exit_code(findings: Sequence[Finding]) -> int:
    return 1 if any(finding.status is Status.FAIL for finding in findings) else 0


def print_findings(findings: Sequence[Finding]) -> None:
    """A line for each finding, and below those that need something, what to do."""
    styles = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=4)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        todo = f"\n-> {finding.todo}" if finding.todo else ""
        style = styles[finding.status]
        table.add_row(f"[{style}]{finding.status}[/{style}]", finding.check, finding.detail + todo)
    output.print_tables(table)
    bad = [finding for finding in findings if finding.status is Status.FAIL]
    output.say(f"{len(bad)} of {len(findings)} checks failed." if bad else "All well.")


def _versions() -> Iterator[Finding]:
    detail = f"{__version__} on Python {platform.python_version()}, {platform.machine()} Linux "
    yield Finding(check="tessera", status=Status.OK, detail=detail + platform.release())


def _native_programs() -> Iterator[Finding]:
    check, found = "native programs", []
    for name in native.ALL:
        try:
            found.append(native.find(name))
        except NativeProgramMissing as error:
            yield Finding(check=check, status=Status.FAIL, detail=error.message, todo=error.hint)
            return
    folders = ", ".join(sorted({str(path.parent) for path in found}))
    yield Finding(check=check, status=Status.OK, detail=f"{len(found)} in {folders}")


def _confinement() -> Iterator[Finding]:
    version = ctypes.CDLL(None).syscall(_LANDLOCK, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version > 0:
        detail = f"Landlock {version} keeps drivers' compilers from the host's files"
        yield Finding(check="confinement", status=Status.OK, detail=detail)
        return
    yield Finding(
        check="confinement",
        status=Status.WARN,
        detail="no Landlock: a tenant's #include reads what the worker's user may read",
        todo="Use Linux 5.13 or later, with landlock in the kernel's parameter lsm=",
    )


def _loader() -> Iterator[Finding]:
    try:
        ctypes.CDLL("libOpenCL.so.1")
    except OSError as error:
        yield Finding(
            check="OpenCL loader",
            status=Status.FAIL,
            detail=str(error),
            todo="Install one: apt-get install ocl-icd-libopencl1",
        )
        return
    yield Finding(check="OpenCL loader", status=Status.OK, detail="libOpenCL.so.1 loads")


def _vendor_files() -> list[Path]:
    chosen = Path(for_daemon(os.environ).get("OCL_ICD_VENDORS") or DEFAULT_VENDORS)
    return [chosen] if chosen.is_file() else sorted(chosen.glob("*.icd"))


def _drivers() -> Iterator[Finding]:
    files = _vendor_files()
    if not files:
        yield Finding(
            check="OpenCL drivers",
            status=Status.FAIL,
            detail=f"no .icd file in {os.environ.get('OCL_ICD_VENDORS') or DEFAULT_VENDORS}",
            todo="Install the GPU's OpenCL driver; for the CPU: apt-get install pocl-opencl-icd",
        )
    if _is_installed(native.PROBE):
        for file in files:
            yield _driver(file)


def _is_installed(name: str) -> bool:
    try:
        native.find(name)
    except NativeProgramMissing:
        return False
    return True


def _driver(file: Path) -> Finding:
    check = f"driver {file.stem}"
    try:
        with tempfile.TemporaryDirectory(prefix="tessera-doctor-") as alone:
            Path(alone, file.name).write_bytes(file.read_bytes())
            variables = for_native_programs() | {"OCL_ICD_VENDORS": alone}
            variables.pop("OCL_ICD_FILENAMES", None)
            report = asyncio.run(probe(native.find(native.PROBE), variables, _DRIVER_LIMIT))
    except (TesseraError, OSError) as error:
        detail = error.message if isinstance(error, TesseraError) else str(error)
        todo = f"Reinstall this driver, or remove {file} if its hardware is gone."
        return Finding(check=check, status=Status.FAIL, detail=detail, todo=todo)
    found = [
        f"{device.name.strip()} ({format_bytes(device.global_mem_size)})"
        for platform_ in report.platforms
        if platform_.name != OWN_PLATFORM
        for device in platform_.devices
    ]
    if found:
        return Finding(check=check, status=Status.OK, detail="; ".join(found))
    return Finding(
        check=check,
        status=Status.WARN,
        detail=f"offers no device (named by {file})",
        todo="Check that its hardware is there and this user may open it (groups render, video).",
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _nvidia() -> Iterator[Finding]:
    boards = nvml.boards()
    if not boards:
        return
    names = ", ".join(f"{facts.name} at {address}" for address, facts in boards.items())
    yield Finding(check="NVIDIA boards", status=Status.OK, detail=names)
    named = any("nvidia" in file.read_text(errors="replace") for file in _vendor_files())
    if not named:
        there = "is installed" if _loads(NVIDIA_DRIVER) else "is not installed either"
        yield Finding(
            check="NVIDIA's OpenCL",
            status=Status.FAIL,
            detail=f"no .icd file names {NVIDIA_DRIVER}, which {there}",
            todo=f"Run: echo {NVIDIA_DRIVER} > {DEFAULT_VENDORS}/nvidia.icd",
        )


def _shared_memory() -> Iterator[Finding]:
    try:
        facts = os.statvfs("/dev/shm")
    except OSError as error:
        yield Finding(
            check="shared memory",
            status=Status.FAIL,
            detail=f"/dev/shm: {error.strerror}",
            todo="Mount a tmpfs there, or run workloads with --transport unix.",
        )
        return
    free = facts.f_bavail * facts.f_frsize
    enough = free >= _WANTED_SHM
    yield Finding(
        check="shared memory",
        status=Status.OK if enough else Status.WARN,
        detail=f"/dev/shm has {format_bytes(free)} free",
        todo="" if enough else "Enlarge it (in a container: --shm-size=1g).",
    )


def _folders() -> Iterator[Finding]:
    for check, folder in (
        ("runtime folder", paths.runtime_folder()),
        ("state folder", paths.state_folder()),
    ):
        yield _folder(check, folder)


def _folder(check: str, folder: str) -> Finding:
    existing = folder
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    try:
        if existing == folder:
            paths.check_private_folder(folder)
    except HostError as error:
        return Finding(check=check, status=Status.FAIL, detail=error.message, todo=error.hint)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            check=check,
            status=Status.FAIL,
            detail=f"{existing} is not writable",
            todo="Set TESSERA_RUNTIME_DIR and TESSERA_STATE_DIR to folders of your own.",
        )
    facts = os.statvfs(existing)
    free = facts.f_bavail * facts.f_frsize
    if free < _WANTED_DISK // 16:
        detail = f"{folder}: only {format_bytes(free)} free"
        return Finding(check=check, status=Status.WARN, detail=detail, todo="Free some space.")
    return Finding(check=check, status=Status.OK, detail=folder)


def _images() -> Iterator[Finding]:
    try:
        found = squashfs.tool()
    except ToolMissing as error:
        # Only for making images; those that are there run without.
        yield Finding(check="images", status=Status.WARN, detail=error.message, todo=error.hint)
        return
    yield Finding(check="images", status=Status.OK, detail=f"are packed by {found}")


def _sandboxes() -> Iterator[Finding]:
    check = "sandboxes"
    try:
        tools.check()
        refusal = tools.try_namespaces()
    except TesseraError as error:
        yield Finding(check=check, status=Status.WARN, detail=error.message, todo=error.hint)
        return
    if refusal:
        todo = "Allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone"
        yield Finding(check=check, status=Status.WARN, detail=refusal, todo=todo)
        return
    detail = "bwrap and squashfuse work for this user"
    if not idmap.has_numbers():
        detail += "; files of an image's other users are nobody's (see README.md: /etc/subuid)"
    yield Finding(check=check, status=Status.OK, detail=detail)


def _machines() -> Iterator[Finding]:
    """What `tessera run --vm` needs. A host that runs no virtual machines is well without it."""
    from tessera.hypervisor import accelerator, guest, qemu
    from tessera.hypervisor.base import Accelerator

    check = "virtual machines"
    try:
        hypervisor, kernel = qemu.Qemu(), guest.find_kernel()
        answer = Path(paths.state_folder(), accelerator.ANSWER)
        found = asyncio.run(accelerator.choose(hypervisor, kernel, answer, qemu.KVM))
    except HostError as error:
        yield Finding(check=check, status=Status.WARN, detail=error.message, todo=error.hint)
        return
    detail = f"{hypervisor.program}, guest kernel {kernel.release}"
    if found.accelerator is Accelerator.KVM:
        yield Finding(check=check, status=Status.OK, detail=f"{detail}, under KVM")
        return
    yield Finding(
        check=check,
        status=Status.WARN,
        detail=f"{detail}; emulated, which is slower: {found.why}",
        todo=f"Give this host hardware virtualization, and this user (or group kvm) {qemu.KVM}.",
    )


def _direct() -> Iterator[Finding]:
    """What handing devices over to machines needs. The daemon's rights are its own matter."""
    from tessera.direct.files import Files
    from tessera.direct.host import look
    from tessera.direct.preflight import host_findings
    from tessera.model.direct import FindingName

    check = "direct mode"
    host = look(Files())
    findings = host_findings(host)
    if os.geteuid() != 0:
        findings = [each for each in findings if each.name is not FindingName.NOT_PERMITTED]
    for finding in findings:
        detail = f"{finding.name}: {finding.cause}"
        yield Finding(check=check, status=Status.WARN, detail=detail, todo=finding.todo)
    if not findings:
        groups = {each.group for each in host.functions if each.group is not None}
        detail = f"{len(host.functions)} PCI functions in {len(groups)} IOMMU groups"
        yield Finding(check=check, status=Status.OK, detail=detail)


def _daemon() -> Iterator[Finding]:
    path = paths.daemon_socket()
    try:
        if not launch.is_listening(path):
            detail = f"none on {path}; the next command starts one"
            yield Finding(check="daemon", status=Status.OK, detail=detail)
            return
        with Client(path) as client:
            health = client.health()
    except TesseraError as error:
        yield Finding(check="daemon", status=Status.FAIL, detail=error.message, todo=error.hint)
        return
    detail = f"{health.version}, pid {health.pid}, {health.leases} leases, on {path}"
    yield Finding(check="daemon", status=Status.OK, detail=detail)
