# SPDX-License-Identifier: Apache-2.0
"""The way of a child of the keeper into a sandbox's user namespaces (tessera.sandbox.idmap)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tessera.sandbox import syscalls
from tessera.sandbox.idmap import Owners
from tessera.sandbox.inside import User

# What root of an image may: files of all its users, and to be each of them. Nothing of it leads out of
# the namespace. For devices, mounts, networks and names of hosts there is no privilege.
OF_ROOT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
)


@dataclass(frozen=True)
class Namespaces:
    """Descriptors of both namespaces, and whose numbers are known in them."""

    outer: int
    inner: int
    owners: Owners

    def become_bwrap(self, user: User) -> None:
        """Goes into the outer namespace, as its root, with the groups of the program's user. Raises OSError."""
        if os.readlink("/proc/self/ns/user") != os.readlink(f"/proc/self/fd/{self.outer}"):
            syscalls.enter(self.outer, syscalls.CLONE_NEWUSER)
        groups = self._groups(user)
        if groups is not None:
            os.setgroups(groups)

    def forbid_more(self) -> None:
        """No process below the outer namespace makes another user namespace. Raises OSError."""
        with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as file:
            file.write("0")

    def become_program(self, user: User) -> None:
        """Goes into the inner namespace, as `user`. Raises OSError."""
        syscalls.enter(self.inner, syscalls.CLONE_NEWUSER)
        if user.uid != 0:
            syscalls.drop_capabilities()

    def _groups(self, user: User) -> list[int] | None:
        """Of the image, for the outer namespace; None: those of the caller remain."""
        ids = self.owners.groups
        if not ids.others.count or not (user.groups or self.owners.users.caller == 0):
            return None
        places = (ids.in_outer(number) for number in user.groups)
        return [place for place in places if place is not None]
