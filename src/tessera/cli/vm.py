# SPDX-License-Identifier: Apache-2.0
"""`tessera run --vm`: gets a lease and runs the program in a virtual machine that holds it."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tessera import paths
from tessera.cli import run
from tessera.hypervisor import accelerator, guest, image, qemu, terminal, workload
from tessera.hypervisor.accelerator import Verdict
from tessera.hypervisor.base import Accelerator, Disk, MachineSpec
from tessera.hypervisor.boot import Program
from tessera.model.errors import TesseraError, UsageError
from tessera.model.units import MIB, parse_memory

_LEAST_MEMORY = 128 * MIB
_BOOT_LIMITS = {Accelerator.KVM: 30.0, Accelerator.TCG: 180.0}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class VmOptions:
    """The machine that was asked for; memory in bytes."""

    image: Path
    cpus: int
    memory: int


def checked(image_file: str | None, cpus: int, memory: str, transport: str) -> VmOptions:
    """Raises UsageError or InvalidMemory."""
    if transport == "tcp":
        raise UsageError(
            "A virtual machine has no network: its commands go over virtio-serial.",
            "Leave --transport out.",
        )
    if image_file is None:
        raise UsageError("A virtual machine needs an image to run from.", "Give --image FILE.sif.")
    size = parse_memory(memory)
    if size < _LEAST_MEMORY:
        raise UsageError(
            f"A guest cannot start in {memory}.",
            f"Give at least --guest-memory {_LEAST_MEMORY // MIB}MiB.",
        )
    return VmOptions(Path(image_file), cpus, size)


def main(options: run.Options, machine: VmOptions) -> int:
    """Runs the command; the program's exit code, or Tessera's own where it could not be run."""
    try:
        return _main(options, machine)
    except TesseraError as error:
        run.report(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _main(options: run.Options, machine: VmOptions) -> int:
    disk = image.root_disk(machine.image)
    hypervisor, kernel = qemu.Qemu(), guest.find_kernel()
    verdict = asyncio.run(
        accelerator.choose(
            hypervisor, kernel, Path(paths.state_folder(), accelerator.ANSWER), qemu.KVM
        )
    )
    if verdict.accelerator is Accelerator.TCG:
        print(f"tessera: the machine is emulated, which is slower: {verdict.why}", file=sys.stderr)
    options.transport = "unix"
    lease = run.environment(run.lease(options), {})
    work = workload.Workload(
        program=_program(options.command, lease),
        spec=_spec(lease["TESSERA_LEASE"], machine, kernel, disk, verdict),
        endpoint=lease["TESSERA_ENDPOINT"].removeprefix("unix:"),
        boot_limit=_BOOT_LIMITS[verdict.accelerator],
    )
    return asyncio.run(workload.run(work, hypervisor))


def _spec(
    name: str, machine: VmOptions, kernel: guest.Kernel, disk: Disk, verdict: Verdict
) -> MachineSpec:
    return MachineSpec(
        name=name,
        cpus=machine.cpus,
        memory=machine.memory,
        kernel=kernel.image,
        initramfs=guest.initramfs(kernel),
        disk=disk,
        accelerator=verdict.accelerator,
    )


def _program(command: list[str], lease: dict[str, str]) -> Program:
    """What the guest runs: nothing of this host's environment is there but the name of the terminal."""
    variables = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **lease, **guest.VARIABLES}
    interactive = terminal.is_interactive()
    if interactive:
        variables["TERM"] = os.environ.get("TERM", "dumb")
    return Program(command, variables, terminal=terminal.size() if interactive else None)
