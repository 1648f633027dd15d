# SPDX-License-Identifier: Apache-2.0
"""What `tessera top` looks like: a line for each GPU, a line for each lease on each of its GPUs.

Each lease has a colour, which its part of the GPU's bar has too. What tells leases apart is never cut
before the command is; on narrow terminals the bars shrink and then go.
"""

from __future__ import annotations

import pwd
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tessera.cli.tables import Cell, one_line, plain_table
from tessera.cli.top.order import KEYS, Order, ordered
from tessera.model.lease import LeaseState
from tessera.model.rates import GpuRates, LeaseGpuRates, LeaseRates, Rates
from tessera.model.units import format_bytes, format_count, format_duration, format_part

# Told apart by readers who see few colours; two leases in one colour are told apart by their names.
_COLOURS = ("cyan", "yellow", "magenta", "green", "bright_blue", "bright_red")
_WIDE = 110
_NAME, _USER = 20, 10


@dataclass
class Shown:
    """What is looked at, and how."""

    order: Order = Order.SHARE
    backwards: bool = False
    interval: float = 2.0
    trouble: str = ""
    colours: dict[str, str] = field(default_factory=dict)

    def colour(self, lease: str) -> str:
        """The same for as long as the lease is looked at."""
        return self.colours.setdefault(lease, _COLOURS[len(self.colours) % len(_COLOURS)])


def screen(console: Console, rates: Rates, shown: Shown, now: datetime) -> RenderableType:
    """All that fits into the window, with the keys in the last line."""
    parts: list[RenderableType] = [_title(rates, shown, now), Text("")]
    parts += [_gpus(console, rates, shown, bars=True), Text("")]
    room = console.height - len(parts) - len(rates.gpus) - 2
    leases, left_out = _fitting(ordered(rates.leases, shown.order, shown.backwards), room)
    parts.append(_leases(console, leases, shown))
    if left_out:
        parts.append(Text(f"... and {left_out} more", style="dim"))
    used = len(parts) + len(rates.gpus) + sum(len(lease.gpus) for lease in leases)
    parts += [Text("")] * max(0, console.height - used - 1)
    return Group(*parts, _footer(shown))


def plain(console: Console, rates: Rates, shown: Shown, now: datetime) -> RenderableType:
    """The same for a file or a pipe: all leases, no bars, no keys."""
    leases = ordered(rates.leases, shown.order, shown.backwards)
    gpus = _gpus(console, rates, shown, bars=False)
    return Group(
        _title(rates, shown, now), Text(""), gpus, Text(""), _leases(console, leases, shown)
    )


def _fitting(leases: Sequence[LeaseRates], room: int) -> tuple[list[LeaseRates], int]:
    """As many leases as there are lines for, and how many are left out; one line is for saying so."""
    lines = sum(len(lease.gpus) for lease in leases)
    if lines <= room:
        return list(leases), 0
    kept: list[LeaseRates] = []
    for lease in leases:
        room -= len(lease.gpus)
        if room < 1:
            break
        kept.append(lease)
    return kept, len(leases) - len(kept)


def _title(rates: Rates, shown: Shown, now: datetime) -> Text:
    over = f"over {rates.seconds:.1f} s" if rates.seconds else "rates follow"
    count = f"{_count(len(rates.gpus), 'GPU')}, {_count(len(rates.leases), 'lease')}"
    title = Text.assemble(("tessera top", "bold"), f"  {now:%H:%M:%S}  {count}, {over}")
    if shown.trouble:
        title.append(f"  {shown.trouble}", style="bold red")
    title.no_wrap = True
    return title


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _footer(shown: Shown) -> Text:
    """The keys; as long as a narrow terminal is wide."""
    text = Text(no_wrap=True, overflow="crop", end="")
    for key, order in KEYS.items():
        text.append(key, style="reverse" if order is shown.order else "bold").append(f" {order} ")
    text.append("r", style="reverse" if shown.backwards else "bold").append(" turn ")
    text.append("+-", style="bold").append(f" {shown.interval:g}s ")
    return text.append("q", style="bold").append(" quit")


