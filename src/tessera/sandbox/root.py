# SPDX-License-Identifier: Apache-2.0
"""The root of a sandbox: an image below, a tmpfs for what is written, both in a mount namespace of its own.

The process that makes this becomes the sandbox's keeper (tessera.sandbox.keeper). It leaves its mount
namespace for a new one, as root of the sandbox's outer user namespace unless it is root already, and mounts

    <state>/images/mount          a tmpfs
    <state>/images/mount/image    the image's squashfs, served by squashfuse (tessera.sandbox.served)
    <state>/images/mount/root     an overlay of both

on a folder that is there for good and always empty for everybody else. Nothing of this can be left behind:
the mounts live in no other namespace, so they go with its last process, whatever ends it.

Places for what is mounted into the sandbox are made in the tmpfs before the overlay is: what is there
hides what the image has, so a symbolic link of the image leads no tool of the host anywhere. They belong to
whom the image says, and else to its root.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from tessera.model.errors import InvalidMount, SandboxFailed
from tessera.sandbox import syscalls
from tessera.sandbox.idmap import IdMap
from tessera.sandbox.plan import INSIDE, Mount
from tessera.sandbox.served import Served
from tessera.sandbox.syscalls import MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC

_RESOLVER = "/etc/resolv.conf"
SOCKET = f"{INSIDE}/gpu.sock"
LIBRARY = f"{INSIDE}/libtessera-opencl.so"
VENDORS = f"{INSIDE}/vendors"


class Root:
    """The mounted root of one sandbox."""

    def __init__(self, base: str, served: Served) -> None:
        """Enters the namespaces and mounts the image. `base` is an empty folder. Raises SandboxFailed."""
        self._base = base
        self._owners = served.namespaces.owners
        self._first = os.geteuid() == 0
        try:
            if not self._first:
                syscalls.enter(served.namespaces.outer, syscalls.CLONE_NEWUSER)
            self._mount_image(served.mount)
        except OSError as error:
            raise _failed("mounting the image", error) from error

    @property
    def path(self) -> str:
        return f"{self._base}/root"

    @property
    def vendors(self) -> str:
        """A folder that is to be mounted at VENDORS."""
        return f"{self._base}/vendors"

    def _mount_image(self, mount: int) -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
        syscalls.mount("tmpfs", self._base, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755")
        for name in ("image", "upper", "work", "root", "vendors"):
            os.mkdir(f"{self._base}/{name}", 0o755)
        self._give(f"{self._base}/upper", None)
        syscalls.attach(mount, f"{self._base}/image")

    def prepare(self, mounts: Iterable[Mount], network: bool, own: Iterable[str]) -> None:
        """Makes the places of what is mounted, and lays the overlay; in the folders `own` the program writes.

        Raises InvalidMount, SandboxFailed.
        """
        try:
            for folder in ("/proc", "/dev", "/run", INSIDE, VENDORS):
                self._make_folder(folder)
            if self._mode_in_image("/tmp") is None:
                self._make_folder("/tmp", 0o1777)
            for place in (SOCKET, LIBRARY):
                self._make_file(place)
            for mount in mounts:
                self._make_place(mount)
            if network:
                self._copy_resolver()
            if self._seen(self._owners.users, 0) is None:
                for path in own:
                    self._make_writable(path)
            with open(f"{self.vendors}/tessera.icd", "w", encoding="ascii") as icd:
                icd.write(f"{LIBRARY}\n")
            self._overlay()
        except OSError as error:
            raise _failed("preparing its files", error) from error

    def _overlay(self) -> None:
        # Relative: a path could hold what separates these options.
        os.chdir(self._base)
        options = "lowerdir=image,upperdir=upper,workdir=work"
        if os.geteuid() != 0 or not _is_first_user_namespace():
            options += ",userxattr"
        syscalls.mount("tessera", "root", "overlay", MS_NODEV | MS_NOSUID, options)
        os.chdir("/")

    def _make_place(self, mount: Mount) -> None:
        parents = mount.place.split("/")[1:-1]
        path = ""
        for part in parents:
            path += f"/{part}"
            mode = self._mode_in_image(path)
            if mode is not None and not stat.S_ISDIR(mode):
                raise InvalidMount(
                    f"{path} is no folder in the image, so nothing can be mounted at {mount.place}.",
                    "Choose another place, such as /data; links of the image are not followed.",
                )
            self._make_folder(path)
        if mount.is_folder:
            self._make_folder(mount.place)
        else:
            self._make_file(mount.place)

    def _make_writable(self, path: str) -> None:
        """Makes a folder of the image above it: the kernel does so only for those whose owner has a place."""
        place = ""
        for part in path.split("/")[1:]:
            place += f"/{part}"
            mode = self._mode_in_image(place)
            if mode is None or not stat.S_ISDIR(mode):
                return
            self._make_folder(place)

    def _in_image(self, path: str) -> os.stat_result | None:
        """Of a path all whose parents are folders of the image, or are not there."""
        try:
            return os.lstat(f"{self._base}/image{path}")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _mode_in_image(self, path: str) -> int | None:
        found = self._in_image(path)
        return found.st_mode if found else None

    def _seen(self, ids: IdMap, number: int) -> int | None:
        """What a number of the image is to this process."""
        return ids.on_host(number) if self._first else ids.in_outer(number)

    def _give(self, place: str, to: os.stat_result | None) -> None:
        """Gives a folder or file that was made to the owner of `to`, or to the image's root."""
        if to:
            uid, gid = to.st_uid, to.st_gid
        else:
            found = self._seen(self._owners.users, 0), self._seen(self._owners.groups, 0)
            uid, gid = (-1 if number is None else number for number in found)
        # What belongs to nobody here remains the caller's.
        with suppress(OSError):
            os.chown(place, uid, gid)

    def _make_folder(self, path: str, missing: int = 0o755) -> None:
        """Makes a folder above the image's, with its owner and mode, or root's with `missing`."""
        there = self._in_image(path)
        if there and not stat.S_ISDIR(there.st_mode):
            there = None
        folder = f"{self._base}/upper{path}"
        if not os.path.isdir(folder):
            os.mkdir(folder)
            self._give(folder, there)
            os.chmod(folder, stat.S_IMODE(there.st_mode) if there else missing)

    def _make_file(self, path: str) -> None:
        file = f"{self._base}/upper{path}"
        with open(file, "ab"):
            self._give(file, None)

    def _copy_resolver(self) -> None:
        with open(_RESOLVER, "rb") as host:
            content = host.read(1 << 16)
        self._make_folder("/etc")
        file = f"{self._base}/upper{_RESOLVER}"
        with open(file, "wb") as out:
            out.write(content)
        self._give(file, None)


def _is_first_user_namespace() -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() == ["0", "0", str((1 << 32) - 1)]


def _failed(doing: str, error: OSError) -> SandboxFailed:
    return SandboxFailed(
        f"The sandbox failed at {doing}: {error.filename or 'the kernel'}: {error.strerror}.",
        "`tessera doctor` looks for what is missing.",
    )
