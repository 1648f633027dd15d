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

from tessera.bench.boot import BootPlan, run_boots
from tessera.bench.calls import CallsPlan, run_calls
from tessera.bench.control import parse_policies
from tessera.bench.examples import WORKLOADS
from tessera.bench.fairness import FairnessPlan, run_fairness
from tessera.bench.machines import VM, make_image
from tessera.bench.overhead import DEFAULT_PAIRS, DEFAULT_SITTINGS, OverheadPlan, run_overhead
from tessera.bench.plots import check_target, write_plot
from tessera.bench.progress import Shown
from tessera.bench.quarters import QuartersPlan, run_quarters
from tessera.bench.result import BARE, MACHINE, Report
from tessera.bench.sides import clean_up_when_terminated, parse_sides
from tessera.bench.start import StartPlan, run_start
from tessera.bench.stream import ARRIVALS
from tessera.bench.suspend import SIDES as SUSPEND_SIDES
from tessera.bench.suspend import SuspendPlan, run_suspend
from tessera.bench.tables import print_report
from tessera.model.errors import InvalidRequest
from tessera.model.policy import parse_time_slice
from tessera.model.units import parse_memory

BESIDE_BARE = "bare,shm"
# What the image of experiments has the packages for; the first is taken unless another is named.
MACHINE_WORKLOADS = ("online_digits", "nbody")

app = typer.Typer(help="Measure leases beside the bare device.", no_args_is_help=True)


class Output(StrEnum):
    table = "table"
    json = "json"


Pairs = Annotated[int, typer.Option(min=1, help="Slices of each side; 5 or more for a ratio.")]
On = Annotated[
    str, typer.Option(help="Sides to measure: bare, shm, unix, tcp, vm.", metavar="SIDES")
]
Fraction = Annotated[
    str | None,
    typer.Option(help="Part of the GPU per lease; unless given, as much as all of them can have."),
]
Cores = Annotated[
    str | None, typer.Option(help="Cores for every process of the run, such as 0,1 or 0-3.")
]
InMachine = Annotated[
    bool, typer.Option("--vm", help="Leases in virtual machines, a container in each.")
]
Form = Annotated[Output, typer.Option("-o", "--output", help="What goes to standard output.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the result into this PNG, SVG or PDF file.")]
Out = Annotated[Path | None, typer.Option(help="Write the result with its raw samples as JSON.")]


