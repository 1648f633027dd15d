# SPDX-License-Identifier: Apache-2.0
"""How a policy shares a GPU, as a picture: shares, waits, time that is left over, throughput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tessera.bench.drawing import GRID, POLICY_COLOURS, TARGET, layout
from tessera.bench.result import Report
from tessera.bench.shared_result import IdleRun, ShareRun, ThroughputRun, WaitRun
from tessera.bench.shares import SHARE_ERROR, THROUGHPUT
from tessera.model.policy import PolicyKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Neighbours must differ; who is who is told by the place.
_SHADES = ("#9ecae1", "#4292c6")
_PAUSING, _SATURATING = ("#fdd0a2", "#fdae6b"), ("#9ecae1", "#4292c6")


def draw_fairness(plot: Any, report: Report) -> Figure:
    """Four panels, of which those without data stay empty."""
    figure: Figure
    rows = max(1, len(report.shares))
    figure, axes = plot.subplots(
        2,
        2,
        figsize=(13, 4.6 + 0.32 * rows),
        width_ratios=(1.25, 1),
        height_ratios=(0.32 * rows + 1.2, 3.4),
        layout=layout(0.03),
    )
    figure.suptitle("How leases share one GPU", fontsize=12)
    _draw_shares(axes[0][0], report.shares)
    _draw_waits(axes[0][1], report.waits)
    _draw_idles(axes[1][0], report.idles)
    _draw_throughputs(axes[1][1], report.throughputs)
    return figure


def _draw_shares(axes: Axes, runs: Sequence[ShareRun]) -> None:
    ordered = sorted(runs, key=lambda run: list(PolicyKind).index(PolicyKind(run.policy)))
    for row, run in enumerate(ordered):
        left, due = 0.0, 0.0
        for place, tenant in enumerate(run.tenants):
            axes.barh(row, 100 * tenant.measured, 0.72, left, color=_SHADES[place % 2])
            left += 100 * tenant.measured
            if tenant.due is not None:
                due += 100 * tenant.due
                axes.plot([due, due], [row - 0.44, row + 0.44], color="#222222", linewidth=1.4)
        if run.error is not None:
            kept = run.error <= SHARE_ERROR
            axes.annotate(
                f"{100 * run.error:.2f} %",
                (101, row),
                va="center",
                fontsize=9,
                color=TARGET if kept else "#c00000",
            )
    axes.set_yticks(
        range(len(ordered)), [f"{run.policy}, {len(run.tenants)}" for run in ordered], fontsize=9
    )
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 25))
    axes.set_xlabel(
        "% of the device time that was used (fixed: of the clock); black: what each is due"
    )
    axes.set_title("Saturating tenants: measured shares, largest error", loc="left")


def _draw_waits(axes: Axes, runs: Sequence[WaitRun]) -> None:
    for row, run in enumerate(runs):
        colour = POLICY_COLOURS[PolicyKind(run.policy)]
        axes.plot([run.p50, run.longest], [row, row], color=colour, linewidth=1, alpha=0.6)
        axes.plot(run.p50, row, "o", color=colour, markersize=8)
        axes.plot(run.p99, row, "D", color=colour, markersize=8)
        axes.plot(run.longest, row, "|", color=colour, markersize=14, markeredgewidth=2)
        if run.policy != PolicyKind.BEST_EFFORT:
            axes.plot([run.bound, run.bound], [row - 0.3, row + 0.3], color=TARGET, linewidth=2)
    for marker, name in (("o", "median"), ("D", "99 of 100"), ("|", "longest")):
        axes.plot([], [], marker, color="#555555", label=name, markersize=8)
    axes.plot([], [], color=TARGET, linewidth=2, label="bound")
    slices = sorted({f"{run.slice_ms:g}" for run in runs})
    axes.set_yticks(range(len(runs)), [run.policy for run in runs])
    axes.set_ylim(len(runs) - 0.3, -0.7)
    axes.set_xlim(left=0)
    others = sorted({run.competitors for run in runs})
    axes.set_xlabel(
        f"time slices (of {', '.join(slices)} ms), beside {', '.join(map(str, others))} saturating"
    )
    axes.grid(axis="x", color=GRID)
    axes.set_title("Waits of an interactive tenant beside others", loc="left")
    axes.legend(fontsize=8, ncols=4, loc="upper center")


def _draw_idles(axes: Axes, runs: Sequence[IdleRun]) -> None:
    labels = []
    for place, run in enumerate(runs):
        for half, parts in enumerate((run.while_paused, run.while_working)):
            row, left = 2.4 * place + half, 0.0
            labels.append((row, f"{run.policy}: {'all work' if half else 'two pause'}"))
            for number, (part, pausing) in enumerate(zip(parts, run.pausing, strict=True)):
                shades = _PAUSING if pausing else _SATURATING
                axes.barh(row, 100 * part, 0.85, left, color=shades[number % 2])
                left += 100 * part
    for shades, name in ((_SATURATING, "saturate"), (_PAUSING, "pause, then work")):
        axes.plot([], [], "s", color=shades[1], markersize=9, label=name)
    axes.set_yticks([row for row, _ in labels], [label for _, label in labels], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the time, the device computes for")
    axes.grid(axis="x", color=GRID)
    axes.set_title("Two of four tenants pause", loc="left")
    # Beside the title: within the axes it would hide what it names.
    axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _draw_throughputs(axes: Axes, runs: Sequence[ThroughputRun]) -> None:
    for place, run in enumerate(runs):
        colour = POLICY_COLOURS[PolicyKind(run.policy)]
        ratios = [both / one for both, one in zip(run.together, run.alone, strict=True)]
        axes.plot([place] * len(ratios), ratios, ".", color=colour, alpha=0.5, markersize=9)
        axes.plot(place, run.ratio, "o", color=colour, markersize=9)
        axes.annotate(
            f"{run.ratio:.3f}", (place, run.ratio), textcoords="offset points", xytext=(12, -4)
        )
    axes.axhline(1.0, color="#222222", linewidth=0.8)
    axes.axhline(THROUGHPUT, color=TARGET)
    axes.annotate(
        "target",
        (1, THROUGHPUT),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        xytext=(-4, -10),
        ha="right",
        color=TARGET,
        fontsize=8,
    )
    axes.set_xticks(range(len(runs)), [f"{run.tenants} tenants,\n{run.policy}" for run in runs])
    axes.set_xlim(-0.8, max(0, len(runs) - 1) + 0.8)
    axes.margins(y=0.25)
    axes.set_ylim(bottom=min(0.94, axes.get_ylim()[0]))
    axes.set_title("Kernels per second of all / of one alone: pairs, median", loc="left")
