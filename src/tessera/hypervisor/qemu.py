# SPDX-License-Identifier: Apache-2.0
"""Machines by QEMU, driven over QMP.

Nothing of a machine has a name in a file system: kernel, initial file system, disk, ports, console and the
QMP connection are descriptors that QEMU is born with. So nothing is left behind, whoever is killed, no path
has to be readable for QEMU's own user, and QEMU can open nothing else, but for the host's devices that were
handed over to the machine (tessera.hypervisor.passthrough).

QEMU has the devices named here and no others, no right to start programs or to gain privileges (-sandbox),
and where root started it, a user of its own (tessera.hypervisor.child).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from qemu.qmp import QMPClient, QMPError

from tessera.hypervisor import child, passthrough
from tessera.hypervisor.base import Accelerator, Hypervisor, Machine, MachineSpec
from tessera.hypervisor.console import Console
from tessera.hypervisor.guest import architecture
from tessera.model.errors import HypervisorMissing, MachineFailed

KVM = Path("/dev/kvm")
_SECTOR = 512
_MIB = 1 << 20
# What is left out costs an emulated machine seconds: tests of ciphers that nobody uses, and what protects
# tenants of one kernel from each other, where there is one.
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True)
class Descriptors:
    """What QEMU is born with; ports by their numbers."""

    kernel: int
    initramfs: int
    monitor: int
    console: int
    ports: Mapping[int, int]
    disk: int | None = None

    def all(self) -> list[int]:
        fixed = [self.kernel, self.initramfs, self.monitor, self.console, *self.ports.values()]
        return fixed if self.disk is None else [*fixed, self.disk]


def command_line(program: str, spec: MachineSpec, given: Descriptors) -> list[str]:
    """What starts QEMU with this machine."""
    words = [program, "-nodefaults", "-no-user-config", "-no-reboot", "-sandbox", _SANDBOX]
    words += ["-name", f"tessera-{spec.name}", "-display", "none", "-vga", "none"]
    words += ["-machine", "q35,usb=off,vmport=off", *_processor(spec)]
    words += ["-m", f"{-(-spec.memory // _MIB)}M"]
    words += ["-kernel", f"/proc/self/fd/{given.kernel}"]
    words += ["-initrd", f"/proc/self/fd/{given.initramfs}"]
    words += ["-append", f"{_COMMAND_LINE} tessera_ports={spec.ports}"]
    words += ["-chardev", f"socket,id=monitor,fd={given.monitor}"]
    words += ["-mon", "chardev=monitor,mode=control"]
    words += ["-chardev", f"socket,id=console,fd={given.console}"]
    words += ["-serial", "chardev:console", "-device", "virtio-serial-pci"]
    for number, fd in given.ports.items():
        words += ["-chardev", f"socket,id=port{number},fd={fd}"]
        words += ["-device", f"virtserialport,nr={number},chardev=port{number}"]
    return words + _disk(spec, given) + passthrough.words(spec)


def _processor(spec: MachineSpec) -> list[str]:
    words = ["-smp", str(spec.cpus)]
    if spec.accelerator is Accelerator.KVM:
        return [*words, "-accel", "kvm", "-cpu", "host"]
    return [*words, "-accel", "tcg", "-cpu", "max"]


def _disk(spec: MachineSpec, given: Descriptors) -> list[str]:
    if spec.disk is None or given.disk is None:
        return []
    file = {"driver": "file", "filename": "/dev/fdset/1", "read-only": True, "locking": "off"}
    window = {
        "driver": "raw",
        "node-name": "image",
        "read-only": True,
        "offset": spec.disk.offset,
        "size": spec.disk.size // _SECTOR * _SECTOR,
        "file": file,
    }
    words = ["-add-fd", f"fd={given.disk},set=1", "-blockdev", json.dumps(window)]
    return [*words, "-device", "virtio-blk-pci,drive=image"]


def find_program() -> str:
    """QEMU for guests of the host's architecture. Raises HypervisorMissing."""
    name = f"qemu-system-{architecture()}"
    if found := shutil.which(name):
        return found
    raise HypervisorMissing(
        f"There is no {name} on this host.", "Install QEMU: apt-get install qemu-system-x86"
    )


class Qemu(Hypervisor):
    """Starts machines with the QEMU of this host."""

    def __init__(self) -> None:
        """Raises HypervisorMissing."""
        self.program = find_program()

    def fingerprint(self) -> str:
        facts = os.stat(self.program)
        return f"{self.program} {facts.st_size} {facts.st_mtime_ns}"

    async def start(self, spec: MachineSpec) -> Machine:
        with ExitStack() as theirs, ExitStack() as ours:
            ends = [_pair(theirs, ours) for _ in range(spec.ports + 2)]
            monitor, console, *ports = ends
            try:
                given = _descriptors(spec, theirs, [end.fileno() for end, _ in ends])
            except OSError as error:
                raise MachineFailed(f"The machine cannot have its files: {error}.") from error
            user = child.own_user(KVM if spec.accelerator is Accelerator.KVM else None)
            passthrough.open_to(spec, user)
            words = command_line(self.program, spec, given)
            needs = passthrough.needs(spec)
            process = child.Child(words, given.all(), user, needs)
            theirs.close()
            machine = QemuMachine(
                process,
                Console(console[1]),
                {number: end for number, (_, end) in enumerate(ports, 1)},
            )
            try:
                await machine.connect(monitor[1])
            except BaseException:
                await machine.end()
                raise
            ours.pop_all()
        return machine


def _pair(theirs: ExitStack, ours: ExitStack) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    return theirs.enter_context(one), ours.enter_context(other)


def _descriptors(spec: MachineSpec, owner: ExitStack, sockets: Sequence[int]) -> Descriptors:
    monitor, console, *ports = sockets
    disk = None
    if spec.disk is not None:
        disk = os.open(spec.disk.path, os.O_RDONLY | os.O_CLOEXEC)
        owner.callback(os.close, disk)
    return Descriptors(
        kernel=_copy(owner, spec.kernel),
        initramfs=_in_memory(owner, spec.initramfs),
        monitor=monitor,
        console=console,
        ports=dict(enumerate(ports, 1)),
        disk=disk,
    )


def _copy(owner: ExitStack, file: Path) -> int:
    with file.open("rb") as source:
        fd = _in_memory(owner, b"")
        while os.sendfile(fd, source.fileno(), None, 1 << 30) > 0:
            continue
    return fd


def _in_memory(owner: ExitStack, content: bytes) -> int:
    fd = os.memfd_create("tessera-guest")
    owner.callback(os.close, fd)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    return fd


class QemuMachine(Machine):
    """A QEMU process."""

    def __init__(
        self, process: child.Child, console: Console, ports: dict[int, socket.socket]
    ) -> None:
        super().__init__(ports)
        self.process = process
        self._console = console
        self._monitor = QMPClient("tessera")

    async def connect(self, monitor: socket.socket) -> None:
        """Waits until QEMU has made its devices and answers. Raises MachineFailed."""
        try:
            await self._monitor.connect(monitor)
        except (QMPError, OSError, EOFError) as error:
            raise MachineFailed(
                f"QEMU did not start: it {await self.wait()}",
                "Run `tessera doctor`, which looks for what a machine needs.",
            ) from error

    @property
    def console(self) -> str:
        return self._console.text

    async def wait(self) -> str:
        return await self.process.wait()

    async def end(self) -> None:
        # In this order: a monitor that still answers is waited for.
        await self.process.end()
        with suppress(QMPError, OSError, EOFError):
            await self._monitor.disconnect()
        self._console.close()
        for port in self.ports.values():
            port.close()