@app.command()
def calls(
    pairs: Pairs = 9,
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
        str | None,
        typer.Option(
            help=f"One of {', '.join(WORKLOADS)}; language_model when left out, in a machine "
            f"{MACHINE_WORKLOADS[0]}."
        ),
    ] = None,
    vm: InMachine = False,
    pairs: Pairs = DEFAULT_PAIRS,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps per slice; a slice should take seconds.")
    ] = None,
    sittings: Annotated[
        int, typer.Option(min=1, help="How often to start all sides anew; they share the pairs.")
    ] = DEFAULT_SITTINGS,
    on: On = BESIDE_BARE,
    fraction: Fraction = None,
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """How fast an unmodified program runs on a lease, and where the rest goes."""
    sides = parse_sides(on)
    if vm and VM not in sides:
        sides = (BARE, VM) if on == BESIDE_BARE else (*sides, VM)
    choice = MACHINE_WORKLOADS if VM in sides else WORKLOADS
    workload = workload or choice[0]
    if workload not in choice:
        raise InvalidRequest(
            f"'{workload}' is no workload{' of machines' if VM in sides else ''}.",
            f"Choose one of {', '.join(choice)}.",
        )
    plan = OverheadPlan(
        workload=workload,
        sides=sides,
        pairs=pairs,
        steps=steps,
        fraction=fraction,
        sittings=sittings,
    )
    _prepare(cores, plot)
    with Shown(plan.sides, pairs) as shown:
        if VM in sides:
            make_image(shown.say)
        report = run_overhead(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


@app.command()
def start(
    pairs: Pairs = 9,
    on: On = "bare,shm",
    in_vm: Annotated[
        bool, typer.Option("--vm", help="Boots of a virtual machine, beside nothing.")
    ] = False,
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """What `tessera run` adds to the start and end of a program."""
    plan = StartPlan(sides=parse_sides(on), pairs=pairs)
    _prepare(cores, plot)
    if in_vm:
        with Shown((VM,), pairs) as shown:
            make_image(shown.say)
            report = run_boots(BootPlan(boots=pairs), shown.say)
        _deliver(report, output, plot, out)
        return
    with Shown(plan.sides, pairs) as shown:
        report = run_start(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


@app.command()
def suspend(
    pairs: Pairs = 5,
    size: Annotated[
        str | None,
        typer.Option(help="Device memory of the lease; 1GiB, of a machine 256MiB unless given."),
    ] = None,
    in_vm: Annotated[
        bool, typer.Option("--vm", help="Of a virtual machine with its lease, beside nothing.")
    ] = False,
    guest_memory: Annotated[str, typer.Option(help="Memory of the machine.")] = "512MiB",
    folder: Annotated[
        Path, typer.Option(help="A folder on the disk that keeps the state and the copies.")
    ] = Path("."),
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """Suspending a lease to disk and resuming it, beside `cp` of as many bytes there and back."""
    if in_vm:
        from tessera.bench.suspend_vm import SuspendVmPlan, run_suspend_vm  # what images need

        of_machine = SuspendVmPlan(
            folder.resolve(), pairs, parse_memory(size or "256MiB"), parse_memory(guest_memory)
        )
        _prepare(cores, plot)
        with Shown((), 0) as shown:
            _deliver(run_suspend_vm(of_machine, shown.say), output, plot, out)
        return
    plan = SuspendPlan(folder.resolve(), pairs, parse_memory(size or "1GiB"))
    _prepare(cores, plot)
    with Shown(SUSPEND_SIDES, pairs) as shown:
        report = run_suspend(plan, shown.say, shown.played)
    _deliver(report, output, plot, out)


Policies = Annotated[
    str,
    typer.Option(help="Policies to compare: best-effort, equal, fixed, weighted.", metavar="LIST"),
]
Slice = Annotated[
    str, typer.Option("--slice", help="Time slice, 1ms to 30ms, or auto.", metavar="TIME")
]


@app.command()
def fairness(
    tenants: Annotated[
        str, typer.Option(help="Numbers of saturating tenants.", metavar="LIST")
    ] = "2,4,8",
    policies: Policies = "equal,weighted,fixed,best-effort",
    time_slice: Slice = FairnessPlan.time_slice,
    seconds: Annotated[
        float, typer.Option(min=0.5, help="Length of a measured window.")
    ] = FairnessPlan.seconds,
    kernel_us: Annotated[
        int, typer.Option(min=10, max=1_000_000, help="Device time of a tenant's kernel.")
    ] = FairnessPlan.kernel_us,
    pairs: Pairs = FairnessPlan.pairs,
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """How each policy shares a GPU: shares, waits, time that others leave, throughput."""
    parse_time_slice(time_slice)
    plan = FairnessPlan(
        tenants=parse_counts(tenants),
        policies=parse_policies(policies),
        time_slice=time_slice,
        seconds=seconds,
        kernel_us=kernel_us,
        pairs=pairs,
    )
    _prepare(cores, plot)
    with Shown((), 0) as shown:
        report = run_fairness(plan, shown.say)
    _deliver(report, output, plot, out)


@app.command()
def quarters(
    duty: Annotated[
        str, typer.Option(help="Duty cycles of the job alone, 0 to 1.", metavar="LIST")
    ] = "0.05,0.1,0.15,0.2,0.25,0.3,0.4,0.6,0.8",
    policies: Policies = "equal,best-effort,fixed",
    jobs: Annotated[int, typer.Option(min=2, max=16, help="How many share it.")] = (
        QuartersPlan.jobs
    ),
    time_slice: Slice = QuartersPlan.time_slice,
    arrivals: Annotated[
        str, typer.Option(help=f"How inputs arrive: {', '.join(ARRIVALS)}.")
    ] = QuartersPlan.arrivals,
    device_ms: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Device time of one input, about.")
    ] = QuartersPlan.device_ms,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of a turn.")] = (
        QuartersPlan.seconds
    ),
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each side at each duty.")] = (
        QuartersPlan.rounds
    ),
    vm: InMachine = False,
    cores: Cores = None,
    output: Form = Output.table,
    plot: Plot = None,
    out: Out = None,
) -> None:
    """Four jobs that need a part of a GPU: each alone on all of it, then all on a quarter each."""
    parse_time_slice(time_slice)
    if arrivals not in ARRIVALS:
        raise InvalidRequest(
            f"'{arrivals}' is no way to arrive.", f"Choose one of {', '.join(ARRIVALS)}."
        )
    plan = QuartersPlan(
        duties=parse_duties(duty),
        policies=parse_policies(policies),
        jobs=jobs,
        time_slice=time_slice,
        arrivals=arrivals,
        device_ms=device_ms,
        seconds=seconds,
        rounds=rounds,
        transport=VM if vm else QuartersPlan.transport,
    )
    _prepare(cores, plot)
    with Shown((), 0) as shown:
        if vm:
            make_image(shown.say)
        report = run_quarters(plan, shown.say)
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
            plan = OverheadPlan(
                workload=workload, sides=sides, pairs=pairs, sittings=DEFAULT_SITTINGS
            )
            report = run_overhead(plan, shown.say, shown.played)
        _file(report, output_dir, f"overhead-{workload}")
        print_report(console, report)
    with Shown((), 0) as shown:
        report = run_fairness(FairnessPlan(), shown.say)
        _file(report, output_dir, "fairness")
        print_report(console, report)
        report = run_quarters(QuartersPlan(), shown.say)
        _file(report, output_dir, "quarters")
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


def parse_counts(text: str) -> tuple[int, ...]:
    """'2,4,8' as numbers of tenants, each 2 to 64. Raises InvalidRequest."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 4 and 2 <= int(part) <= 64 for part in parts):
        raise InvalidRequest(f"'{text}' are no numbers of tenants.", "Write 2 to 64, like 2,4,8.")
    return tuple(dict.fromkeys(map(int, parts)))


def parse_duties(text: str) -> tuple[float, ...]:
    """'0.1,0.2' as duty cycles, each above 0 and below 1. Raises InvalidRequest."""
    try:
        duties = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        duties = ()
    if not duties or not all(0.001 <= duty < 1 for duty in duties):
        raise InvalidRequest(
            f"'{text}' are no duty cycles.", "Write parts of the time, like 0.1,0.2."
        )
    return duties


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
