# SPDX-License-Identifier: Apache-2.0
"""The whole OpenCL API, on the bare device and through a lease: what passes there passes here."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host
from helpers.programs import ROOT, native, run_bare, run_leased

DISPATCH_TABLE = Path("/usr/include/CL/cl_icd.h")
PROGRAM = "tessera-conformance"

# Nothing that these could be given is wrong: the standard lists no error for them.
WITHOUT_ERRORS = {"clGetExtensionFunctionAddress", "clSVMFree", "clUnloadCompiler"}

# What the bare device announces and a lease does not; the case finds that out and skips itself.
NOT_ANNOUNCED = {
    "clEnqueueNativeKernel.": "a function of the client cannot run in the worker",
}

# What needs memory that both processes see, and so goes over shared memory only.
OF_SHARED_MEMORY = {"clSVMAlloc.fine_grain_is_seen_by_both_sides"}


def entry_points() -> set[str]:
    text = DISPATCH_TABLE.read_text()
    body = text[text.index("typedef struct _cl_icd_dispatch") :]
    return set(re.findall(r"cl_api_\w+\s+(\w+);", body))


def functions_of_extensions() -> set[str]:
    return set(tomllib.loads((ROOT / "protocol" / "opencl.toml").read_text())["extension"])


def named(cases: dict[str, Any], outcome: str) -> dict[str, str]:
    return {c["name"]: c["detail"] for c in cases["cases"] if c["outcome"] == outcome}


def run_through_a_lease(host: Host, transport: str) -> dict[str, Any]:
    options = ("--fraction", "1/4", "--transport", transport)
    done = run_leased(host, native(PROGRAM), "--json", options=options, limit=900)
    assert done.stdout.startswith("{"), (done.stdout, done.stderr, host.log)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_every_entry_point_of_the_dispatch_table_has_cases() -> None:
    listed = run_bare(native(PROGRAM), "--entry-points")
    rows = re.findall(r"^(\w+) use=(\d+) fault=(\d+)$", listed.stdout, re.MULTILINE)
    counts = {name: (int(use), int(fault)) for name, use, fault in rows}
    assert counts.keys() == entry_points() | functions_of_extensions()
    assert not {name for name, (use, _) in counts.items() if use == 0}
    assert {name for name, (_, fault) in counts.items() if fault == 0} == WITHOUT_ERRORS


def test_the_bare_device_conforms(bare_cases: dict[str, Any]) -> None:
    assert named(bare_cases, "fail") == {}
    assert bare_cases["passed"] > 750


@pytest.mark.slow
def test_the_bare_device_still_deviates_where_the_table_says_so() -> None:
    program = native(PROGRAM)
    done = run_bare(program, "--json", "--deviations", "--timeout", "10", limit=900)
    failed = {name for name in named(json.loads(done.stdout), "fail") if ".wrong_kind" not in name}
    table = run_bare(program, "--table").stdout
    assert failed == {line.split(":")[0] for line in table.splitlines()}


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_a_lease_conforms(leased_host: Host, bare_cases: dict[str, Any], transport: str) -> None:
    leased = run_through_a_lease(leased_host, transport)
    assert named(leased, "fail") == {}
    lost = named(bare_cases, "ok").keys() - named(leased, "ok").keys()
    if transport != "shm":
        lost -= OF_SHARED_MEMORY
    assert {name for name in lost if not name.startswith(tuple(NOT_ANNOUNCED))} == set()
