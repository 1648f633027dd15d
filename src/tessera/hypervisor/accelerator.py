# SPDX-License-Identifier: Apache-2.0
"""Whether this host's KVM really boots a guest.

A /dev/kvm that is there and answers is no proof: inside some clouds' machines the guest's firmware runs and
its kernel never does. So a guest is booted once, with a time limit. The answer is kept until the host boots
again, or has another hypervisor or another guest kernel.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tessera.hypervisor import boot, guest
from tessera.hypervisor.base import Accelerator, Hypervisor, MachineSpec
from tessera.leases.process import boot_id
from tessera.model.errors import MachineFailed

ANSWER = "accelerator.json"  # under the state folder
_LIMIT = 15.0
_MEMORY = 256 << 20


@dataclass(frozen=True)
class Verdict:
    """What the guests of this host run on; `why` says what is wrong with KVM, and is empty where it boots."""

    accelerator: Accelerator
    why: str = ""


async def choose(
    hypervisor: Hypervisor, kernel: guest.Kernel, memory_file: Path, device: Path
) -> Verdict:
    """Looks up, or finds out and keeps in `memory_file`, what guests run on here.

    Raises NativeProgramMissing.
    """
    if not device.exists():
        return Verdict(Accelerator.TCG, f"there is no {device}")
    key = f"{boot_id()} {hypervisor.fingerprint()} {kernel.release}"
    known = _remembered(memory_file, key)
    if known is None:
        known = await _try(hypervisor, kernel)
        _remember(memory_file, key, known)
    return known


async def _try(hypervisor: Hypervisor, kernel: guest.Kernel) -> Verdict:
    spec = MachineSpec(
        name="probe",
        cpus=1,
        memory=_MEMORY,
        kernel=kernel.image,
        initramfs=guest.initramfs(kernel),
        disk=None,
        accelerator=Accelerator.KVM,
    )
    try:
        machine = await hypervisor.start(spec)
        try:
            await boot.greet(machine, _LIMIT)
        finally:
            await machine.end()
    except MachineFailed as error:
        return Verdict(Accelerator.TCG, error.message.splitlines()[0])
    return Verdict(Accelerator.KVM)


def _remembered(file: Path, key: str) -> Verdict | None:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if said["key"] != key:
            return None
        return Verdict(Accelerator(said["accelerator"]), str(said["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(file: Path, key: str, verdict: Verdict) -> None:
    """Where that fails, the next command finds out again."""
    content = {"key": key, "accelerator": verdict.accelerator, "why": verdict.why}
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.rename(file)
    except OSError:
        fresh.unlink(missing_ok=True)
