# SPDX-License-Identifier: Apache-2.0
"""A host's PCI functions as plain files, with a kernel behind them that does what one is told through sysfs.

The tree looks as the kernel's own (links, one value in a file); FakeKernel.write() is where the real one would
act: it unbinds, probes, makes and removes functions. Which step it is to refuse, or to die at, a test says.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tessera.direct.files import Files
from tessera.direct.plan import addresses_of_virtual
from tessera.model.direct import PciFunction

VFIO = "vfio-pci"


class Died(BaseException):
    """The process that changed drivers was killed at this step."""


@dataclass
class Card:
    """A function to be put into the tree."""

    address: str
    vendor: str = "0x10de"
    device: str = "0x2330"
    class_code: str = "0x030200"
    driver: str | None = "nvidia"
    group: int | None = None
    resets: str | None = "flr bus"
    files: dict[str, str] = field(default_factory=dict)


class FakeKernel(Files):
    """`refuses`: words of a path whose writing fails; `dies_at`: how many writes are done before the death."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.refuses: str | None = None
        self.dies_at: int | None = None
        self.writes: list[tuple[str, str]] = []
        self.default_drivers: dict[str, str] = {}
        self.next_group = 100
        for folder in ("sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/bus/mdev/devices"):
            (root / folder).mkdir(parents=True)
        for folder in ("sys/kernel/iommu_groups", "sys/class/mdev_bus", "dev/vfio", "proc/self"):
            (root / folder).mkdir(parents=True)
        (self.pci / "drivers_probe").write_text("")
        (root / "dev/vfio/vfio").write_text("")
        (root / "dev/vfio/vfio").chmod(0o666)
        self.add_driver(VFIO)

    def add_driver(self, name: str) -> None:
        folder = self.pci / "drivers" / name
        folder.mkdir(exist_ok=True)
        for file in ("bind", "unbind"):
            (folder / file).write_text("")

    def add(self, card: Card) -> Path:
        """Puts a function into the tree, bound to its driver."""
        folder = self.root / "sys/devices/pci0000:00" / card.address
        folder.mkdir(parents=True)
        (self.pci / "devices" / card.address).symlink_to(folder)
        facts = {
            "vendor": card.vendor,
            "device": card.device,
            "class": card.class_code,
            "driver_override": "(null)",
            "numa_node": "-1",
            **({"reset_method": card.resets} if card.resets is not None else {}),
            **card.files,
        }
        for name, text in facts.items():
            self.put(folder / name, text)
        if card.group is not None:
            self.put_in_group(folder, card.group)
        if card.driver:
            self.default_drivers[card.address] = card.driver
            self.add_driver(card.driver)
            self._bind(card.address, card.driver)
        return folder

    def put(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def put_in_group(self, folder: Path, group: int) -> None:
        place = self.root / "sys/kernel/iommu_groups" / str(group)
        place.mkdir(exist_ok=True)
        (folder / "iommu_group").symlink_to(place)

    def add_virtual(self, address: str, total: int, offset: int = 4, stride: int = 1) -> None:
        """Lets a function have virtual ones."""
        files = {"totalvfs": total, "numvfs": 0, "offset": offset, "stride": stride}
        for name, number in files.items():
            self.put(self.function(address) / f"sriov_{name}", str(number))
        self.put(self.function(address) / "sriov_drivers_autoprobe", "1")

    def add_parent(self, name: str, types: dict[str, int], folder: Path | None = None) -> Path:
        """A device that mediated ones can be made of; `types` with the number of each that is left."""
        folder = folder or self.root / "sys/devices/virtual" / name / name
        for kind, left in types.items():
            place = folder / "mdev_supported_types" / kind
            self.put(place / "name", f"{name} {kind}")
            self.put(place / "available_instances", str(left))
            self.put(place / "create", "")
        (self.root / "sys/class/mdev_bus" / name).symlink_to(folder)
        return folder

    def open_node(self, pid: int, comm: str, node: str) -> None:
        """A process that has a device node open."""
        self.put(self.root / f"proc/{pid}/comm", comm)
        (self.root / f"proc/{pid}/fd").mkdir(exist_ok=True)
        (self.root / f"proc/{pid}/fd/5").symlink_to(f"/dev/{node}")

    def close_node(self, pid: int) -> None:
        shutil.rmtree(self.root / f"proc/{pid}")

    def driver(self, address: str) -> str | None:
        return self.link(self.function(address) / "driver")

    def state(self) -> dict[str, str]:
        """All that a lease may change, to compare."""
        found = {}
        for address in self.names(self.pci / "devices"):
            folder = self.function(address)
            for name in ("driver_override", "sriov_numvfs", "sriov_drivers_autoprobe"):
                found[f"{address} {name}"] = self.text(folder / name) or ""
            found[f"{address} vgpu"] = self.text(folder / "nvidia/current_vgpu_type") or ""
            found[f"{address} driver"] = self.driver(address) or ""
        return found | {name: "mediated" for name in self.names(self.mdev)}

    def write(self, path: Path, text: str) -> None:
        if self.dies_at is not None:
            if self.dies_at == 0:
                raise Died
            self.dies_at -= 1
        if self.refuses and self.refuses in str(path):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        self.writes.append((str(path.relative_to(self.root)), text))
        self._act(path, text)

    def _act(self, path: Path, text: str) -> None:
        actions: dict[str, Callable[[Path, str], None]] = {
            "driver_override": self._override,
            "unbind": lambda _, address: self._unbind(address),
            "bind": lambda path, address: self._bind_by_hand(path.parent.name, address),
            "drivers_probe": lambda _, address: self._probe(address),
            "sriov_numvfs": self._set_virtual,
            "create": self._create,
            "remove": lambda path, _: self._remove(path.parent.name),
            "current_vgpu_type": self.put,
            "sriov_drivers_autoprobe": self.put,
        }
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        actions[path.name](path, text)

    def _override(self, path: Path, text: str) -> None:
        path.write_text((text.strip() or "(null)") + "\n")

    def _unbind(self, address: str) -> None:
        link = self.function(address) / "driver"
        if os.path.basename(os.readlink(link)) == VFIO:
            self._remove_node(address)
        link.unlink()

    def _probe(self, address: str) -> None:
        override = self.text(self.function(address) / "driver_override")
        driver = self.default_drivers.get(address) if override == "(null)" else override
        if self.driver(address) is None and driver and (self.pci / "drivers" / driver).exists():
            self._bind(address, driver)

    def _bind_by_hand(self, driver: str, address: str) -> None:
        override = self.text(self.function(address) / "driver_override")
        if self.driver(address) is not None or override not in ("(null)", driver):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), f"{driver}/bind")
        self._bind(address, driver)

    def _bind(self, address: str, driver: str) -> None:
        (self.function(address) / "driver").symlink_to(self.pci / "drivers" / driver)
        if driver == VFIO:
            self._make_node(self.function(address))

    def _make_node(self, folder: Path) -> None:
        if group := self.link(folder / "iommu_group"):
            (self.root / "dev/vfio" / group).write_text("")

    def _remove_node(self, address: str) -> None:
        group = self.link(self.function(address) / "iommu_group")
        members = [
            each
            for each in self.names(self.pci / "devices")
            if self.link(self.function(each) / "iommu_group") == group
            and self.driver(each) == VFIO
            and each != address
        ]
        if group and not members:
            (self.root / "dev/vfio" / group).unlink()

    def _set_virtual(self, path: Path, text: str) -> None:
        parent, count = path.parent.name, int(text)
        if count and self.number(path):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        folder = self.function(parent)
        places = addresses_of_virtual(
            PciFunction(
                address=parent,
                virtual_total=self.number(folder / "sriov_totalvfs") or 0,
                virtual_offset=self.number(folder / "sriov_offset") or 0,
                virtual_stride=self.number(folder / "sriov_stride") or 0,
            )
        )
        for number, address in enumerate(places):
            if count == 0 and (self.pci / "devices" / address).exists():
                self._remove_function(address)
                (folder / f"virtfn{number}").unlink()
            elif number < count:
                probed = self.text(folder / "sriov_drivers_autoprobe") == "1"
                child = self.add(
                    Card(address, driver="nvidia" if probed else None, group=self.next_group)
                )
                self.next_group += 1
                (child / "physfn").symlink_to(folder.resolve())
                (folder / f"virtfn{number}").symlink_to(child)
        path.write_text(f"{count}\n")

    def _remove_function(self, address: str) -> None:
        if self.driver(address):
            self._unbind(address)
        place = (self.pci / "devices" / address).resolve()
        (self.pci / "devices" / address).unlink()
        shutil.rmtree(place)

    def _create(self, path: Path, uuid: str) -> None:
        kind = path.parent
        left = self.number(kind / "available_instances") or 0
        if left < 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.put(kind / "available_instances", str(left - 1))
        folder = kind.parent.parent.resolve() / uuid
        folder.mkdir()
        (folder / "remove").write_text("")
        (folder / "mdev_type").symlink_to(kind)
        self.put_in_group(folder, self.next_group)
        self.next_group += 1
        self._make_node(folder)
        (self.mdev / uuid).symlink_to(folder)

    def _remove(self, uuid: str) -> None:
        folder = (self.mdev / uuid).resolve()
        kind = (folder / "mdev_type").resolve()
        self.put(
            kind / "available_instances", str((self.number(kind / "available_instances") or 0) + 1)
        )
        (self.root / "dev/vfio" / (self.link(folder / "iommu_group") or "")).unlink()
        (self.mdev / uuid).unlink()
        shutil.rmtree(folder)
