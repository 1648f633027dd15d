# SPDX-License-Identifier: Apache-2.0
"""A schedule as a picture: above, who held the GPU when; below, each lease's share of the device time.

The share is drawn over windows of equal length. A stretch that crosses from one window into the next counts
in both, in proportion, because only its sum of device time is known. Windows are many slices long, because a
command may be charged in the lease's next stretch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tessera.bench.drawing import pyplot
from tessera.bench.plots import check_target
from tessera.model.trace import Trace, TraceEvent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which readers who see few colours can tell apart.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#222222")
_MARKERS = "osD^vPX"
# A window holds so many slices for each lease, and there are so many windows at most.
_SLICES_PER_WINDOW = 25
_WINDOWS = 60


def write_plot(trace: Trace, path: Path) -> None:
    """Draws the trace into `path`. Raises what `check_target` raises, and OSError."""
    check_target(path)
    plot = pyplot()
    tracks = trace.tracks()
    height = 3.4 + 0.36 * max(1, len(tracks))
    with plot.rc_context({"font.size": 10, "svg.hashsalt": "tessera", "axes.axisbelow": True}):
        figure, (above, below) = plot.subplots(
            2,
            1,
            figsize=(11, height),
            sharex=True,
            layout="constrained",
            height_ratios=(0.5 + 0.36 * max(1, len(tracks)), 2.6),
        )
        scale, unit = _time_unit(trace.stretches())
        colours = {track: _COLOURS[number % len(_COLOURS)] for number, track in enumerate(tracks)}
        _draw_schedule(above, trace, tracks, colours, scale)
        _draw_shares(below, trace, tracks, colours, scale)
        below.set_xlabel(f"time since the GPU's first lease, {unit}")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        plot.close(figure)


def _time_unit(stretches: Sequence[TraceEvent]) -> tuple[float, str]:
    """What a microsecond is multiplied by, and the unit it then has."""
    span = max((_end(one) for one in stretches), default=0.0) - min(
        (one.ts for one in stretches), default=0.0
    )
    return (1e-6, "s") if span >= 2e6 else (1e-3, "ms")


def _end(event: TraceEvent) -> float:
    return event.ts + (event.dur or 0.0)


def _draw_schedule(
    axes: Axes,
    trace: Trace,
    tracks: Mapping[int, str],
    colours: Mapping[int, str],
    scale: float,
) -> None:
    facts = trace.otherData
    for place, track in enumerate(tracks):
        spans = [
            (one.ts * scale, (one.dur or 0.0) * scale)
            for one in trace.stretches()
            if one.tid == track
        ]
        axes.broken_barh(spans, (place - 0.4, 0.8), color=colours[track], linewidth=0)
    axes.set_yticks(range(len(tracks)), list(tracks.values()))
    axes.set_ylim(len(tracks) - 0.4, -0.6)
    axes.set_title(
        f"{facts.gpu}: who held it; policy {facts.policy}, slice {facts.slice_us / 1000:g} ms",
        loc="left",
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd")


def _draw_shares(
    axes: Axes,
    trace: Trace,
    tracks: Mapping[int, str],
    colours: Mapping[int, str],
    scale: float,
) -> None:
    stretches = trace.stretches()
    if stretches:
        edges = _edges(stretches, trace.otherData.slice_us, len(tracks))
        used = {track: _per_window(stretches, track, edges) for track in tracks}
        sums = [sum(column) for column in zip(*used.values(), strict=True)]
        middles = [(a + b) / 2 * scale for a, b in pairwise(edges)]
        for number, (track, name) in enumerate(tracks.items()):
            shares: list[float] = [
                100 * own / whole if whole else float("nan")
                for own, whole in zip(used[track], sums, strict=True)
            ]
            marker = _MARKERS[number % len(_MARKERS)]
            axes.plot(
                middles, shares, color=colours[track], marker=marker, markersize=4, label=name
            )
        if len(tracks) <= 8:
            # Beside the title: within the axes it would hide what it names.
            corner = (1.0, 1.0)
            axes.legend(
                loc="lower right", bbox_to_anchor=corner, fontsize=8, ncols=8, frameon=False
            )
    axes.set_ylim(0, 105)
    axes.set_ylabel("% of the device time")
    axes.set_title("Share of the device time", loc="left")
    axes.grid(color="#dddddd")


def _edges(stretches: Sequence[TraceEvent], slice_us: int, leases: int) -> list[float]:
    """Where windows begin and end, in us."""
    begin, end = min(one.ts for one in stretches), max(_end(one) for one in stretches)
    wanted = slice_us * leases * _SLICES_PER_WINDOW
    count = max(1, min(_WINDOWS, int((end - begin) / wanted)))
    return [begin + (end - begin) * number / count for number in range(count + 1)]


def _per_window(stretches: Sequence[TraceEvent], track: int, edges: Sequence[float]) -> list[float]:
    """The device time of a track in each window, in us."""
    width = (edges[-1] - edges[0]) / (len(edges) - 1) or 1.0
    found = [0.0] * (len(edges) - 1)
    for one in stretches:
        if one.tid != track:
            continue
        device, length = float(one.args["device_us"]), one.dur or 0.0
        first = min(len(found) - 1, int((one.ts - edges[0]) / width))
        last = min(len(found) - 1, int((_end(one) - edges[0]) / width))
        for window in range(first, last + 1):
            within = min(_end(one), edges[window + 1]) - max(one.ts, edges[window])
            found[window] += device * (within / length if length else 1.0 / (last - first + 1))
    return found
