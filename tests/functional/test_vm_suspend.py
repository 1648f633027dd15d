# SPDX-License-Identifier: Apache-2.0
"""A virtual machine that was suspended with its lease goes on as if nothing had been, with real QEMU.

Under emulation a machine needs seconds to boot, and Python in it a quarter of a minute to start: each test
asks one machine several things.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import python_root, roots
from helpers.host import Host, Running
from helpers.images import Object, SifFile, primary
from helpers.machines import children, words
from helpers.processes import eventually, is_running
from helpers.programs import device_environment, native, run_bare
from tessera.hypervisor import saved
from tessera.model.errors import AlreadySuspended, StateFileDamaged, SuspendFailed
from tessera.model.suspension import Keep

ROOT = Path(__file__).resolve().parents[2]
TRAINING = ROOT / "tests" / "helpers" / "training.py"
STEPS = 120
PROGRAM = f"/{TRAINING.name}"
SETTLED = 3  # steps after which a step is always the same work
TENANT = "tessera-bench-tenant"
AWAY = 3.0  # seconds that a machine is away at least, where its clocks are looked at


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with busybox and a program that computes."""
    folder = tmp_path_factory.mktemp("image")
    root = roots.fill_root(folder / "root", ["clinfo", native(TENANT)])
    (root / "bin" / TENANT).symlink_to(native(TENANT))
    packed = roots.squash(root, folder / "root.squashfs").read_bytes()
    return SifFile((primary(data=packed),)).write(folder)


@pytest.fixture(scope="module")
def training_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with Python, tinygrad and a program that trains."""
    folder = tmp_path_factory.mktemp("training")
    root = roots.fill_root(folder / "root", ["clinfo"])
    python = python_root.add_python(root, ["numpy", "numpy.libs", "tinygrad"])
    (root / TRAINING.name).write_bytes(TRAINING.read_bytes())
    packed = roots.squash(root, folder / "root.squashfs", packed=False).read_bytes()
    environment = [f"{name}={value}" for name, value in python_root.VARIABLES.items()]
    config = {"Cmd": [python, PROGRAM, str(STEPS)], "Env": environment}
    says = Object(0x4006, json.dumps(config).encode(), name="oci-config.json")
    return SifFile((primary(data=packed), says)).write(folder)


@pytest.fixture(scope="module")
def one_host() -> Iterator[Host]:
    """One host for all: whether KVM boots a guest is found out once."""
    with tempfile.TemporaryDirectory(prefix="tsr-", dir="/tmp") as folder:
        host = Host(Path(folder))
        host.environment.update(device_environment())
        yield host
        host.close()


@pytest.fixture
def vm_host(one_host: Host) -> Iterator[Host]:
    """The host, on which a test must leave nothing."""
    yield one_host
    assert one_host.leases() == []
    assert one_host.lease_folders() == []
    assert one_host.processes() == []
    eventually(lambda: state_files(one_host) == [], "no state is left")


def state_files(host: Host) -> list[Path]:
    return sorted((host.state / "suspended").glob("*/*"))


def suspend(host: Host, name: str, to: Keep = Keep.DISK) -> None:
    # Not by a command: while that starts, a program near its end would end.
    with host.client() as client:
        client.suspend(name, to)


def resume(host: Host, name: str) -> None:
    with host.client() as client:
        client.resume(name)


def check_suspended(host: Host, command: Running, name: str) -> None:
    """The machine is on the disk, and nothing of it anywhere else."""
    assert [(lease.name, lease.state) for lease in host.leases()] == [(name, "suspended")]
    assert children(command.pid, "qemu") == []
    assert all(gpu["leased"] == 0 for gpu in host.json("gpus"))
    names = {path.name for path in state_files(host)}
    assert {saved.MEMORY, saved.STATE, saved.MANIFEST} <= names


@pytest.fixture(scope="module")
def undisturbed() -> str:
    """The checksum of the weights without a machine, and without Tessera."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    line = [sys.executable, str(TRAINING), str(STEPS)]
    done = run_bare(*line, environment={"CACHEDB": str(cache / "tinygrad.db")})
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout.splitlines()[-1])["sha256"])


