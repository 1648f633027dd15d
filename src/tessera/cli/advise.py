# SPDX-License-Identifier: Apache-2.0
"""`tessera advise`: measures leases for a while and tells what sharing one GPU would mean for them."""

from __future__ import annotations

import time

from rich.table import Table

from tessera.advice.combine import Advice, advise
from tessera.cli import output
from tessera.cli.commands import client
from tessera.cli.output import Format
from tessera.cli.tables import plain_table
from tessera.model.units import format_bytes

# Above this a device is so full that small errors of the duties move the prediction by much.
_NEARLY_FULL = 0.9


def show_advice(leases: list[str], seconds: float, output_format: Format) -> None:
    """Looks twice, `seconds` apart. Raises what `advise` raises, and UnreachableError."""
    with client() as daemon:
        before = daemon.usage()
        advise(before, before, leases)  # what is refused is refused before anybody waits
        output.say(f"Measuring for {seconds:g} s.")
        time.sleep(seconds)
        found = advise(before, daemon.usage(), leases)
    if output_format is Format.JSON:
        output.print_json(found)
    else:
        output.print_tables(advice_table(found), "", *verdict(found))


def advice_table(advice: Advice) -> Table:
    """A row for each lease."""
    rows = [
        (
            one.name,
            one.gpu,
            format_bytes(one.memory),
            f"{one.duty:.2f}",
            f"{100 * (one.slowdown - 1):.0f} %",
        )
        for one in advice.leases
    ]
    columns = ("NAME", "GPU", "MEMORY", "DUTY", "SLOWDOWN")
    return plain_table(columns, rows, right=("MEMORY", "DUTY", "SLOWDOWN"))


def verdict(advice: Advice) -> list[str]:
    """What the table comes to, in words."""
    gain, busy = f"{advice.gain:.2f}", f"{100 * advice.busy:.0f} %"
    where = ", ".join(advice.fits) or "no GPU of this host"
    lines = [
        f"together: {gain} times the work of one after another, the device busy {busy} of the time",
        f"memory:   {format_bytes(advice.memory)} in all, fits on {where}",
    ]
    if advice.busy > _NEARLY_FULL:
        lines.append("note:     the device would be full: another job only slows the others down")
    return lines
