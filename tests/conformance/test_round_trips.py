# SPDX-License-Identifier: Apache-2.0
"""Waiting is the enemy: the number of round trips of every call is held, without a clock."""

from __future__ import annotations

import tomllib

import pytest

from helpers.host import Host
from helpers.programs import ROOT, native, run_bare, run_leased

PROGRAM = "tessera-roundtrips"


def rows() -> dict[str, int]:
    """Entry point (or ENTRY:VARIANT) -> round trips at most."""
    lines = run_bare(native(PROGRAM), "--list").stdout.splitlines()
    return {name: int(limit) for name, limit in (line.split() for line in lines)}


def test_every_posted_call_of_the_specification_is_held_at_none() -> None:
    calls = tomllib.loads((ROOT / "protocol" / "opencl.toml").read_text())["call"]
    posted = {name for name, call in calls.items() if call["sync"] == "posted"}
    held = {name for name, limit in rows().items() if limit == 0}
    assert posted - held == set()


def test_the_rows_use_the_api_rightly() -> None:
    done = run_bare(native(PROGRAM), "--uncounted")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_round_trips(leased_host: Host, transport: str) -> None:
    options = ("--fraction", "1/4", "--transport", transport)
    done = run_leased(leased_host, native(PROGRAM), options=options)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == []
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_a_blocking_write_that_nobody_can_see_unfinished_costs_none(
    leased_host: Host, transport: str
) -> None:
    options = ("--fraction", "1/4", "--transport", transport)
    done = run_leased(leased_host, native(PROGRAM), "--unseen", options=options)
    assert done.returncode == 0, done.stdout + done.stderr
