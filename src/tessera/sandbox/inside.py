# SPDX-License-Identifier: Apache-2.0
"""Looks at files of an image from outside, as a program inside would find them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from tessera.model.errors import ImageUnsupported, ProgramNotExecutable, ProgramNotFound
from tessera.sandbox import syscalls

_MAX_FILE = 1 << 20
_MAX_ID = (1 << 32) - 2


@dataclass(frozen=True)
class User:
    """Who a program is inside; `home` as the image says."""

    uid: int
    gid: int
    home: str


class Inside:
    """The files below the folder `root`."""

    def __init__(self, root: str) -> None:
        """Raises OSError."""
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root)

    def mode(self, path: str) -> int | None:
        """The mode of what a path leads to, or None where it leads to nothing."""
        try:
            fd = syscalls.open_in_root(self._root, path, os.O_PATH)
        except OSError:
            return None
        try:
            return os.fstat(fd).st_mode
        finally:
            os.close(fd)

    def lines(self, path: str) -> list[list[str]]:
        """The fields of a file such as /etc/passwd; none where there is no such file."""
        try:
            fd = syscalls.open_in_root(self._root, path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return []
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return []
            text = file.read(_MAX_FILE).decode("utf-8", "replace")
        return [line.split(":") for line in text.splitlines()]

    def check_folder(self, path: str) -> None:
        """Raises ImageUnsupported unless `path` is a folder."""
        mode = self.mode(path)
        if mode is None or not stat.S_ISDIR(mode):
            raise ImageUnsupported(
                f"The image starts programs in {path}, and has no such folder.",
                "Build it again with that folder, or mount one there: --mount FOLDER:" + path,
            )

    def check_program(self, name: str, folder: str, search: str) -> None:
        """Raises ProgramNotFound or ProgramNotExecutable where bwrap would say so less clearly."""
        places = [""] if "/" in name else search.split(":")
        found = None
        for place in places:
            path = os.path.join(folder, place, name)
            mode = self.mode(path)
            if mode is not None and stat.S_ISREG(mode):
                found = path
                if mode & 0o111:
                    return
        if found:
            raise ProgramNotExecutable(
                f"{found} of the image may not be executed.", "Build the image with its mode set."
            )
        raise ProgramNotFound(
            f"There is no program '{name}' in the image.", f"It was looked for in {search}."
        )

    def user(self, text: str) -> User:
        """Who `USER[:GROUP]` is, by name or number; nothing is root. Raises ImageUnsupported."""
        name, _, group = text.partition(":")
        entries = [fields for fields in self.lines("/etc/passwd") if len(fields) >= 6]
        known = next((fields for fields in entries if name in (fields[0], fields[2])), None)
        uid = _number(name or "0") if known is None else _number(known[2])
        gid = _number(known[3]) if known else 0
        if group:
            groups = [fields for fields in self.lines("/etc/group") if len(fields) >= 3]
            named = next((fields[2] for fields in groups if fields[0] == group), group)
            gid = _number(named)
        if uid is None or gid is None:
            raise ImageUnsupported(
                f"The image runs programs as '{text[:80]}', whom it does not know.",
                "Build it with a user of its /etc/passwd, or with a number.",
            )
        home = known[5] if known else ""
        return User(uid, gid, home or ("/root" if uid == 0 else "/"))


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        return None
    number = int(text)
    return number if number <= _MAX_ID else None
