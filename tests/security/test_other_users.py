# SPDX-License-Identifier: Apache-2.0
"""Another user of the host, and a program's own environment: neither reaches what a lease keeps to itself.

The folders of a daemon that serves several users can be entered by all of them; so the folders around a
lease are opened first, and what is inside has to keep them out by itself.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host, stats
from helpers.wire import TCP, Wire, addresses
from helpers.workloads import MEMORY, running
from tessera.client import launch
from tessera.model.errors import NotPermitted

NOBODY = 65_534
BAD_TOKEN = 2


def attempt(way: Callable[[], object]) -> bool:
    """Whether a way leads somewhere; every other end but a refusal is the test's own fault."""
    try:
        way()
    except OSError as error:
        assert error.errno in (errno.EACCES, errno.EPERM), error
        return False
    return True


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)


Ways = dict[str, Callable[[], object]]


def ways_to_file(path: str) -> Ways:
    ways: Ways = {"remove": partial(os.unlink, path)}
    if path.endswith(".sock"):
        ways["connect"] = partial(connect, path)
    else:
        ways["read"] = partial(os.open, path, os.O_RDONLY)
        ways["write"] = partial(os.open, path, os.O_WRONLY)
    return ways


def ways_to_process(pid: int) -> Ways:
    folder = Path(f"/proc/{pid}")
    ways: Ways = {name: (folder / name).read_bytes for name in ("mem", "environ", "maps")}
    ways["files"] = partial(os.listdir, folder / "fd")
    ways["kill"] = partial(os.kill, pid, signal.SIGKILL)
    return ways


def as_nobody(run: Callable[[], list[str]]) -> list[str]:
    """What `run` returns in a process of another user."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        answer = ["the child failed"]
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = run()
        finally:
            os.write(theirs, json.dumps(answer).encode())
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        told: list[str] = json.loads(pipe.read())
    os.waitpid(child, 0)
    return told


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        host.json("gpus")
        host.folder.chmod(0o755)
        host.runtime.chmod(0o711)
        yield host


@pytest.mark.parametrize("transport", ["shm", "tcp"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_nowhere(host: Host, transport: str) -> None:
    with lease_of(host, transport=transport) as lease:
        kind, path = addresses(lease["endpoint"])
        token = bytes.fromhex(lease["environment"].get("TESSERA_TOKEN", ""))
        with Wire(path, kind if kind == TCP else 2, token=token).open() as wire:
            worker = stats(host, lease)["sessions"][0]["worker_pid"]
            files = [str(each) for each in host.runtime.rglob("*") if not each.is_dir()]
            assert any(each.endswith("gpu.sock") for each in files)
            pids = [worker, host.json("show", lease["id"])["gatekeeper"]["pid"], host.daemon_pid()]
            tried = [(path, ways_to_file(path)) for path in files]
            tried += [(str(pid), ways_to_process(pid)) for pid in pids]
            led = as_nobody(
                lambda: [f"{way} {to}" for to, ways in tried for way in ways if attempt(ways[way])]
            )
            # Where the driver lies is no secret: every program of a lease is told.
            assert [
                each for each in led if not each.startswith("read") or "/vendors/" not in each
            ] == []
            assert wire.alive()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_whose_daemon_it_is(host: Host) -> None:
    def ask() -> list[str]:
        try:
            return [str(launch.daemon_pid(str(host.runtime)))]
        except NotPermitted as error:
            return [error.message]

    assert as_nobody(ask) == [f"The daemon of {host.runtime} belongs to another user."]


def test_what_a_daemon_keeps_is_for_its_own_user(host: Host) -> None:
    with lease_of(host, transport="tcp"):
        for path in host.runtime.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            if "vendors" in path.parts:
                assert mode & 0o022 == 0, path
            elif path.is_dir():
                assert mode & 0o066 == 0, path
            else:
                assert mode & 0o077 == 0, path


def test_the_token_of_one_lease_opens_no_other(host: Host) -> None:
    with lease_of(host, transport="tcp") as one, lease_of(host, transport="tcp") as other:
        token = bytes.fromhex(one["environment"]["TESSERA_TOKEN"])
        with Wire(addresses(other["endpoint"])[1], TCP, token=token).connect() as wire:
            assert wire.hello() == BAD_TOKEN
        with Wire(addresses(one["endpoint"])[1], TCP, token=token).open() as wire:
            assert wire.alive()


def test_a_programs_environment_stays_its_own(host: Host) -> None:
    lies = {
        "POCL_CACHE_DIR": "/evil",
        "GPU_NULL_MEMORY": "/evil",
        "TESSERA_LEASE": "/evil",
        "TESSERA_LOG": "/evil",
        "OCL_ICD_FILENAMES": "",
        "LSAN_OPTIONS": "/evil",
    }
    with (
        lease_of(host) as lease,
        running(MEMORY, environment=inside(host, lease) | lies) as program,
    ):
        program.expect("ready")
        session = stats(host, lease)["sessions"][0]
        for pid in (session["worker_pid"], host.json("show", lease["id"])["gatekeeper"]["pid"]):
            assert b"/evil" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_program_holds_no_file_of_its_lease(host: Host) -> None:
    with lease_of(host) as lease, running(MEMORY, environment=inside(host, lease)) as program:
        program.expect("ready")
        client = Path(f"/proc/{stats(host, lease)['sessions'][0]['client_pid']}")
        links = [os.readlink(each) for each in (client / "fd").iterdir()]
        assert not [link for link in links if str(host.runtime) in link]
        assert str(host.runtime) not in (client / "maps").read_text()
