# SPDX-License-Identifier: Apache-2.0
"""Policies and time slices as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tessera.daemon.settings import Settings
from tessera.model.errors import InvalidPolicy, InvalidTimeSlice, UsageError
from tessera.model.policy import (
    PolicyChange,
    PolicyKind,
    effective_slice_us,
    parse_policy,
    parse_time_slice,
)


@pytest.mark.parametrize(
    ("text", "slice_us"),
    [
        ("2ms", 2000),
        ("2", 2000),
        ("1.5 ms", 1500),
        ("1000us", 1000),
        ("30MS", 30_000),
        ("auto", None),
        (" Auto ", None),
    ],
)
def test_time_slices_that_are_taken(text: str, slice_us: int | None) -> None:
    assert parse_time_slice(text) == slice_us


@pytest.mark.parametrize(
    "text", ["", "0", "0.5ms", "30.1ms", "999us", "-2ms", "2s", "1e3us", "nan", "9" * 50]
)
def test_time_slices_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidTimeSlice) as refusal:
        parse_time_slice(text)
    assert "1ms to 30ms" in refusal.value.hint


def test_policies_by_name() -> None:
    for kind in PolicyKind:
        assert parse_policy(kind.value.upper()) is kind
    with pytest.raises(InvalidPolicy) as refusal:
        parse_policy("fair")
    assert "best-effort, equal, fixed, weighted" in refusal.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"policy": "fair"},
        {"policy": "equal", "time_slice_ms": 0.5},
        {"policy": "equal", "time_slice_ms": 31},
        {"policy": "equal", "time_slice_ms": float("nan")},
        {"policy": "equal", "slice": 2},
    ],
)
def test_changes_that_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PolicyChange.model_validate(fields)


def test_the_slice_in_force() -> None:
    assert [effective_slice_us(None, leases, False) for leases in (0, 8, 9)] == [2000, 2000, 1000]
    assert [effective_slice_us(None, leases, True) for leases in (0, 8, 9)] == [12000, 12000, 6000]
    assert effective_slice_us(5000, 100, True) == 5000


def settings(**environment: str) -> Settings:
    return Settings.read(environment=environment)


def test_settings_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_RUNTIME_DIR", str(tmp_path))
    assert settings().policy == PolicyChange(policy=PolicyKind.EQUAL)
    assert settings(TESSERA_POLICY="", TESSERA_TIME_SLICE="").policy == settings().policy
    chosen = settings(TESSERA_POLICY="fixed", TESSERA_TIME_SLICE="2.5ms").policy
    assert chosen == PolicyChange(policy=PolicyKind.FIXED, time_slice_ms=2.5)
    for wrong in ({"TESSERA_POLICY": "x"}, {"TESSERA_TIME_SLICE": "1h"}):
        with pytest.raises(UsageError):
            settings(**wrong)
