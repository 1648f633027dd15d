# SPDX-License-Identifier: Apache-2.0
"""Fractions and sizes as people write them.

The grammar is closed and short on purpose: `Fraction("1e999999999")` would keep the daemon busy for
minutes, so nothing reaches `Fraction` or `int` that a pattern has not bounded first.
"""

from __future__ import annotations

import re
from fractions import Fraction

from tessera.model.errors import InvalidFraction, InvalidMemory

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_RATIO = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_DECIMAL = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})(%?)")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([KMGT]i?B?|B)?", re.IGNORECASE)

_FACTORS = {
    "": 1,
    "b": 1,
    "k": KIB,
    "kib": KIB,
    "kb": 1000,
    "ki": KIB,
    "m": MIB,
    "mib": MIB,
    "mb": 1000**2,
    "mi": MIB,
    "g": GIB,
    "gib": GIB,
    "gb": 1000**3,
    "gi": GIB,
    "t": TIB,
    "tib": TIB,
    "tb": 1000**4,
    "ti": TIB,
}

_FRACTION_HINT = "Write a part of a GPU such as 1/4, 0.25 or 25%; the whole GPU is 1."
_MEMORY_HINT = "Write a size such as 512MiB, 1.5GiB or a number of bytes."


def parse_fraction(text: str) -> Fraction:
    """'1/4', '0.25' or '25%' as an exact fraction in (0, 1]. Raises InvalidFraction."""
    value = _fraction_value(text.strip())
    if value is None:
        raise InvalidFraction(f"'{text[:40]}' is not a fraction.", _FRACTION_HINT)
    if not 0 < value <= 1:
        raise InvalidFraction(
            f"A fraction of a GPU is more than 0 and at most 1; '{text[:40]}' does not.",
            _FRACTION_HINT,
        )
    return value


def _fraction_value(text: str) -> Fraction | None:
    if ratio := _RATIO.fullmatch(text):
        numerator, denominator = int(ratio[1]), int(ratio[2])
        return Fraction(numerator, denominator) if denominator else None
    if decimal := _DECIMAL.fullmatch(text):
        value = Fraction(decimal[1])
        return value / 100 if decimal[2] else value
    return None


def parse_memory(text: str) -> int:
    """'512MiB', '1.5G' (binary) or '100MB' (decimal) in bytes, rounded down. Raises InvalidMemory."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidMemory(f"'{text[:40]}' is not a memory size.", _MEMORY_HINT)
    amount = int(Fraction(match[1]) * _FACTORS[(match[2] or "").lower()])
    if amount <= 0:
        raise InvalidMemory("A lease needs at least one byte of memory.", _MEMORY_HINT)
    return amount


def fraction_of(total: int, part: Fraction) -> int:
    """floor(total * part), in bytes."""
    return total * part.numerator // part.denominator


def format_bytes(amount: int) -> str:
    """Bytes for people: three significant digits and a binary unit; exact below 1 KiB."""
    if amount < KIB:
        return f"{amount} B"
    value, unit = float(amount), "B"
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        value /= 1024
        if value < 999.5:
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def format_count(amount: int) -> str:
    """A count for people: exact below 10,000, then with k, M or G (powers of 1000)."""
    if amount < 10_000:
        return str(amount)
    value, unit = float(amount), ""
    for unit in ("k", "M", "G", "T"):
        value /= 1000
        if value < 999.5:
            break
    return f"{value:.1f}{unit}" if value < 99.95 else f"{value:.0f}{unit}"


def format_duration(nanoseconds: float) -> str:
    """A duration for people: three significant digits and a unit from ns to s."""
    value, unit = nanoseconds, "ns"
    for unit in ("ns", "us", "ms", "s"):
        # What would be rounded to 1000 is one of the next unit.
        if abs(value) < 999.5 or unit == "s":
            break
        value /= 1000
    return f"{value:.3g} {unit}" if abs(value) < 999.5 else f"{value:.0f} {unit}"


def format_part(part: float | None) -> str:
    """A part of a whole for people, in percent; '-' for one that is not known."""
    if part is None:
        return "-"
    percent = part * 100
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"
