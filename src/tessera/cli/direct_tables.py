# SPDX-License-Identifier: Apache-2.0
"""Devices of direct mode as people see them."""

from __future__ import annotations

from rich.console import RenderableType

from tessera.cli.tables import plain_table
from tessera.model.direct import DirectUse, DirectView


def view(found: DirectView, everything: bool) -> list[RenderableType]:
    """A table of functions, and one of what can be cut into pieces where there is such."""
    shown = [each for each in found.functions if everything or _is_of_interest(each)]
    tables: list[RenderableType] = [_functions(shown)]
    pieces = [
        (parent.name, kind.id, _count(kind.available), kind.title)
        for parent in found.parents
        for kind in parent.types
    ]
    pieces += [
        (each.address, kind.id, "-", kind.title) for each in found.functions for kind in each.types
    ]
    if pieces:
        columns = ("PARENT", "TYPE", "LEFT", "TITLE")
        tables += ["", plain_table(columns, pieces, right=("LEFT",), cut="TITLE")]
    if found.mediated:
        rows = [(each.uuid, each.parent, each.type, _count(each.group)) for each in found.mediated]
        columns = ("MEDIATED DEVICE", "PARENT", "TYPE", "GROUP")
        tables += ["", plain_table(columns, rows, right=("GROUP",))]
    return tables


def _is_of_interest(each: DirectUse) -> bool:
    return each.is_gpu or bool(each.gpu or each.lease or each.virtual_total or each.types)


def _functions(shown: list[DirectUse]) -> RenderableType:
    rows = [
        (
            each.address,
            each.gpu or "-",
            f"{each.vendor_id[2:]}:{each.device_id[2:]}",
            _count(each.group),
            each.driver or "-",
            ",".join(each.resets) or "none",
            f"{len(each.virtual)}/{each.virtual_total}" if each.virtual_total else "-",
            each.lease or ("display" if each.display else "driver" if each.users else "-"),
        )
        for each in shown
    ]
    columns = ("ADDRESS", "GPU", "ID", "GROUP", "DRIVER", "RESET", "VF", "USED BY")
    return plain_table(columns, rows, right=("GROUP",), cut="USED BY")


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)
