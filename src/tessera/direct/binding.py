# SPDX-License-Identifier: Apache-2.0
"""Gives devices to VFIO and gives them back.

take() changes all or nothing: a step that the kernel refuses undoes those before it. give_back() needs only
the record of the devices (written down before anything was changed) and what it finds, and may be repeated:
whoever dies half way through either leaves something that the next daemon can give back. It touches only
what bears the mark of take(), a `driver_override` that names vfio-pci, and what has lost its driver; a host
that was booted again has neither.

    function, virtual    driver_override <- vfio-pci; unbind; drivers_probe
    mediated             its parent's `create` <- UUID
    vgpu                 current_vgpu_type <- type; its driver stays
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from tessera.direct.files import Files
from tessera.direct.functions import driver_of, group_of, override_of
from tessera.direct.host import DRIVER, is_loaded
from tessera.direct.mediated import parent_folder
from tessera.direct.users import Openers
from tessera.model.direct import DirectDevice, DirectKind
from tessera.model.errors import DirectFailed, GiveBackFailed

# Seconds; a machine's end lets go of a group a moment after its process is gone.
_PATIENCE = 10.0
_LOOK_EVERY = 0.05
_MODPROBE_LIMIT = 60.0


def load_driver() -> None:
    """Loads vfio-pci and what it needs. That it failed is seen when no function can be bound."""
    program = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [program, "-a", DRIVER, "vfio_iommu_type1"],
                capture_output=True,
                timeout=_MODPROBE_LIMIT,
                check=False,
            )


class Binder:
    """Changes the drivers of a host. One at a time: who calls sees to that."""

    def __init__(
        self,
        files: Files,
        load: Callable[[], None] = load_driver,
        patience: float = _PATIENCE,
    ) -> None:
        self._files = files
        self._load = load
        self._patience = patience

    def take(
        self, devices: Sequence[DirectDevice], kept: Collection[str] = ()
    ) -> tuple[DirectDevice, ...]:
        """The devices, bound and with their groups. Raises DirectFailed; then all is as it was.

        `kept`: as for give_back().
        """
        if not is_loaded(self._files):
            self._load()
        done: list[DirectDevice] = []
        try:
            for device in devices:
                done.append(device)
                self._take(device)
            return tuple(self._with_group(device) for device in devices)
        except (OSError, DirectFailed) as error:
            why = error.message if isinstance(error, DirectFailed) else _said(error)
            try:
                self.give_back(done, kept)
            except GiveBackFailed as failure:
                raise GiveBackFailed(f"{why} {failure.message}", failure.hint) from error
            if isinstance(error, DirectFailed):
                raise
            raise DirectFailed(why, "The kernel's log (dmesg) says more.") from error

    def give_back(self, devices: Sequence[DirectDevice], kept: Collection[str] = ()) -> None:
        """Undoes take(), last device first, as far as it was done. `kept`: parents whose virtual functions
        others still use. Raises GiveBackFailed when all that can be given back is."""
        lacking = []
        for device in reversed(devices):
            try:
                self._await_end_of_use(device)
                self._give_back(device)
            except (OSError, GiveBackFailed) as error:
                why = error.message if isinstance(error, GiveBackFailed) else _said(error)
                lacking.append(f"{device.key} is not given back: {why}")
        lacking += [] if lacking else self._remove_virtual(devices, kept)
        if lacking:
            raise GiveBackFailed(
                " ".join(lacking), "See dmesg; `tessera stop` of the lease tries it again."
            )

    def _take(self, device: DirectDevice) -> None:
        match device.kind:
            case DirectKind.MEDIATED:
                if device.made:
                    self._files.write(self._type_folder(device) / "create", device.key)
            case DirectKind.VGPU:
                if device.made:
                    self._files.write(self._vgpu_file(device), device.type or "0")
            case _:
                if device.made:
                    self._make_virtual(device)
                self._bind(device)

    def _bind(self, device: DirectDevice) -> None:
        files, address = self._files, device.key
        if driver_of(files, address) == DRIVER:
            return
        files.write(files.function(address) / "driver_override", DRIVER)
        self._unbind(address)
        files.write(files.pci / "drivers_probe", address)
        if driver_of(files, address) != DRIVER:
            raise DirectFailed(
                f"{DRIVER} did not take {address}.",
                f"Run: modprobe {DRIVER}   The kernel's log (dmesg) says why.",
            )

    def _unbind(self, address: str) -> None:
        if driver_of(self._files, address):
            self._files.write(self._files.function(address) / "driver/unbind", address)

    def _make_virtual(self, device: DirectDevice) -> None:
        """Makes all virtual functions of its parent at once, since their number can be changed only while
        there are none; without drivers of this host's for them."""
        folder = self._files.function(device.parent or "")
        if self._files.number(folder / "sriov_numvfs"):
            return
        total = self._files.number(folder / "sriov_totalvfs") or 0
        if device.former_autoprobe == "1":
            self._files.write(folder / "sriov_drivers_autoprobe", "0")
        self._files.write(folder / "sriov_numvfs", str(total))
        self._restore_autoprobe(device)
        if not self._files.function(device.key).exists():
            raise DirectFailed(
                f"{device.parent} made virtual functions, and none of them is {device.key}.",
                "Make them by hand (sriov_numvfs), and name one.",
            )

    def _restore_autoprobe(self, device: DirectDevice) -> None:
        file = self._files.function(device.parent or "") / "sriov_drivers_autoprobe"
        if device.former_autoprobe and self._files.text(file) != device.former_autoprobe:
            self._files.write(file, device.former_autoprobe)

    def _with_group(self, device: DirectDevice) -> DirectDevice:
        group = group_of(self._files, self.sysfs_folder(device))
        if group is None:
            raise DirectFailed(
                f"{device.key} is in no IOMMU group.", "Run `tessera direct check` for the reason."
            )
        return device.model_copy(update={"group": group})

    def sysfs_folder(self, device: DirectDevice) -> Path:
        """Where QEMU finds the device."""
        if device.kind is DirectKind.MEDIATED:
            return self._files.mdev / device.key
        return self._files.function(device.key)

    def _give_back(self, device: DirectDevice) -> None:
        match device.kind:
            case DirectKind.MEDIATED:
                if device.made and (self._files.mdev / device.key).exists():
                    self._files.write(self._files.mdev / device.key / "remove", "1")
            case DirectKind.VGPU:
                current = self._files.text(self._vgpu_file(device))
                if device.made and current == device.type:
                    self._files.write(self._vgpu_file(device), "0")
            case _:
                if self._files.function(device.key).exists():
                    self._release(device)

    def _release(self, device: DirectDevice) -> None:
        files, address = self._files, device.key
        marked = override_of(files, address) == DRIVER
        orphan = driver_of(files, address) is None and device.former_driver is not None
        if device.former_driver == DRIVER or not (marked or orphan):
            return
        if driver_of(files, address) == DRIVER:
            self._unbind(address)
        # With the mark on it no other driver may have it.
        former = device.former_override or "\n"
        files.write(files.function(address) / "driver_override", former)
        if device.former_driver and driver_of(files, address) is None:
            self._rebind(address, device.former_driver)

    def _rebind(self, address: str, driver: str) -> None:
        if not (self._files.pci / "drivers" / driver).exists():
            raise GiveBackFailed(f"its driver {driver} is not loaded.")
        # And not drivers_probe: of two drivers that could have it, it had this one.
        self._files.write(self._files.pci / "drivers" / driver / "bind", address)
        if driver_of(self._files, address) != driver:
            raise GiveBackFailed(f"its driver {driver} did not take it.")

    def _remove_virtual(self, devices: Sequence[DirectDevice], kept: Collection[str]) -> list[str]:
        lacking = []
        for device in devices:
            if device.kind is not DirectKind.VIRTUAL or not device.made or device.parent in kept:
                continue
            folder = self._files.function(device.parent or "")
            try:
                if self._files.number(folder / "sriov_numvfs"):
                    self._files.write(folder / "sriov_numvfs", "0")
                self._restore_autoprobe(device)
            except OSError as error:
                lacking.append(f"{device.parent} keeps its virtual functions: {_said(error)}")
        return lacking

    def _await_end_of_use(self, device: DirectDevice) -> None:
        """Until no process has the device's group open: the kernel would wait for that without an end."""
        group = group_of(self._files, self.sysfs_folder(device))
        until = time.monotonic() + self._patience
        while group is not None:
            users = Openers(self._files).of(f"vfio/{group}")
            if not users:
                return
            if time.monotonic() > until:
                raise GiveBackFailed(f"{', '.join(users)} still has it.")
            time.sleep(_LOOK_EVERY)

    def _type_folder(self, device: DirectDevice) -> Path:
        parent = parent_folder(self._files, device.parent or "")
        return parent / "mdev_supported_types" / (device.type or "")

    def _vgpu_file(self, device: DirectDevice) -> Path:
        return self._files.function(device.key) / "nvidia/current_vgpu_type"


def _said(error: OSError) -> str:
    return f"The kernel refused {error.filename or 'a step'}: {error.strerror}."
