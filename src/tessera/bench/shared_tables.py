# SPDX-License-Identifier: Apache-2.0
"""How tenants shared a GPU, as tables for a terminal. `others` is what they took of the cores' time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from tessera.bench.result import Report
from tessera.bench.shared_result import DutyRun, IdleRun, ShareRun, ThroughputRun, WaitRun


def shared_tables(report: Report) -> Iterator[Table]:
    """A table for each kind of window that the report holds."""
    if report.shares:
        yield shares_table(report.shares)
    if report.waits:
        yield waits_table(report.waits)
    if report.idles:
        yield idles_table(report.idles)
    if report.throughputs:
        yield throughputs_table(report.throughputs)
    if report.duties:
        yield duties_table(report.duties)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def shares_table(runs: Sequence[ShareRun]) -> Table:
    """Each tenant's part of the device time, with what it was due."""
    table = _table(
        "saturating tenants: measured share (due)",
        ("policy", "shares"),
        ("slice", "error", "Jain's index", "by kernels: error", "busy", "others"),
    )
    for run in runs:
        shares = "  ".join(
            f"{100 * tenant.measured:.1f}"
            + ("" if tenant.due is None else f" [dim]({100 * tenant.due:.1f})[/dim]")
            for tenant in run.tenants
        )
        table.add_row(
            run.policy,
            shares,
            f"{run.slice_ms:g} ms",
            "" if run.error is None else f"{100 * run.error:.2f} %",
            "" if run.jain is None else f"{run.jain:.5f}",
            counted_error(run),
            _percent(run.busy),
            _percent(run.foreign),
        )
    return table


def counted_error(run: ShareRun) -> str:
    """The largest difference of the shares by device time and those by kernels done."""
    return f"{100 * max(abs(one.measured - one.counted) for one in run.tenants):.2f} %"


def waits_table(runs: Sequence[WaitRun]) -> Table:
    """What an interactive tenant waited, in time slices."""
    table = _table(
        "waits of an interactive tenant, in time slices",
        ("policy",),
        ("competitors", "slice", "kernels", "p50", "p99", "longest", "bound", "others"),
    )
    for run in runs:
        figures = (run.p50, run.p99, run.longest, run.bound)
        table.add_row(
            run.policy,
            str(run.competitors),
            f"{run.slice_ms:g} ms",
            str(run.kernels),
            *(f"{value:.2f}" for value in figures),
            _percent(run.foreign),
        )
    return table


def idles_table(runs: Sequence[IdleRun]) -> Table:
    """Who had the device while some tenants paused, and while none did."""
    table = _table(
        "two of four tenants pause: parts of the device",
        ("policy", "tenant"),
        ("while they pause", "while all work", "others"),
    )
    for run in runs:
        rows = zip(run.pausing, run.while_paused, run.while_working, strict=True)
        for number, (pausing, paused, working) in enumerate(rows):
            who = "pauses" if pausing else "saturates"
            policy = run.policy if number == 0 else ""
            foreign = _percent(run.foreign) if number == 0 else ""
            table.add_row(policy, who, _percent(paused), _percent(working), foreign)
        table.add_row(
            "",
            "[bold]all[/bold]",
            _percent(sum(run.while_paused)),
            _percent(sum(run.while_working)),
        )
        table.add_section()
    return table


def throughputs_table(runs: Sequence[ThroughputRun]) -> Table:
    """What sharing itself costs."""
    table = _table(
        "kernels per second, medians of pairs",
        ("policy",),
        ("tenants", "together / alone", "least", "most", "others"),
    )
    for run in runs:
        ratios = [both / one for both, one in zip(run.together, run.alone, strict=True)]
        figures = (run.ratio, min(ratios), max(ratios))
        values = (f"{value:.4f}" for value in figures)
        table.add_row(run.policy, str(run.tenants), *values, _percent(max(run.foreign)))
    return table


def duties_table(runs: Sequence[DutyRun]) -> Table:
    """Slowdown and gain by duty and policy, beside the model and the limit."""
    table = _table(
        "jobs that wait for their input, together on pieces of a GPU",
        ("duty, measured", "policy"),
        ("slowdown, worst job", "gain", "model: slowdown", "gain", "off by", "limit of the gain")
        + ("response, alone", "together", "others"),
    )
    for run in runs:
        table.add_row(
            f"{run.duty:.3f}",
            run.policy,
            _percent(run.worst - 1),
            f"{run.gain:.2f}",
            _percent(run.predicted_slowdown - 1),
            f"{run.predicted_gain:.2f}",
            f"{100 * run.prediction_error:+.1f} %",
            f"{run.gain_limit:.2f}",
            f"{run.response_alone_ns / 1e6:.1f} ms",
            f"{run.response_together_ns / 1e6:.1f} ms",
            _percent(max(run.foreign)),
        )
    return table