def train(host: Host, image: Path, moments: int, seed: int) -> str:
    """The checksum of a training in a machine that is suspended at so many random moments, each time with a
    new daemon before it is resumed. Its clock counts none of the time that it is away."""
    choice = random.Random(seed)
    chosen = sorted(choice.sample(range(STEPS - 20), moments))
    line = ["run", "--vm", "--image", str(image), "-f", "1/4", "-n", "job"]
    away: list[float] = []
    slowest = 0.0
    with host.start(*line, "--guest-memory", "512MiB") as command:
        assert command.stdout is not None
        for text in command.stdout:
            record: dict[str, Any] = json.loads(text)
            if "sha256" in record:
                assert command.wait(30) == 0
                assert slowest < min(away)
                return str(record["sha256"])
            if record["step"] > SETTLED:
                slowest = max(slowest, record["seconds"])
            if record["step"] in chosen:
                time.sleep(choice.random() * 0.1)
                suspend(host, "job")
                began = time.monotonic()
                check_suspended(host, command, "job")
                host.kill_daemon()
                assert host.leases()[0].state == "suspended"
                time.sleep(AWAY / 2)
                away.append(time.monotonic() - began)
                resume(host, "job")
    assert command.stderr is not None
    raise AssertionError(f"the training ended early: {command.stderr.read()} {host.log}")


def test_training_is_bit_identical(vm_host: Host, training_image: Path, undisturbed: str) -> None:
    assert train(vm_host, training_image, 2, seed=time.time_ns()) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(("moments", "seed"), [(3, 1), (3, 2), (4, 3)])
def test_training_is_bit_identical_at_many_moments(
    vm_host: Host, training_image: Path, undisturbed: str, moments: int, seed: int
) -> None:
    assert train(vm_host, training_image, moments, seed) == undisturbed


# A line for each line of input, with the guest's clocks: since its boot, and of the day.
CLOCKS = """
echo ready
while read -r line; do read -r up rest </proc/uptime; echo "$line $up $(busybox date +%s)"; done
echo "end $(seq 1 200000 | sha256sum)"
"""


class Clocks:
    """A program in a machine that answers with its clocks."""

    def __init__(self, command: Running) -> None:
        self._command = command
        self._asked = 0

    def ask(self) -> None:
        assert self._command.stdin is not None
        self._asked += 1
        self._command.stdin.write(f"{self._asked}\n")
        self._command.stdin.flush()

    def answer(self) -> tuple[float, float]:
        assert self._command.stdout is not None
        number, up, day = self._command.stdout.readline().split()
        assert int(number) == self._asked
        return float(up), float(day)

    def read(self) -> tuple[float, float]:
        self.ask()
        return self.answer()


def test_a_machine_is_whole_after_all_that_can_happen_to_it(vm_host: Host, image: Path) -> None:
    host = vm_host
    line = words(image, "sh", "-c", CLOCKS, options=("-n", "vm", "--guest-memory", "256MiB"))
    with host.start(*line, stdin=subprocess.PIPE) as command:
        assert command.stdout is not None and command.stdin is not None
        assert command.stdout.readline() == "ready\n"
        clocks = Clocks(command)
        _room_is_named_and_nothing_lost(host, command)
        for to in (Keep.MEMORY, Keep.DISK, Keep.DISK):
            up, _ = clocks.read()
            asked = time.monotonic()
            suspend(host, "vm", to)
            began = time.monotonic()
            # What is said to it while it is away is waiting when it comes back.
            clocks.ask()
            with host.client() as client, pytest.raises(AlreadySuspended):
                client.suspend("vm")
            if to is Keep.DISK:
                check_suspended(host, command, "vm")
                _damage_is_named_and_nothing_lost(host)
            time.sleep(max(0.0, AWAY - (time.monotonic() - began)))
            away = time.monotonic() - began
            stored = sum(path.stat().st_blocks * 512 for path in state_files(host))
            resume(host, "vm")
            now, _ = clocks.answer()
            # Its own clock stood still, and that of the day is right.
            assert now - up < time.monotonic() - asked - away / 2
            assert clocks.read()[1] == pytest.approx(time.time(), abs=AWAY)
            if to is Keep.DISK:
                # It runs, and has not read what it did not touch.
                assert 0 < _touched(*children(command.pid, "qemu")) < stored
        command.stdin.close()
        expected = subprocess.run(
            ["sh", "-c", "seq 1 200000 | sha256sum"], capture_output=True, text=True, check=True
        )
        assert command.stdout.read() == f"end {expected.stdout}"
        assert command.wait(30) == 0


def _touched(pid: int) -> int:
    """The bytes of its guest's memory that a QEMU has in its own, where that was mapped from a file."""
    total, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            inside = saved.MEMORY in line
        elif inside and words[0] == "Rss:":
            total += int(words[1]) * 1024
    return total


def _room_is_named_and_nothing_lost(host: Host, command: Running) -> None:
    needs = host.json("suspend", "vm", "--check")
    assert 32 << 20 < needs["machine"] < 300 << 20
    resource.prlimit(command.pid, resource.RLIMIT_FSIZE, (8 << 20, resource.RLIM_INFINITY))
    with pytest.raises(SuspendFailed, match="File too large"):
        suspend(host, "vm")
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(command.pid, resource.RLIMIT_FSIZE, infinite)
    assert host.leases()[0].state == "active"
    assert state_files(host) == []


