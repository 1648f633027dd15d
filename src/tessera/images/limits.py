# SPDX-License-Identifier: Apache-2.0
"""How much of an image is believed before it is refused.

An image comes from a stranger, and a few kilobytes can claim, or unpack to, any size. What is held in
memory has a fixed bound far above honest use; what goes to the disk has one that its user may raise.
"""

from __future__ import annotations

import os

from tessera.model.errors import ImageTooLarge
from tessera.model.units import GIB, MIB, format_bytes, parse_memory

VARIABLE = "TESSERA_IMAGE_LIMIT"
MAX_BYTES = 64 * GIB
MAX_DOCUMENT = 4 * MIB  # bytes of one JSON document, which is read whole
MAX_DESCRIPTORS = 1024
MAX_LAYERS = 256
MAX_ENTRIES = 1_000_000  # over all layers
MAX_IDS = 65_535  # users and groups of all files: what the table of a squashfs holds
MAX_PATH = 4095  # bytes: Linux's PATH_MAX less its terminating zero
MAX_NAME = 255  # bytes of one component


def most_bytes() -> int:
    """The bytes that an image may have, packed or unpacked. Raises InvalidMemory."""
    chosen = os.environ.get(VARIABLE)
    return parse_memory(chosen) if chosen else MAX_BYTES


def too_large(what: str, size: int | None = None) -> ImageTooLarge:
    """The error for `what` being larger than allowed; `size` in bytes where it is known."""
    found = f" is {format_bytes(size)}, and" if size is not None else ""
    return ImageTooLarge(
        f"{what}{found} has more than the {format_bytes(most_bytes())} that an image may have.",
        f"If you trust the image, allow more: {VARIABLE}=200GiB tessera image ...",
    )
