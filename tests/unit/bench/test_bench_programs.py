# SPDX-License-Identifier: Apache-2.0
"""The native measuring programs, on the machine and on the bare device."""

from __future__ import annotations

import itertools
import json
import subprocess
from typing import Any

import pytest

from tessera.bench.calls import BASELINE_PROGRAM, CALLS_PROGRAM
from tessera.bench.fairness import TENANT_PROGRAM, tenant_command
from tessera.bench.sides import bare_environment
from tessera.bench.suspend_vm import HOLDER
from tessera.native import find

YARDSTICKS = {"futex_sleeping", "pipe", "unix_stream", "tcp", "tcp_64MiB", "memcpy_16MiB"}
CALLS = {
    *("posted_kernel", "round_trip_finish", "kernel_finish", "chain"),
    *("write_1MiB", "write_done_1MiB", "read_1MiB"),
}


def talk(program: str, commands: str) -> tuple[int, list[dict[str, Any]]]:
    return talk_to([str(find(program)), "--lockstep"], commands)


def talk_to(words: list[str], commands: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        words,
        input=commands,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("program", "names"), [(BASELINE_PROGRAM, YARDSTICKS), (CALLS_PROGRAM, CALLS)]
)
def test_a_turn_gives_samples_of_everything(program: str, names: set[str]) -> None:
    code, (ready, turn, end) = talk(program, "run 1\n")
    assert code == 0
    assert (ready["event"], turn["event"], end["event"]) == ("ready", "slice", "end")
    assert ready["lease"] is None
    assert names <= set(turn["samples"])
    for samples in turn["samples"].values():
        assert samples
        assert min(samples) >= 0
    assert turn["counted"] == {}


@pytest.mark.parametrize("command", ["run\n", "run 0\n", "run 1x\n", "stop\n"])
def test_what_is_no_command_ends_the_program(command: str) -> None:
    code, messages = talk(BASELINE_PROGRAM, command)
    assert code == 2
    assert [message["event"] for message in messages] == ["ready"]


@pytest.mark.parametrize("arguments", [["--rounds"], ["--rounds", "0"], ["--what"]])
@pytest.mark.parametrize("program", [BASELINE_PROGRAM, CALLS_PROGRAM])
def test_bad_arguments_end_with_the_usage(program: str, arguments: list[str]) -> None:
    done = subprocess.run([str(find(program)), *arguments], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage:" in done.stderr


def grows(ticks: list[list[int]]) -> bool:
    return all(
        earlier[0] <= later[0] and earlier[1] <= later[1] and earlier[2] <= later[2]
        for earlier, later in itertools.pairwise(ticks)
    )


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("saturating", {}),
        ("saturating", {"in_flight": 1}),
        ("interactive", {"think_us": 1000}),
        ("phased", {"idle_ms": 5, "work_ms": 10}),
    ],
)
def test_a_tenant_tells_what_it_used(mode: str, options: dict[str, int]) -> None:
    command = tenant_command(mode, loops=20, **options)
    code, (ready, first, second, end) = talk_to(command, "run 60\nrun 30\n")
    assert code == 0
    assert (ready["event"], end["event"]) == ("ready", "end")
    assert (ready["lease"], ready["loops"]) == (None, 20)
    assert ready["kernel_ns"] > 0
    for turn in (first, second):
        assert turn["kernels"] > 0
        assert 0 < turn["longest_ns"] <= turn["device_ns"]
        assert turn["ticks"][0] == [turn["ticks"][0][0], 0, 0]
        assert turn["ticks"][-1] == [turn["ended_ns"], turn["kernels"], turn["device_ns"]]
        assert grows(turn["ticks"])
        assert turn["began_ns"] < turn["ended_ns"]
    assert first["ended_ns"] <= second["began_ns"]


def test_an_interactive_tenant_tells_every_wait() -> None:
    _, (_, turn, _) = talk_to(tenant_command("interactive", loops=20, think_us=500), "run 40\n")
    latencies, waits = turn["samples"]["latency"], turn["samples"]["wait"]
    assert len(latencies) == len(waits) == turn["kernels"]
    assert all(wait < latency for wait, latency in zip(waits, latencies, strict=True))
    assert sum(latencies) - sum(waits) == pytest.approx(turn["device_ns"])


def test_a_tenant_finds_the_loops_that_take_longer() -> None:
    loops = []
    for kernel_us in (100, 3000):
        _, messages = talk_to(tenant_command("saturating", kernel_us=kernel_us), "")
        loops.append(messages[0]["loops"])
    assert loops[0] < loops[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["greedy", "--lockstep"],
        ["saturating"],
        ["saturating", "--lockstep", "--ms", "5"],
        ["saturating", "--lockstep", "--loops", "0"],
        ["saturating", "--lockstep", "--loops"],
        ["saturating", "--lockstep", "--idle-ms", "5", "--work-ms", "5"],
        ["phased", "--lockstep", "--idle-ms", "5"],
    ],
)
def test_a_tenant_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    done = subprocess.run([str(find(TENANT_PROGRAM)), *arguments], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage:" in done.stderr


def test_what_a_holder_holds_is_whole_at_the_end() -> None:
    done = subprocess.run(
        [str(find(HOLDER)), "32", "16"],
        input="x",
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = done.stdout.split()
    assert (lines[0], lines[-1]) == ("ready", "whole")
    assert set(lines[1:-1]) == {"tick"}
