# SPDX-License-Identifier: Apache-2.0
"""Which devices are meant: a pure function from what was asked for and one look at the host.

What is not there yet gets its name here already, so that it can be written down before it is made: a virtual
function's address follows from its parent's (the PCI specification's offset and stride), and a mediated
device's UUID is ours to choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from tessera.direct.wanted import Wanted, WantedKind
from tessera.model.direct import (
    DeviceType,
    DirectDevice,
    DirectFinding,
    DirectHost,
    DirectKind,
    FindingName,
    PciFunction,
)
from tessera.model.gpu import Gpu

_ADDRESS = re.compile(r"([0-9a-f]+):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
_LIST = "`tessera direct list` shows what is there."


@dataclass
class Plan:
    """The devices, each once, in the order in which they were asked for; what was not found."""

    devices: list[DirectDevice] = field(default_factory=list)
    findings: list[DirectFinding] = field(default_factory=list)

    def has(self, key: str) -> bool:
        return any(device.key == key for device in self.devices)


def plan(
    wanted: Sequence[Wanted],
    host: DirectHost,
    gpus: Mapping[str, Gpu] | None = None,
    taken: Collection[str] = (),
    new_uuid: Callable[[], str] = lambda: str(uuid4()),
) -> Plan:
    """`gpus`: those of the inventory by their ids; `taken`: the keys of devices that direct leases have."""
    resolver = _Resolver(host, gpus or {}, taken, new_uuid)
    for each in wanted:
        resolver.add(each)
    return resolver.plan


class _Resolver:
    def __init__(
        self,
        host: DirectHost,
        gpus: Mapping[str, Gpu],
        taken: Collection[str],
        new_uuid: Callable[[], str],
    ) -> None:
        self.plan = Plan()
        self._host = host
        self._gpus = gpus
        self._taken = taken
        self._new_uuid = new_uuid

    def add(self, wanted: Wanted) -> None:
        match wanted.kind:
            case WantedKind.VIRTUAL:
                self._add_virtual(wanted.name)
            case WantedKind.TYPE:
                self._add_piece(wanted.name, wanted.type)
            case WantedKind.MEDIATED:
                self._add_mediated(wanted.name)
            case _:
                self._add_functions(wanted)

    def _add_functions(self, wanted: Wanted) -> None:
        found = list(self._functions(wanted))
        if not found:
            self._miss(FindingName.NO_SUCH_DEVICE, wanted.name, _nothing_at(wanted), _LIST)
        for function in found:
            if not self.plan.has(function.address):
                self.plan.devices.append(self._of(function))

    def _functions(self, wanted: Wanted) -> Iterator[PciFunction]:
        name = wanted.name
        if wanted.kind is WantedKind.GPU:
            gpu = self._gpus.get(name)
            name = gpu.pci.address if gpu and gpu.pci else ""
        for each in self._host.functions:
            if wanted.kind is WantedKind.SLOT:
                # A virtual function may lie in its parent's slot, and is a device of its own.
                chosen = each.slot == name and each.virtual_of is None
            elif wanted.kind is WantedKind.GROUP:
                chosen = each.group == int(name) and not each.is_bridge
            else:
                chosen = each.address == name
            if chosen:
                yield each

    def _of(self, function: PciFunction) -> DirectDevice:
        kind = DirectKind.FUNCTION
        if function.virtual_of:
            # One that its vendor's driver has cut a piece into is handed over as it is.
            kind = DirectKind.VGPU if function.current_type else DirectKind.VIRTUAL
        return DirectDevice(
            kind=kind,
            key=function.address,
            group=function.group,
            parent=function.virtual_of,
            type=function.current_type,
            former_driver=function.driver,
            former_override=function.override,
            numa_cpus=function.numa_cpus,
            gpu=self._gpu_at(function.address),
        )

    def _gpu_at(self, address: str) -> Gpu | None:
        at = (gpu for gpu in self._gpus.values() if gpu.pci and gpu.pci.address == address)
        return next(at, None)

    def _free(self, key: str) -> bool:
        return key not in self._taken and not self.plan.has(key)

    def _add_virtual(self, parent: str) -> None:
        card = self._host.function(parent)
        if card is None or not card.virtual_total:
            cause = f"{parent} has no virtual functions." if card else f"There is no {parent}."
            kind = FindingName.NO_VIRTUAL_FUNCTION if card else FindingName.NO_SUCH_DEVICE
            return self._miss(kind, parent, cause, _LIST)
        if card.virtual:
            for address in card.virtual:
                function = self._host.function(address)
                if function and not function.current_type and self._free(address):
                    return self.plan.devices.append(self._of(function))
        else:
            for address in addresses_of_virtual(card):
                if self._free(address):
                    return self.plan.devices.append(
                        DirectDevice(
                            kind=DirectKind.VIRTUAL,
                            key=address,
                            parent=parent,
                            made=True,
                            former_autoprobe=card.autoprobe,
                            numa_cpus=card.numa_cpus,
                        )
                    )
        count = len(card.virtual) or card.virtual_total
        cause = f"All {count} virtual functions of {parent} are in use."
        return self._miss(
            FindingName.NO_VIRTUAL_FUNCTION, parent, cause, "End a lease that has one of them."
        )

    def _add_piece(self, parent: str, kind: str) -> None:
        if any(each.name == parent for each in self._host.parents):
            return self._add_new_mediated(parent, kind)
        card = self._host.function(parent)
        if card is None:
            cause = f"There is no {parent} that pieces can be made of."
            return self._miss(FindingName.NO_SUCH_DEVICE, parent, cause, _LIST)
        return self._add_vgpu(card, kind)

    def _add_new_mediated(self, parent: str, kind: str) -> None:
        types = next(each.types for each in self._host.parents if each.name == parent)
        chosen = next((each for each in types if each.id == kind), None)
        if chosen is None:
            return self._no_such_type(parent, kind, types)
        asked = sum(d.made and d.parent == parent and d.type == kind for d in self.plan.devices)
        if chosen.available is not None and chosen.available <= asked:
            return self._used_up(parent, kind)
        function = self._host.function(parent)
        self.plan.devices.append(
            DirectDevice(
                kind=DirectKind.MEDIATED,
                key=self._new_uuid(),
                parent=parent,
                type=kind,
                made=True,
                numa_cpus=function.numa_cpus if function else None,
            )
        )
        return None

    def _add_vgpu(self, card: PciFunction, kind: str) -> None:
        """`card`: the physical function, or one of its virtual functions."""
        places = [each for name in card.virtual if (each := self._host.function(name))] or [card]
        free = [each for each in places if not each.current_type and self._free(each.address)]
        for each in free:
            if any(one.id == kind for one in each.types):
                device = self._of(each)
                update = {"kind": DirectKind.VGPU, "type": kind, "made": True}
                return self.plan.devices.append(device.model_copy(update=update))
        known = tuple({one.id: one for each in places for one in each.types}.values())
        # What a card can become shrinks with what it is: a type that none lists may just be used up.
        if any(each.current_type == kind for each in places) or any(
            one.id == kind for one in known
        ):
            return self._used_up(card.address, kind)
        return self._no_such_type(card.address, kind, known)

    def _add_mediated(self, uuid: str) -> None:
        for each in self._host.mediated:
            if each.uuid == uuid:
                device = DirectDevice(
                    kind=DirectKind.MEDIATED,
                    key=uuid,
                    group=each.group,
                    parent=each.parent,
                    type=each.type,
                )
                if not self.plan.has(uuid):
                    self.plan.devices.append(device)
                return
        cause = f"There is no mediated device {uuid}."
        self._miss(FindingName.NO_SUCH_DEVICE, uuid, cause, _LIST)

    def _used_up(self, parent: str, kind: str) -> None:
        cause = f"{parent} has no room for another {kind}."
        todo = "End a lease that has a piece of it, or ask for a smaller type."
        self._miss(FindingName.TYPE_USED_UP, parent, cause, todo)

    def _no_such_type(self, parent: str, kind: str, types: Sequence[DeviceType]) -> None:
        names = ", ".join(each.id for each in types) or "none"
        cause = f"{parent} cannot be cut into pieces of type {kind}; its types are: {names}."
        self._miss(FindingName.NO_SUCH_TYPE, parent, cause, "Ask for one of those.")

    def _miss(self, name: FindingName, device: str, cause: str, todo: str) -> None:
        self.plan.findings.append(DirectFinding(name=name, device=device, cause=cause, todo=todo))


def _nothing_at(wanted: Wanted) -> str:
    if wanted.kind is WantedKind.GROUP:
        return f"There is no function in an IOMMU group {wanted.name}."
    if wanted.kind is WantedKind.GPU:
        return f"There is no GPU {wanted.name} with a PCI address."
    return f"There is no PCI function at {wanted.name}."


def addresses_of_virtual(card: PciFunction) -> list[str]:
    """Where the virtual functions of a card are, or would be once they are made."""
    found = _ADDRESS.fullmatch(card.address)
    if found is None or not card.virtual_offset:
        return []
    domain, bus, slot, function = found.groups()
    own = int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)
    places = (
        own + card.virtual_offset + card.virtual_stride * number
        for number in range(card.virtual_total)
    )
    return [f"{domain}:{at >> 8:02x}:{at >> 3 & 0x1F:02x}.{at & 7}" for at in places]
