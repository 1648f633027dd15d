# SPDX-License-Identifier: Apache-2.0
"""Words of a stranger on somebody's terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with escapes in place of what would steer a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
