# SPDX-License-Identifier: Apache-2.0
"""An image's files, served by squashfuse and mounted where nobody sees them yet.

The kernel takes the owners of files from squashfuse as numbers of the user namespace that made the mount. So
that must be the namespace in which the program will run (tessera.sandbox.idmap), before there is a program:

    this process ─┬─ squashfuse    outside of all namespaces
                  └─ maker         of the outer namespace; has its numbers written from out here, writes
                       └─ mounter  those of the inner one, which opens /dev/fuse and makes the mount

Maker and mounter end at once. What is left are descriptors: of both namespaces, and of a mount that is nowhere
until tessera.sandbox.root puts it where it belongs.

The squashfuse process stands outside: it is handed the open /dev/fuse, so it keeps neither a namespace nor the
mount alive; when the mount is gone, the kernel ends its connection, and it exits. It needs no privilege and no
setuid helper. The kernel's own squashfs is not used, not even for root: that driver trusts the image, and the
image comes from a stranger (in a virtual machine that is the guest's own affair).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from tessera.model.errors import SandboxFailed
from tessera.sandbox import syscalls, tools
from tessera.sandbox.idmap import IdMap, Owners
from tessera.sandbox.namespaces import Namespaces

_WORD = 512  # bytes of a message, at most
_ALONE = b"a"
_TOGETHER = b"t"


@dataclass(frozen=True)
class Served:
    """A server's pid, the descriptor of its mount, and the namespaces with their owners as they came to be."""

    server: int
    mount: int
    namespaces: Namespaces

    def end(self) -> None:
        """Gives all of it up."""
        for fd in (self.mount, self.namespaces.outer, self.namespaces.inner):
            os.close(fd)
        os.kill(self.server, signal.SIGKILL)
        os.waitpid(self.server, 0)


def serve(image: int, offset: int, owners: Owners) -> Served:
    """Serves the squashfs that the open file `image` holds at `offset`. Raises SandboxFailed."""
    server, to_server = _start_server(image, offset)
    ours, theirs = socket.socketpair()
    maker = _fork(lambda: _make(theirs, owners), theirs)
    theirs.close()
    with ours, to_server:
        try:
            if ours.recv(_WORD) == b"outer":
                users = _write_outer(maker, "uid", owners.users)
                groups = _write_outer(maker, "gid", owners.groups)
                owners = Owners(users, groups)
                ours.send(bytes(map(_is_alone, (users, groups))))
            said, fds, _, _ = socket.recv_fds(ours, _WORD, 4)
            if len(fds) != 4:
                raise _failed(said.decode("utf-8", "replace") or "it ended")
            fuse, mount, outer, inner = fds
            socket.send_fds(to_server, [b"m"], [fuse])
            os.close(fuse)
        except OSError as error:
            raise _failed(f"{error.filename or 'the kernel'}: {error.strerror}") from error
        finally:
            os.waitpid(maker, 0)
    return Served(server, mount, Namespaces(outer, inner, owners))


def _is_alone(ids: IdMap) -> int:
    return ord(_TOGETHER if ids.others.count else _ALONE)


def _fork(work: Callable[[], None], line: socket.socket) -> int:
    """A child that does one thing and says on `line` what failed. Its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except OSError as error:
        line.send(f"{error.filename or 'the kernel'}: {error.strerror}".encode()[:_WORD])
    finally:
        os._exit(1)


def _make(line: socket.socket, owners: Owners) -> None:
    """The maker: its own namespace is the outer one."""
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    line.send(b"outer")
    users, groups = line.recv(2)
    owners = Owners(
        owners.users.alone() if users == ord(_ALONE) else owners.users,
        owners.groups.alone() if groups == ord(_ALONE) else owners.groups,
    )
    outer = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    ours, theirs = socket.socketpair()
    mounter = _fork(lambda: _mount(theirs, line, outer, owners), line)
    theirs.close()
    if ours.recv(1):
        _write(mounter, "uid_map", owners.users.inner)
        _write(mounter, "gid_map", owners.groups.inner)
        ours.send(b"w")
    os.waitpid(mounter, 0)


def _mount(maker: socket.socket, line: socket.socket, outer: int, owners: Owners) -> None:
    """The mounter: its namespace is the inner one."""
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    maker.send(b"u")
    if not maker.recv(1):
        return
    syscalls.unshare(syscalls.CLONE_NEWNS)
    inner = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    # The kernel wants it opened in the namespace of the mount.
    fuse = os.open(tools.FUSE, os.O_RDWR | os.O_CLOEXEC)
    mount = syscalls.detached_mount(
        "fuse",
        {
            "source": "tessera",
            "subtype": "squashfuse",
            "fd": str(fuse),
            "rootmode": "40000",
            "user_id": str(owners.users.own),
            "group_id": str(owners.groups.own),
        },
    )
    socket.send_fds(line, [b"m"], [fuse, mount, outer, inner])


def _write(pid: int, name: str, text: str) -> None:
    with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
        file.write(text)


def _write_outer(pid: int, kind: str, ids: IdMap) -> IdMap:
    """Maps users (uid) or groups (gid) of an outer namespace; less the others where that is not allowed.

    Raises OSError.
    """
    if ids.others.count and _write_with_others(pid, kind, ids):
        return ids
    ids = ids.alone()
    if kind == "gid":
        _write(pid, "setgroups", "deny")
    _write(pid, f"{kind}_map", ids.outer)
    return ids


def _write_with_others(pid: int, kind: str, ids: IdMap) -> bool:
    if os.geteuid() == 0:
        try:
            _write(pid, f"{kind}_map", ids.outer)
        except OSError:  # in a container that has fewer numbers itself
            return False
        return True
    helper = shutil.which(f"new{kind}map")
    words = [helper or "", str(pid), *ids.outer.split()]
    return bool(helper) and subprocess.run(words, capture_output=True, check=False).returncode == 0


def _start_server(image: int, offset: int) -> tuple[int, socket.socket]:
    """A squashfuse that starts when it is sent a /dev/fuse, and ends if it never is. Its pid."""
    program = tools.find(tools.SQUASHFUSE)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    try:
        ours.close()
        os.setsid()  # a Ctrl-C at the terminal is for the program
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        if fds:
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(nothing, standard)
            os.set_inheritable(fds[0], True)
            os.set_inheritable(image, True)
            words = [program, "-f", "-o", f"offset={offset}"]
            os.execve(program, [*words, f"/dev/fd/{image}", f"/dev/fd/{fds[0]}"], {})
    finally:
        os._exit(1)


def _failed(why: str) -> SandboxFailed:
    return SandboxFailed(
        f"The sandbox failed at mounting the image: {why}.",
        "`tessera doctor` looks for what is missing.",
    )
