# SPDX-License-Identifier: Apache-2.0
"""How people name images: a name in the cache, a digest, or a path.

sha256:1f3a...   a digest, or its first 8 digits and more
./app.sif        with a slash: a path
app.sif          a name in the cache; where there is none, a file in the present folder
"""

from __future__ import annotations

import re
from pathlib import Path

from tessera.model.errors import InvalidImageName

PREFIX = "sha256:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_DIGITS = re.compile(r"[0-9a-f]{8,64}")
_SUFFIXES = (".sif", ".tar", ".oci")
SHOWN_DIGITS = 12


def check_name(name: str) -> str:
    """`name`, if an image may have it. Raises InvalidImageName."""
    if not _NAME.fullmatch(name):
        raise InvalidImageName(
            f"'{name[:64]}' is no name for an image.",
            "Use 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit.",
        )
    return name


def digits_of(digest: str) -> str:
    """The hexadecimal digits of a digest, or of its beginning. Raises InvalidImageName."""
    digits = digest.removeprefix(PREFIX)
    if not _DIGITS.fullmatch(digits):
        raise InvalidImageName(
            f"'{digest[:80]}' is no digest of an image.",
            "Write sha256: and at least 8 of the digits that `tessera image list` shows.",
        )
    return digits


def name_from(path: Path) -> str:
    """A name for what is at `path`: its own, without what such files end with. Raises InvalidImageName."""
    name = path.resolve().name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return check_name(name)


def short(digest: str) -> str:
    """A digest for people."""
    return digest[: len(PREFIX) + SHOWN_DIGITS]
