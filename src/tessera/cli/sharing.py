# SPDX-License-Identifier: Apache-2.0
"""`tessera policy` and `tessera trace`: how GPUs are shared, and how that went."""

from __future__ import annotations

from pathlib import Path

from tessera import paths
from tessera.bench.plots import check_target
from tessera.cli import output, tables, trace_plot
from tessera.cli.commands import client
from tessera.cli.output import Format
from tessera.client.rest import Client
from tessera.model.policy import GpuPolicy, PolicyChange, parse_policy, parse_time_slice
from tessera.model.trace import Trace
from tessera.model.units import format_duration


def policy(gpu: str | None, chosen: str | None, time_slice: str | None, form: Format) -> None:
    """Shows the policy of one GPU or of all; what is given is set first, the other half stays.

    Raises InvalidPolicy, InvalidTimeSlice, GpuNotFound, NotPermitted.
    """
    kind = None if chosen is None else parse_policy(chosen)
    slice_us = None if time_slice is None else parse_time_slice(time_slice)
    with client() as daemon:
        found = _policies(daemon, gpu)
        if kind or time_slice is not None:
            for index, before in enumerate(found):
                milliseconds = before.time_slice_ms
                if time_slice is not None:
                    milliseconds = None if slice_us is None else slice_us / 1000
                change = PolicyChange(policy=kind or before.policy, time_slice_ms=milliseconds)
                found[index] = daemon.choose_policy(before.gpu, change)
    if form is Format.JSON:
        output.print_json(found)
    else:
        output.print_tables(tables.policies(found))


def _policies(daemon: Client, gpu: str | None) -> list[GpuPolicy]:
    keys = [gpu] if gpu else [found.id for found in daemon.gpus()]
    return [daemon.policy(key) for key in keys]


def trace(gpu: str, out: Path | None, plot: Path | None, seconds: float | None) -> None:
    """Writes what the GPU's board still knows of its schedule: as a file, as a picture, or to stdout.

    Raises GpuNotFound, GpuNotInUse, InvalidRequest and BenchPackageMissing for a plot, and HostError for
    a file that cannot be written.
    """
    if plot:
        check_target(plot)
    with client() as daemon:
        found = daemon.trace(gpu, seconds)
    try:
        if out:
            out.write_text(found.model_dump_json(exclude_none=True) + "\n", encoding="utf-8")
        if plot:
            trace_plot.write_plot(found, plot)
    except OSError as error:
        raise paths.folder_error(str(out or plot), error) from error
    if not out and not plot:
        print(found.model_dump_json(exclude_none=True))
    output.say(_summary(found))


def _summary(found: Trace) -> str:
    stretches = found.stretches()
    if not stretches:
        return f"{found.otherData.gpu}: no lease has had to give it up yet."
    end = max(one.ts + (one.dur or 0.0) for one in stretches)
    span = format_duration((end - stretches[0].ts) * 1000)
    return (
        f"{found.otherData.gpu}: {len(stretches)} grants to {len(found.tracks())} leases in {span}."
    )