def _damage_is_named_and_nothing_lost(host: Host) -> None:
    (memory,) = [path for path in state_files(host) if path.name == saved.MEMORY]
    place = _first_data(memory)
    with memory.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        for content in (bytes([byte ^ 1]), bytes([byte])):
            file.seek(place)
            file.write(content)
            file.flush()
            if content[0] != byte:
                with pytest.raises(StateFileDamaged, match=saved.MEMORY):
                    resume(host, "vm")
                assert host.leases()[0].state == "suspended"


def _first_data(file: Path) -> int:
    with file.open("rb") as opened:
        return os.lseek(opened.fileno(), 1 << 20, os.SEEK_DATA)


COMPUTES = f"{TENANT} interactive --ms 600000 >/dev/null & echo ready; wait"


def computing(host: Host, image: Path) -> Running:
    line = words(image, "sh", "-c", COMPUTES, options=("-n", "vm", "--guest-memory", "256MiB"))
    command = host.start(*line)
    assert command.stdout is not None
    assert command.stdout.readline() == "ready\n"
    return command


@pytest.mark.parametrize("victim", ["relay", "command", "stop"])
def test_a_suspended_machine_that_ends_leaves_nothing(
    vm_host: Host, image: Path, victim: str
) -> None:
    with computing(vm_host, image) as command:
        suspend(vm_host, "vm")
        (relay,) = children(command.pid, "tessera-vm-rela")
        if victim == "stop":
            vm_host.run("stop", "vm")
        else:
            os.kill(relay if victim == "relay" else command.pid, signal.SIGKILL)
        code = command.wait(20)
    ends = {"relay": 1, "command": -signal.SIGKILL, "stop": 128 + signal.SIGTERM}
    assert code == ends[victim]
    eventually(lambda: not is_running(relay), "the relay is gone")
    eventually(lambda: vm_host.processes() == [], "the lease is released without any request")


@pytest.mark.parametrize(
    ("victim", "seed"),
    [
        pytest.param(victim, seed, marks=[] if seed == 0 else pytest.mark.slow)
        for victim in ("daemon", "qemu", "relay", "command")
        for seed in range(5)
        if seed or victim == "daemon"
    ],
)
def test_a_kill_at_any_moment_leaves_one_whole_thing(
    vm_host: Host, image: Path, victim: str, seed: int
) -> None:
    """The kill comes somewhere within a suspend and a resume."""
    choice = random.Random(seed or time.time_ns())
    with computing(vm_host, image) as command:
        suspend(vm_host, "vm")
        resume(vm_host, "vm")
        (relay,) = children(command.pid, "tessera-vm-rela")
        there_and_back = "suspend vm --to disk && exec {0} resume vm"
        tessera = f"{sys.executable} -P -m tessera"
        with subprocess.Popen(
            ["sh", "-c", f"{tessera} " + there_and_back.format(tessera)],
            env=vm_host.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as both:
            time.sleep(choice.uniform(0.3, 3.5))
            _kill(vm_host, command, relay, victim)
            both.wait(60)
        # A QEMU that was not yet to run is missed by nobody: the state is there for another one.
        if victim == "daemon" or (victim == "qemu" and not _ends(command)):
            _goes_on(vm_host, command)
            vm_host.run("stop", "vm")
        assert command.wait(30) != 0
    eventually(lambda: not is_running(relay), "the relay is gone")
    eventually(lambda: vm_host.processes() == [], "the lease is released without any request")


def _ends(command: Running) -> bool:
    try:
        command.wait(10)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(host: Host, command: Running, relay: int, victim: str) -> None:
    if victim == "daemon":
        host.kill_daemon()
        return
    pids = {"relay": [relay], "command": [command.pid], "qemu": children(command.pid, "qemu")}
    for pid in pids[victim]:  # of a machine that is away, there is no QEMU
        os.kill(pid, signal.SIGKILL)


def _goes_on(host: Host, command: Running) -> None:
    """The next daemon finds a lease that is active or suspended, and both can go on."""
    eventually(lambda: host.leases()[0].state in ("active", "suspended"), "it is settled", 60)
    if host.leases()[0].state == "suspended":
        check_suspended(host, command, "vm")
        resume(host, "vm")
    assert host.leases()[0].state == "active"

    def device_time() -> int:
        (gpu,) = host.json("stats", "vm")[0]["gpus"]
        return int(gpu["device"]["device_ns"])

    before = device_time()
    eventually(lambda: device_time() > before, "it computes", 60)
