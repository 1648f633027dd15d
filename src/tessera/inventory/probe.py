# SPDX-License-Identifier: Apache-2.0
"""Asks tessera-probe for the OpenCL devices of this host.

A separate process, because a driver may hang or crash while it is loaded, and the daemon must outlive
that. Its output is checked like any other input: drivers fill in names and sizes as they please.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from tessera.model.errors import ProbeCrashed, ProbeFailed, ProbeTimedOut
from tessera.model.gpu import DeviceType

_HINT = "Run `tessera doctor`; it tries each OpenCL driver by itself."
_MAX_OUTPUT = 4 << 20

Text = Annotated[str, Field(max_length=4096)]


class ProbedDevice(BaseModel):
    """One device as tessera-probe prints it; sizes in bytes."""

    index: int = Field(ge=0)
    name: Text
    vendor: Text
    version: Text
    driver_version: Text
    type: DeviceType
    global_mem_size: int = Field(ge=0)
    max_mem_alloc_size: int = Field(ge=0)
    max_compute_units: int = Field(ge=0)
    pci_address: Text | None = None
    uuid: Text | None = None
    extensions: tuple[Text, ...] = ()


class ProbedPlatform(BaseModel):
    """One OpenCL platform."""

    index: int = Field(ge=0)
    name: Text
    vendor: Text
    version: Text
    devices: tuple[ProbedDevice, ...]


class ProbeReport(BaseModel):
    """All of tessera-probe's output."""

    platforms: tuple[ProbedPlatform, ...]


async def probe(program: Path, environment: Mapping[str, str], limit: float) -> ProbeReport:
    """Runs the probe for at most `limit` seconds.

    Raises ProbeTimedOut, ProbeCrashed, or ProbeFailed with what it said.
    """
    process = await asyncio.create_subprocess_exec(
        program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        limit=_MAX_OUTPUT,
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError as error:
        raise ProbeTimedOut(f"{program.name} gave no answer in {limit:g} s.", _HINT) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _parse(program.name, process.returncode or 0, output, errors)


def _parse(name: str, code: int, output: bytes, errors: bytes) -> ProbeReport:
    said = errors.decode("utf-8", "replace").strip()[-500:]
    if code < 0:
        raise ProbeCrashed(
            f"{name} was ended by {signal.Signals(-code).name}. {said}".strip(),
            "An OpenCL driver crashes while it is loaded. " + _HINT,
        )
    if code > 0:
        raise ProbeFailed(f"{name} failed: {said or f'exit code {code}'}", _HINT)
    try:
        return ProbeReport.model_validate_json(output)
    except ValidationError as error:
        raise ProbeFailed(
            f"{name} printed something else than its report: {error.errors()[0]['msg']}.",
            "Run `make setup`: the native programs are of another version.",
        ) from error
