# SPDX-License-Identifier: Apache-2.0
"""Policies, metrics, traces and `tessera top`, as typed and as asked for by REST.

Nothing here touches a device, so the native programs are fakes; the test writes the board.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers import boards, fakes
from helpers.host import TESSERA, Host
from helpers.processes import eventually
from tessera.leases import arbiter, board
from tessera.model.lease import Lease, LeaseRequest

MS = 1_000_000


@pytest.fixture
def host(shared_fake_host: Host) -> Iterator[Host]:
    shared_fake_host.run("ps")
    yield shared_fake_host
    shared_fake_host.run("stop", "--all")


@pytest.fixture
def leases(host: Host) -> list[Lease]:
    """Two leases on gpu0 that took turns: 2 ms and 1 ms of device time."""
    with host.client() as client:
        granted = [client.grant(LeaseRequest(name=name, fraction="1/2")) for name in ("a", "b")]
    now = time.monotonic_ns()
    with boards.opened(board_of(host)) as page:
        page.started_ns = now - 20 * MS
        page.device_ns = 3 * MS
        for place, lease in enumerate(granted):
            boards.add_tenant(page, lease.id, place, {4: 9}, since_ns=now - 10 * MS, waits=9)
            page.tenants[place].device_ns = (2 - place) * MS
        boards.add_stretch(page, 0, now - 9 * MS, now - 6 * MS, 2 * MS)
        boards.add_stretch(page, 1, now - 6 * MS, now - 4 * MS, 1 * MS)
    return granted


def board_of(host: Host, gpu: str = "gpu0") -> Path:
    return host.runtime / "gpus" / gpu / "board"


def http(host: Host) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(host.socket))
    return httpx.Client(transport=transport, base_url="http://tessera", timeout=30)


def test_a_policy_is_shown_and_set(host: Host, leases: list[Lease]) -> None:
    table = host.run("policy").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["GPU", "POLICY", "SLICE", "LEASES"],
        ["gpu0", "equal", "2", "ms", "(automatic)", "2"],
        ["gpu1", "equal", "2", "ms", "(automatic)", "0"],
    ]
    host.run("policy", "gpu0", "--set", "weighted")
    (shown,) = host.json("policy", "gpu0", "--slice", "5ms")
    assert (shown["policy"], shown["time_slice_ms"]) == ("weighted", 5.0)
    page = board.read_board(board_of(host))
    assert (page.policy, page.slice_us) == (3, 5000)
    notes = fakes.arbiter_notes(host.folder / "native")
    eventually(
        lambda: fakes.arbiter_notes(host.folder / "native").count(("gpu0", "look", None)) >= 2,
        "told",
    )
    assert notes[0][0] == "gpu0"
    host.run("policy", "--set", "equal", "--slice", "auto")
    assert [one["policy"] for one in host.json("policy")] == ["equal", "equal"]
    assert [one["time_slice_ms"] for one in host.json("policy")] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["policy", "gpu9"], 3, "no GPU 'gpu9'"),
        (["policy", "../x"], 3, "no GPU"),
        (["policy", "--set", "fair"], 2, "best-effort"),
        (["policy", "--slice", "1h"], 2, "1ms to 30ms"),
        (["policy", "--slice", "31ms"], 2, "1ms to 30ms"),
        (["trace", "gpu9"], 3, "no GPU"),
        (["trace", "gpu1"], 4, "no shared leases"),
        (["trace", "gpu0", "--plot", "x.txt"], 2, ".png"),
        (["top", "-d", "0"], 2, "0.1"),
        (["top", "--svg", "x.png"], 2, ".svg"),
        (["top", "--sort", "colour"], 2, "share"),
    ],
)
def test_refusals(host: Host, arguments: list[str], code: int, said: str) -> None:
    done = host.run(*arguments, code=code)
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"policy": "fair"},
        {"policy": "equal", "time_slice_ms": 99},
        {"policy": "equal", "time_slice_ms": "x"},
        {"policy": "equal", "more": 1},
    ],
)
def test_a_bad_policy_changes_nothing(host: Host, body: dict[str, Any]) -> None:
    with http(host) as client:
        before = client.get("/v1/gpus/gpu0/policy").json()
        answer = client.put("/v1/gpus/gpu0/policy", json=body)
        assert (answer.status_code, answer.json()["error"]["name"]) == (422, "InvalidRequest")
        assert client.get("/v1/gpus/gpu0/policy").json() == before
        assert client.put("/v1/gpus/gpu9/policy", json={"policy": "equal"}).status_code == 404


def test_stats_tell_device_time_and_waits(host: Host, leases: list[Lease]) -> None:
    (stats,) = host.json("stats", "a")
    device = stats["gpus"][0]["device"]
    assert (device["device_ns"], device["waits"]) == (2 * MS, 9)
    assert device["share"] == pytest.approx(2 / 3)
    assert (device["wait_p50_us"], device["wait_p99_us"]) == (2.0, 2.0)
    assert device["wait_counts"] == {"4": 9}
    assert 0 < device["duty"] < 1
    lines = host.run("stats", "a").stdout.splitlines()
    assert lines[2].startswith("      2 ms of device time: ")
    assert lines[2].endswith("67% of what all leases used")
    assert lines[3].endswith("9 waits: p50 2 us, p99 2 us")


def test_usage_and_metrics_agree(host: Host, leases: list[Lease]) -> None:
    with http(host) as client:
        usage = client.get("/v1/usage").json()
        scraped = client.get("/metrics")
    assert scraped.headers["content-type"].startswith("text/plain")
    families = {one.name: one for one in text_string_to_metric_families(scraped.text)}
    seconds = {
        sample.labels["name"]: sample.value
        for sample in families["tessera_lease_device_seconds"].samples
    }
    assert seconds == {"a": 0.002, "b": 0.001}
    by_name = {one["lease"]["name"]: one["stats"] for one in usage["leases"]}
    for name, value in seconds.items():
        assert by_name[name]["gpus"][0]["device"]["device_ns"] == round(value * 1e9)
    assert [gpu["arbiter_running"] for gpu in usage["gpus"]] == [True, False]
    wish = {"accept": "application/openmetrics-text"}
    with http(host) as client:
        assert client.get("/metrics", headers=wish).text.endswith("# EOF\n")


def test_a_trace_is_written_and_drawn(host: Host, leases: list[Lease], tmp_path: Path) -> None:
    out, plot = tmp_path / "t.json", tmp_path / "deep" / "t.png"
    done = host.run("trace", "gpu0", "--out", str(out), "--plot", str(plot))
    assert "gpu0: 2 grants to 2 leases in 5 ms." in done.stderr
    assert done.stdout == ""
    content = json.loads(out.read_text())
    stretches = [event for event in content["traceEvents"] if event["ph"] == "X"]
    assert [(event["name"], event["dur"]) for event in stretches] == [("a", 3000), ("b", 2000)]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert json.loads(host.run("trace", "gpu0").stdout) == content
    assert host.run("trace", "gpu0", "-s", "0.001").stderr.startswith("gpu0: no lease")
    done = host.run("trace", "gpu0", "--out", "/proc/nowhere/x", code=1)
    assert "/proc/nowhere/x" in done.stderr


def test_a_lease_whose_arbiter_cannot_run_says_so(host: Host, leases: list[Lease]) -> None:
    mode = host.folder / "native" / "arbiter-mode"
    mode.write_text("fail")
    try:
        for _, running in arbiter.running_under(host.runtime):
            os.kill(running.pid, signal.SIGKILL)
        eventually(lambda: "ArbiterRestarting" in host.run("show", "a").stdout, "it is told", 60.0)
        assert "no such board" in host.json("show", "a")["conditions"][0]["message"]
        assert host.json("show", "a")["state"] == "active"
        assert "ArbiterRestarting" in host.run("top", "-b", "-n", "1", "-d", "0.1").stdout
    finally:
        mode.write_text("well")
    eventually(lambda: bool(arbiter.running_under(host.runtime)), "it runs again", 60.0)


def test_a_damaged_board_is_named_and_takes_nothing_else_along(
    host: Host, leases: list[Lease]
) -> None:
    path = board_of(host)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        assert "board" in host.run("trace", "gpu0", code=1).stderr
        assert host.json("stats", "a")[0]["gpus"][0]["device"] is None
        assert host.run("top", "-b", "-n", "1", "-d", "0.1").stdout
        with http(host) as client:
            assert client.get("/metrics").status_code == 200
    finally:
        path.write_bytes(whole)


def test_top_as_text_and_as_json(host: Host, leases: list[Lease]) -> None:
    looks = [
        json.loads(line)
        for line in host.run(*["top", "-n", "2", "-d", "0.1", "-o", "json"]).stdout.splitlines()
    ]
    assert len(looks) == 2
    assert {lease["name"] for lease in looks[0]["leases"]} == {"a", "b"}
    assert all(look["seconds"] >= 0.1 for look in looks)
    assert looks[0]["gpus"][0]["busy"] == 0
    narrow = {"COLUMNS": "80"}
    for batch in (["-b"], []):  # A pipe is no terminal, so both are the same.
        lines = host.run(
            "top", "-n", "2", "-d", "0.1", *batch, environment=narrow
        ).stdout.splitlines()
        assert sum("tessera top" in line for line in lines) == 2
        assert sum(line.startswith("gpu0") for line in lines) == 2
        assert all(len(line) <= 80 for line in lines)


def test_top_as_a_picture(host: Host, leases: list[Lease], tmp_path: Path) -> None:
    host.run("top", "--svg", str(tmp_path / "top.svg"), "-d", "0.1")
    picture = (tmp_path / "top.svg").read_text()
    assert picture.startswith("<svg")
    assert "@font-face" not in picture


class Terminal:
    """`tessera top` in a terminal of its own."""

    def __init__(self, host: Host, *arguments: str) -> None:
        self.side, self._other = pty.openpty()
        termios.tcsetwinsize(self.side, (24, 80))
        self.settings = termios.tcgetattr(self.side)
        environment = {**host.environment, "TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [*TESSERA, "top", "-d", "0.2", *arguments],
            env=environment,
            stdin=self._other,
            stdout=self._other,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._seen = ""

    def see(self, text: str) -> None:
        """Waits until the screen has been sent `text` since the last time."""
        until = time.monotonic() + 60
        while text not in self._seen:
            ready, _, _ = select.select([self.side], [], [], max(0.0, until - time.monotonic()))
            assert ready, (text, self._seen[-2000:])
            self._seen += os.read(self.side, 1 << 16).decode("utf-8", "replace")
        self._seen = self._seen.partition(text)[2]

    def type(self, keys: str) -> None:
        os.write(self.side, keys.encode())

    def end(self) -> int:
        """The exit code; the terminal must be as it was."""
        until = time.monotonic() + 60
        # Who writes into a terminal that nobody reads waits for ever.
        while self.process.poll() is None and time.monotonic() < until:
            if select.select([self.side], [], [], 0.05)[0]:
                os.read(self.side, 1 << 16)
        if self.process.poll() is None:
            self.process.kill()
        with self.process:
            code = self.process.wait()
            assert self.process.stderr
            assert self.process.stderr.read() == b""
        assert termios.tcgetattr(self.side) == self.settings
        os.close(self.side)
        os.close(self._other)
        return code


def test_top_obeys_keys_and_leaves_the_terminal_as_it_was(host: Host, leases: list[Lease]) -> None:
    terminal = Terminal(host)
    terminal.see("2 leases")
    assert termios.tcgetattr(terminal.side) != terminal.settings
    terminal.type("n")
    terminal.see("\x1b[7mn\x1b[0m")
    terminal.type("+")
    terminal.see("0.4s")
    terminal.type("q")
    assert terminal.end() == 0


def test_top_ends_by_interrupt_and_by_count(host: Host, leases: list[Lease]) -> None:
    terminal = Terminal(host)
    terminal.see("2 leases")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0
    assert Terminal(host, "-n", "2").end() == 0


def test_top_can_be_stopped_and_goes_on(host: Host, leases: list[Lease]) -> None:
    terminal = Terminal(host)
    terminal.see("2 leases")
    terminal.process.send_signal(signal.SIGTSTP)
    stat = Path(f"/proc/{terminal.process.pid}/stat")
    eventually(lambda: ") T " in stat.read_text(), "it is stopped")
    assert termios.tcgetattr(terminal.side) == terminal.settings
    terminal.process.send_signal(signal.SIGCONT)
    terminal.see("2 leases")
    terminal.see("2 leases")
    terminal.type("q")
    assert terminal.end() == 0


def test_top_goes_on_when_the_daemon_is_restarted(host: Host, leases: list[Lease]) -> None:
    terminal = Terminal(host)
    terminal.see("2 leases")
    host.kill_daemon()
    terminal.see("No daemon listens")
    host.run("ps")
    terminal.see("2 leases, over")
    terminal.type("q")
    assert terminal.end() == 0


def test_top_without_a_daemon_that_may_be_started(fake_host: Host) -> None:
    done = fake_host.run("top", "-b", code=5, environment={"TESSERA_AUTOSTART": "0"})
    assert "No daemon listens" in done.stderr
