# SPDX-License-Identifier: Apache-2.0
"""`make demo`: the language model on the bare device and on a quarter of it, side by side; then four virtual
machines on four quarters.

Both trainings live at once and take turns, so that the ratio is one of the same minute of the
machine. It ends with a table, and with an error if the losses differ or the lease got more than
its memory. The second part is tessera.bench.four_machines, with a table of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tessera.bench.allocate import Refusal
from tessera.bench.errors import LimitNotHeld, SideFailed
from tessera.bench.four_machines import MachinesPlan, machines_table, run_machines
from tessera.bench.machines import image_path, make_image
from tessera.bench.overhead import OverheadPlan, run_overhead
from tessera.bench.progress import Shown
from tessera.bench.result import BARE, Account, Report
from tessera.bench.sides import clean_up_when_terminated, private_daemon, side_command
from tessera.model.errors import InvalidRequest, TesseraError
from tessera.model.units import format_bytes

SHARE = "1/4"
LEASED = "shm"
ALLOCATE_SECONDS = 120.0
PLAN = OverheadPlan(sides=(BARE, LEASED), pairs=5, steps=20, fraction=SHARE, patience=0)


def keep_caches(folder: Path) -> None:
    """Lets PoCL and tinygrad keep compiled kernels in `folder`, unless the user chose other places.

    Their own defaults are in the home folder, which a container may lack. Raises OSError.
    """
    pocl = folder / "pocl"
    pocl.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("POCL_CACHE_DIR", str(pocl))
    os.environ.setdefault("CACHEDB", str(folder / "tinygrad.db"))


def _prepare_caches(folder: Path) -> None:
    try:
        keep_caches(folder)
    except OSError as error:
        raise InvalidRequest(
            f"Cannot write the cache folder {folder}: {error.strerror}.",
            "Choose another with --cache.",
        ) from error


def try_allocating(transport: str, fraction: str) -> Refusal:
    """Takes memory in a lease of its own until that refuses. Raises SideFailed, LimitNotHeld."""
    program = [sys.executable, "-m", "tessera.bench.allocate"]
    command = side_command(transport, program, fraction)
    with private_daemon(needed=True) as environment:
        done = subprocess.run(
            command,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=ALLOCATE_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise SideFailed(
            f"The program that fills the lease failed.\n{done.stderr[-2000:]}",
            f"Run it by hand: {' '.join(command)}",
        )
    refusal = Refusal(**json.loads(done.stdout))
    if refusal.granted > refusal.device_memory:
        raise LimitNotHeld(
            f"{refusal.granted} bytes were granted by a lease of {refusal.device_memory}.",
            "This is an error of Tessera; please report it.",
        )
    return refusal


def summary_table(report: Report, refusal: Refusal) -> Table:
    """What `make demo` is for: the two trainings beside each other, and the limit."""
    accounts = {account.side: account for account in report.accounts}
    bare, leased = accounts[BARE], accounts[LEASED]
    ratio = report.series[0].speed[LEASED]
    table = Table(title="language model: bare device and a quarter lease", title_justify="left")
    for heading in ("", "bare device", f"lease of {SHARE}"):
        table.add_column(heading, justify="right" if heading else "left")
    device = report.drivers[BARE].device
    table.add_row("platform", *(report.drivers[side].platform for side in (BARE, LEASED)))
    table.add_row("device", device, report.drivers[LEASED].device)
    table.add_row("steps/s", f"{_rate(bare):.2f}", f"{_rate(leased):.2f}")
    table.add_row("ratio, median of pairs", "1", f"{ratio.median:.4f}")
    table.add_row("", "", f"[dim]95 %: {ratio.low:.4f} .. {ratio.high:.4f}[/dim]")
    table.add_row("loss after the last step", report.results["last"], report.results["last"])
    digest = report.results["sha256"][:16]
    table.add_row("weights, sha256", digest, f"{digest} (equal)")
    table.add_section()
    table.add_row("memory of the lease", "", _bytes(refusal.device_memory))
    table.add_row("granted before a refusal", "", _bytes(refusal.granted))
    table.add_row(f"{format_bytes(refusal.refused)} more", "", f"refused: {refusal.error}")
    table.add_section()
    table.add_row("messages per step", "", f"{leased.per_step(leased.messages):.1f}")
    table.add_row("round trips per step", "", f"{leased.per_step(leased.round_trips):.2f}")
    return table


def _rate(account: Account) -> float:
    return account.steps / account.wall_seconds


def _bytes(amount: int) -> str:
    return f"{amount:,} B ({format_bytes(amount)})"


def run_demo(cache: Path, pairs: int) -> None:
    """Runs the demo; talks on stderr, prints the table to stdout. Raises TesseraError."""
    plan = replace(PLAN, pairs=pairs)
    with Shown(plan.sides, plan.pairs) as shown, ThreadPoolExecutor(1) as beside:
        # The first warm-up compiles kernels on one core, for longer than an image takes to make.
        image = beside.submit(make_image, shown.say)
        shown.say(
            "Training a small GPT on English text. The first run compiles its kernels, in a minute "
            f"or two; later runs find them in {cache}."
        )
        report = run_overhead(plan, shown.say, shown.played, warm=image.result)
        shown.say("Filling a quarter lease until it refuses.")
        refusal = try_allocating(LEASED, SHARE)
    console = Console(file=sys.stdout)
    console = console if console.is_terminal else Console(file=sys.stdout, width=110)
    console.print(summary_table(report, refusal))
    machines = MachinesPlan()
    with Shown(machines.names, 2 * machines.rounds) as shown:
        result = run_machines(machines, shown.say, shown.played)
    console.print(machines_table(machines, result))
    console.print(
        f"In a machine:  tessera run --vm --image {_shown(image_path())} --fraction {SHARE} -- clinfo",
        highlight=False,
    )
    console.print(
        f"Try it with any program:  tessera run --fraction {SHARE} -- clinfo", highlight=False
    )


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def main(
    cache: Annotated[Path, typer.Option(help="Folder that keeps compiled kernels.")] = Path(
        ".cache"
    ),
    pairs: Annotated[int, typer.Option(min=1, help="Slices of each side.")] = PLAN.pairs,
) -> None:
    """Train on the bare device and on a quarter lease, then in four virtual machines, and compare."""
    clean_up_when_terminated()
    try:
        _prepare_caches(cache.resolve())
        run_demo(cache.resolve(), pairs)
    except TesseraError as error:
        print(f"demo: {error.message}\n  {error.hint}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


if __name__ == "__main__":
    typer.run(main)
