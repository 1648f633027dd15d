# SPDX-License-Identifier: Apache-2.0
"""Who the users and groups of an image are on this host.

Files of an image belong to users of that image, and a program runs as one of them. On the host this one is
the caller: so the program reads and writes what the caller may, in folders that are mounted, and what it
writes there is the caller's. All others are numbers that this host has set aside for the caller
(/etc/subuid and /etc/subgid), or for root those that no user of a host has. The kernel translates, with two
user namespaces, one inside of the other:

    host                caller      the numbers set aside, in their order
    outer (bwrap's)     0           1, 2, 3, ...      there bwrap is root, as it must be to make mounts
    inner (program's)   own         0, 1, 2, ...      less own: the image's own numbers

A host that sets nothing aside for the caller has one number to give: the user's own. Then files of all others
belong to nobody, and whatever their modes do not allow to everybody is out of reach, also for root.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tessera.sandbox.inside import User

# The last of those that systemd keeps free for containers; for root of a host without lines for root.
_OF_ROOT = 0x6FFF0000
_MOST = 1 << 16
_USERS, _GROUPS = "/etc/subuid", "/etc/subgid"


@dataclass(frozen=True)
class Range:
    """`count` numbers of the host from `start` on."""

    start: int
    count: int


@dataclass(frozen=True)
class IdMap:
    """The users of a sandbox, or its groups: the caller is `own`; `others` is empty where there is one only."""

    caller: int
    own: int
    others: Range

    @property
    def outer(self) -> str:
        """The map of the outer namespace, as the kernel reads it."""
        return _lines([(0, self.caller, 1), (1, self.others.start, self.others.count)])

    @property
    def inner(self) -> str:
        """The map of the inner namespace, in which numbers of the outer one are the outside."""
        count = self.others.count
        before = min(self.own, count)
        return _lines(
            [(0, 1, before), (self.own, 0, 1), (self.own + 1, before + 1, count - before)]
        )

    def in_outer(self, number: int) -> int | None:
        """What a number of the image is in the outer namespace; None for one without a place."""
        if number == self.own:
            return 0
        place = number + 1 if number < self.own else number
        return place if place <= self.others.count else None

    def on_host(self, number: int) -> int | None:
        """What a number of the image is on this host; None for one without a place."""
        place = self.in_outer(number)
        if place is None:
            return None
        return self.caller if place == 0 else self.others.start + place - 1

    def alone(self) -> IdMap:
        """The same without the others."""
        return replace(self, others=Range(0, 0))


@dataclass(frozen=True)
class Owners:
    """All whom files of a sandbox may belong to."""

    users: IdMap
    groups: IdMap


def _lines(extents: Iterable[tuple[int, int, int]]) -> str:
    return "".join(f"{inside} {outside} {n}\n" for inside, outside, n in extents if n > 0)


def owners(user: User) -> Owners:
    """Those of a sandbox whose program is `user`, as far as this host sets numbers aside for the caller."""
    uid, gid = os.geteuid(), os.getegid()
    return Owners(
        IdMap(uid, user.uid, _set_aside(_USERS, uid)),
        IdMap(gid, user.gid, _set_aside(_GROUPS, uid)),
    )


def has_numbers() -> bool:
    """Whether the caller has a number for each user of an image, and not the own one alone."""
    uid = os.geteuid()
    helpers = uid == 0 or all(shutil.which(name) for name in ("newuidmap", "newgidmap"))
    return helpers and all(_set_aside(path, uid).count for path in (_USERS, _GROUPS))


def _set_aside(path: str, uid: int) -> Range:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = first_range(file, {str(uid), *_names(uid)})
    except OSError:
        found = None
    return found or (Range(_OF_ROOT, _MOST) if uid == 0 else Range(0, 0))


def first_range(lines: Iterable[str], owner: set[str]) -> Range | None:
    """The first line `OWNER:START:COUNT` of an owner's names."""
    for line in lines:
        name, _, numbers = line.strip().partition(":")
        start, _, count = numbers.partition(":")
        if name in owner and start.isdecimal() and count.isdecimal() and 0 < int(count) < 1 << 32:
            return Range(int(start), int(count))
    return None


def _names(uid: int) -> set[str]:
    try:
        return {pwd.getpwuid(uid).pw_name}
    except KeyError:
        return set()
