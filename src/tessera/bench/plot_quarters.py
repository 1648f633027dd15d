# SPDX-License-Identifier: Apache-2.0
"""What jobs that wait for their input lose and gain together, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tessera.advice.mva import gain_limit, predict_equal
from tessera.bench.drawing import GRID, POLICY_COLOURS, POLICY_MARKERS, TARGET, layout
from tessera.bench.duty import PROMISES
from tessera.bench.result import Report
from tessera.bench.shared_result import DutyRun
from tessera.model.policy import PolicyKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STEPS = 200
# The promises are for light jobs; of heavier ones the gain tells more.
_MOST_DUTY, _MOST_SLOWDOWN = 0.33, 60


def draw_quarters(plot: Any, report: Report) -> Figure:
    """Slowdown of the jobs, and the gain, by duty cycle and policy."""
    figure: Figure
    figure, (slowdowns, gains) = plot.subplots(1, 2, figsize=(13, 5.6), layout=layout(0.04))
    jobs = int(report.parameters["jobs"])
    figure.suptitle(
        f"{jobs} jobs that wait for their input ({report.parameters['arrivals']}), "
        f"on 1/{jobs} of a GPU each, beside one alone on all of it",
        fontsize=12,
    )
    _draw_slowdowns(slowdowns, report.duties, jobs)
    _draw_gains(gains, report.duties, jobs)
    return figure


def _by_policy(runs: tuple[DutyRun, ...]) -> dict[PolicyKind, list[DutyRun]]:
    found: dict[PolicyKind, list[DutyRun]] = {}
    for run in sorted(runs, key=lambda run: run.duty):
        found.setdefault(PolicyKind(run.policy), []).append(run)
    return found


def _duties(most: float) -> list[float]:
    return [most * (step + 1) / _STEPS for step in range(_STEPS)]


def _draw_slowdowns(axes: Axes, runs: tuple[DutyRun, ...], jobs: int) -> None:
    duties = _duties(_MOST_DUTY)
    model = [100 * (predict_equal(duty, jobs).slowdowns[0] - 1) for duty in duties]
    least = [100 * (jobs / gain_limit(duty, jobs) - 1) for duty in duties]
    axes.plot(duties, model, "--", color="#777777", label="closed queue (model)")
    axes.plot(duties, least, ":", color="#222222", label="least that is possible")
    for policy, points in _by_policy(runs).items():
        worst = [100 * (run.worst - 1) for run in points]
        down = [100 * (run.worst - min(run.slowdowns)) for run in points]
        axes.errorbar(
            [run.duty for run in points],
            worst,
            yerr=[down, [0.0] * len(down)],
            color=POLICY_COLOURS[policy],
            marker=POLICY_MARKERS[policy],
            linewidth=1,
            capsize=2,
            label=policy.value,
        )
    for duty, (slowdown, _) in PROMISES.items():
        _mark(axes, duty, 100 * slowdown)
    axes.plot([], [], color=TARGET, linewidth=2, label="target (at most)")
    axes.set_xlim(0, _MOST_DUTY)
    axes.set_ylim(-3, _MOST_SLOWDOWN)
    axes.set_xlabel("duty cycle: device time / wall time, alone")
    axes.set_ylabel("%")
    axes.grid(color=GRID)
    axes.set_title("Slowdown of the job that suffers most (bar: to the least)", loc="left")
    axes.legend(fontsize=9, loc="upper left")


def _draw_gains(axes: Axes, runs: tuple[DutyRun, ...], jobs: int) -> None:
    most = max([0.85, *(run.duty for run in runs)])
    duties = _duties(most)
    model = [predict_equal(duty, jobs).gain for duty in duties]
    axes.plot(duties, model, "--", color="#777777", label="closed queue (model)")
    limits = [gain_limit(duty, jobs) for duty in duties]
    axes.plot(duties, limits, ":", color="#222222", label=f"limit: min({jobs}, 1 / duty)")
    for policy, points in _by_policy(runs).items():
        axes.plot(
            [run.duty for run in points],
            [run.gain for run in points],
            color=POLICY_COLOURS[policy],
            marker=POLICY_MARKERS[policy],
            linewidth=1,
            label=policy.value,
        )
    for duty, (_, gain) in PROMISES.items():
        _mark(axes, duty, gain)
    axes.plot([], [], color=TARGET, linewidth=2, label="target (at least)")
    axes.set_xlim(0, most)
    axes.set_ylim(0, jobs * 1.08)
    axes.set_xlabel("duty cycle: device time / wall time, alone")
    axes.set_ylabel("times the work of one after another")
    axes.grid(color=GRID)
    axes.set_title("Throughput gain", loc="left")
    axes.legend(fontsize=9, loc="lower left")


def _mark(axes: Axes, duty: float, value: float) -> None:
    axes.plot([duty - 0.012, duty + 0.012], [value, value], color=TARGET, linewidth=3, zorder=5)
