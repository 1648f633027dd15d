# SPDX-License-Identifier: Apache-2.0
"""Whether the host's own display is on a PCI function.

It is where a monitor is driven, where the kernel's console is drawn into the card's memory by its driver,
and where the firmware left a picture on the card that the machine was started with and the kernel still
draws into it. A card for graphics that nobody looks at is none.
"""

from __future__ import annotations

import re
from pathlib import Path

from tessera.direct.files import Files

_CARD = re.compile(r"card\d+")
_FRAMEBUFFER = re.compile(r"fb\d+")
_PCI = re.compile(r"/[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/")


def display_of(files: Files, folder: Path) -> tuple[str, ...]:
    """What shows the host's display on the function in `folder`, in words."""
    found = [
        f"a monitor at {connector}"
        for card in files.names(folder / "drm")
        if _CARD.fullmatch(card)
        for connector in files.names(folder / "drm" / card)
        if connector.startswith(f"{card}-")
        and files.text(folder / "drm" / card / connector / "enabled") == "enabled"
    ]
    found += [
        f"the console in {name}"
        for name in files.names(folder / "graphics")
        if _FRAMEBUFFER.fullmatch(name)
    ]
    if files.text(folder / "boot_vga") == "1":
        found += [f"the firmware's picture in {name}" for name in _of_the_firmware(files)]
    return tuple(found)


def _of_the_firmware(files: Files) -> list[str]:
    """The frame buffers that no driver of a PCI function has made."""
    place = files.root / "sys/class/graphics"
    return [
        name
        for name in files.names(place)
        if _FRAMEBUFFER.fullmatch(name) and not _PCI.search(str((place / name).resolve()))
    ]
