# SPDX-License-Identifier: Apache-2.0
"""`tessera run --wait` and `tessera resize`, as people and programs meet them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from helpers import fakes
from helpers.host import Host, Running
from helpers.leases import inside, lease_of, real_host, stats
from helpers.processes import eventually, is_running
from helpers.workloads import MEMORY, running
from tessera.model.lease import LeaseRequest

MIB = 1 << 20
REFUSED = "error -4"  # CL_MEM_OBJECT_ALLOCATION_FAILURE
TOO_LARGE = "error -61"  # CL_INVALID_BUFFER_SIZE


@pytest.fixture
def crowded(fake_host: Host) -> Host:
    """A fake host with one GPU, all of it leased to `full`."""
    fakes.install(fake_host.folder / "native", devices=1)
    fake_host.json("gpus")
    with fake_host.client() as client:
        client.grant(LeaseRequest(name="full"))
    return fake_host


@contextmanager
def waits(host: Host, name: str, *options: str) -> Iterator[Running]:
    """A `tessera run --wait` that has its place in the queue."""
    words = ("run", "--name", name, *options, "--wait", "--", "echo", f"{name} runs")
    with host.start(*words) as command:
        eventually(lambda: name in waiting(host) or command.poll() is not None, f"{name} waits")
        yield command
        command.kill()


def waiting(host: Host) -> list[str]:
    return [lease.name for lease in host.leases() if lease.waiting]


def said_within(command: Running, words: str) -> str:
    """The next line on stderr, which must have these words."""
    assert command.stderr
    line = command.stderr.readline()
    assert words in line, line
    return line


def test_a_command_waits_says_so_and_runs(crowded: Host) -> None:
    with ExitStack() as commands:
        first = commands.enter_context(waits(crowded, "first", "-f", "1/2"))
        said_within(first, "waiting for 1/2 of 1 GPU: position 1 of 1")
        second = commands.enter_context(waits(crowded, "second"))
        said_within(first, "waiting for 1/2 of 1 GPU: position 1 of 2")
        said_within(second, "waiting for a whole GPU: position 2 of 2")
        lines = crowded.run("ps").stdout.splitlines()
        assert [line.split()[:3] for line in lines[2:]] == [
            ["first", "pending", "1/2"],
            ["second", "pending", "2/2"],
        ]
        shown = crowded.run("show", "second").stdout
        assert "Waits for a whole GPU: position 2 of 2." in shown
        crowded.run("stop", "full")
        assert first.communicate(timeout=60)[0] == "first runs\n"
        assert second.communicate(timeout=60)[0] == "second runs\n"
        assert (first.returncode, second.returncode) == (0, 0)
    assert crowded.leases() == []


def test_priority_and_a_place_beside_those_who_wait(crowded: Host) -> None:
    with waits(crowded, "plain"), waits(crowded, "urgent", "--priority", "5") as urgent:
        assert waiting(crowded) == ["urgent", "plain"]
        refused = crowded.run("run", "-m", "1MiB", "--", "true", code=4)
        assert "0 B" in refused.stderr
        crowded.run("stop", "full")
        assert urgent.communicate(timeout=60)[0] == "urgent runs\n"


def test_a_wait_that_is_over_says_what_would_have_fit(crowded: Host) -> None:
    crowded.run("resize", "full", "--memory", str(fakes.MEMORY - MIB))
    done = crowded.run("run", "--memory", "2MiB", "--wait", "0.2", "--", "true", code=4)
    assert "no room within 0.2 s" in done.stderr
    assert f"--memory {MIB} or less" in done.stderr
    assert "--wait" not in done.stderr
    assert waiting(crowded) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_gone_has_left_the_queue(crowded: Host, number: signal.Signals) -> None:
    with waits(crowded, "impatient") as command:
        command.send_signal(number)
        command.wait(30)
        eventually(lambda: waiting(crowded) == [], "it left the queue")


def test_a_wait_can_be_stopped(crowded: Host) -> None:
    with waits(crowded, "unwanted") as command:
        assert crowded.run("stop", "unwanted").stdout == "unwanted\n"
        assert "stopped while it waited" in command.communicate(timeout=30)[1]
        assert command.returncode == 4


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_those_who_wait_are_asked_for_again_by_the_next_daemon(crowded: Host, kill: bool) -> None:
    with waits(crowded, "first") as first, waits(crowded, "second", "-f", "1/2") as second:
        before = crowded.daemon_pid()
        if kill:
            crowded.kill_daemon()
        else:
            crowded.run("daemon", "--stop")
        # They start the next one themselves, and nobody has lost a place.
        eventually(lambda: crowded.daemon_pid() not in (None, before), "there is another", 60)
        eventually(lambda: waiting(crowded) == ["first", "second"], "both are back", 60)
        crowded.run("stop", "full")
        assert first.communicate(timeout=60)[0] == "first runs\n"
        assert second.communicate(timeout=60)[0] == "second runs\n"


def test_the_forms_of_wait(crowded: Host) -> None:
    for words in (["--wait=0.1"], ["--wait", "0.1"], ["-m", "1", "--wait=0.1", "-g1"]):
        done = crowded.run("run", *words, "--", "true", code=4)
        assert "no room within 0.1 s" in done.stderr, words
    for wrong in ("--wait=soon", "--wait=-1", "--wait=nan"):
        done = crowded.run("run", wrong, "--", "true", code=2)
        assert "is no time to wait" in done.stderr
    with crowded.start("run", "-g1", "--wait", sys.executable, "-c", "print(7)") as command:
        eventually(lambda: len(waiting(crowded)) == 1, "it waits")
        crowded.run("stop", "full")
        assert command.communicate(timeout=60)[0] == "7\n"


def test_spread_and_pack(fake_host: Host) -> None:
    def gpus(*words: str) -> list[str]:
        fake_host.run("ps")
        with fake_host.start("run", "-m", "1MiB", *words, "--", "sleep", "60") as program:
            eventually(lambda: len(fake_host.leases()) == 2, "it is granted")
            found = [share.gpu for lease in fake_host.leases() for share in lease.gpus]
            program.kill()
        eventually(lambda: len(fake_host.leases()) == 1, "it is over")
        return found

    with fake_host.start("run", "-m", "1MiB", "--", "sleep", "60") as first:
        eventually(lambda: len(fake_host.leases()) == 1, "it is granted")
        assert gpus() == ["gpu0", "gpu0"]
        assert gpus("--placement", "spread") == ["gpu0", "gpu1"]
        fake_host.run("daemon", "--stop")
        fake_host.environment["TESSERA_PLACEMENT"] = "spread"
        assert gpus() == ["gpu0", "gpu1"]
        assert gpus("--placement", "pack") == ["gpu0", "gpu0"]
        first.kill()


def test_a_placement_that_is_none(fake_host: Host) -> None:
    fake_host.environment["TESSERA_PLACEMENT"] = "sideways"
    assert "TESSERA_PLACEMENT" in fake_host.run("gpus", code=5).stderr


def test_weight_and_usage_errors_of_resize(crowded: Host) -> None:
    crowded.run("resize", "full", "--weight", "300")
    assert crowded.json("show", "full")["weight"] == 300
    assert crowded.json("resize", "full", "-m", "1GiB")["gpus"][0]["memory"] == 1 << 30
    for words, code in (
        (["full"], 2),
        (["full", "-m", "1", "-f", "1/2"], 2),
        (["full", "-m", "lots"], 2),
        (["full", "--weight", "0"], 2),
        (["nobody", "-m", "1"], 3),
        (["full", "-m", "1TiB"], 4),
    ):
        assert crowded.run("resize", *words, code=code).stderr
    assert crowded.json("show", "full")["gpus"][0]["memory"] == 1 << 30


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def resize(host: Host, lease: dict[str, Any], memory: int, code: int = 0) -> str:
    return host.run("resize", lease["id"], "--memory", str(memory), code=code).stderr


@pytest.mark.parametrize("transport", ["shm", "unix"])
def test_a_program_uses_what_its_lease_has_grown_by(host: Host, transport: str) -> None:
    with (
        lease_of(host, memory=256 * MIB, transport=transport) as lease,
        running(MEMORY, environment=inside(host, lease)) as program,
    ):
        program.expect("ready")
        assert [program.ask(f"take {50 * MIB}") for _ in range(6)] == ["ok"] * 5 + [REFUSED]
        resize(host, lease, 512 * MIB)
        # The same call in the same process; and so on up to the new limit.
        assert [program.ask(f"take {50 * MIB}") for _ in range(6)] == ["ok"] * 5 + [REFUSED]
        assert program.ask("steps") == "ok"
        assert stats(host, lease)["gpus"][0]["limit"] == 512 * MIB
        # What the program was told stays; who starts now is told the new size.
        assert program.ask("told") == str(256 * MIB)
        assert program.ask(f"take {256 * MIB + 1}") == TOO_LARGE
        with running(MEMORY, environment=inside(host, lease)) as another:
            another.expect("ready")
            assert another.ask("told") == str(512 * MIB)


def test_a_lease_shrinks_to_what_it_uses_and_no_further(host: Host) -> None:
    with (
        lease_of(host, memory=256 * MIB) as lease,
        running(MEMORY, environment=inside(host, lease)) as program,
    ):
        program.expect("ready")
        assert program.ask(f"take {100 * MIB}") == "ok"
        said = resize(host, lease, 64 * MIB, code=4)
        assert "in use" in said
        assert stats(host, lease)["gpus"][0]["limit"] == 256 * MIB
        free = host.json("gpus")[0]["free"]
        resize(host, lease, 128 * MIB)
        assert host.json("gpus")[0]["free"] == free + 128 * MIB
        # The program meets the new limit at once, although it was told the old one.
        assert program.ask(f"take {50 * MIB}") == REFUSED
        assert program.ask(f"take {20 * MIB}") == "ok"
        assert program.ask("steps") == "ok"
        assert stats(host, lease)["gpus"][0]["peak"] <= 128 * MIB


def test_a_resized_lease_is_adopted_with_its_size(host: Host) -> None:
    with (
        lease_of(host, memory=256 * MIB) as lease,
        running(MEMORY, environment=inside(host, lease)) as program,
    ):
        program.expect("ready")
        resize(host, lease, 512 * MIB)
        host.kill_daemon()
        assert host.json("show", lease["id"])["gpus"][0]["memory"] == 512 * MIB
        assert [program.ask(f"take {100 * MIB}") for _ in range(5)] == ["ok"] * 5
        said = resize(host, lease, 256 * MIB, code=4)
        assert "in use" in said


def test_the_control_socket_is_private_and_goes_with_the_lease(host: Host) -> None:
    with lease_of(host, memory=64 * MIB) as lease:
        control = host.runtime / "leases" / lease["id"] / "control.sock"
        assert control.stat().st_mode & 0o777 == 0o600
        gatekeeper = host.json("show", lease["id"])["gatekeeper"]["pid"]
    eventually(lambda: not is_running(gatekeeper), "the gatekeeper is gone")
    assert not os.path.lexists(control)
