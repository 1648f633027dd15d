# SPDX-License-Identifier: Apache-2.0
"""The native measuring programs, on the machine and on the bare device."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tessera.bench.calls import BASELINE_PROGRAM, CALLS_PROGRAM
from tessera.bench.sides import bare_environment
from tessera.native import find

YARDSTICKS = {"futex_sleeping", "pipe", "unix_stream", "tcp", "tcp_64MiB", "memcpy_16MiB"}
CALLS = {"posted_kernel", "round_trip_finish", "kernel_finish", "chain", "write_1MiB", "read_1MiB"}


def talk(program: str, commands: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [str(find(program)), "--lockstep"],
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
