# SPDX-License-Identifier: Apache-2.0
"""Looks whether a sandbox's program and its folder are there, for its user, before bwrap would say so less clearly.

What a path leads to depends on the image's links, on what is mounted, and on who asks. So a child of its own
asks, who is that user already, in a mount namespace in which all of it is mounted; both end with it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from tessera.model.errors import (
    ImageUnsupported,
    ProgramNotExecutable,
    ProgramNotFound,
    SandboxFailed,
    TesseraError,
)
from tessera.sandbox import syscalls
from tessera.sandbox.inside import User
from tessera.sandbox.namespaces import Namespaces
from tessera.sandbox.plan import Mount

_WORD = 1 << 16
_REFUSALS = {
    kind.__name__: kind
    for kind in (ImageUnsupported, ProgramNotExecutable, ProgramNotFound, SandboxFailed)
}


@dataclass(frozen=True)
class Wanted:
    """A program by name, the folder that it starts in, and where it is looked for."""

    program: str
    folder: str
    search: str


def check(
    root: str, mounts: Iterable[Mount], namespaces: Namespaces, user: User, wanted: Wanted
) -> None:
    """Raises ImageUnsupported, ProgramNotFound or ProgramNotExecutable."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _mount(root, mounts)
            namespaces.become_bwrap(user)
            namespaces.become_program(user)
            _check(os.open(root, os.O_PATH | os.O_DIRECTORY), wanted)
        except (*_REFUSALS.values(), OSError) as error:
            os.write(theirs, _as_words(error))
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        said = file.read(_WORD)
    os.waitpid(pid, 0)
    if said:
        kind, message, hint = json.loads(said)
        raise _REFUSALS[kind](message, hint)


def _as_words(error: TesseraError | OSError) -> bytes:
    if isinstance(error, OSError):
        error = SandboxFailed(
            f"The sandbox failed at looking for the program: {error.filename or 'the kernel'}: {error.strerror}.",
            "`tessera doctor` looks for what is missing.",
        )
    words = [type(error).__name__, str(error), error.hint]
    return json.dumps(words).encode()[:_WORD]


def _mount(root: str, mounts: Iterable[Mount]) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    below = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for mount in mounts:
        # What cannot be mounted, bwrap refuses itself.
        with suppress(OSError):
            place = syscalls.open_in_root(below, mount.place, os.O_PATH)
            syscalls.mount(mount.source, f"/proc/self/fd/{place}", None, syscalls.MS_BIND)


def _check(root: int, wanted: Wanted) -> None:
    folder = _Found(root, wanted.folder)
    if folder.error == errno.EACCES or (folder.is_folder and not folder.allowed):
        raise ImageUnsupported(
            f"The image starts programs in {wanted.folder}, where its user may not go.",
            "Build it again with a folder of that user, or with another user.",
        )
    if not folder.is_folder:
        raise ImageUnsupported(
            f"The image starts programs in {wanted.folder}, and has no such folder.",
            "Build it again with that folder, or mount one there: --mount FOLDER:" + wanted.folder,
        )
    _check_program(root, wanted)


def _check_program(root: int, wanted: Wanted) -> None:
    places = [""] if "/" in wanted.program else wanted.search.split(":")
    denied = None
    for place in places:
        path = os.path.join(wanted.folder, place, wanted.program)
        found = _Found(root, path)
        if found.is_file and found.allowed:
            return
        if found.is_file or found.error == errno.EACCES:
            denied = denied or path
    if denied:
        raise ProgramNotExecutable(
            f"{denied} of the image may not be executed.",
            "Build the image with its mode set, or with a user who may.",
        )
    raise ProgramNotFound(
        f"There is no program '{wanted.program}' in the image.",
        f"It was looked for in {wanted.search}.",
    )


class _Found:
    """What a path leads to, for this process."""

    def __init__(self, root: int, path: str) -> None:
        self.error, self.allowed, mode = 0, False, 0
        try:
            fd = syscalls.open_in_root(root, path, os.O_PATH)
        except OSError as error:
            self.error = error.errno or 0
        else:
            mode = os.fstat(fd).st_mode
            self.allowed = os.access(f"/proc/self/fd/{fd}", os.X_OK, effective_ids=True)
            os.close(fd)
        self.is_folder = stat.S_ISDIR(mode)
        self.is_file = stat.S_ISREG(mode)
