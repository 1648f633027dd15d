# SPDX-License-Identifier: Apache-2.0
"""A second real driver, Intel's runtime for processors: its files lie in a folder of their own, it has unified
shared memory, and unmodified SYCL programs stand on that. `scripts/fetch-sycl` installs it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import CACHE, native, run_bare, run_leased

FOLDER = Path(os.environ.get("TESSERA_SYCL_DIR", CACHE / "sycl"))
DRIVER = FOLDER / "lib" / "libintelocl.so"
# Not every case of all entry points: a command that waits for a failed event ends a process of this driver.
FILTERS = (
    "*INTEL.*",
    "*KHR.*",
    "clSVMAlloc.*",
    "clEnqueueSVMMemcpy.in_every_direction",
    "clBuildProgram.*",
)
# Memory that the program sees at any time is there where both sides map the same pages.
OF_SHARED_MEMORY = {
    "clEnqueueMigrateMemINTEL.hints_change_nothing",
    "clHostMemAllocINTEL.seen_by_both_without_a_map",
    "clSharedMemAllocINTEL.seen_by_both_without_a_map",
    "clSharedMemAllocINTEL.of_no_device",
    "clSharedMemAllocINTEL.wrong_arguments",
    "clSVMAlloc.fine_grain_is_seen_by_both_sides",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DRIVER.is_file(), reason=f"{DRIVER} is not there: scripts/fetch-sycl installs it"
    ),
]

PROGRAM = """
import dpctl.memory, dpnp, numpy

print(dpnp.arange(3).sycl_device.name)
for make in (dpctl.memory.MemoryUSMDevice, dpctl.memory.MemoryUSMShared, dpctl.memory.MemoryUSMHost):
    memory = make(256)
    memory.copy_from_host(numpy.arange(256, dtype=numpy.uint8))
    print(make.__name__, int(memory.copy_to_host().sum()))
for kind in ("device", "shared", "host"):
    # Again and again in memory that was just freed, by kernels that had its addresses before.
    sums = {int((dpnp.arange(1000, usm_type=kind) ** 2).sum()) for _ in range(20)}
    print(kind, sums)
x = dpnp.linspace(0, 1, 100_000, dtype=dpnp.float32)
print(round(float((dpnp.sin(x) ** 2 + dpnp.cos(x) ** 2).sum()) / 100_000, 4))
dpnp.random.seed(1)
a = dpnp.random.rand(64, 64)
print(bool(dpnp.allclose(a @ dpnp.linalg.inv(a), dpnp.eye(64), atol=1e-6)))
print(dpnp.asnumpy(dpnp.sort(dpnp.asarray([3, 1, 2]))).tolist())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How an operator names a driver that lies elsewhere."""
    vendors = tmp_path_factory.mktemp("vendors")
    (vendors / "intel.icd").write_text(str(DRIVER))
    return {
        "OCL_ICD_VENDORS": str(vendors),
        "LD_LIBRARY_PATH": str(DRIVER.parent),
        "ONEAPI_DEVICE_SELECTOR": "opencl:cpu",
    }


@pytest.fixture(scope="module")
def host(environment: dict[str, str]) -> Iterator[Host]:
    with real_host() as host:
        host.environment |= environment
        yield host


def outcomes(text: str) -> dict[str, str]:
    cases: list[dict[str, Any]] = json.loads(text)["cases"]
    return {case["name"]: case["outcome"] for case in cases}


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
@pytest.mark.parametrize("pattern", FILTERS)
def test_what_passes_bare_passes_on_a_lease(
    host: Host, environment: dict[str, str], transport: str, pattern: str
) -> None:
    command = (native("tessera-conformance"), "--json", "--filter", pattern)
    bare = outcomes(run_bare(*command, environment=environment).stdout)
    options = ("--fraction", "1/4", "--transport", transport)
    leased = outcomes(run_leased(host, *command, options=options).stdout)
    assert {name for name, outcome in leased.items() if outcome == "fail"} == set()
    lost = {n for n, outcome in bare.items() if outcome == "ok" and leased[n] != "ok"}
    assert lost == set() if transport == "shm" else lost <= OF_SHARED_MEMORY


def test_a_later_version_is_announced_as_the_one_of_the_platform(host: Host) -> None:
    facts = json.loads(run_leased(host, native("tessera-conformance"), "--facts").stdout)
    number = int.from_bytes(bytes.fromhex(facts["CL_DEVICE_NUMERIC_VERSION"]), "little")
    assert number == 3 << 22
    assert bytes.fromhex(facts["CL_DEVICE_VERSION"]).startswith(b"OpenCL 3.0 ")


def test_a_sycl_program_says_the_same_on_a_lease(host: Host, environment: dict[str, str]) -> None:
    command = (str(FOLDER / "bin" / "python"), "-c", PROGRAM)
    bare = run_bare(*command, environment=environment)
    assert bare.returncode == 0, bare.stderr
    leased = run_leased(host, *command)
    assert (leased.returncode, leased.stdout) == (0, bare.stdout), leased.stderr
