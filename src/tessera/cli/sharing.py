# SPDX-License-Identifier: Apache-2.0
"""`tessera policy` and `tessera trace`: how GPUs are shared, and how that went."""

from __future__ import annotations

from tessera.cli import output, tables
from tessera.cli.commands import client
from tessera.cli.output import Format
from tessera.client.rest import Client
from tessera.model.policy import GpuPolicy, PolicyChange, parse_policy, parse_time_slice


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
