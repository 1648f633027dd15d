# SPDX-License-Identifier: Apache-2.0
"""What direct leases and shared ones keep from each other: pure functions of the leases that live."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from tessera.direct.preflight import Uses
from tessera.inventory.away import is_out_of_place
from tessera.model.direct import (
    DirectDevice,
    DirectFinding,
    DirectHost,
    DirectKind,
    FindingName,
)
from tessera.model.errors import (
    DirectDeviceNotFound,
    DirectRefused,
    DirectUnsupported,
    GpuInDirectUse,
    NoCapacity,
    SuspendUnsupported,
    TesseraError,
)
from tessera.model.gpu import Gpu
from tessera.model.lease import Lease, Mode


def uses_of(leases: Iterable[Lease], gpus: Mapping[str, Gpu]) -> Uses:
    """`gpus`: those of the inventory, by their ids."""
    direct: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    for lease in leases:
        direct |= {device.key: lease.name for device in lease.direct}
        if lease.mode is Mode.DIRECT or not lease.holds_memory:
            continue
        used = [gpus[share.gpu] for share in lease.gpus if share.gpu in gpus]
        for gpu in gpus.values():
            if gpu.pci is None:
                continue
            if gpu in used:
                shared.setdefault(gpu.pci.address, []).append(lease.name)
            elif any(is_out_of_place(each, [gpu]) for each in used):
                behind.setdefault(gpu.pci.address, []).append(lease.name)
    return Uses(direct, shared, behind)


def gpus_away(leases: Iterable[Lease]) -> dict[str, Gpu]:
    """The GPUs that machines have, by the name of the lease's GPU id."""
    return {device.gpu.id: device.gpu for lease in leases for device in lease.direct if device.gpu}


def parents_made(leases: Iterable[Lease]) -> dict[str, DirectDevice]:
    """The functions whose virtual functions were made for leases, with a device that says so."""
    return {
        device.parent: device
        for lease in leases
        for device in lease.direct
        if device.made and device.kind is DirectKind.VIRTUAL and device.parent
    }


def heirs(devices: Sequence[DirectDevice], made: Mapping[str, DirectDevice]) -> list[DirectDevice]:
    """The devices, of which virtual functions that were made for another lease are as if made for this
    one: whichever ends last removes them."""
    return [_heir(device, made.get(device.parent or "")) for device in devices]


def _heir(device: DirectDevice, maker: DirectDevice | None) -> DirectDevice:
    if device.kind is not DirectKind.VIRTUAL or maker is None:
        return device
    return device.model_copy(update={"made": True, "former_autoprobe": maker.former_autoprobe})


def not_gpus(
    devices: Sequence[DirectDevice], host: DirectHost, gpus: Collection[str]
) -> list[DirectFinding]:
    """The devices that only root may hand over, because they are no GPUs and belong to none: a disk or a
    network card of the host is not for whoever may use its GPUs."""
    return [
        DirectFinding(
            name=FindingName.NOT_A_GPU,
            device=device.key,
            cause=f"{device.key} is no GPU, and only root hands other devices over.",
            todo="Ask root, or name a GPU.",
        )
        for device in devices
        if not _belongs_to_gpu(device, host, gpus)
    ]


def _belongs_to_gpu(device: DirectDevice, host: DirectHost, gpus: Collection[str]) -> bool:
    function = host.function(device.parent or "") or host.function(device.key)
    if function is None:
        return False
    in_slot = [each for each in host.functions if each.slot == function.slot]
    return any(each.address in gpus or each.is_gpu for each in in_slot)


def refusal(asked: Sequence[str], findings: Sequence[DirectFinding]) -> TesseraError:
    """All findings as one error. A person reads them below each other."""
    if len(findings) == 1:
        (finding,) = findings
        missing = finding.name is FindingName.NO_SUCH_DEVICE
        kind = DirectDeviceNotFound if missing else DirectRefused
        return kind(f"{finding.name}: {finding.cause}", finding.todo)
    lines = [f"{each.name}: {each.cause}\n  {each.todo}" for each in findings]
    return DirectRefused(
        "\n".join([f"{len(findings)} things keep {', '.join(asked)} here:", *lines]),
        "Nothing was changed. `tessera direct check` looks again.",
    )


def explained(error: NoCapacity, away: Mapping[str, str]) -> NoCapacity:
    """A refusal with what it is due to. `away`: the lease whose machine has a GPU, by the GPU's id."""
    if type(error) is not NoCapacity or not away:
        return error
    told = ", ".join(f"{gpu} is in direct use by lease {lease}" for gpu, lease in away.items())
    ends = f"it comes back when that ends: tessera stop {next(iter(away.values()))}"
    return GpuInDirectUse(f"{error.message} {told}.", f"{error.hint} Or wait: {ends}".strip())


def refuse_direct(lease: Lease, what: str) -> None:
    """Raises DirectUnsupported where `lease` is direct."""
    if lease.mode is Mode.DIRECT:
        raise DirectUnsupported(
            f"Lease {lease.name} has its devices directly: {what}.",
            f"See it with: tessera show {lease.name}",
        )


def require_movable(lease: Lease) -> None:
    """Raises SuspendUnsupported where the lease's state is in devices that cannot write it down."""
    if lease.mode is Mode.DIRECT:
        keys = ", ".join(device.key for device in lease.direct)
        raise SuspendUnsupported(
            f"Lease {lease.name} has {keys} directly: what is in the device stays there, because its VFIO "
            "driver cannot migrate it.",
            "Let the program write its own checkpoint, and stop the lease.",
        )
