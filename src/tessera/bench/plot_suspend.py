# SPDX-License-Identifier: Apache-2.0
"""The pictures of `tessera bench suspend`: bars, there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tessera.bench.result import MACHINE, Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BARS = {MACHINE: ("cp, synced", "cp back"), "shm": ("suspend --to disk", "resume")}
_COLOURS = ("#0072b2", "#9ecae1")
_CAPTION = 0.06  # of the height, left free for the caption


def draw_suspends(plot: Any, report: Report) -> Figure:
    """Medians as bars, each pair as a dot at the sum, the target as a line."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure: Figure
    layout = ConstrainedLayoutEngine(rect=(0, _CAPTION, 1, 1 - _CAPTION))
    figure, axes = plot.subplots(figsize=(7.2, 3.2), layout=layout)
    size = int(report.parameters["size"])
    figure.suptitle(f"{size >> 20} MiB to disk and back", fontsize=12)
    series = {one.name: one for one in report.series}
    for row, (side, labels) in enumerate(_BARS.items()):
        left = 0.0
        for name, label, colour in zip(("there", "back"), labels, _COLOURS, strict=True):
            seconds = series[name].summaries[side].median / 1e9
            axes.barh(row, seconds, left=left, color=colour, height=0.55)
            axes.text(
                left + seconds / 2, row, f"{label}\n{seconds:.2f} s", ha="center", va="center"
            )
            left += seconds
        sums = [piece[0] / 1e9 for piece in series["there_and_back"].samples[side]]
        axes.plot(sums, [row + 0.36] * len(sums), "o", color="#222222", markersize=3)
    target = report.targets[0].target
    limit = target * series["there_and_back"].summaries[MACHINE].median / 1e9
    axes.axvline(limit, color="#009e73", linewidth=1)
    axes.annotate(
        f"target: {target:g} x cp",
        (limit, -0.45),
        textcoords="offset points",
        xytext=(-4, 0),
        ha="right",
        color="#009e73",
        fontsize=8,
    )
    axes.set_yticks(range(len(_BARS)), ["cp", "lease"])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds; bar: medians, dots: there and back of each pair")
    axes.grid(axis="x", color="#dddddd")
    return figure


def draw_suspended_machines(plot: Any, report: Report) -> Figure:
    """A bar for each duration, with every sample as a dot."""
    facts = report.parameters
    on_disk = int(facts["bytes_on_disk"]) / (1 << 20)
    return _draw_durations(
        plot,
        report,
        f"A machine of {facts['guest_memory_mib']} MiB with {facts['device_memory_mib']} MiB on the device: "
        f"{on_disk:.0f} MiB on disk",
    )


def draw_boots(plot: Any, report: Report) -> Figure:
    """The same of machines that boot."""
    facts = report.parameters
    return _draw_durations(
        plot, report, f"{facts['boots']} boots of a virtual machine, {facts['accelerator']}"
    )


def _draw_durations(plot: Any, report: Report, title: str) -> Figure:
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure: Figure
    layout = ConstrainedLayoutEngine(rect=(0, _CAPTION, 1, 1 - _CAPTION))
    figure, axes = plot.subplots(figsize=(7.2, 2.8), layout=layout)
    figure.suptitle(title, fontsize=11)
    for row, series in enumerate(report.series):
        (side,) = series.samples
        samples = [value / 1e9 for piece in series.samples[side] for value in piece]
        middle = series.summaries[side].median / 1e9
        axes.barh(row, middle, color=_COLOURS[row % 2], height=0.5)
        axes.text(middle / 2, row, f"{middle:.2f} s", ha="center", va="center")
        axes.plot(samples, [row + 0.34] * len(samples), "o", color="#222222", markersize=3)
    axes.set_yticks(range(len(report.series)), [series.name for series in report.series])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds; bar: median, dots: all")
    axes.grid(axis="x", color="#dddddd")
    return figure
