# SPDX-License-Identifier: Apache-2.0
"""Reports as pictures. The suffix of the file chooses the format (PNG, SVG, PDF)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera.bench.drawing import caption, layout, pyplot
from tessera.bench.plot_fairness import draw_fairness
from tessera.bench.plot_quarters import draw_quarters
from tessera.bench.plot_suspend import draw_boots, draw_suspended_machines, draw_suspends
from tessera.bench.result import BARE, MACHINE, Ratio, Report, Series
from tessera.bench.tables import bulk_bytes
from tessera.model.errors import InvalidRequest
from tessera.model.units import format_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart also without colours (by the marker) and by readers who see few of them.
COLOURS = {
    MACHINE: "#777777",
    BARE: "#222222",
    "shm": "#0072b2",
    "unix": "#e69f00",
    "tcp": "#d55e00",
    "vm": "#cc79a7",
}
MARKERS = {MACHINE: "D", BARE: "o", "shm": "s", "unix": "^", "tcp": "v", "vm": "P"}
SUFFIXES = (".png", ".svg", ".pdf")

_CALLS = (
    "posted_arg",
    "posted_write",
    "posted_copy",
    "posted_kernel",
    "round_trip_finish",
    "round_trip_finish_idle",
    "round_trip_read",
    "kernel_finish",
    "chain",
)
_YARDSTICKS = ("futex_spinning", "futex_sleeping", "futex_two_cores", "pipe", "unix_stream", "tcp")
_LABELS = {
    "posted_arg": "set an argument",
    "posted_write": "post a 64 B write",
    "posted_copy": "post a copy",
    "posted_kernel": "post a kernel",
    "round_trip_finish": "finish, nothing to do",
    "round_trip_finish_idle": "finish, after a pause",
    "round_trip_read": "read 4 bytes",
    "kernel_finish": "kernel and finish",
    "chain": "1,000 dependent kernels",
    "futex_spinning": "futex ping-pong, spinning",
    "futex_sleeping": "futex ping-pong, sleeping",
    "futex_two_cores": "futex ping-pong, two cores",
    "pipe": "pipe ping-pong",
    "unix_stream": "unix stream ping-pong",
    "tcp": "TCP ping-pong",
}


def check_target(path: Path) -> None:
    """Raises InvalidRequest for a suffix that no format has, and BenchPackageMissing."""
    if path.suffix not in SUFFIXES:
        raise InvalidRequest(
            f"A plot cannot be written as '{path.name}'.", f"End it in {', '.join(SUFFIXES)}."
        )
    pyplot()


def write_plot(report: Report, path: Path) -> None:
    """Draws the report into `path`. Raises what `check_target` raises, and OSError."""
    check_target(path)
    plot = pyplot()
    with plot.rc_context({"font.size": 10, "svg.hashsalt": "tessera", "axes.axisbelow": True}):
        draw = _DRAWN.get(report.experiment, _draw_steps)
        figure = draw(plot, report)
        figure.text(0.01, 0.005, caption(report), fontsize=7, color="#555555")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        plot.close(figure)


def _sides(series: Sequence[Series]) -> list[str]:
    found = {side for one in series for side in one.summaries}
    return [side for side in COLOURS if side in found]


def _draw_calls(plot: Any, report: Report) -> Figure:
    figure: Figure
    figure, (calls, copies) = plot.subplots(
        1, 2, figsize=(13, 6.4), width_ratios=(1.35, 1), layout=layout(0.03)
    )
    _draw_durations(calls, report)
    _draw_bandwidths(copies, report)
    return figure


def _draw_durations(axes: Axes, report: Report) -> None:
    named = {series.name: series for series in report.series}
    shown = [named[name] for name in (*_YARDSTICKS, *_CALLS) if name in named]
    sides = _sides(shown)
    for row, series in enumerate(shown):
        for side, summary in series.summaries.items():
            level = row + _offset(sides, side) if len(series.summaries) > 1 else row
            low = summary.median - summary.first_quartile
            high = summary.third_quartile - summary.median
            axes.errorbar(
                summary.median,
                level,
                xerr=[[low], [high]],
                fmt=MARKERS[side],
                color=COLOURS[side],
                markersize=6,
                capsize=2,
            )
    axes.set_xscale("log")
    axes.set_yticks(range(len(shown)), [_LABELS[series.name] for series in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(lambda value, _place: format_duration(value))
    axes.grid(axis="x", which="major", color="#dddddd")
    for row in range(1, len(shown)):
        axes.axhline(row - 0.5, color="#eeeeee", linewidth=0.8)
    axes.set_title("Time of one call: median and quartiles (less is better)", loc="left")
    _legend(axes, sides)


def _offset(sides: Sequence[str], side: str) -> float:
    drawn = [one for one in sides if one != MACHINE]
    if side not in drawn or len(drawn) < 2:
        return 0.0
    return (drawn.index(side) / (len(drawn) - 1) - 0.5) * 0.5


def _draw_bandwidths(axes: Axes, report: Report) -> None:
    named = {series.name: series for series in report.series}
    sides = [side for side in _sides(report.series) if side != MACHINE]
    memcpy = _bandwidths(named, "memcpy", BARE if BARE in sides else sides[0])
    axes.plot(*memcpy, color="#777777", linestyle=":", label="memcpy in the same process")
    for side in sides:
        for way, line in (("write", "-"), ("read", "--")):
            points = _bandwidths(named, way, side)
            axes.plot(
                *points,
                color=COLOURS[side],
                marker=MARKERS[side],
                linestyle=line,
                label=f"{side}, {way}",
            )
    stream = named.get("tcp_64MiB")
    if "tcp" in sides and stream is not None:
        rate = 64 * 1024**2 / stream.summaries[MACHINE].median
        axes.axhline(rate, color="#d55e00", linewidth=0.8, linestyle=":", label="plain TCP stream")
    axes.set_xscale("log", base=2)
    axes.set_xticks(memcpy[0], [f"{int(size)} MiB" for size in memcpy[0]])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("GB/s")
    axes.grid(color="#dddddd")
    axes.set_title("Blocking copies: median bandwidth (more is better)", loc="left")
    axes.legend(fontsize=8)


def _bandwidths(named: dict[str, Series], way: str, side: str) -> tuple[list[float], list[float]]:
    sizes, rates = [], []
    for name, series in named.items():
        moved = bulk_bytes(name)
        if moved is None or name.rpartition("_")[0] != way or side not in series.summaries:
            continue
        sizes.append(moved / 1024**2)
        rates.append(moved / series.summaries[side].median)
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    return [sizes[place] for place in order], [rates[place] for place in order]


def _draw_starts(plot: Any, report: Report) -> Figure:
    series = report.series[0]
    figure: Figure
    figure, axes = plot.subplots(figsize=(6.4, 3.6), layout=layout(0.06))
    figure.suptitle(f"Start to end of `{report.parameters['program']}`", fontsize=12)
    sides = list(series.samples)
    times = [[each / 1e6 for piece in series.samples[side] for each in piece] for side in sides]
    boxes = axes.boxplot(times, orientation="horizontal", showfliers=False, patch_artist=True)
    for side, box in zip(sides, boxes["boxes"], strict=True):
        box.set(facecolor=COLOURS[side], alpha=0.5)
    axes.set_yticks(range(1, len(sides) + 1), sides)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("ms; box: quartiles, line: median")
    axes.grid(axis="x", color="#dddddd")
    for target in report.targets:
        limit = series.summaries[BARE].median / 1e6 + target.target
        axes.axvline(limit, color="#009e73", linewidth=1)
        axes.annotate(
            "target",
            (limit, 0.5),
            textcoords="offset points",
            xytext=(-3, -10),
            ha="right",
            color="#009e73",
            fontsize=8,
        )
    return figure


def _draw_steps(plot: Any, report: Report) -> Figure:
    series = report.series[0]
    figure: Figure
    panels = 3 if report.losses else 1
    figure, axes = plot.subplots(
        1, panels, figsize=(4.6 * panels, 4.8), layout=layout(0.04), squeeze=False
    )
    figure.suptitle(f"{report.parameters.get('workload', report.experiment)}", fontsize=12)
    _draw_rates(axes[0][0], series)
    if report.losses:
        _draw_ratios(axes[0][1], report)
        _draw_losses(axes[0][2], report)
    return figure


def _draw_rates(axes: Axes, series: Series) -> None:
    for side, slices in series.samples.items():
        rates = [1e9 / sum(piece) * len(piece) for piece in slices]
        pairs = range(1, len(rates) + 1)
        axes.plot(pairs, rates, color=COLOURS[side], marker=MARKERS[side], label=side)
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("pair")
    axes.set_ylabel("steps/s")
    axes.locator_params(axis="x", integer=True)
    axes.grid(color="#dddddd")
    axes.set_title("Speed of each slice", loc="left")
    axes.legend(loc="lower right")


def _draw_ratios(axes: Axes, report: Report) -> None:
    """Of each side; where its device's time was taken too, of both, with the target at that one."""
    targets = {target.side: target.target for target in report.targets}
    rows = [(one, side) for one in report.series for side in one.speed]
    for place, (series, side) in enumerate(rows):
        _draw_ratio(axes, place, series.speed[side], side)
        if side in targets and series is report.series[-1]:
            _draw_target(axes, place, targets[side])
    several = len(report.series) > 1
    names = [f"{side}, {series.name}" if several else side for series, side in rows]
    axes.axhline(1.0, color="#222222", linewidth=0.8)
    axes.set_xticks(range(len(rows)), names)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", color="#dddddd")
    axes.set_title("Speed / bare: pairs, median, 95 %", loc="left")


