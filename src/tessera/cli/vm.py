# SPDX-License-Identifier: Apache-2.0
"""`tessera run --vm`: gets a lease and runs the program in a virtual machine that holds it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tessera import paths
from tessera.cli import run, vm_direct
from tessera.hypervisor import (
    accelerator,
    guest,
    holding,
    qemu,
    shared_folders,
    terminal,
    workload,
)
from tessera.hypervisor.accelerator import Verdict
from tessera.hypervisor.base import Accelerator, Disk, MachineSpec, Share
from tessera.hypervisor.boot import Program
from tessera.images import architecture
from tessera.images.cache import Cache
from tessera.images.config import ImageConfig
from tessera.images.opened import opened
from tessera.images.start import start_of
from tessera.model.errors import ImageUnsupported, TesseraError, UsageError
from tessera.model.units import MIB, parse_memory
from tessera.sandbox.plan import Mount, parse_mount

_LEAST_MEMORY = 128 * MIB
_HUGE_PAGE = 2 * MIB
_BOOT_LIMITS = {Accelerator.KVM: 30.0, Accelerator.TCG: 180.0}


@dataclass(frozen=True)
class VmOptions:
    """The machine that was asked for; memory in bytes."""

    image: str
    cpus: int
    memory: int
    mounts: tuple[Mount, ...] = ()
    direct: tuple[str, ...] = ()
    without_reset: bool = False
    huge_pages: bool = False


def checked(
    image: str | None, cpus: int, memory: str, transport: str, mounts: Sequence[str]
) -> VmOptions:
    """Raises UsageError, InvalidMemory or InvalidMount."""
    if transport == "tcp":
        raise UsageError(
            "A virtual machine has no network: its commands go over virtio-serial.",
            "Leave --transport out.",
        )
    if image is None:
        raise UsageError(
            "A virtual machine runs an image, and none is named.",
            "Add --image IMAGE; `tessera image list` lists yours.",
        )
    size = parse_memory(memory)
    if size < _LEAST_MEMORY:
        raise UsageError(
            f"A guest cannot start in {memory}.",
            f"Give at least --guest-memory {_LEAST_MEMORY // MIB}MiB.",
        )
    wanted = tuple(parse_mount(text) for text in mounts)
    shared_folders.check(wanted)
    return VmOptions(image, cpus, size, wanted)


def with_devices(
    machine: VmOptions, direct: list[str] | None, without_reset: bool, huge_pages: bool
) -> VmOptions:
    """The machine with devices of the host. Raises UsageError."""
    if without_reset and not direct:
        raise UsageError("--without-reset is for --direct.", "Add --direct DEVICE.")
    devices = tuple(part for text in direct or [] for part in text.split(",") if part)
    memory = -(-machine.memory // _HUGE_PAGE) * _HUGE_PAGE if huge_pages else machine.memory
    return replace(
        machine,
        memory=memory,
        direct=devices,
        without_reset=without_reset,
        huge_pages=huge_pages,
    )


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
    with opened(machine.image, Cache()) as image, ExitStack() as owner:
        architecture.check(image.image.architecture)
        start = start_of(image.image, image.config, options.command)
        program = _program(start.arguments, image.config, machine.image)
        options.command = list(start.shown)
        primary = image.image.primary
        disk = Disk(image.path, primary.offset, primary.size)
        shares = shared_folders.pack(machine.mounts, owner)
        program = replace(program, shares=tuple(share.place for share in shares))
        return _run(options, machine, program, disk, shares)


def _run(
    options: run.Options,
    machine: VmOptions,
    program: Program,
    disk: Disk,
    shares: tuple[Share, ...],
) -> int:
    hypervisor, kernel = qemu.Qemu(), guest.find_kernel()
    verdict = asyncio.run(
        accelerator.choose(
            hypervisor, kernel, Path(paths.state_folder(), accelerator.ANSWER), qemu.KVM
        )
    )
    if verdict.accelerator is Accelerator.TCG:
        print(f"tessera: the machine is emulated, which is slower: {verdict.why}", file=sys.stderr)
    options.transport = "unix"
    if machine.direct:
        taken = vm_direct.request(
            options, machine.direct, machine.memory, machine.without_reset, machine.huge_pages
        )
        spec = vm_direct.with_devices(
            _spec(taken.id, machine, kernel, disk, verdict, shares), taken
        )
        work = workload.Workload(program, spec, None, _boot_limit(verdict.accelerator))
        return asyncio.run(workload.run(work, hypervisor))
    with holding.listen() as listener:
        options.machine = holding.name_of(listener)
        lease = run.environment(run.request_lease(options), {})
        variables = {**program.variables, **lease, **guest.VARIABLES}
        work = workload.Workload(
            program=replace(program, variables=variables),
            spec=_spec(lease["TESSERA_LEASE"], machine, kernel, disk, verdict, shares),
            endpoint=lease["TESSERA_ENDPOINT"].removeprefix("unix:"),
            boot_limit=_boot_limit(verdict.accelerator),
            control=listener,
        )
        return asyncio.run(workload.run(work, hypervisor))


def _boot_limit(accelerator: Accelerator) -> float:
    """$TESSERA_BOOT_LIMIT in seconds, for machines in machines, else what is enough elsewhere. Raises UsageError."""
    chosen = os.environ.get("TESSERA_BOOT_LIMIT")
    if not chosen:
        return _BOOT_LIMITS[accelerator]
    if not chosen.isdecimal() or int(chosen) < 1:
        raise UsageError(
            f"TESSERA_BOOT_LIMIT is '{chosen[:20]}', and that is no number of seconds.",
            "Write a whole number, such as 600.",
        )
    return float(chosen)


def _spec(
    name: str,
    machine: VmOptions,
    kernel: guest.Kernel,
    disk: Disk,
    verdict: Verdict,
    shares: tuple[Share, ...],
) -> MachineSpec:
    return MachineSpec(
        name=name,
        cpus=machine.cpus,
        memory=machine.memory,
        kernel=kernel.image,
        initramfs=guest.initramfs(kernel),
        disk=disk,
        accelerator=verdict.accelerator,
        shares=shares,
        huge_pages=machine.huge_pages,
    )


def _program(arguments: Sequence[str], config: ImageConfig, image: str) -> Program:
    """What the guest runs, but for its lease. Nothing of this host's environment is there but the name of
    the terminal. Raises ImageUnsupported."""
    if not arguments:
        raise ImageUnsupported(
            "The image names no program of its own.",
            f"Name one: tessera run --vm --image {image} -- PROGRAM",
        )
    variables = {"LANG": "C.UTF-8", **config.environment}
    interactive = terminal.is_interactive()
    if interactive:
        variables["TERM"] = os.environ.get("TERM", "dumb")
    return Program(
        list(arguments),
        variables,
        directory=config.working_dir or "/",
        user=config.user,
        terminal=terminal.size() if interactive else None,
    )
