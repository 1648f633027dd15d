# SPDX-License-Identifier: Apache-2.0
"""Fractions and sizes are exact, and nonsense is refused by name."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.model.errors import InvalidFraction, InvalidMemory
from tessera.model.units import (
    format_bytes,
    format_count,
    fraction_of,
    parse_fraction,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1/4", Fraction(1, 4)),
        ("0.25", Fraction(1, 4)),
        (".25", Fraction(1, 4)),
        ("25%", Fraction(1, 4)),
        ("12.5%", Fraction(1, 8)),
        ("1", Fraction(1)),
        ("100%", Fraction(1)),
        (" 2/8 ", Fraction(1, 4)),
    ],
)
def test_fractions_are_exact(text: str, value: Fraction) -> None:
    assert parse_fraction(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "0", "5/4", "abc", "1/0", "-1/4", "1/4/2", "1e-3", "nan", "101%", "0x1", "1 / 4", "٣/٤"]
    + ["1/" + "9" * 400, "9" * 400],
)
def test_impossible_fractions_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidFraction) as refusal:
        parse_fraction(text)
    assert "1/4" in refusal.value.hint
    assert len(refusal.value.message) < 120


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("4096", 4096),
        ("512MiB", 512 << 20),
        ("512M", 512 << 20),
        ("512mib", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("1.5 GiB", 3 << 29),
        ("100MB", 100_000_000),
        ("2Gi", 2 << 30),
        ("1TiB", 1 << 40),
        ("7B", 7),
    ],
)
def test_sizes_are_exact(text: str, value: int) -> None:
    assert parse_memory(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "MiB", "12 parsecs", "1e9", "0.1B", "9" * 40])
def test_impossible_sizes_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidMemory):
        parse_memory(text)


@given(total=st.integers(1, 1 << 50), parts=st.integers(1, 64))
def test_n_nths_of_a_gpu_fit_it(total: int, parts: int) -> None:
    each = fraction_of(total, Fraction(1, parts))
    assert 0 <= total - each * parts < parts


@given(st.text(max_size=60))
def test_any_text_is_a_size_or_is_refused(text: str) -> None:
    try:
        assert parse_memory(text) > 0
    except InvalidMemory as refusal:
        assert refusal.hint


@given(st.text(max_size=60))
def test_any_text_is_a_fraction_or_is_refused(text: str) -> None:
    try:
        assert 0 < parse_fraction(text) <= 1
    except InvalidFraction as refusal:
        assert refusal.hint


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (10 << 20, "10.0 MiB"),
        (1023 << 20, "1.00 GiB"),
        (4_097_476_608, "3.82 GiB"),
        (999 << 10, "999 KiB"),
    ],
)
def test_sizes_for_people(amount: int, text: str) -> None:
    assert format_bytes(amount) == text


@given(st.integers(0, 1 << 62))
def test_sizes_and_counts_for_people_are_short(amount: int) -> None:
    assert len(format_bytes(amount)) <= 8
    assert len(format_count(amount)) <= 8
