# SPDX-License-Identifier: Apache-2.0
"""What Tessera asks of a hypervisor, whoever implements it.

A machine has a kernel, an initial file system, at most one disk, ports, each a pair of pipes between the
guest and a socket of this process, memory that it shares with this process, and the host's devices that were
handed over to it. It has no network and
no other device. What is said on the ports is not the hypervisor's business (tessera.hypervisor.frames).
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# The numbers of the ports; native/guest/ports.h says the same.
CONTROL, STDIN, STDOUT, STDERR, FIRST_GPU = 1, 2, 3, 4, 5
GPU_PORTS = 16
# Bytes that a machine shares with its host for each GPU port; native/guest/window.h says the same.
PORT_WINDOW = 1 << 20
PORTS = FIRST_GPU + GPU_PORTS - 1
PORTS_WITHOUT_GPU = FIRST_GPU - 1


class Accelerator(StrEnum):
    """What executes the guest's instructions: the processor, or a program that emulates one."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True)
class Disk:
    """`size` bytes of a file from `offset` on, which the guest sees as a disk that cannot be written."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Share:
    """A disk with a folder of the host, and where the guest's program finds it."""

    disk: Disk
    place: str


@dataclass(frozen=True)
class HostDevice:
    """A device of the host: its folder in sysfs, and the node of its IOMMU group, which the hypervisor's user
    is to open. Devices of one `slot` are functions of one device in the machine, too."""

    path: Path
    node: Path
    slot: str


@dataclass(frozen=True)
class MachineSpec:
    """A machine that is to be started; `memory` in bytes. `near`: processors to run it on; none: any."""

    name: str
    cpus: int
    memory: int
    kernel: Path
    initramfs: bytes
    disk: Disk | None
    accelerator: Accelerator
    ports: int = PORTS
    shares: tuple[Share, ...] = ()
    devices: tuple[HostDevice, ...] = ()
    huge_pages: bool = False
    near: frozenset[int] = frozenset()

    @property
    def window(self) -> int:
        """Bytes of memory that are shared with the guest, a part for each GPU port; 0: none.

        A region of a PCI device has a power of two.
        """
        ports = self.ports + 1 - FIRST_GPU
        return PORT_WINDOW << (ports - 1).bit_length() if ports > 0 else 0

    @property
    def disks(self) -> tuple[Disk, ...]:
        """All disks, in the order in which the guest finds them: the image's first."""
        image = () if self.disk is None else (self.disk,)
        return (*image, *(share.disk for share in self.shares))


class Machine(ABC):
    """A machine that was started. It never outlives the process that started it.

        running --pause--> paused --save, park--> parked --load--> loaded --go_on--> running
                           paused --go_on--> running               loaded --park--> parked

    A paused guest executes nothing and its clock stands still. A parked one has no hypervisor: what it is
    lies in a file and some bytes, and its ports stay joined, with whatever bytes wait in them.
    """

    def __init__(self, ports: dict[int, socket.socket], window: int | None = None) -> None:
        self.ports = ports
        """This end of each port, by its number: connected sockets. Who takes one out closes it."""
        self.window = window
        """The file of the memory that is shared with the guest, where there is some; it lives as long as this."""

    @property
    @abstractmethod
    def console(self) -> str:
        """The end of what the guest's kernel has said."""

    @abstractmethod
    async def wait(self) -> str:
        """Waits until the machine has ended; how it did, as words for a person."""

    @abstractmethod
    async def pause(self) -> None:
        """Stops the guest. While nobody writes to a port from this side, or reads from one, no byte moves
        from when this returns until go_on(). Raises MachineFailed."""

    @abstractmethod
    async def obstacle(self) -> str:
        """Why the guest's state cannot be saved, for a person; empty where it can. Raises MachineFailed."""

    @abstractmethod
    def memory_in_use(self) -> int:
        """The bytes that saving the guest's memory takes now, at most."""

    @abstractmethod
    async def save(self, memory: int) -> bytes:
        """Writes a paused guest's memory into this file, which is empty, and returns the rest of its state.
        The guest is paused as before.

        Raises OSError where the file cannot be written, SuspendFailed, MachineFailed.
        """

    @abstractmethod
    async def park(self) -> None:
        """Ends the hypervisor of a guest that is saved, or of one that is loaded and has not run."""

    @abstractmethod
    async def load(self, memory: int, state: bytes) -> None:
        """Makes a parked guest ready to go on from what save() wrote and returned. It maps the file, which
        must stay as it is, and never changes it.

        Raises MachineFailed; the guest then is parked as before.
        """

    @abstractmethod
    async def go_on(self) -> None:
        """Lets a paused or loaded guest run. Raises MachineFailed; a loaded one then is parked again."""

    @abstractmethod
    async def end(self) -> None:
        """Ends the machine at once, like a cut of its power; returns when it is gone."""


class Hypervisor(ABC):
    """Starts machines."""

    @abstractmethod
    async def start(self, spec: MachineSpec) -> Machine:
        """Starts a machine and returns when its hypervisor runs, before its kernel does.

        Raises MachineFailed; then nothing is left of it.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when what was learnt of this hypervisor has to be learnt anew."""
