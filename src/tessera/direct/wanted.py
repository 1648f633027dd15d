# SPDX-License-Identifier: Apache-2.0
"""What a person may write behind --direct.

0000:65:00.0, 65:00.0    one PCI function
65:00                    all functions of the device in that slot
group17                  all functions of an IOMMU group
gpu0                     the function of a GPU of `tessera gpus`
65:00.0/vf               a free virtual function of that function, made when there are none yet
65:00.0/nvidia-63        a new piece of that type: a mediated device, or a vGPU where types are numbers
mtty/mtty-1              the same of a parent that is no PCI function
UUID                     a mediated device that is there
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from tessera.model.errors import InvalidDirectDevice

_ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])(?:\.([0-7]))?")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
VIRTUAL = "vf"


class WantedKind(Enum):
    FUNCTION = auto()
    SLOT = auto()
    GROUP = auto()
    GPU = auto()
    VIRTUAL = auto()
    TYPE = auto()
    MEDIATED = auto()


@dataclass(frozen=True)
class Wanted:
    """`name`: an address, slot, group, GPU, UUID, or the parent of a piece; `type`: of the piece."""

    kind: WantedKind
    name: str
    type: str = ""


def parse(text: str) -> Wanted:
    """Raises InvalidDirectDevice."""
    place, slash, kind = text.strip().partition("/")
    if slash:
        return _piece(text, place, kind)
    lower = place.lower()
    if _UUID.fullmatch(lower):
        return Wanted(WantedKind.MEDIATED, lower)
    if address := full_address(lower):
        whole = "." in address
        return Wanted(WantedKind.FUNCTION if whole else WantedKind.SLOT, address)
    for word, wanted in (("group", WantedKind.GROUP), ("gpu", WantedKind.GPU)):
        number = lower.removeprefix(word)
        if number != lower and number.isascii() and number.isdecimal() and len(number) < 8:
            return Wanted(wanted, str(int(number)) if word == "group" else lower)
    raise _no_device(text)


def _piece(text: str, place: str, kind: str) -> Wanted:
    address = full_address(place.lower())
    parent = address or place
    if not _NAME.fullmatch(parent) or not _NAME.fullmatch(kind) or (address and "." not in address):
        raise _no_device(text)
    if kind == VIRTUAL:
        if address is None:
            raise _no_device(text)
        return Wanted(WantedKind.VIRTUAL, address)
    return Wanted(WantedKind.TYPE, parent, kind)


def full_address(text: str) -> str | None:
    """A PCI address as sysfs writes it, with or without a function; None where `text` is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    domain, bus, slot, function = found.groups()
    place = f"{domain or '0000'}:{bus}:{slot}"
    return place if function is None else f"{place}.{function}"


def _no_device(text: str) -> InvalidDirectDevice:
    return InvalidDirectDevice(
        f"'{text[:64]}' names no device that could be handed over.",
        "Write a PCI address such as 0000:65:00.0, or see `tessera direct list` and --help.",
    )
