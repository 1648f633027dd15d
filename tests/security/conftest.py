# SPDX-License-Identifier: Apache-2.0
"""A lease under attack, and what must not notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import lease_of, real_host, stats
from helpers.processes import is_running
from helpers.wire import Bench, Wire, addresses

LIMIT = 256 << 20


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture(scope="module")
def lease(host: Host) -> Iterator[dict[str, Any]]:
    """A lease of 256 MiB that carries shared memory and the stream form on one unix socket."""
    with lease_of(host, memory=LIMIT) as lease:
        yield lease


class Witness:
    """An honest session of the same lease, and the lease's own processes."""

    def __init__(self, host: Host, lease: dict[str, Any]) -> None:
        self.host = host
        self.lease = lease
        self.path = addresses(lease["endpoint"])[1]
        self.gatekeeper = int(host.json("show", lease["id"])["gatekeeper"]["pid"])
        self.wire = Wire(self.path).open()
        self.bench = Bench(self.wire)

    def attacker(self) -> Wire:
        """A new session of the same lease."""
        return Wire(self.path).open()

    def gpu(self) -> dict[str, int]:
        found: dict[str, int] = stats(self.host, self.lease)["gpus"][0]
        return found

    def unharmed(self) -> None:
        """The gatekeeper is the same, the honest session computes, a new one can be opened."""
        assert is_running(self.gatekeeper), self.host.log
        assert self.bench.works()
        with self.attacker() as another:
            assert another.alive()
        assert self.gpu()["peak"] <= LIMIT


@pytest.fixture(scope="module")
def witness(host: Host, lease: dict[str, Any]) -> Iterator[Witness]:
    witness = Witness(host, lease)
    yield witness
    witness.wire.close()
