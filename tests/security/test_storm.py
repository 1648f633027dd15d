# SPDX-License-Identifier: Apache-2.0
"""Many leases at once, started and ended at random while programs, workers, arbiter and daemon are killed.

What must hold: a lease whose program and worker nobody killed runs to its end, whatever happens to the
others, to the arbiter and to the daemon; at every look the books balance to the byte; afterwards nothing
is left, no process, no folder, no descriptor, no shared memory.

The seed is printed when a run fails, and TESSERA_STORM_SEED repeats it: as far as the machine lets it, for
what is killed at which moment of its life depends on the scheduler.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host, Running
from helpers.leases import real_host
from helpers.processes import command_lines_with, descriptors, eventually, is_running
from helpers.programs import native
from tessera.client import launch, wire
from tessera.model.errors import TesseraError

pytestmark = pytest.mark.alone

TENANT = "tessera-bench-tenant"
READY = '"event": "ready"'
DONE = '"event": "slice"'
UNREACHABLE = 5
MARK = "POCL_STORM"  # a driver's variable reaches its workers
# A start that falls into the moment in which there is no daemon may fail, and says so.
NO_DAEMON = 15.0
SETTLING = 90.0


@dataclass(frozen=True)
class Plan:
    """How many leases at once, for how many seconds; programs live between `shortest` and `longest` s."""

    leases: int
    seconds: float
    shortest: float
    longest: float


@dataclass
class Run:
    """A `tessera run`, its output, and whether something was done to it that may end it early."""

    name: str
    process: Running
    output: Path
    began: float
    killed: str = ""

    def said(self, word: str) -> bool:
        return word in self.output.read_text()

    def over(self) -> bool:
        return self.process.poll() is not None


@dataclass
class Storm:
    host: Host
    plan: Plan
    chance: random.Random
    runs: list[Run] = field(default_factory=list)
    deck: list[Callable[[], None]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    daemon_killed: float = -NO_DAEMON
    number: int = 0
    most: int = 0

    def start(self) -> None:
        self.number += 1
        name = f"storm-{self.number}"
        output = self.host.folder / f"{name}.out"
        life = round(1000 * self.chance.uniform(self.plan.shortest, self.plan.longest))
        mode = ["saturating"] if self.chance.random() < 0.1 else ["interactive"]
        think = [] if mode == ["saturating"] else ["--think-us", "300000"]
        program = [native(TENANT), *mode, "--loops", "200", *think, "--ms", str(life)]
        fraction = f"1/{self.plan.leases}"
        with output.open("w") as out:
            process = self.host.start(
                "run", "--name", name, "--fraction", fraction, "--", *program, stdout=out
            )
        self.runs.append(Run(name, process, output, time.monotonic()))

    def act(self) -> None:
        """One thing that happens to somebody; in every nine, each of them."""
        if not self.deck:
            self.deck = [self.kill_program, self.kill_worker, self.look] * 2
            self.deck += [self.ask_to_end, self.kill_arbiter, self.kill_daemon]
            self.chance.shuffle(self.deck)
        self.deck.pop()()

    def victim(self) -> Run | None:
        running = [run for run in self.runs if not run.killed and run.said(READY)]
        return self.chance.choice(running) if running else None

    def kill_program(self) -> None:
        run = self.victim()
        if run:
            run.killed = "program"
            _kill(run.process.pid)  # `tessera run` has become the program
            self.done["programs killed"] += 1

    def ask_to_end(self) -> None:
        run = self.victim()
        if run:
            run.killed = "asked"
            with suppress(ProcessLookupError):
                run.process.send_signal(signal.SIGTERM)
            self.done["asked to end"] += 1

    def kill_worker(self) -> None:
        run = self.victim()
        if run is None:
            return
        with suppress(TesseraError, OSError):
            found = self.ask("GET", f"/v1/leases/{run.name}/stats")
            for session in found["sessions"]:
                run.killed = "worker"
                _kill(session["worker_pid"])
                self.done["workers killed"] += 1

    def kill_arbiter(self) -> None:
        for pid in command_lines_with(f"tessera-arbiter\0--board\0{self.host.runtime}"):
            _kill(pid)
            self.done["arbiters killed"] += 1

    def kill_daemon(self) -> None:
        pid = self.host.daemon_pid()
        if pid is not None:
            self.daemon_killed = time.monotonic()
            _kill(pid)
            self.done["daemons killed"] += 1

    def ask(self, method: str, path: str) -> Any:
        if not launch.is_listening(str(self.host.socket)):
            self.host.run("ps")  # starts a daemon
        return wire.call(str(self.host.socket), method, path)

    def look(self) -> None:
        """The books of one moment."""
        try:
            gpus, leases = self.ask("GET", "/v1/gpus"), self.ask("GET", "/v1/leases")
        except (TesseraError, OSError):
            assert time.monotonic() - self.daemon_killed < NO_DAEMON
            return
        for gpu in gpus:
            assert gpu["leased"] + gpu["free"] + gpu["reserve"] == gpu["memory"]
        self.most = max(self.most, len(leases))
        self.done["looks"] += 1

    def reap(self) -> None:
        for run in [run for run in self.runs if run.over()]:
            self.runs.remove(run)
            self.judge(run)
            run.output.unlink()

    def judge(self, run: Run) -> None:
        code = run.process.returncode
        _, told = run.process.communicate()
        if run.killed:
            self.done["ended early"] += 1
        elif code == UNREACHABLE and not run.said(READY):
            assert run.began - self.daemon_killed < NO_DAEMON, told
            self.done["found no daemon"] += 1
        else:
            assert code == 0 and run.said(DONE), (run.name, code, told, self.done, self.host.log)
            self.done["ran to their end"] += 1

    def rage(self) -> None:
        for _ in range(self.plan.leases):
            self.start()
        eventually(lambda: all(run.said(READY) for run in self.runs), "all are there at once", 300)
        self.look()
        until = time.monotonic() + self.plan.seconds
        while time.monotonic() < until:
            self.reap()
            if len(self.runs) < self.plan.leases:
                self.start()
            if self.chance.random() < 0.5:
                self.act()
            time.sleep(self.chance.uniform(0.05, 0.5))

    def calm(self) -> None:
        """Nobody does anything more; all that run reach their end."""
        until = time.monotonic() + self.plan.longest + SETTLING
        while self.runs:
            assert time.monotonic() < until, [run.name for run in self.runs]
            self.reap()
            time.sleep(0.1)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def nothing_is_left(host: Host) -> bool:
    with host.client() as client:
        (gpu,) = client.gpus()
        leases = client.leases()
    books = gpu.leased == 0 and gpu.free + gpu.reserve == gpu.memory and not gpu.leases
    return books and not leases and not host.lease_folders() and not host.processes()


def shared_memory() -> int:
    return len(os.listdir("/dev/shm"))


def workers_of(host: Host) -> list[int]:
    """Workers name no folder; but each has the variables of this host's driver."""
    mark = f"{MARK}={host.folder}".encode()
    found = []
    for pid in command_lines_with("tessera-worker"):
        with suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes() and is_running(pid):
                found.append(pid)
    return found


