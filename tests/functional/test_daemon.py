# SPDX-License-Identifier: Apache-2.0
"""The daemon: one per folder, private, killable at any time, and unmoved by nonsense.

Nothing here touches a device, so the native programs are fakes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers.host import TESSERA, Host
from helpers.processes import descriptors, eventually, is_running
from tessera import __version__
from tessera.client.rest import Client
from tessera.model.errors import InvalidRequest, LeaseNotFound, NoCapacity
from tessera.model.lease import LeaseRequest, LeaseState


def raw(host: Host, request: bytes) -> bytes:
    """What the daemon answers to some bytes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(host.socket))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(1 << 16):
            answer += chunk
        return answer


def voluntary_switches(pid: int | None) -> int:
    """How often the process went to sleep."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(
        int(line.split()[1])
        for line in status.splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def http(host: Host) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(host.socket))
    return httpx.Client(transport=transport, base_url="http://tessera", timeout=30)


def test_files_are_private(fake_host: Host) -> None:
    fake_host.run("ps")
    assert stat.S_IMODE(fake_host.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(fake_host.runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE((fake_host.runtime / "tesserad.log").stat().st_mode) == 0o600
    assert stat.S_IMODE(fake_host.state.stat().st_mode) == 0o700


def test_openapi_describes_every_route(fake_host: Host) -> None:
    fake_host.run("ps")
    with http(fake_host) as client:
        described = client.get("/openapi.json").json()
    assert described["info"]["version"] == __version__
    assert {
        (method, path) for path, methods in described["paths"].items() for method in methods
    } == {
        ("get", "/v1/gpus"),
        ("get", "/v1/gpus/{gpu}/policy"),
        ("put", "/v1/gpus/{gpu}/policy"),
        ("get", "/v1/gpus/{gpu}/trace"),
        ("get", "/v1/leases"),
        ("post", "/v1/leases"),
        ("get", "/v1/leases/{key}"),
        ("patch", "/v1/leases/{key}"),
        ("delete", "/v1/leases/{key}"),
        ("get", "/v1/leases/{key}/stats"),
        ("get", "/v1/leases/{key}/suspend-check"),
        ("post", "/v1/leases/{key}/suspend"),
        ("post", "/v1/leases/{key}/resume"),
        ("get", "/v1/version"),
        ("get", "/v1/health"),
        ("get", "/v1/usage"),
        ("get", "/v1/direct"),
        ("get", "/v1/direct/check"),
        ("get", "/metrics"),
    }
    schema = described["components"]["schemas"]["Lease"]["properties"]
    assert {"id", "name", "state", "mode", "gpus", "endpoint", "environment"} <= schema.keys()


def test_health_and_version(fake_host: Host) -> None:
    fake_host.run("ps")
    with fake_host.client() as client:
        health = client.health()
        assert (health.status, health.version) == ("ok", __version__)
        assert health.pid == fake_host.daemon_pid()
        assert health.runtime_folder == str(fake_host.runtime)
        assert client.version().api == "v1"


def test_the_typed_client_raises_the_daemons_errors(fake_host: Host) -> None:
    fake_host.run("ps")
    with fake_host.client() as client:
        with pytest.raises(NoCapacity) as refusal:
            client.grant(LeaseRequest(memory=1 << 50))
        assert "tessera" in refusal.value.hint or "--memory" in refusal.value.hint
        for key in ("nobody", "../x", "", "a/b", "x" * 200):
            with pytest.raises(LeaseNotFound):
                client.lease(key)
        lease = client.grant(LeaseRequest(name="job"))
        assert client.lease("job") == lease
        assert client.release("job").state is LeaseState.RELEASED


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 422, "InvalidRequest"),
        (b"{", 422, "InvalidRequest"),
        (b"[]", 422, "InvalidRequest"),
        (b'{"gpus": 1e400}', 422, "InvalidRequest"),
        (b'{"gpus": true, "memory": "\xff"}', 400, "InvalidRequest"),
        (b'{"fraction": "1/0"}', 422, "InvalidFraction"),
        (b'{"fraction": "5/4"}', 422, "InvalidFraction"),
        (b'{"memory": -1}', 422, "InvalidRequest"),
        (b'{"memory": "1e99"}', 422, "InvalidMemory"),
        (b'{"name": "../../x"}', 422, "InvalidName"),
        (b'{"identity": "pigeon"}', 422, "InvalidRequest"),
        (b'{"unknown": 1}', 422, "InvalidRequest"),
        (b'{"holder_pid": 0}', 422, "InvalidRequest"),
        (b'{"holder_pid": 4194304}', 422, "InvalidRequest"),
        (b'{"command": ' + b"[" * 2000 + b"]" * 2000 + b"}", 400, "InvalidRequest"),
    ],
)
def test_bad_bodies_have_a_named_error(
    shared_fake_host: Host, body: bytes, status: int, name: str
) -> None:
    shared_fake_host.run("ps")
    with http(shared_fake_host) as client:
        headers = {"content-type": "application/json"}
        answer = client.post("/v1/leases", content=body, headers=headers)
        assert answer.json()["error"]["name"] == name
        assert answer.status_code == status
        assert client.get("/v1/leases").json() == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\0" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/leases HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/leases HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n{}",
        b"GET /v1/" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_garbage_on_the_socket_does_no_harm(shared_fake_host: Host, request_bytes: bytes) -> None:
    shared_fake_host.run("ps")
    pid = shared_fake_host.daemon_pid()
    assert pid is not None
    try:
        answer = raw(shared_fake_host, request_bytes)
        assert not answer.startswith(b"HTTP/1.1 2")
    except (BrokenPipeError, ConnectionResetError):
        assert is_running(pid)
    assert shared_fake_host.json("ps") == []
    assert shared_fake_host.daemon_pid() == pid


def test_other_methods_and_paths(shared_fake_host: Host) -> None:
    shared_fake_host.run("ps")
    with http(shared_fake_host) as client:
        assert client.get("/nowhere").json()["error"]["name"] == "RouteNotFound"
        assert client.put("/v1/leases").status_code == 405
        assert client.delete("/v1/leases/x?grace=-1").json()["error"]["exit_code"] == 2


def test_a_second_daemon_is_refused(fake_host: Host) -> None:
    fake_host.run("ps")
    pid = fake_host.daemon_pid()
    done = fake_host.run("daemon", code=4)
    assert f"(pid {pid})" in done.stderr
    assert "tessera daemon --stop" in done.stderr
    assert fake_host.daemon_pid() == pid
    assert fake_host.json("ps") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_that_is_told_to_end_leaves_its_leases_running(
    fake_host: Host, number: signal.Signals
) -> None:
    with fake_host.start("daemon") as daemon:
        eventually(fake_host.socket.exists, "it listens")
        with fake_host.client() as client:
            lease = client.grant(LeaseRequest(name="job"))
        daemon.send_signal(number)
        assert daemon.wait(20) == 0
    assert not fake_host.socket.exists()
    assert not (fake_host.runtime / "tesserad.pid").exists()
    assert lease.gatekeeper is not None
    assert is_running(lease.gatekeeper.pid)
    assert [found.id for found in fake_host.leases()] == [lease.id]
    fake_host.run("stop", "job")
    assert not is_running(lease.gatekeeper.pid)


def test_a_killed_daemon_is_followed_by_one_that_adopts(fake_host: Host) -> None:
    script = "echo ready; exec sleep 60"
    with fake_host.start("run", "--name", "job", "--", "sh", "-c", script) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        before = fake_host.json("show", "job")
        for _ in range(3):
            fake_host.kill_daemon()
            assert fake_host.json("show", "job") == before
        program.kill()
    eventually(lambda: fake_host.processes() == [], "the last daemon released it")
    eventually(lambda: fake_host.lease_folders() == [], "its folder is removed")


def test_readiness_is_told_to_systemd(fake_host: Host) -> None:
    address = fake_host.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(30)
        with fake_host.start("daemon", environment={"NOTIFY_SOCKET": str(address)}) as daemon:
            assert listener.recv(100) == b"READY=1"
            assert fake_host.json("ps") == []
            daemon.terminate()


def test_an_idle_daemon_ends_but_not_while_something_is_leased(fake_host: Host) -> None:
    with fake_host.start("daemon", "--idle-exit", "1") as daemon:
        eventually(fake_host.socket.exists, "it listens")
        with fake_host.client() as client:
            client.grant(LeaseRequest(name="job"))
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(2.5)
        with fake_host.client() as client:
            client.release("job")
        assert daemon.wait(20) == 0


def test_a_daemon_that_nobody_asks_seldom_wakes(fake_host: Host) -> None:
    """It shares its cores with who computes on them."""
    fake_host.run("ps")
    pid = fake_host.daemon_pid()
    time.sleep(1)  # what the request left to do
    before = voluntary_switches(pid)
    time.sleep(5)
    assert voluntary_switches(pid) - before <= 15


def test_a_daemon_does_not_pass_its_secrets_to_native_programs(fake_host: Host) -> None:
    secret = {"AWS_SECRET_ACCESS_KEY": "s3cret", "LD_PRELOAD": "", "POCL_DEBUG": "0"}
    fake_host.run("daemon", "--background", environment=secret)
    with fake_host.client() as client:
        lease = client.grant(LeaseRequest())
        assert lease.gatekeeper is not None
        seen = Path(f"/proc/{lease.gatekeeper.pid}/environ").read_bytes()
        client.release(lease.id)
    assert b"s3cret" not in seen
    assert b"POCL_DEBUG=0" in seen
    assert b"TESSERA_RUNTIME_DIR" not in seen


def test_gatekeepers_stand_on_their_own(fake_host: Host) -> None:
    fake_host.run("ps")
    with fake_host.client() as client:
        lease = client.grant(LeaseRequest())
        assert lease.gatekeeper is not None
        pid = lease.gatekeeper.pid
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        opened = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert not [name for name in opened if "tessera.db" in name or "tesserad" in name]
        client.release(lease.id)


def test_requests_leave_no_descriptor(fake_host: Host) -> None:
    fake_host.run("run", "--", "true")
    pid = fake_host.daemon_pid()
    assert pid is not None

    def work() -> None:
        with fake_host.client() as client:
            client.gpus()
            lease = client.grant(LeaseRequest())
            client.stats(lease.id)
            client.release(lease.id)
        raw(fake_host, b"nonsense\r\n\r\n")

    work()
    with fake_host.client() as client:
        client.health()
    before = descriptors(pid)
    for _ in range(25):
        work()
    eventually(lambda: descriptors(pid) <= before, f"no more than {before} descriptors")


def test_log_lines_can_be_json(fake_host: Host) -> None:
    with fake_host.start("daemon", environment={"TESSERA_LOG_FORMAT": "json"}) as daemon:
        assert daemon.stderr
        first: dict[str, Any] = json.loads(daemon.stderr.readline())
        assert first["event"] == "daemon ready"
        daemon.terminate()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TESSERA_RESERVE": "lots"}, "not a memory size"),
        ({"TESSERA_CPU_DEVICES": "maybe"}, "TESSERA_CPU_DEVICES"),
        ({"TESSERA_POLICY": "fair"}, "best-effort, equal, fixed, weighted"),
        ({"TESSERA_TIME_SLICE": "1h"}, "1ms to 30ms"),
        ({"TESSERA_DATABASE_URL": "nonsense"}, "TESSERA_DATABASE_URL"),
        ({"TESSERA_STATE_DIR": "/proc/nowhere"}, "/proc/nowhere"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    fake_host: Host, variables: dict[str, str], said: str
) -> None:
    done = fake_host.run("daemon", code=None, environment=variables)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" not in fake_host.run("ps", code=5, environment=variables).stderr


def test_a_group_may_be_let_in(fake_host: Host) -> None:
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    with fake_host.start("daemon", "--group", group) as daemon:
        eventually(fake_host.socket.exists, "it listens")
        assert stat.S_IMODE(fake_host.socket.stat().st_mode) == 0o660
        assert stat.S_IMODE(fake_host.runtime.stat().st_mode) == 0o750
        daemon.terminate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_gets_a_lease_and_cannot_touch_others(fake_host: Host) -> None:
    with fake_host.start("daemon") as daemon:
        eventually(fake_host.socket.exists, "it listens")
        for folder in (fake_host.folder, fake_host.runtime):
            folder.chmod(0o711)
        fake_host.socket.chmod(0o666)
        with fake_host.client() as client:
            mine = client.grant(LeaseRequest(name="mine"))
        script = (
            "import os, sys, socket\n"
            "from tessera.client import wire\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "path = sys.argv[1]\n"
            "lease = wire.call(path, 'POST', '/v1/leases', {'holder_pid': os.getpid()})\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect(lease['endpoint'].partition(':')[2])\n"
            "for folder in (lease['id'], sys.argv[2]):\n"
            "    for name in ('quota', 'gatekeeper.log'):\n"
            "        try: open(f'{os.path.dirname(path)}/leases/{folder}/{name}')\n"
            "        except PermissionError: print('kept out')\n"
            "try: wire.call(path, 'DELETE', '/v1/leases/mine')\n"
            "except Exception as error: print(type(error).__name__)\n"
            "try: socket.socket(socket.AF_UNIX).connect(sys.argv[3])\n"
            "except PermissionError: print('kept out')\n"
        )
        source = Path(__file__).parents[2] / "src"
        endpoint = str(mine.endpoint).partition(":")[2]
        done = subprocess.run(
            [sys.executable, "-c", script, str(fake_host.socket), mine.id, endpoint],
            env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert done.stdout.split("\n")[:6] == [
            *["kept out"] * 4,
            "NotPermitted",
            "kept out",
        ], done.stderr
        eventually(lambda: [lease.name for lease in fake_host.leases()] == ["mine"], "theirs ended")
        fake_host.run("stop", "mine")
        daemon.terminate()


def test_a_client_of_another_version_is_told(fake_host: Host) -> None:
    fake_host.run("ps")
    script = (
        "import tessera; tessera.__version__ = '9.9.9'\n"
        "import sys; sys.argv = ['tessera', *sys.argv[1:]]\n"
        "from tessera.cli.entry import main; main()\n"
    )
    for words in (["ps"], ["run", "--", "true"]):
        done = subprocess.run(
            [sys.executable, "-P", "-c", script, *words],
            env=fake_host.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 5
        assert f"The daemon is version {__version__}, this command is 9.9.9" in done.stderr
        assert "tessera daemon --stop" in done.stderr
    assert TESSERA
    eventually(lambda: fake_host.leases() == [], "nothing is left of it")


def test_a_socket_path_that_is_too_long(fake_host: Host) -> None:
    deep = {"TESSERA_RUNTIME_DIR": str(fake_host.folder / ("d" * 100))}
    done = fake_host.run("ps", code=None, environment=deep)
    assert done.returncode in (1, 5)
    assert "Traceback" not in done.stderr
    assert "TESSERA_RUNTIME_DIR" in done.stderr


def test_the_client_names_what_is_no_daemon(tmp_path: Path) -> None:
    from tessera.model.errors import DaemonUnreachable

    with pytest.raises(DaemonUnreachable):
        Client(str(tmp_path / "none.sock"))
    with pytest.raises(InvalidRequest):
        LeaseRequest.checked({"gpus": "x"})
