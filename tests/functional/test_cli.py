# SPDX-License-Identifier: Apache-2.0
"""The other commands: what they print for people and for programs, and how they refuse.

Nothing here touches a device, so the native programs are fakes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import fakes
from helpers.host import Host
from helpers.processes import eventually, is_running
from tessera import __version__
from tessera.leases import quota
from tessera.model.lease import LeaseRequest


@pytest.fixture
def job(fake_host: Host) -> Iterator[dict[str, Any]]:
    """A lease named `job` on a quarter, held by a sleeping program."""
    with fake_host.start("run", "-f", "1/4", "--name", "job", "--", "sleep", "60") as program:
        eventually(lambda: bool(fake_host.leases()), "the lease is there")
        shown: dict[str, Any] = fake_host.json("show", "job")
        yield shown
        program.kill()


def test_gpus(fake_host: Host, job: dict[str, Any]) -> None:
    first, second = fake_host.json("gpus")
    assert (first["id"], second["id"]) == ("gpu0", "gpu1")
    assert first["leased"] == job["gpus"][0]["memory"] == fakes.MEMORY // 4
    assert first["free"] == fakes.MEMORY - fakes.MEMORY // 4
    assert first["leases"] == ["job"]
    table = fake_host.run("gpus").stdout.splitlines()
    assert table[0].split() == ["GPU", "TYPE", "MEMORY", "FREE", "LEASES", "PCI", "NAME"]
    assert table[1].split()[:2] == ["gpu0", "GPU"]
    assert len(table) == 3


def test_ps_and_show(fake_host: Host, job: dict[str, Any]) -> None:
    assert [lease["id"] for lease in fake_host.json("ps")] == [job["id"]]
    assert fake_host.json("show", job["id"]) == fake_host.json("show", "job")
    table = fake_host.run("ps").stdout.splitlines()
    assert table[0].split() == ["NAME", "STATE", "GPU", "MEMORY", "VIA", "AGE", "PID", "COMMAND"]
    assert table[1].split()[:3] == ["job", "active", "gpu0"]
    assert table[1].endswith("sleep 60")
    page = fake_host.run("show", "job").stdout
    assert f"{job['gpus'][0]['memory']} bytes" in page
    assert job["endpoint"] in page


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(fake_host: Host, job: dict[str, Any], width: int) -> None:
    for command in ("ps", "gpus", "stats"):
        lines = fake_host.run(command, environment={"COLUMNS": str(width)}).stdout.splitlines()
        assert lines
        assert all(len(line) <= width for line in lines)
        assert not any(line != line.rstrip() for line in lines)


def test_a_command_of_another_user_cannot_write_to_the_terminal(fake_host: Host) -> None:
    fake_host.run("ps")
    with fake_host.client() as client:
        lease = client.grant(LeaseRequest(command=("sleep", "0.0\x1b]0;title\x07")))
        for arguments in (["ps"], ["show", lease.id]):
            assert "\x1b" not in fake_host.run(*arguments).stdout
        client.release(lease.id)


def test_released_leases_are_listed_on_request(fake_host: Host) -> None:
    fake_host.run("run", "--name", "done", "--", "true")
    assert fake_host.json("ps") == []
    assert [lease["state"] for lease in fake_host.json("ps", "-a")] == ["released"]
    assert fake_host.json("show", "done")["state"] == "released"


def test_stats(fake_host: Host) -> None:
    page = quota.QuotaPage(magic=quota.MAGIC, version=quota.VERSION, gpu_count=1, sessions_total=5)
    page.gpus[0].limit, page.gpus[0].used, page.gpus[0].refused = 1 << 30, 1 << 20, 2
    for slot in page.slots[:2]:
        slot.state, slot.transport, slot.worker_pid, slot.client_pid = 2, 1, 77, 78
        slot.messages, slot.round_trips, slot.used[0] = 12345, 6, 1 << 19
    fakes.install(fake_host.folder / "native", page=bytes(page))
    with fake_host.start(
        "run", "--name", "job", "--memory", "1GiB", "--", "sleep", "60"
    ) as program:
        eventually(lambda: bool(fake_host.leases()), "the lease is there")
        stats = fake_host.json("stats")
        assert stats == fake_host.json("stats", "job")
        assert stats[0]["totals"]["messages"] == 24690
        assert stats[0]["totals"]["memory"] == 1 << 20
        assert [session["client_pid"] for session in stats[0]["sessions"]] == [78, 78]
        assert stats[0]["gpus"][0]["refused"] == 2
        lines = fake_host.run("stats", "job").stdout.splitlines()
        assert lines[0] == "job: 2 sessions now, 5 in all"
        assert lines[1].startswith("gpu0: 1.00 MiB of 1.00 GiB in use")
        assert lines[2].split()[:4] == ["CLIENT", "WORKER", "VIA", "MEMORY"]
        assert lines[-1].split()[:4] == ["total", "1.00", "MiB", "24.7k"]
        program.kill()


def test_a_damaged_quota_page(fake_host: Host, job: dict[str, Any]) -> None:
    Path(fake_host.runtime, "leases", job["id"], "quota").write_bytes(b"")
    done = fake_host.run("stats", "job", code=1)
    assert "quota" in done.stderr


def test_stop_ends_the_workload_and_the_lease(fake_host: Host, job: dict[str, Any]) -> None:
    assert fake_host.run("stop", "job").stdout == "job\n"
    assert not is_running(job["holder"]["pid"])
    assert not is_running(job["gatekeeper"]["pid"])
    assert fake_host.json("ps") == []
    assert fake_host.lease_folders() == []


def test_stop_all(fake_host: Host, job: dict[str, Any]) -> None:
    assert [lease["state"] for lease in fake_host.json("stop", "--all")] == ["released"]
    assert fake_host.json("stop", "--all") == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "nobody"], 3, "no lease 'nobody'"),
        (["stats", "nobody"], 3, "no lease 'nobody'"),
        (["stop", "nobody"], 3, "no lease 'nobody'"),
        (["stop"], 2, "--all"),
        (["stop", "a", "--all"], 2, "--all"),
        (["show", "../../etc/passwd"], 3, "no lease"),
        (["show"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["ps", "-o", "xml"], 2, "xml"),
        (["daemon", "--stop", "--background"], 2, "no other flag"),
        (["daemon", "--group", "no-such-group"], 2, "groupadd"),
    ],
)
def test_refusals(shared_fake_host: Host, arguments: list[str], code: int, said: str) -> None:
    done = shared_fake_host.run(*arguments, code=code)
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_version_needs_no_daemon(fake_host: Host) -> None:
    assert fake_host.json("version") == {"version": __version__, "daemon": None}
    fake_host.run("daemon", "--background")
    assert fake_host.json("version") == {"version": __version__, "daemon": __version__}
    assert fake_host.run("version").stdout.startswith(f"tessera {__version__}\n")


def test_the_daemon_is_started_and_stopped_by_hand(fake_host: Host) -> None:
    done = fake_host.run("daemon", "--stop", code=5)
    assert "No daemon runs" in done.stderr
    fake_host.run("daemon", "--background")
    pid = fake_host.daemon_pid()
    assert "already serves" in fake_host.run("daemon", "--background").stderr
    assert fake_host.daemon_pid() == pid
    assert pid is not None
    fake_host.run("daemon", "--stop")
    assert not is_running(pid)
    assert not fake_host.socket.exists()


def test_without_autostart_a_missing_daemon_has_exit_code_5(fake_host: Host) -> None:
    never = {"TESSERA_AUTOSTART": "0"}
    for arguments in (["ps"], ["run", "--", "true"]):
        done = fake_host.run(*arguments, code=5, environment=never)
        assert "No daemon listens" in done.stderr
        assert "tessera daemon" in done.stderr


def test_doctor_is_content_with_a_sound_host(fake_host: Host) -> None:
    findings = fake_host.json("doctor")
    assert {finding["check"] for finding in findings} >= {
        "tessera",
        "native programs",
        "OpenCL loader",
        "shared memory",
        "runtime folder",
        "state folder",
        "daemon",
    }
    assert [finding for finding in findings if finding["status"] == "fail"] == []


def test_doctor_names_what_is_missing_and_what_to_do(fake_host: Host) -> None:
    native = fake_host.folder / "native"
    (native / "probe-mode").write_text("crash")
    done = fake_host.run("doctor", "-o", "json", code=1)
    failed = [item for item in json.loads(done.stdout) if item["status"] == "fail"]
    assert [item["check"] for item in failed] == ["driver pocl"]
    assert "SIGABRT" in failed[0]["detail"]
    assert failed[0]["todo"]
    empty = {"OCL_ICD_VENDORS": str(fake_host.folder)}
    done = fake_host.run("doctor", code=1, environment=empty)
    assert "pocl-opencl-icd" in done.stdout
    (fake_host.folder / "run").mkdir(mode=0o777)
    (fake_host.folder / "run").chmod(0o777)
    assert "chmod 700" in fake_host.run("doctor", code=1).stdout


def test_output_to_a_closed_pipe_ends_quietly(fake_host: Host) -> None:
    fake_host.run("ps")
    with fake_host.start("ps") as listing:
        assert listing.stdout
        listing.stdout.close()
        assert listing.stderr
        assert "Traceback" not in listing.stderr.read()


def test_completion_offers_the_names_of_leases(fake_host: Host, job: dict[str, Any]) -> None:
    offered = fake_host.run(
        environment={
            "_TESSERA_COMPLETE": "complete_bash",
            "COMP_WORDS": "tessera show j",
            "COMP_CWORD": "2",
        }
    )
    assert offered.stdout.split() == ["job"]


def test_help_of_every_command_fits_a_terminal(fake_host: Host) -> None:
    for command in (
        "",
        "run",
        "gpus",
        "ps",
        "show",
        "stats",
        "top",
        "policy",
        "trace",
        "stop",
        "doctor",
        "daemon",
        "version",
    ):
        words = [command, "--help"] if command else ["--help"]
        text = fake_host.run(*words, environment={"COLUMNS": "80"}).stdout
        assert text.startswith("Usage: tessera")
        assert all(len(line) <= 80 for line in text.splitlines())
        assert "..." not in text.split("Commands:")[-1] if not command else True


def test_the_installed_command_is_this_one(fake_host: Host) -> None:
    installed = Path(sys.executable).parent / "tessera"
    done = subprocess.run([installed, "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"tessera {__version__}\n")
