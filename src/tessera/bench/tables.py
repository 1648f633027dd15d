# SPDX-License-Identifier: Apache-2.0
"""Reports as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tessera.bench.result import Account, Report, Series, Summary, Target
from tessera.bench.shared_tables import shared_tables
from tessera.model.units import format_duration

WIDTH = 160  # of a file or a pipe, which have none
_MIB = 1024 * 1024


def bulk_bytes(name: str) -> int | None:
    """The bytes that a duration named like 'write_64MiB' moves, or None for another name."""
    size = name.rpartition("_")[2]
    return int(size.removesuffix("MiB")) * _MIB if size.endswith("MiB") else None


def format_summary(name: str, summary: Summary) -> str:
    """The median with the quartiles; a bandwidth where bytes are moved and something is copied."""
    moved = bulk_bytes(name)
    if moved is not None and not name.startswith("map"):
        return f"{moved / summary.median:.2f} GB/s"
    low, high = format_duration(summary.first_quartile), format_duration(summary.third_quartile)
    return f"{format_duration(summary.median)}  [dim]{low} .. {high}[/dim]"


def print_report(console: Console, report: Report) -> None:
    """The whole report, the targets last."""
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    if report.series:
        console.print(series_table(report))
    for table in shared_tables(report):
        console.print(table)
    if report.accounts:
        console.print(accounts_table(report))
    if report.losses:
        console.print(losses_table(report))
    if report.counted:
        console.print(counted_table(report))
    if report.targets:
        console.print(targets_table(report.targets))


def series_table(report: Report) -> Table:
    """Medians with quartiles per side, and how fast the leased sides are beside bare."""
    sides = _sides(report)
    table = Table(title=f"{report.experiment}: median, quartiles", title_justify="left")
    table.add_column("measured")
    for side in sides:
        table.add_column(side, justify="right")
    leased = [side for side in sides if any(side in series.speed for series in report.series)]
    for side in leased:
        table.add_column(f"bare / {side}", justify="right")
    for series in report.series:
        cells = [
            format_summary(series.name, series.summaries[side]) if side in series.summaries else ""
            for side in sides
        ]
        table.add_row(series.name, *cells, *(_speed(series, side) for side in leased))
    return table


def _sides(report: Report) -> list[str]:
    found = dict.fromkeys(side for series in report.series for side in series.summaries)
    return list(found)


def _speed(series: Series, side: str) -> str:
    ratio = series.speed.get(side)
    if ratio is None:
        return ""
    return f"{ratio.median:.4f}  [dim]{ratio.low:.4f} .. {ratio.high:.4f}[/dim]"


def accounts_table(report: Report) -> Table:
    """What one step cost each side."""
    table = Table(title="what one step costs", title_justify="left")
    table.add_column("per step")
    for account in report.accounts:
        table.add_column(account.side, justify="right")
    for name, values in _account_rows(report.accounts):
        table.add_row(name, *values)
    return table


def _account_rows(accounts: tuple[Account, ...]) -> Iterator[tuple[str, list[str]]]:
    durations = (
        ("wall time", "wall_seconds"),
        ("CPU, program", "client_cpu_seconds"),
        ("CPU, worker", "worker_cpu_seconds"),
        ("CPU in the kernel, of both", "system_cpu_seconds"),
        ("CPU in the other side's turns", "quiet_cpu_seconds"),
        ("CPU of anybody else", "foreign_cpu_seconds"),
    )
    counts = (
        ("messages", "messages"),
        ("round trips", "round_trips"),
        ("bytes to the worker", "bytes_to_worker"),
        ("bytes to the client", "bytes_to_client"),
        ("wakes of the other side", "wakes"),
        ("sleeps", "sleeps"),
        ("context switches, program", "client_switches"),
        ("context switches, worker", "worker_switches"),
    )
    for name, field in durations:
        yield (
            name,
            [
                format_duration(account.per_step(getattr(account, field)) * 1e9)
                for account in accounts
            ],
        )
    for name, field in counts:
        yield name, [f"{account.per_step(getattr(account, field)):.4g}" for account in accounts]


def losses_table(report: Report) -> Table:
    """Where the extra time went; a negative number was gained."""
    table = Table(title="what is lost, in % of the bare time", title_justify="left")
    for heading in (
        "side",
        "lost",
        "user CPU",
        "kernel CPU",
        "waiting",
        "taken by others",
        "lost without others",
    ):
        table.add_column(heading, justify="left" if heading == "side" else "right")
    for loss in report.losses:
        own = loss.lost - loss.foreign
        parts = (loss.lost, loss.user, loss.system, loss.waiting, loss.foreign, own)
        table.add_row(loss.side, *(f"{part:+.2f}" for part in parts))
    return table


def counted_table(report: Report) -> Table:
    """Messages and round trips of one call."""
    table = Table(title="counted by the sessions, per call", title_justify="left")
    headings = ("side", "measured", "messages", "round trips", "wakes", "sleeps")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[:2] else "right")
    for side, of_side in report.counted.items():
        for name, counted in of_side.items():
            values = (counted.messages, counted.round_trips, counted.wakes, counted.sleeps)
            table.add_row(side, name, *(f"{value / counted.calls:.4g}" for value in values))
    return table


def targets_table(targets: tuple[Target, ...]) -> Table:
    """Every promise beside its measurement."""
    table = Table(title="targets", title_justify="left")
    for heading in ("promise", "side", "measured", "target", "", "note"):
        table.add_column(heading, justify="right" if heading in ("measured", "target") else "left")
    for target in targets:
        table.add_row(
            target.name,
            target.side,
            _with_unit(target.measured, target.unit),
            f"{'<=' if target.at_most else '>='} {_with_unit(target.target, target.unit)}",
            "[green]reached[/green]" if target.reached else "[red]missed[/red]",
            target.note,
        )
    return table


def _with_unit(value: float, unit: str) -> str:
    if unit == "ns":
        return format_duration(value)
    return f"{value:.4g}{'' if unit == 'x' else ' ' + unit}"
