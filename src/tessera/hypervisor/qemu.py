# SPDX-License-Identifier: Apache-2.0
"""Machines by QEMU, driven over QMP.

Nothing of a machine has a name in a file system: kernel, initial file system, disk, ports, console and the
QMP connection are descriptors that QEMU is born with. So nothing is left behind, whoever is killed, no path
has to be readable for QEMU's own user, and QEMU can open nothing else, but for the host's devices that were
handed over to the machine (tessera.hypervisor.passthrough).

The process that starts a machine keeps QEMU's ends of the ports, too. So a machine can be suspended to a
file, its QEMU ended and another one started in its place (tessera.hypervisor.qemu_machine), and nobody at the
other ends hears of it: bytes that were on their way stay in the sockets.

QEMU has the devices named here and no others, no right to start programs or to gain privileges (-sandbox),
and where root started it, a user of its own (tessera.hypervisor.child).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tessera.hypervisor import child, passthrough
from tessera.hypervisor.base import Accelerator, Disk, Hypervisor, Machine, MachineSpec
from tessera.hypervisor.guest import architecture
from tessera.hypervisor.migration import RAM
from tessera.hypervisor.qemu_machine import QemuMachine
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
    disks: Sequence[int] = ()
    window: int | None = None
    memory: int | None = None
    """A guest's memory that was saved: the machine is to wait for the rest of its state."""

    def all(self) -> list[int]:
        fixed = [self.kernel, self.initramfs, self.monitor, self.console]
        some = [fd for fd in (self.window, self.memory) if fd is not None]
        return [*fixed, *self.ports.values(), *self.disks, *some]


def command_line(program: str, spec: MachineSpec, given: Descriptors) -> list[str]:
    """What starts QEMU with this machine."""
    words = [program, "-nodefaults", "-no-user-config", "-no-reboot", "-sandbox", _SANDBOX]
    words += ["-name", f"tessera-{spec.name}", "-display", "none", "-vga", "none"]
    words += ["-machine", "q35,usb=off,vmport=off", *_processor(spec)]
    words += _memory(spec, given)
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
    for number, (disk, fd) in enumerate(zip(spec.disks, given.disks, strict=True)):
        words += _disk(number, disk, fd)
    words += _window(spec, given)
    return words + passthrough.words(spec, saved=given.memory is not None)


def _processor(spec: MachineSpec) -> list[str]:
    words = ["-smp", str(spec.cpus)]
    if spec.accelerator is Accelerator.KVM:
        return [*words, "-accel", "kvm", "-cpu", "host"]
    return [*words, "-accel", "tcg", "-cpu", "max"]


def memory_size(spec: MachineSpec) -> int:
    """What the guest really has: whole mebibytes."""
    return -(-spec.memory // _MIB) * _MIB


def _memory(spec: MachineSpec, given: Descriptors) -> list[str]:
    words = ["-m", f"{memory_size(spec) // _MIB}M"]
    if given.memory is None:
        return words
    # Mapped privately: what the guest writes is its own, the file stays as it is.
    file = {
        "qom-type": "memory-backend-file",
        "id": RAM,
        "size": memory_size(spec),
        "mem-path": f"/proc/self/fd/{given.memory}",
        "share": False,
    }
    words += ["-object", json.dumps(file), "-machine", f"memory-backend={RAM}"]
    return [*words, "-S", "-incoming", "defer"]


def _window(spec: MachineSpec, given: Descriptors) -> list[str]:
    if given.window is None:
        return []
    file = {
        "qom-type": "memory-backend-file",
        "id": "window",
        "size": spec.window,
        "mem-path": f"/proc/self/fd/{given.window}",
        "share": True,
    }
    # A master's memory is a part of what is saved; with another one QEMU saves nothing.
    return ["-object", json.dumps(file), "-device", "ivshmem-plain,memdev=window,master=on"]


def _disk(number: int, disk: Disk, fd: int) -> list[str]:
    name = f"/dev/fdset/{number}"
    file = {"driver": "file", "filename": name, "read-only": True, "locking": "off"}
    window = {
        "driver": "raw",
        "node-name": f"disk{number}",
        "read-only": True,
        "offset": disk.offset,
        "size": disk.size // _SECTOR * _SECTOR,
        "file": file,
    }
    words = ["-add-fd", f"fd={fd},set={number}", "-blockdev", json.dumps(window)]
    return [*words, "-device", f"virtio-blk-pci,drive=disk{number}"]


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
        with ExitStack() as owned:
            try:
                disks = [_opened(owned, disk) for disk in spec.disks]
                window = _shared(owned, spec.window) if spec.window else None
            except OSError as error:
                raise _no_files(error) from error
            launch = partial(self._launch, spec, disks, window)
            machine = QemuMachine(launch, spec.ports, memory_size(spec), window, owned.pop_all())
        try:
            await machine.power_on()
        except BaseException:
            await machine.end()
            raise
        return machine

    def _launch(
        self,
        spec: MachineSpec,
        disks: Sequence[int],
        window: int | None,
        monitor: int,
        console: int,
        ports: Sequence[int],
        memory: int | None,
    ) -> child.Child:
        with ExitStack() as owner:
            try:
                given = Descriptors(
                    kernel=_copy(owner, spec.kernel),
                    initramfs=_in_memory(owner, spec.initramfs),
                    monitor=monitor,
                    console=console,
                    ports=dict(enumerate(ports, 1)),
                    disks=disks,
                    window=window,
                    memory=memory,
                )
            except OSError as error:
                raise _no_files(error) from error
            user = child.own_user(KVM if spec.accelerator is Accelerator.KVM else None)
            passthrough.open_to(spec, user)
            words = command_line(self.program, spec, given)
            return child.Child(words, given.all(), user, passthrough.needs(spec))


def _no_files(error: OSError) -> MachineFailed:
    return MachineFailed(f"The machine cannot have its files: {error}.")


def _opened(owner: ExitStack, disk: Disk) -> int:
    fd = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    owner.callback(os.close, fd)
    return fd


def _shared(owner: ExitStack, size: int) -> int:
    fd = os.memfd_create("tessera-window", os.MFD_CLOEXEC)
    owner.callback(os.close, fd)
    os.ftruncate(fd, size)
    return fd


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
