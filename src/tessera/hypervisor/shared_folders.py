# SPDX-License-Identifier: Apache-2.0
"""Folders of the host that a guest may read: each packed into a disk of its own as the machine starts.

So a guest sees a folder as it was then, at the speed of a disk, and nothing of the host listens to it. A
file server between the two (9p, virtiofs) was refused: it would read the host's files with the rights of
whoever started the machine, on the word of a guest; and QEMU, which is nobody here, could not read them.
What is packed lies in a file without a name, on the disk of temporary files, and goes with the machine.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tessera.hypervisor.base import Disk, Share
from tessera.images import squashfs
from tessera.model.errors import InvalidMount
from tessera.sandbox.plan import Mount

MOST = 8
# What the caller may read and run, the program may, whoever it is inside: that user is not known out here.
_FOR_ALL = ["-all-root", "-action", "chmod(a+rX)@!type(l)"]


def check(mounts: tuple[Mount, ...]) -> None:
    """Raises InvalidMount for what no machine can have."""
    for mount in mounts:
        if mount.writable:
            raise InvalidMount(
                f"A machine cannot write into {mount.source}: it has a copy.",
                "Leave rw out; what the program writes to its standard output reaches this host.",
            )
        if not mount.is_folder:
            raise InvalidMount(f"{mount.source} is no folder.", "Mount the folder that holds it.")
    if len(mounts) > MOST:
        raise InvalidMount(
            f"A machine takes {MOST} folders at most.", "Mount a folder that holds several of them."
        )


def pack(mounts: tuple[Mount, ...], owner: ExitStack) -> tuple[Share, ...]:
    """The folders as disks, whose files `owner` closes. Raises InvalidMount or ToolMissing."""
    return tuple(_pack(mount, owner) for mount in mounts)


def _pack(mount: Mount, owner: ExitStack) -> Share:
    file = owner.enter_context(tempfile.TemporaryFile(prefix="tessera-share-"))  # noqa: SIM115
    path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    # Not compressed: it is read a few times at most, by an emulated processor perhaps.
    words = [squashfs.tool(), mount.source, str(path), "-noappend", "-no-progress", "-quiet"]
    words += ["-noI", "-noD", "-noF", "-noX", "-no-xattrs", "-exit-on-error", *_FOR_ALL]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InvalidMount(
            f"{mount.source} cannot be packed: {done.stderr.strip()[-300:]}",
            "Check that its files can be read, and that there is space for temporary files.",
        )
    return Share(Disk(path, 0, os.fstat(file.fileno()).st_size), mount.place)
