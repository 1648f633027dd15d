# SPDX-License-Identifier: Apache-2.0
"""What people see: plain columns without lines, the name first, figures to the right.

Columns that tell things apart never shrink; the last one takes what is left and is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from tessera.cli.output import console
from tessera.model.direct import DirectDevice
from tessera.model.gpu import GpuUse
from tessera.model.lease import Lease, LeaseState
from tessera.model.policy import GpuPolicy
from tessera.model.stats import Counters, DeviceUse, LeaseStats
from tessera.model.suspension import SuspendNeeds
from tessera.model.units import format_bytes, format_count, format_duration, format_part

_STATE_STYLES = {
    LeaseState.ACTIVE: "green",
    LeaseState.FAILED: "red",
    LeaseState.RELEASED: "dim",
}


Cell = Text | str


def plain_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    right: Sequence[str] = (),
    cut: str | None = None,
    gap: int = 2,
    width: int | None = None,
    marked: str | None = None,
    most: Mapping[str, int] | None = None,
) -> Table:
    """Columns as wide as their content, or as `most` allows; the one named `cut` takes what is left of
    `width` (the terminal's, when left out). `marked` is the name of a column that stands out."""
    limits = most or {}
    widths = [
        min(limits.get(name, 1000), max([len(name), *(len(row[index]) for row in rows)]))
        for index, name in enumerate(columns)
    ]
    if cut:
        others = sum(widths) - widths[columns.index(cut)] + gap * len(columns)
        widths[columns.index(cut)] = max(len(cut), (width or console().width) - others)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for name, size in zip(columns, widths, strict=True):
        justify: JustifyMethod = "right" if name in right else "left"
        title = Text(name, style="reverse" if name == marked else "")
        table.add_column(title, justify=justify, no_wrap=True, overflow="ellipsis", width=size)
    for row in rows:
        table.add_row(*row)
    return table


def format_age(since: datetime, now: datetime) -> str:
    """The time since then in its two largest units: '42s', '3m05s', '2h10m', '4d03h'."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, smaller, unit, small_unit in (
        (86400, 3600, "d", "h"),
        (3600, 60, "h", "m"),
        (60, 1, "m", "s"),
    ):
        if seconds >= size:
            return f"{seconds // size}{unit}{seconds % size // smaller:02d}{small_unit}"
    return f"{seconds}s"


def gpus(found: Sequence[GpuUse]) -> Table:
    rows = [
        (
            gpu.id,
            gpu.type.value,
            format_bytes(gpu.memory),
            format_bytes(gpu.free),
            "direct" if gpu.direct else str(len(gpu.leases)),
            gpu.pci.address if gpu.pci else "-",
            gpu.name,
        )
        for gpu in found
    ]
    columns = ("GPU", "TYPE", "MEMORY", "FREE", "LEASES", "PCI", "NAME")
    return plain_table(columns, rows, right=("MEMORY", "FREE", "LEASES"), cut="NAME")


def _gpu_names(lease: Lease) -> str:
    if lease.direct:
        return ",".join(each.gpu.id if each.gpu else each.key for each in lease.direct)
    if not lease.gpus:
        return "-"
    # gpu0,1,2: the word once, for it is the same each time.
    first, *others = (share.gpu for share in lease.gpus)
    return ",".join([first, *(name.removeprefix("gpu") for name in others)])


def _state(lease: Lease) -> Text:
    style = "yellow" if lease.conditions else _STATE_STYLES.get(lease.state, "yellow")
    place = f" {lease.waiting.position}/{lease.waiting.of}" if lease.waiting else ""
    return Text(lease.state.value + place, style=style)


def suspend_needs(needs: SuspendNeeds) -> Table:
    rows = [
        ("state to keep", format_bytes(needs.state)),
        *([("and of the machine", format_bytes(needs.machine))] if needs.machine else []),
        ("room on disk", format_bytes(needs.disk)),
        ("room in memory", format_bytes(needs.memory)),
        ("freed on GPUs", format_bytes(needs.device)),
        ("objects", str(needs.objects)),
    ]
    return plain_table(("SUSPEND", "NOW"), rows, right=("NOW",))


def _memory(lease: Lease) -> str:
    if lease.direct and not lease.gpus:
        return "-"
    return format_bytes(lease.waiting.memory if lease.waiting else lease.memory)


def leases(found: Sequence[Lease]) -> Table:
    now = datetime.now(UTC)
    rows = [
        (
            lease.name,
            _state(lease),
            _gpu_names(lease),
            _memory(lease),
            lease.mode.value if lease.direct else lease.transport.value,
            format_age(lease.created_at, now),
            str(lease.holder.pid) if lease.holder else "-",
            one_line(lease.command) or "-",
        )
        for lease in found
    ]
    columns = ("NAME", "STATE", "GPU", "MEMORY", "VIA", "AGE", "PID", "COMMAND")
    return plain_table(columns, rows, right=("MEMORY", "AGE", "PID"), cut="COMMAND")


def one_line(command: Sequence[str]) -> str:
    """A command as it could be typed, without control characters (they come from other users)."""
    import shlex

    text = " ".join(shlex.quote(word) for word in command)
    return "".join(char if char.isprintable() else "?" for char in text)


def lease(shown: Lease) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lease_facts(shown):
        table.add_row(name, value)
    return table


def _lease_facts(shown: Lease) -> list[tuple[str, Cell]]:
    now = datetime.now(UTC)
    facts: list[tuple[str, Cell]] = [
        ("name", shown.name),
        ("id", shown.id),
        ("state", _state(shown)),
        ("mode", shown.mode.value if shown.direct else f"shared, through {shown.transport.value}"),
        *([("machine", "a virtual one, suspended with the lease")] if shown.machine else []),
        ("identity", shown.identity.value),
    ]
    facts += [(device.kind.value, _device(device)) for device in shown.direct]
    facts += [
        (share.gpu, f"{format_bytes(share.memory)} ({share.memory} bytes)") for share in shown.gpus
    ]
    facts += [("weight", str(shown.weight)), ("priority", str(shown.priority))]
    if shown.reason:
        facts.append(("reason", shown.reason))
    facts += [
        ("condition", Text(f"{condition.name}: {condition.message}", style="yellow"))
        for condition in shown.conditions
    ]
    facts += [
        ("command", one_line(shown.command) or "-"),
        ("holder", f"pid {shown.holder.pid}" if shown.holder else "none: lives until stopped"),
        ("gatekeeper", f"pid {shown.gatekeeper.pid}" if shown.gatekeeper else "-"),
        ("endpoint", shown.endpoint or "-"),
        ("created", f"{shown.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("changed", f"{format_age(shown.updated_at, now)} ago"),
    ]
    return facts


def _device(device: DirectDevice) -> str:
    of = f" of {device.parent}" if device.parent else ""
    kind = f", {device.type}{of}" if device.type else of
    back = f", from driver {device.former_driver}" if device.former_driver else ""
    return f"{device.key}{kind}, IOMMU group {device.group}{back}"


_COUNTERS = ("MESSAGES", "TRIPS", "SENT", "RECEIVED", "COMMANDS", "OBJECTS")


def _counter_cells(counters: Counters) -> list[str]:
    return [
        format_count(counters.messages),
        format_count(counters.round_trips),
        format_bytes(counters.bytes_to_worker),
        format_bytes(counters.bytes_to_client),
        format_count(counters.commands),
        format_count(counters.objects),
    ]


def sessions(stats: LeaseStats) -> Table:
    """The sessions of a lease, with their sum when there are several."""
    rows: list[tuple[Cell, ...]] = [
        (
            str(session.client_pid or "-"),
            str(session.worker_pid),
            session.transport.value if session.transport else "-",
            format_bytes(session.memory),
            *_counter_cells(session),
        )
        for session in stats.sessions
    ]
    if len(rows) > 1:
        cells = ["total", "", "", format_bytes(stats.totals.memory)]
        cells += _counter_cells(stats.totals)
        rows.append(tuple(Text(cell, style="bold") for cell in cells))
    columns = ("CLIENT", "WORKER", "VIA", "MEMORY", *_COUNTERS)
    right = ("CLIENT", "WORKER", "MEMORY", *_COUNTERS)
    return plain_table(columns, rows, right, gap=1)


def stats_title(stats: LeaseStats) -> str:
    """A line for the lease and one for each of its GPUs."""
    lines = [f"{stats.name}: {len(stats.sessions)} sessions now, {stats.sessions_total} in all"]
    for gpu in stats.gpus:
        lines.append(
            f"{gpu.gpu}: {format_bytes(gpu.used)} of {format_bytes(gpu.limit)} in use, "
            f"{format_bytes(gpu.peak)} at most, {gpu.refused} allocations refused"
        )
        if gpu.device:
            indent = " " * (len(gpu.gpu) + 2)
            lines += [indent + line for line in _device_lines(gpu.device)]
    return "\n".join(lines)


def _device_lines(device: DeviceUse) -> list[str]:
    used = (
        f"{format_duration(device.device_ns)} of device time: {format_part(device.duty)} of the time"
        f" here, {format_part(device.share)} of what all leases used"
    )
    got = f"{format_count(device.grants)} grants, {format_count(device.commands)} commands"
    if device.overruns:
        got += f", {format_count(device.overruns)} overruns"
    if device.wait_p50_us is None or device.wait_p99_us is None:
        return [used, f"{got}, no waits"]
    p50, p99 = (
        format_duration(device.wait_p50_us * 1000),
        format_duration(device.wait_p99_us * 1000),
    )
    return [used, f"{got}, {format_count(device.waits)} waits: p50 {p50}, p99 {p99}"]


def policies(found: Sequence[GpuPolicy]) -> Table:
    rows = [(one.gpu, one.policy.value, _slice(one), str(one.leases)) for one in found]
    return plain_table(("GPU", "POLICY", "SLICE", "LEASES"), rows, right=("LEASES",))


def _slice(policy: GpuPolicy) -> str:
    slice_ms = f"{policy.effective_slice_ms:g} ms"
    return slice_ms if policy.time_slice_ms else f"{slice_ms} (automatic)"
