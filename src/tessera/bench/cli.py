# SPDX-License-Identifier: Apache-2.0
"""`tessera bench`: parse, measure, print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tessera.bench.calls import CallsPlan, run_calls
from tessera.bench.examples import WORKLOADS
from tessera.bench.overhead import DEFAULT_PAIRS, OverheadPlan, run_overhead
from tessera.bench.plots import check_target, write_plot
from tessera.bench.progress import Shown
from tessera.bench.result import BARE, MACHINE, Report
from tessera.bench.sides import clean_up_when_terminated, parse_sides
from tessera.bench.start import StartPlan, run_start
from tessera.bench.suspend import SIDES as SUSPEND_SIDES
from tessera.bench.suspend import SuspendPlan, run_suspend
from tessera.bench.tables import print_report
from tessera.model.errors import InvalidRequest
from tessera.model.units import parse_memory

app = typer.Typer(help="Measure leases beside the bare device.", no_args_is_help=True)


class Output(StrEnum):
    table = "table"
    json = "json"


Pairs = Annotated[int, typer.Option(min=1, help="Slices of each side; 5 or more for a ratio.")]
On = Annotated[str, typer.Option(help="Sides to measure: bare, shm, unix, tcp.", metavar="SIDES")]
Fraction = Annotated[
    str | None,
    typer.Option(help="Part of the GPU per lease; unless given, as much as all of them can have."),
]
Cores = Annotated[
    str | None, typer.Option(help="Cores for every process of the run, such as 0,1 or 0-3.")
]
Form = Annotated[Output, typer.Option("-o", "--output", help="What goes to standard output.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the result into this PNG, SVG or PDF file.")]
Out = Annotated[Path | None, typer.Option(help="Write the result with its raw samples as JSON.")]


@app.command()
def calls(
    pairs: Pairs = 5,
    on: On = "bare,shm",
    fraction: Fraction = None,
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """What single calls cost: posting, round trips, a chain of kernels, copies."""
    plan = CallsPlan(sides=parse_sides(on), pairs=pairs, fraction=fraction)
    _prepare(cores, plot)
    with Shown((MACHINE, *plan.sides), pairs) as shown:
        report = run_calls(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


@app.command()
def overhead(
    workload: Annotated[
        str, typer.Option(help=f"One of {', '.join(WORKLOADS)}.")
    ] = "language_model",
    pairs: Pairs = DEFAULT_PAIRS,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps per slice; a slice should take seconds.")
    ] = None,
    on: On = "bare,shm",
    fraction: Fraction = None,
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """How fast an unmodified program runs on a lease, and where the rest goes."""
    if workload not in WORKLOADS:
        raise InvalidRequest(
            f"'{workload}' is no workload.", f"Choose one of {', '.join(WORKLOADS)}."
        )
    plan = OverheadPlan(
        workload=workload, sides=parse_sides(on), pairs=pairs, steps=steps, fraction=fraction
    )
    _prepare(cores, plot)
    with Shown(plan.sides, pairs) as shown:
        report = run_overhead(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


@app.command()
def start(
    pairs: Pairs = 9,
    on: On = "bare,shm",
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """What `tessera run` adds to the start and end of a program."""
    plan = StartPlan(sides=parse_sides(on), pairs=pairs)
    _prepare(cores, plot)
    with Shown(plan.sides, pairs) as shown:
        report = run_start(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


@app.command()
def suspend(
    pairs: Pairs = 5,
    size: Annotated[str, typer.Option(help="Device memory of the lease: 1GiB, 256MiB.")] = "1GiB",
    folder: Annotated[
        Path, typer.Option(help="A folder on the disk that keeps the state and the copies.")
    ] = Path("."),
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """Suspending a lease to disk and resuming it, beside `cp` of as many bytes there and back."""
    plan = SuspendPlan(folder.resolve(), pairs, parse_memory(size))
    _prepare(cores, plot)
    with Shown(SUSPEND_SIDES, pairs) as shown:
        report = run_suspend(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


@app.command("all")
def everything(
    output_dir: Annotated[Path, typer.Option(help="Folder for the results and plots.")],
    pairs: Pairs = 9,
    on: On = "bare,shm,unix,tcp",
    cores: Cores = None,
) -> None:
    """Every experiment; writes JSON, PNG and SVG files into a folder, and prints the tables."""
    sides = parse_sides(on)
    _prepare(cores, output_dir / "calls.png")
    console = Console(file=sys.stdout)
    with Shown((MACHINE, *sides), pairs) as shown:
        report = run_calls(CallsPlan(sides=sides, pairs=pairs), shown.say, shown.played)
    _file(report, output_dir, "calls")
    print_report(console, report)
    if BARE in sides:  # a start is only measured beside the bare one
        with Shown(sides, pairs) as shown:
            report = run_start(StartPlan(sides=sides, pairs=pairs), shown.say, shown.played)
        _file(report, output_dir, "start")
        print_report(console, report)
    for workload in WORKLOADS:
        with Shown(sides, pairs) as shown:
            plan = OverheadPlan(workload=workload, sides=sides, pairs=pairs)
            report = run_overhead(plan, shown.say, shown.played)
        _file(report, output_dir, f"overhead-{workload}")
        print_report(console, report)


def _file(report: Report, folder: Path, name: str) -> None:
    _written(folder, lambda: folder.mkdir(parents=True, exist_ok=True))
    out = folder / f"{name}.json"
    _written(out, lambda: out.write_text(dump(report), encoding="utf-8"))
    for suffix in (".png", ".svg"):
        plot = out.with_suffix(suffix)
        _written(plot, partial(write_plot, report, plot))


def parse_cores(text: str) -> set[int]:
    """'0,2-3' as {0, 2, 3}. Raises InvalidRequest."""
    cores: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 12:
            raise InvalidRequest(f"'{text}' is no list of cores.", "Write it like 0,2-3.")
        cores.update(range(int(first), int(last or first) + 1) if dash else {int(first)})
    return cores


def _prepare(cores: str | None, plot: Path | None) -> None:
    """Everything that can be refused is refused before minutes are spent on measuring."""
    clean_up_when_terminated()
    if plot is not None:
        check_target(plot)
    if cores is None:
        return
    wanted, there = parse_cores(cores), os.sched_getaffinity(0)
    if not wanted or not wanted <= there:
        raise InvalidRequest(
            f"Not all of the cores {cores} can be used.",
            f"This process may use {','.join(map(str, sorted(there)))}.",
        )
    os.sched_setaffinity(0, wanted)


def _deliver(report: Report, output: Output, plot: Path | None, out: Path | None) -> None:
    if out is not None:
        _written(out, lambda: out.write_text(dump(report), encoding="utf-8"))
    if plot is not None:
        _written(plot, lambda: write_plot(report, plot))
    if output is Output.json:
        print(dump(report))
    else:
        print_report(Console(file=sys.stdout), report)


def dump(report: Report) -> str:
    """The report as JSON; samples to a tenth of a nanosecond, which is finer than any clock."""
    return json.dumps(_rounded(report.model_dump(mode="json")))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 1) if isinstance(value, float) and abs(value) > 1000 else value


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise InvalidRequest(
            f"Cannot write {path}: {error.strerror}.",
            "Name a file in a folder that can be written.",
        ) from error
