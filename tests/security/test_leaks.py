# SPDX-License-Identifier: Apache-2.0
"""Sessions come and go by the thousand and leave nothing: no descriptor, no memory, no process.

The sessions run on the fake device where there are many of them: what could leak are the processes that
stay, the daemon and the gatekeeper, and to them all devices are alike. A smaller number, some of them
killed in the middle of their work, runs on the real one.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import lease_of, real_host, stats
from helpers.processes import descriptors, eventually, is_running
from helpers.programs import native
from helpers.wire import SHM, UNIX, Bench, Wire, addresses

WARM = 60
# What an allocator may keep in pages that it has once touched; a leak of 100 bytes a session is more.
GATEKEEPER_SLACK = 256 << 10
DAEMON_SLACK = 1 << 20


@dataclass(frozen=True)
class Held:
    """What the processes that stay hold: open files, shared memory among them, and bytes."""

    gatekeeper_files: int
    daemon_files: int
    shared_memory: int
    workers: int
    gatekeeper_memory: int
    daemon_memory: int


@pytest.fixture(scope="module")
def null_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    vendors = tmp_path_factory.mktemp("vendors")
    (vendors / "null.icd").write_text(native("libtessera-null.so"))
    with real_host() as host:
        host.environment["OCL_ICD_VENDORS"] = str(vendors)
        yield host


@pytest.fixture(scope="module")
def bare_host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def own_memory(pid: int) -> int:
    """Bytes that a leak could be in: not the pages of its files, which the kernel loads and drops at will."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.findall(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", status, re.MULTILINE)
    assert len(found) == 3, status
    return 1024 * sum(map(int, found))


def shared_memory_of(pid: int) -> int:
    """Descriptors of shared memory, and mappings of it."""
    files = Path(f"/proc/{pid}/fd")
    links = [os.readlink(files / each) for each in os.listdir(files)]
    maps = Path(f"/proc/{pid}/maps").read_text()
    return sum("memfd:" in link or "/dev/shm" in link for link in links) + maps.count("memfd:")


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def held(host: Host, lease: dict[str, Any]) -> Held:
    gatekeeper, daemon = lease["gatekeeper"]["pid"], host.daemon_pid()
    assert daemon is not None
    return Held(
        descriptors(gatekeeper),
        descriptors(daemon),
        shared_memory_of(gatekeeper) + shared_memory_of(daemon) + len(os.listdir("/dev/shm")),
        len(children(gatekeeper)),
        own_memory(gatekeeper),
        own_memory(daemon),
    )


def session(path: str, transport: int, leave: str) -> None:
    """One session, left in one of the ways that there are."""
    wire = Wire(path, transport)
    with wire:
        assert wire.connect().hello() == 0
        if transport == UNIX and leave != "at once":
            wire.call("open_session", client_name="leak")
            Bench(wire)
            if leave == "orderly":
                assert wire.alive()


def sessions(host: Host, lease: dict[str, Any], count: int) -> None:
    path = addresses(lease["endpoint"])[1]
    ways = [(UNIX, "orderly"), (SHM, "at once"), (UNIX, "in the middle"), (UNIX, "at once")]
    for number in range(count):
        session(path, *ways[number % len(ways)])
        if number % 100 == 0:
            stats(host, lease)
            eventually(lambda: len(stats(host, lease)["sessions"]) < 100, "workers end", 60)
    eventually(lambda: stats(host, lease)["sessions"] == [], "all workers ended", 60)


def same(before: Held, after: Held) -> None:
    assert after.gatekeeper_files == before.gatekeeper_files
    assert after.daemon_files == before.daemon_files
    assert after.shared_memory == before.shared_memory
    assert after.workers == before.workers == 0
    assert after.gatekeeper_memory <= before.gatekeeper_memory + GATEKEEPER_SLACK
    assert after.daemon_memory <= before.daemon_memory + DAEMON_SLACK


def leave_nothing(host: Host, count: int) -> None:
    with lease_of(host) as lease:
        sessions(host, lease, WARM)
        before = held(host, lease)
        sessions(host, lease, count)
        same(before, held(host, lease))
        found = stats(host, lease)
        assert found["sessions_total"] == WARM + count
        assert found["gpus"][0]["used"] == 0


def test_300_sessions_leave_nothing(null_host: Host) -> None:
    leave_nothing(null_host, 300)


@pytest.mark.slow
def test_10000_sessions_leave_nothing(null_host: Host) -> None:
    leave_nothing(null_host, 10_000)


def test_sessions_on_the_real_device_leave_nothing(bare_host: Host) -> None:
    leave_nothing(bare_host, 40)


def test_killed_workers_leave_nothing(bare_host: Host) -> None:
    with lease_of(bare_host) as lease:
        path = addresses(lease["endpoint"])[1]
        sessions(bare_host, lease, 8)
        before = held(bare_host, lease)
        for _ in range(20):
            with Wire(path).open() as wire:
                bench = Bench(wire, 1 << 20)
                assert bench.works()
                (worker,) = [each["worker_pid"] for each in stats(bare_host, lease)["sessions"]]
                os.kill(worker, signal.SIGKILL)
                assert wire.ended()
            eventually(lambda: stats(bare_host, lease)["sessions"] == [], "the slot is free")
            assert not is_running(worker)
        assert stats(bare_host, lease)["gpus"][0]["used"] == 0
        same(before, held(bare_host, lease))


def test_leases_leave_nothing(null_host: Host) -> None:
    for _ in range(2):
        with lease_of(null_host) as lease:
            sessions(null_host, lease, 2)
    daemon = null_host.daemon_pid()
    assert daemon is not None
    before = descriptors(daemon)
    for _ in range(6):
        with lease_of(null_host) as lease:
            sessions(null_host, lease, 2)
    assert descriptors(daemon) == before
    assert null_host.lease_folders() == []
    assert null_host.processes() == []