@pytest.fixture
def host() -> Iterator[Host]:
    with real_host() as host:
        host.environment[MARK] = str(host.folder)
        yield host


def storm(host: Host, plan: Plan) -> None:
    seed = int(os.environ.get("TESSERA_STORM_SEED", random.randrange(1 << 32)))
    print(f"TESSERA_STORM_SEED={seed}")
    host.run("run", "--", native(TENANT), "saturating", "--loops", "200", "--ms", "10")
    memory_before = shared_memory()
    raging = Storm(host, plan, random.Random(seed))
    raging.rage()
    raging.calm()
    print(dict(raging.done))
    assert raging.most == plan.leases
    for deed in ("programs killed", "workers killed", "daemons killed", "ran to their end"):
        assert raging.done[deed] > 0, raging.done
    host.leases()  # a daemon, if the last was killed
    eventually(lambda: nothing_is_left(host), "nothing is left", 30)
    assert not workers_of(host)
    daemon = host.daemon_pid()
    assert daemon is not None
    files = descriptors(daemon)
    host.run("run", "--", native(TENANT), "saturating", "--loops", "200", "--ms", "10")
    eventually(lambda: descriptors(daemon) <= files, "the daemon holds no more files", 10)
    eventually(lambda: shared_memory() <= memory_before, "no shared memory is left", 10)


def test_a_short_storm(host: Host) -> None:
    storm(host, Plan(leases=8, seconds=12, shortest=2, longest=8))


@pytest.mark.slow
def test_64_leases_for_ten_minutes(host: Host) -> None:
    storm(host, Plan(leases=64, seconds=600, shortest=40, longest=160))