def _draw_ratio(axes: Axes, place: int, ratio: Ratio, side: str) -> None:
    axes.plot([place] * len(ratio.pairs), ratio.pairs, ".", color=COLOURS[side], alpha=0.45)
    axes.errorbar(
        place,
        ratio.median,
        yerr=[[ratio.median - ratio.low], [ratio.high - ratio.median]],
        fmt=MARKERS[side],
        color=COLOURS[side],
        capsize=6,
    )
    axes.annotate(
        f"{ratio.median:.4f}", (place, ratio.median), textcoords="offset points", xytext=(12, -4)
    )


def _draw_target(axes: Axes, place: int, target: float) -> None:
    axes.hlines(target, place - 0.3, place + 0.3, color="#009e73")
    axes.annotate(
        "target",
        (place - 0.3, target),
        textcoords="offset points",
        xytext=(0, 3),
        color="#009e73",
        fontsize=8,
    )


def _draw_losses(axes: Axes, report: Report) -> None:
    parts = (
        ("user", "user CPU", "#0072b2"),
        ("system", "kernel CPU", "#56b4e9"),
        ("foreign", "taken by others", "#bbbbbb"),
        ("waiting", "waiting", "#e69f00"),
    )
    for place, loss in enumerate(report.losses):
        up, down = 0.0, 0.0
        for name, label, colour in parts:
            value = getattr(loss, name)
            start = up if value >= 0 else down
            axes.bar(place, value, 0.5, start, color=colour, label=label if place == 0 else None)
            up, down = (up + value, down) if value >= 0 else (up, down + value)
        axes.plot(place, loss.lost, "_", color="#222222", markersize=40, markeredgewidth=2)
        axes.annotate(
            f"{loss.lost:+.2f} %",
            (place, loss.lost),
            textcoords="offset points",
            xytext=(0, 6),
            ha="center",
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )
    axes.margins(y=0.15)
    axes.axhline(0.0, color="#222222", linewidth=0.8)
    axes.set_xticks(range(len(report.losses)), [loss.side for loss in report.losses])
    axes.set_xlim(-0.4, len(report.losses) + 0.2)  # room for the legend
    axes.set_ylabel("% of the bare time (below 0: gained)")
    axes.set_title("Where the time goes; line: sum", loc="left")
    axes.legend(fontsize=8)


def _legend(axes: Axes, sides: Sequence[str]) -> None:
    names = {MACHINE: "the machine, without OpenCL"}
    handles = [
        axes.plot([], [], MARKERS[side], color=COLOURS[side], label=names.get(side, side))[0]
        for side in sides
    ]
    axes.legend(handles=handles, loc="lower left", fontsize=9)


_DRAWN = {
    "calls": _draw_calls,
    "start": _draw_starts,
    "start-vm": draw_boots,
    "fairness": draw_fairness,
    "quarters": draw_quarters,
    "suspend": draw_suspends,
    "suspend-vm": draw_suspended_machines,
}
