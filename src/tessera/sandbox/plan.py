# SPDX-License-Identifier: Apache-2.0
"""What a sandbox is asked for, checked before a lease is made."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass

from tessera.model.errors import InvalidMount

INSIDE = "/run/tessera"  # where the lease's own things are in a sandbox
_RESERVED = ("/proc", "/dev", INSIDE)
_FORM = "Write --mount FOLDER, --mount FOLDER:/PLACE or --mount FOLDER:/PLACE:rw."


@dataclass(frozen=True)
class Mount:
    """A file or folder of the host at a place in the sandbox; read-only unless `writable`."""

    source: str
    place: str
    writable: bool

    @property
    def is_folder(self) -> bool:
        return os.path.isdir(self.source)


@dataclass(frozen=True)
class Plan:
    """A sandbox: the image by whatever name, what of the host is in it, and whether it has a network."""

    image: str
    mounts: tuple[Mount, ...] = ()
    network: bool = False


def parse_mount(text: str) -> Mount:
    """SRC, SRC:DST or SRC:DST:rw. Raises InvalidMount."""
    source, _, rest = text.partition(":")
    place, separator, mode = rest.partition(":")
    if not source or (separator and mode not in ("ro", "rw")):
        raise InvalidMount(f"'{text[:200]}' is no mount.", _FORM)
    source = os.path.realpath(source)
    if not (os.path.isdir(source) or os.path.isfile(source)):
        raise InvalidMount(f"There is no file or folder {source}.", _FORM)
    return Mount(source, _checked_place(place or source), mode == "rw")


def _checked_place(place: str) -> str:
    parts = place.split("/")
    if not place.startswith("/") or ".." in parts or "\0" in place:
        raise InvalidMount(f"'{place[:200]}' is no place in the sandbox.", _FORM)
    place = posixpath.normpath("/" + "/".join(part for part in parts if part))
    if place == "/" or any(place == one or place.startswith(f"{one}/") for one in _RESERVED):
        raise InvalidMount(
            f"The place {place} is the sandbox's own.", "Choose another one, such as /data."
        )
    return place
