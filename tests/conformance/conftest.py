# SPDX-License-Identifier: Apache-2.0
"""One host for all conformance tests, and one run on the bare device to compare with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import native, run_bare


@pytest.fixture(scope="session")
def leased_host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture(scope="session")
def bare_cases() -> dict[str, Any]:
    """The results of the conformance program on the bare device."""
    done = run_bare(native("tessera-conformance"), "--json")
    assert done.stdout.startswith("{"), done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
