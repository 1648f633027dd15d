# SPDX-License-Identifier: Apache-2.0
"""How long a virtual machine takes to its program's first instruction, from an empty page cache of the guest.

The program writes a byte as the first thing it does, so what is timed ends a little after its first instruction:
with the byte at the other end of the command. Three moments are told: from the command's start, from the start of
QEMU's process (which leaves out the interpreter, the lease and the daemon), and to the command's end.

Refused: the guest's own clock. It is set from the host's while the guest boots, so it cannot time the boot.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import tessera
from tessera.bench.contest import Say
from tessera.bench.errors import ImageMissing, SideFailed
from tessera.bench.host import commit, describe_host
from tessera.bench.machines import VM, image_path
from tessera.bench.quiet import family, parents_now
from tessera.bench.result import Report, Target, make_series, make_target
from tessera.bench.sides import private_daemon
from tessera.bench.usage import TICK, stat_fields

BOOT, COMMAND, WHOLE = "qemu_to_first_instruction", "command_to_first_instruction", "command"
EMULATED, KVM = "emulated", "kvm"
_TARGET_SECONDS = {EMULATED: 5.0, KVM: 1.0}
_REMARK = "the machine is emulated"
_START_TIME = 19  # of stat_fields(): ticks since the host's boot


@dataclass(frozen=True)
class BootPlan:
    """`boots` machines, one after the other, each with a part `fraction` of a GPU."""

    boots: int = 9
    fraction: str = "1/4"


@dataclass(frozen=True)
class Boot:
    """One machine's moments, in seconds."""

    from_qemu: float
    from_command: float
    whole: float
    accelerator: str


def run_boots(plan: BootPlan, say: Say) -> Report:
    """Measures. Raises ImageMissing and SideFailed."""
    started, host = datetime.now(UTC), describe_host()
    command = boot_command(image_path(), plan.fraction)
    with private_daemon(needed=True) as environment:
        say("warming up: a machine, and whether KVM boots a guest")
        boot(command, environment)
        boots = []
        for number in range(plan.boots):
            boots.append(boot(command, environment))
            say(f"{number + 1}/{plan.boots}: {boots[-1].from_qemu:.2f} s from QEMU's start")
    samples = {
        BOOT: [[one.from_qemu * 1e9] for one in boots],
        COMMAND: [[one.from_command * 1e9] for one in boots],
        WHOLE: [[one.whole * 1e9] for one in boots],
    }
    series = [make_series(name, {VM: slices}) for name, slices in samples.items()]
    accelerator = boots[0].accelerator
    return Report(
        experiment="start-vm",
        started_at=started,
        host=host,
        tessera_version=tessera.__version__,
        commit=commit(),
        drivers={},
        parameters={"boots": plan.boots, "fraction": plan.fraction, "accelerator": accelerator},
        series=tuple(series),
        targets=(boot_target(series[0].summaries[VM].median / 1e9, accelerator),),
    )


def boot_target(seconds: float, accelerator: str) -> Target:
    """The promise on the median boot."""
    most = _TARGET_SECONDS[accelerator]
    return make_target("boot to first instruction", VM, seconds, most, "s", True, accelerator)


def boot_command(image: Path, fraction: str) -> list[str]:
    """A machine whose program says one word. Raises ImageMissing."""
    if not image.exists():
        raise ImageMissing(
            f"There is no image {image}.",
            "Run `make demo`, which makes it, or name one with TESSERA_BENCH_IMAGE.",
        )
    run = [sys.executable, "-m", "tessera", "run", "--vm", "--image", str(image)]
    return [*run, "--fraction", fraction, "--", "sh", "-c", "echo up"]


def boot(command: Sequence[str], environment: Mapping[str, str]) -> Boot:
    """Boots one machine. Raises SideFailed."""
    begin = time.perf_counter()
    with subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        said = process.stdout.read(1)
        first, up = time.perf_counter(), time.clock_gettime(time.CLOCK_BOOTTIME)
        qemu = _start_of_qemu(process.pid)
        process.stdout.read()
        errors = process.stderr.read().decode(errors="replace")
        code = process.wait()
    whole = time.perf_counter() - begin
    if code != 0 or said != b"u" or qemu is None:
        raise SideFailed(f"The machine failed.\n{errors[-2000:]}", f"Run it: {' '.join(command)}")
    accelerator = EMULATED if _REMARK in errors else KVM
    return Boot(up - qemu, first - begin, whole, accelerator)


def _start_of_qemu(command: int) -> float | None:
    """When the command's QEMU was started, in seconds of CLOCK_BOOTTIME, to 10 ms."""
    for pid in family(command, parents_now()):
        fields = stat_fields(pid)
        if fields is not None and _program(pid).startswith("qemu-system"):
            return int(fields[_START_TIME]) * TICK
    return None


def _program(pid: int) -> str:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""
