# SPDX-License-Identifier: Apache-2.0
"""Another user of the host, and a program's own environment: neither reaches what a lease keeps to itself.

The folders of a daemon that serves several users can be entered by all of them; so the folders around a
lease are opened first, and what is inside has to keep them out by itself.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host, stats
from helpers.wire import TCP, Wire, addresses
from helpers.workloads import MEMORY, running

NOBODY = 65_534
BAD_TOKEN = 2

# Tries every way to every file and process it is given, and says which of them led somewhere.
ATTEMPTS = """
import errno, json, os, signal, socket, stat, sys
files, pids = json.loads(sys.argv[1])
done = []

def attempt(what, way):
    try:
        way()
    except OSError as error:
        assert error.errno in (errno.EACCES, errno.EPERM), (what, error)
    else:
        done.append(what)

def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)

for path in files:
    if path.endswith(".sock"):
        attempt("connect " + path, lambda: connect(path))
    else:
        attempt("read " + path, lambda: open(path, "rb").read(1))
        attempt("write " + path, lambda: open(path, "r+b"))
    attempt("remove " + path, lambda: os.unlink(path))
for pid in pids:
    for name in ("mem", "environ", "maps"):
        attempt(f"read {name} {pid}", lambda: open(f"/proc/{pid}/{name}", "rb").read(1))
    attempt(f"list fd {pid}", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt(f"kill {pid}", lambda: os.kill(pid, signal.SIGKILL))
print(json.dumps(done))
"""


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
            # The interpreter itself: its environment's folder may be closed to others.
            words = [sys._base_executable, "-I", "-c", ATTEMPTS]  # type: ignore[attr-defined]
            done = subprocess.run(
                [*words, json.dumps([files, pids])],
                user=NOBODY, group=NOBODY, extra_groups=[], cwd="/",
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            # Where the driver lies is no secret: every program of a lease is told.
            assert [each for each in json.loads(done.stdout) if "/vendors/" not in each] == []
            assert wire.alive()


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
