# SPDX-License-Identifier: Apache-2.0
"""Experiments in virtual machines: the commands that are given to them, and what their turns come to."""

from __future__ import annotations

import io
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from tessera.bench import boot, four_machines, machines
from tessera.bench.errors import ImageMissing, ResultsDiffer
from tessera.bench.four_machines import MachineResult, MachinesPlan, MachinesResult, machines_table
from tessera.bench.player import Message
from tessera.bench.sides import side_command


def turn(steps: int, seconds: float, device_ns: float) -> Message:
    samples = {"step": [seconds / steps * 1e9], "device": [device_ns]}
    return {"steps": steps, "seconds": seconds, "samples": samples, "shown": 0.25}


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "some.sif"
    path.touch()
    monkeypatch.setenv("TESSERA_BENCH_IMAGE", str(path))
    return path


def test_a_command_runs_by_the_guests_python_with_this_hosts_examples(image: Path) -> None:
    command = side_command(
        "vm", [sys.executable, "-m", "tessera.bench.workload", "nbody"], "1/4", 200
    )
    run, inside = command[: command.index("--")], command[command.index("--") + 1 :]
    assert run[run.index("--image") + 1] == str(image)
    assert run[run.index("--fraction") + 1] == "1/4"
    assert run[run.index("--weight") + 1] == "200"
    assert inside[-4:] == ["python3", "-m", "tessera.bench.workload", "nbody"]
    mounts = [word.partition(":") for before, word in pairwise(run) if before == "--mount"]
    assert all(Path(source).is_dir() for source, _, _ in mounts)
    assert "TESSERA_EXAMPLES=/opt/tessera/examples" in inside
    assert "/opt/tessera/examples" in [place for _, _, place in mounts]


def test_an_image_that_was_not_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERA_BENCH_IMAGE", str(tmp_path / "no.sif"))
    with pytest.raises(ImageMissing, match=r"no\.sif"):
        machines.machine_command(["true"], "1/4")


def test_an_image_that_is_there_is_not_made_again(image: Path) -> None:
    assert machines.make_image(lambda text: pytest.fail(text)) == image


def test_turns_come_to_rates_duty_and_slowdown() -> None:
    turns = [(turn(10, 2.0, 4e7), turn(10, 2.5, 5e7)) for _ in range(3)]
    result = four_machines._result(turns)
    assert result == MachineResult(alone=5.0, together=4.0, duty=0.2, loss=0.25)
    assert result.slowdown == pytest.approx(0.25)


def test_the_gain_is_against_one_after_another() -> None:
    one = MachineResult(alone=5.0, together=4.0, duty=0.2, loss=0.5)
    two = MachineResult(alone=3.0, together=3.0, duty=0.2, loss=0.5)
    result = MachinesResult({"vm1": one, "vm2": two}, "ab" * 32)
    assert result.gain == pytest.approx(7.0 / 4.0)
    text = io.StringIO()
    Console(file=text, width=110).print(machines_table(MachinesPlan(machines=2), result))
    assert "1.75x" in text.getvalue()
    assert "25.0 %" in text.getvalue()


def test_other_weights_are_an_error() -> None:
    assert four_machines._agreed({"vm1": "a", "outside": "a"}) == "a"
    with pytest.raises(ResultsDiffer, match="vm2: b"):
        four_machines._agreed({"vm1": "a", "vm2": "b", "outside": "a"})


@pytest.mark.parametrize(
    ("seconds", "accelerator", "reached"),
    [(4.9, "emulated", True), (5.1, "emulated", False), (0.9, "kvm", True), (4.9, "kvm", False)],
)
def test_a_boot_is_held_to_its_accelerator(seconds: float, accelerator: str, reached: bool) -> None:
    assert boot.boot_target(seconds, accelerator).reached is reached


def test_boots_without_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageMissing):
        boot.boot_command(tmp_path / "none.sif", "1/4")
