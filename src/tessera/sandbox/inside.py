# SPDX-License-Identifier: Apache-2.0
"""Who a program of an image is: looked up in the image's own files, from outside.

native/guest/user.cpp does the same inside of a machine, and tests/helpers/users.txt says for both what comes of it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from tessera.model.errors import ImageUnsupported
from tessera.sandbox import syscalls

_MAX_FILE = 1 << 20
_MAX_ID = (1 << 32) - 2
_MAX_GROUPS = 64


@dataclass(frozen=True)
class User:
    """Who a program is inside; `home` and the groups beside `gid` as the image says."""

    uid: int
    gid: int
    home: str
    groups: tuple[int, ...] = ()


ROOT = User(0, 0, "/root")


class Inside:
    """The files below the folder that a descriptor stands for."""

    def __init__(self, root: int) -> None:
        self._root = root

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
        return [line.split(":") for line in text.split("\n")]

    def user(self, text: str) -> User:
        """Who `USER[:GROUP]` is, by name or number; nothing is root. Raises ImageUnsupported."""
        found = find_user(text, self.lines("/etc/passwd"), self.lines("/etc/group"))
        if found is None:
            raise ImageUnsupported(
                f"The image runs programs as '{text[:80]}', whom it does not know.",
                "Build it with a user of its /etc/passwd, or with a number.",
            )
        return found


def find_user(text: str, passwd: list[list[str]], group: list[list[str]]) -> User | None:
    """Who `USER[:GROUP]` is by the fields of these files, as container tools have it; None: nobody.

    Groups that /etc/group lists the user in count where the image names no group itself.
    """
    name, _, named = text.partition(":")
    name = name or "0"
    entries = [fields for fields in passwd if len(fields) >= 6]
    known = next((fields for fields in entries if name in (fields[0], fields[2])), None)
    uid = _number(known[2] if known else name)
    gid = _number(known[3]) if known else 0
    groups = [fields for fields in group if len(fields) >= 3]
    members: tuple[int | None, ...] = ()
    if named:
        gid = _number(next((fields[2] for fields in groups if fields[0] == named), named))
    elif known:
        listed = [fields for fields in groups if fields[3:] and known[0] in fields[3].split(",")]
        members = tuple(_number(fields[2]) for fields in listed[:_MAX_GROUPS])
    if uid is None or gid is None:
        return None
    home = (known[5] if known else "") or ("/root" if uid == 0 else "/")
    return User(uid, gid, home, tuple(number for number in members if number is not None))


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        return None
    number = int(text)
    return number if number <= _MAX_ID else None
