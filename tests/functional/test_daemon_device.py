# SPDX-License-Identifier: Apache-2.0
"""The daemon with the real native programs: what it reads of them and does to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host, stats
from helpers.postgresql import postgresql
from helpers.processes import descriptors, eventually, is_running
from helpers.wire import Wire, addresses
from tessera import native
from tessera.leases import quota


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def test_both_sides_agree_on_the_layout_of_the_quota_page() -> None:
    gatekeeper = native.find(native.GATEKEEPER)
    done = subprocess.run(
        [gatekeeper, "--print-quota-layout"], capture_output=True, text=True, check=True
    )
    written = {name: tuple(place) for name, place in json.loads(done.stdout).items()}
    assert written == quota.layout()


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_clinfo_sees_the_lease_and_nothing_else(host: Host, transport: str) -> None:
    words = ["run", "--fraction", "1/4", "--name", f"t-{transport}", "--transport", transport]
    done = host.run(*words, "--", "clinfo", "--raw")
    facts = [line.split(None, 2) for line in done.stdout.splitlines() if "CL_DEVICE_NAME" in line]
    platforms = [line for line in done.stdout.splitlines() if "CL_PLATFORM_NAME" in line]
    assert len(facts) == 1
    assert all(line.endswith("Tessera") for line in platforms)
    shown = host.json("show", f"t-{transport}")["gpus"][0]["memory"]
    assert f"GLOBAL_MEM_SIZE{shown:>{len(str(shown))}}" in done.stdout.replace(" ", "")
    assert shown == host.json("gpus")[0]["memory"] // 4


def test_sessions_are_counted(host: Host) -> None:
    with lease_of(host) as lease:
        path = addresses(lease["endpoint"])[1]
        with Wire(path).open(), Wire(path).open():
            shown = stats(host, lease)
            assert [session["client_pid"] for session in shown["sessions"]] == [os.getpid()] * 2
            assert shown["sessions_total"] == 2
            assert shown["totals"]["messages"] >= 2
        eventually(lambda: stats(host, lease)["sessions"] == [], "the sessions are over")
        assert stats(host, lease)["sessions_total"] == 2


def test_a_daemon_killed_in_the_middle_is_followed_by_one_that_releases(host: Host) -> None:
    script = "clinfo --raw >/dev/null && read line && exec clinfo --raw"
    words = ["run", "-f", "1/4", "--name", "mid", "--", "sh", "-c", script]
    with host.start(*words, stdin=subprocess.PIPE) as job:
        eventually(lambda: "mid" in [lease.name for lease in host.leases()], "it is granted")
        gatekeeper = host.json("show", "mid")["gatekeeper"]["pid"]
        host.kill_daemon()
        output, _ = job.communicate("go on\n", timeout=60)
        assert job.returncode == 0
        assert "Tessera" in output
    assert is_running(gatekeeper)
    assert host.json("show", "mid")["state"] == "released"
    assert not is_running(gatekeeper)


def test_leases_are_adopted_from_postgresql() -> None:
    with postgresql() as server, real_host() as host:
        host.environment["TESSERA_DATABASE_URL"] = server.url()
        words = ["run", "-f", "1/4", "--name", "kept", "--", "cat"]
        with host.start(*words, stdin=subprocess.PIPE) as job:
            eventually(lambda: "kept" in [lease.name for lease in host.leases()], "it is granted")
            host.kill_daemon()
            assert host.json("show", "kept")["state"] == "active"
            assert job.communicate("through\n", timeout=60)[0] == "through\n"
        assert host.json("show", "kept")["state"] == "released"
        assert not (host.state / "tessera.db").exists()


def held(pid: int) -> dict[str, int]:
    """What a process holds."""
    return {
        "descriptors": descriptors(pid),
        "mappings": len(Path(f"/proc/{pid}/maps").read_text().splitlines()),
        "children": len(children(pid)),
    }


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_killed_clients_leave_nothing_behind(host: Host) -> None:
    with lease_of(host) as lease:
        gatekeeper = host.json("show", lease["id"])["gatekeeper"]["pid"]
        before = held(gatekeeper)
        for _ in range(5):
            with subprocess.Popen(
                ["clinfo", "--raw"], env=inside(host, lease), stdout=subprocess.PIPE
            ) as client:
                assert client.stdout
                client.stdout.read(1)
                client.kill()
        eventually(lambda: not children(gatekeeper), "their workers are gone")
        assert held(gatekeeper) == before
        assert stats(host, lease)["gpus"][0]["used"] == 0


def test_a_lease_that_is_stopped_ends_its_program(host: Host) -> None:
    words = ["run", "-f", "1/8", "--name", "stop-me", "--", "cat"]
    with host.start(*words, stdin=subprocess.PIPE) as program:
        eventually(lambda: "stop-me" in [lease.name for lease in host.leases()], "it is granted")
        host.run("stop", "stop-me")
        assert program.wait(10) == -signal.SIGTERM
    assert host.processes() == []
