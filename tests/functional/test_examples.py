# SPDX-License-Identifier: Apache-2.0
"""The example programs compute the same on a lease as on the bare device, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.programs import native
from tessera.bench.demo import keep_caches, try_allocating
from tessera.bench.examples import find_example
from tessera.bench.sides import LEASED, private_daemon, side_command

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600  # kernels may have to be compiled first

# What the clock has a part in differs from run to run on the same device, too.
TIMED = {"seconds", "device_seconds", "steps_per_second", "gigaflops", "duty", "response_seconds"}

PROGRAMS = {
    "language_model": ["--steps", "12", "--report-every", "4"],
    "image_classifier": ["--steps", "40", "--report-every", "10"],
    "nbody": ["--bodies", "512", "--steps", "20"],
    "image_stream": ["--inputs", "20", "--wait", "0.002", "--side", "64", "--report-every", "10"],
    "online_digits": ["--deliveries", "20", "--wait", "0.002", "--units", "64"],
}


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    """A daemon of these tests' own, and compiled kernels that are kept from run to run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("POCL_CACHE_DIR", "CACHEDB"):
            patch.setenv(name, "")  # noted by the patch, which so takes back what is set below
            patch.delenv(name)
        keep_caches(ROOT / ".cache")
        with private_daemon(needed=True) as environment:
            yield environment


def run(name: str, side: str, environment: Mapping[str, str], *more: str) -> list[dict[str, Any]]:
    """What the program reports on a side, without what depends on the clock."""
    program = [sys.executable, str(find_example(name)), "--json-lines", *PROGRAMS[name], *more]
    done = subprocess.run(
        side_command(side, program, "1/4"),
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        {name: value for name, value in record.items() if name not in TIMED} for record in records
    ]


@pytest.fixture(scope="module")
def bare_results(environment: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    return {name: run(name, "bare", environment) for name in PROGRAMS}


# The models take most of their time to start, so the streams are left to the quick program here.
CASES = [
    pytest.param(name, side, marks=[] if side == "shm" or name == "nbody" else pytest.mark.slow)
    for name in PROGRAMS
    for side in LEASED
]


@pytest.mark.parametrize(("name", "side"), CASES)
def test_a_lease_computes_what_the_bare_device_computes(
    name: str,
    side: str,
    environment: Mapping[str, str],
    bare_results: dict[str, list[dict[str, Any]]],
) -> None:
    leased = run(name, side, environment)
    assert len(leased[-1]["sha256"]) == 64
    assert leased == bare_results[name]


@dataclass(frozen=True)
class Counts:
    """Of the language model, from its start to its end."""

    round_trips: int
    messages: int
    reads: int
    """Waits for a read."""
    commands: int

    def since(self, before: Counts) -> Counts:
        return Counts(
            self.round_trips - before.round_trips,
            self.messages - before.messages,
            self.reads - before.reads,
            self.commands - before.commands,
        )


def counts(steps: int, environment: Mapping[str, str], folder: Path) -> Counts:
    files = {
        "OPENCL_LAYERS": native("libtessera-count-layer.so"),
        "TESSERA_LAYER_FILE": str(folder / "layer"),
        "TESSERA_STATS_FILE": str(folder / "stats"),
    }
    run("language_model", "shm", {**environment, **files}, "--steps", str(steps))
    stats = json.loads((folder / "stats").read_text())
    reads, commands = (int(number) for number in (folder / "layer").read_text().split())
    return Counts(stats["round_trips"], stats["messages"], reads, commands)


@pytest.fixture(scope="module")
def sixteen_steps(
    environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Counts:
    """What sixteen more steps cost."""
    folder = tmp_path_factory.mktemp("counts")
    few = counts(8, environment, folder)
    return counts(24, environment, folder).since(few)


def test_a_training_step_costs_no_more_round_trips_than_it_has_blocking_reads(
    sixteen_steps: Counts,
) -> None:
    assert sixteen_steps.reads >= 16 // 4  # it reports every 4th step
    assert sixteen_steps.round_trips <= sixteen_steps.reads


def test_a_training_step_costs_a_message_for_each_command(sixteen_steps: Counts) -> None:
    assert sixteen_steps.commands >= 16 * 100
    # And a finish for each wait, but nothing for the arguments of kernels.
    assert sixteen_steps.messages <= sixteen_steps.commands + 2 * sixteen_steps.reads


def test_the_seed_decides_and_nothing_else(
    environment: Mapping[str, str], bare_results: dict[str, list[dict[str, Any]]]
) -> None:
    assert run("nbody", "bare", environment) == bare_results["nbody"]
    other = run("nbody", "bare", environment, "--seed", "1")
    assert other[-1]["sha256"] != bare_results["nbody"][-1]["sha256"]


def test_the_programs_do_what_they_are_for(
    bare_results: dict[str, list[dict[str, Any]]],
) -> None:
    losses = [record["loss"] for record in bare_results["language_model"] if "loss" in record]
    assert losses[-1] < losses[0]
    assert bare_results["image_classifier"][-1]["accuracy"] > 0.5
    assert abs(bare_results["nbody"][-1]["drift"]) < 1e-3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("language_model", ["--steps", "0"]),
        ("language_model", ["--width", "30"]),
        ("image_classifier", ["--report-every", "0"]),
        ("nbody", ["--bodies", "100"]),
        ("nbody", ["--softening", "0"]),
    ],
)
def test_arguments_that_make_no_sense_are_refused(name: str, arguments: list[str]) -> None:
    program = [sys.executable, str(find_example(name)), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_the_demo_fills_a_lease_to_its_limit_and_is_refused() -> None:
    refusal = try_allocating("shm", "1/8")
    assert refusal.device_memory - refusal.refused < refusal.granted <= refusal.device_memory
    assert "MEM_OBJECT_ALLOCATION_FAILURE" in refusal.error
