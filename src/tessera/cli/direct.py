# SPDX-License-Identifier: Apache-2.0
"""`tessera direct`: what could be handed over whole to a machine, and what keeps it from that."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tessera.cli import commands, direct_tables, output
from tessera.cli.output import Format, FormatOption
from tessera.model.direct import DirectFinding
from tessera.model.errors import ConflictError
from tessera.model.units import parse_memory

app = typer.Typer(
    help="Devices that machines have whole: PCI functions, vGPUs.", no_args_is_help=True
)


@app.command("list")
def list_devices(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also what is no GPU, such as disks and bridges.")
    ] = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """List the devices that `tessera run --vm --direct` can name."""
    with commands.client() as daemon:
        found = daemon.direct()
    if output_format is Format.JSON:
        output.print_json(found)
        return
    output.print_tables(*direct_tables.view(found, everything))
    for finding in found.findings:
        say(finding)


@app.command()
def check(
    devices: Annotated[
        list[str], typer.Argument(metavar="DEVICE...", help="As for --direct; see --help of run.")
    ],
    guest_memory: Annotated[
        str, typer.Option(help="Memory of the machine that is to get them.")
    ] = "1GiB",
    without_reset: Annotated[
        bool, typer.Option("--without-reset", help="Also what cannot be reset.")
    ] = False,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Say what keeps devices from being handed over now, and what to do about it."""
    words = split(devices)
    with commands.client() as daemon:
        found = daemon.direct_check(words, parse_memory(guest_memory), without_reset)
    if output_format is Format.JSON:
        output.print_json(found)
    else:
        for finding in found.findings:
            print(f"{finding.name}: {finding.cause}\n  {finding.todo}")
        if not found.findings:
            print(f"{', '.join(found.devices)} can be handed over.")
    sys.exit(ConflictError.exit_code if found.findings else 0)


def say(finding: DirectFinding) -> None:
    """Tells a person what is missing."""
    output.say(f"{finding.name}: {finding.cause}")
    output.say(f"  {finding.todo}")


def split(words: list[str]) -> list[str]:
    """Each word may be several, with commas between."""
    return [part for word in words for part in word.split(",") if part]