def _gpus(console: Console, rates: Rates, shown: Shown, bars: bool) -> Table:
    wide = console.width >= _WIDE
    columns = ["GPU", *(["DEVICE TIME"] if bars else []), "BUSY", "USED", "LEASED", "MEMORY"]
    columns += ["POLICY", "SLICE", "LEASES", *(["NAME"] if wide or not bars else [])]
    length = 10 if not wide else 20
    rows = []
    for gpu in rates.gpus:
        row: list[Cell] = [gpu.gpu]
        if bars:
            row.append(_bar(gpu, rates.leases, shown, length))
        row += [_busy(gpu), format_bytes(gpu.used), format_bytes(gpu.leased)]
        row += [format_bytes(gpu.memory), gpu.policy.value, _slice(gpu), str(gpu.leases)]
        if "NAME" in columns:
            row.append(gpu.name)
        rows.append(row)
    right = ("BUSY", "USED", "LEASED", "MEMORY", "LEASES")
    cut = "NAME" if "NAME" in columns else None
    return plain_table(columns, rows, right, cut, gap=1 if not wide else 2, width=console.width)


def _busy(gpu: GpuRates) -> Cell:
    if gpu.leases and not gpu.arbiter_running:
        return Text("no arbiter", style="red")
    return format_part(None if gpu.busy is None else min(1.0, gpu.busy))


def _slice(gpu: GpuRates) -> str:
    return f"{gpu.slice_ms:g} ms" + (" auto" if gpu.slice_is_automatic else "")


def _bar(gpu: GpuRates, leases: Sequence[LeaseRates], shown: Shown, length: int) -> Text:
    """The device time of the interval, lease by lease; each lease ends where the sum so far is rounded to."""
    bar = Text(no_wrap=True)
    total = 0.0
    for lease in leases:
        duty = sum(one.duty or 0.0 for one in lease.gpus if one.gpu == gpu.gpu)
        total += duty
        end = min(length, round(total * length))
        bar.append("\N{FULL BLOCK}" * (end - len(bar)), style=shown.colour(lease.lease))
    return bar.append("\N{MIDDLE DOT}" * (length - len(bar)), style="dim")


def _leases(console: Console, leases: Sequence[LeaseRates], shown: Shown) -> Table:
    columns = {
        "NAME": Order.NAME,
        "USER": None,
        "GPU": None,
        "USED": Order.MEMORY,
        "LIMIT": None,
        "SHARE": Order.SHARE,
        "DUTY": Order.DUTY,
        "P99": Order.WAIT,
        "MSG/S": Order.MESSAGES,
        "TRIP/S": Order.TRIPS,
        "COMMAND": None,
    }
    rows = [
        _row(lease, gpu, number == 0, shown)
        for lease in leases
        for number, gpu in enumerate(lease.gpus)
    ]
    right = ("USED", "LIMIT", "SHARE", "DUTY", "P99", "MSG/S", "TRIP/S")
    sorted_by = next(name for name, order in columns.items() if order is shown.order)
    return plain_table(
        list(columns),
        rows,
        right,
        "COMMAND",
        gap=1,
        width=console.width,
        marked=sorted_by,
        most={"NAME": _NAME, "USER": _USER},
    )


def _row(lease: LeaseRates, gpu: LeaseGpuRates, is_first: bool, shown: Shown) -> list[Cell]:
    """One lease on one GPU; what is of the lease as a whole stands in its first line."""
    p99 = "-" if gpu.wait_p99_us is None else _short(format_duration(gpu.wait_p99_us * 1000))
    cells: list[Cell] = [
        Text(lease.name, style=shown.colour(lease.lease)) if is_first else "",
        _user(lease.uid) if is_first else "",
        gpu.gpu,
        "-" if gpu.used is None else _size(gpu.used),
        _size(gpu.limit),
        format_part(gpu.share),
        format_part(gpu.duty),
        p99,
        _rate(lease.messages) if is_first else "",
        _rate(lease.round_trips) if is_first else "",
        _remark(lease) if is_first else "",
    ]
    return cells


def _remark(lease: LeaseRates) -> Cell:
    """What it runs, or what is the matter with it."""
    if lease.conditions:
        return Text(lease.conditions[0].name, style="yellow")
    if lease.state is not LeaseState.ACTIVE:
        return Text(lease.state.value, style="dim")
    return one_line(lease.command) or "-"


def _rate(amount: float | None) -> str:
    return "-" if amount is None else format_count(round(amount))


def _short(text: str) -> str:
    return text.replace(" ", "")


def _size(amount: int) -> str:
    """'1.5G' for 1.50 GiB: a column has no room for more."""
    number, unit = format_bytes(amount).split()
    short = number if len(number) < 4 else number[:3].removesuffix(".")
    return short + unit.removesuffix("iB").removesuffix("B")


@cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
