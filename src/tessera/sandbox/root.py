# SPDX-License-Identifier: Apache-2.0
"""The root of a sandbox: an image below, a tmpfs for what is written, both in a mount namespace of its own.

The process that makes this becomes the sandbox's keeper (tessera.sandbox.keeper). It leaves its mount
namespace for a new one, as root of a new user namespace unless it is root already, and mounts

    <state>/images/mount          a tmpfs
    <state>/images/mount/image    the image's squashfs, served by squashfuse
    <state>/images/mount/root     an overlay of both

on a folder that is there for good and always empty for everybody else. Nothing of this can be left behind:
the mounts live in no other namespace, so they go with its last process, whatever ends it.

The squashfuse process stands outside. It is started before the new mount namespace and is handed the
open /dev/fuse on which the mount is made afterwards, so it keeps neither the namespace nor the mount
alive; when the last mount is gone, the kernel ends its connection, and it exits. It needs no privilege and
no setuid helper. The kernel's own squashfs is not used, not even for root: that driver trusts the image,
and the image comes from a stranger (in a virtual machine that is the guest's own affair).

Places for what is mounted into the sandbox are made in the tmpfs before the overlay is: what is there
hides what the image has, so a symbolic link of the image leads no tool of the host anywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from tessera.model.errors import InvalidMount, SandboxFailed
from tessera.sandbox import syscalls, tools
from tessera.sandbox.plan import INSIDE, Mount
from tessera.sandbox.syscalls import MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC

_RESOLVER = "/etc/resolv.conf"
SOCKET = f"{INSIDE}/gpu.sock"
LIBRARY = f"{INSIDE}/libtessera-opencl.so"
VENDORS = f"{INSIDE}/vendors"


class Root:
    """The mounted root of one sandbox, and the process that serves its image."""

    def __init__(self, base: str, image: int, offset: int) -> None:
        """Enters the namespaces and mounts the image that the open file `image` holds at `offset`.

        `base` is an empty folder. Raises SandboxFailed.
        """
        self._base = base
        try:
            if os.geteuid() != 0:
                _become_root_of_a_user_namespace()
            self.server = self._mount_image(image, offset)
        except OSError as error:
            raise _failed("mounting the image", error) from error

    @property
    def path(self) -> str:
        return f"{self._base}/root"

    @property
    def vendors(self) -> str:
        """A folder that is to be mounted at VENDORS."""
        return f"{self._base}/vendors"

    def _mount_image(self, image: int, offset: int) -> int:
        fuse = os.open(tools.FUSE, os.O_RDWR | os.O_CLOEXEC)
        mounted, tell = os.pipe()
        server = _start_server(fuse, image, offset, mounted, tell)
        os.close(mounted)
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", None, MS_REC | MS_PRIVATE)
        syscalls.mount("tmpfs", self._base, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755")
        for name in ("image", "upper", "work", "root", "vendors"):
            os.mkdir(f"{self._base}/{name}", 0o755)
        options = f"fd={fuse},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
        flags = MS_RDONLY | MS_NODEV | MS_NOSUID
        syscalls.mount("tessera", f"{self._base}/image", "fuse.squashfuse", flags, options)
        os.write(tell, b"m")
        os.close(tell)
        os.close(fuse)
        return server

    def prepare(self, mounts: Iterable[Mount], network: bool) -> None:
        """Makes the places of what is mounted, and lays the overlay. Raises InvalidMount, SandboxFailed."""
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

    def _mode_in_image(self, path: str) -> int | None:
        """Of a path all whose parents are folders of the image, or are not there."""
        try:
            return os.lstat(f"{self._base}/image{path}").st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _make_folder(self, path: str, missing: int = 0o755) -> None:
        """Makes a folder above the image's, with its mode, or with `missing` where it has none."""
        mode = self._mode_in_image(path)
        folder = f"{self._base}/upper{path}"
        if not os.path.isdir(folder):
            os.mkdir(folder)
            os.chmod(folder, stat.S_IMODE(mode) if mode and stat.S_ISDIR(mode) else missing)

    def _make_file(self, path: str) -> None:
        with open(f"{self._base}/upper{path}", "ab"):
            pass

    def _copy_resolver(self) -> None:
        with open(_RESOLVER, "rb") as host:
            content = host.read(1 << 16)
        self._make_folder("/etc")
        with open(f"{self._base}/upper{_RESOLVER}", "wb") as out:
            out.write(content)


def _become_root_of_a_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1"),
        ("gid_map", f"0 {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _is_first_user_namespace() -> bool:
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() == ["0", "0", str((1 << 32) - 1)]


def _start_server(fuse: int, image: int, offset: int, mounted: int, tell: int) -> int:
    """Starts squashfuse once the mount is made, or ends if it never is. The pid."""
    program = tools.find(tools.SQUASHFUSE)
    words = [program, "-f", "-o", f"offset={offset}", f"/dev/fd/{image}", f"/dev/fd/{fuse}"]
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(tell)
        os.setsid()  # a Ctrl-C at the terminal is for the program
        if os.read(mounted, 1):
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(nothing, standard)
            os.set_inheritable(fuse, True)
            os.set_inheritable(image, True)
            os.execve(program, words, {})
    finally:
        os._exit(1)


def _failed(doing: str, error: OSError) -> SandboxFailed:
    return SandboxFailed(
        f"The sandbox failed at {doing}: {error.filename or 'the kernel'}: {error.strerror}.",
        "`tessera doctor` looks for what is missing.",
    )
