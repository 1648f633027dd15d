# SPDX-License-Identifier: Apache-2.0
"""A lease's device is the physical device, but for its memory and what a lease does not carry."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.host import Host
from helpers.programs import native, run_bare, run_leased

PROGRAM = "tessera-conformance"

LEASE_MEMORY = {"CL_DEVICE_GLOBAL_MEM_SIZE", "CL_DEVICE_MAX_MEM_ALLOC_SIZE"}
# A handle of this process, another in every process.
HANDLES = {"CL_DEVICE_PLATFORM", "CL_DEVICE_PARENT_DEVICE"}
# What a lease does not carry is not announced (docs/entry-points.md lists the refused entry points).
LESS = {
    "CL_DEVICE_EXTENSIONS",
    "CL_DEVICE_EXTENSIONS_WITH_VERSION",
    "CL_DEVICE_EXECUTION_CAPABILITIES",
    "CL_DEVICE_HOST_UNIFIED_MEMORY",
}
# What a sub-device says is printed under the same names, behind this.
PART = "PART "


# The embedded device gives half of this value's bytes; a lease gives all of them.
HALF = "CL_DEVICE_DEVICE_ENQUEUE_CAPABILITIES"


ROOT = Path(__file__).resolve().parents[2]


def extensions_in(path: str) -> set[str]:
    return set(re.findall(r'{"(cl_[a-z0-9_]+)"', (ROOT / "native" / path).read_text()))


def text(value: str) -> str:
    return bytes.fromhex(value).rstrip(b"\0").decode()


def number(value: str) -> int:
    return int.from_bytes(bytes.fromhex(value), "little")


def test_the_facts_of_the_device(leased_host: Host) -> None:
    bare = json.loads(run_bare(native(PROGRAM), "--facts").stdout)
    done = run_leased(leased_host, native(PROGRAM), "--facts")
    assert done.stdout, done.stderr
    leased = json.loads(done.stdout)
    # The bare device's answers of extensions that a lease does not announce are left out.
    differ = {name.removeprefix(PART) for name in leased if bare[name] != leased[name]}
    assert differ - LESS - {HALF} <= LEASE_MEMORY | HANDLES
    root = "CL_DEVICE_PARENT_DEVICE"
    assert bare[root] == leased[root]
    assert number(leased[HALF]) == number(bare[HALF])

    quarter = number(bare["CL_DEVICE_GLOBAL_MEM_SIZE"]) // 4
    assert number(leased["CL_DEVICE_GLOBAL_MEM_SIZE"]) == quarter
    largest = min(number(bare["CL_DEVICE_MAX_MEM_ALLOC_SIZE"]), quarter)
    assert number(leased["CL_DEVICE_MAX_MEM_ALLOC_SIZE"]) == largest


def test_nothing_is_announced_that_the_device_lacks(leased_host: Host) -> None:
    bare = json.loads(run_bare(native(PROGRAM), "--facts").stdout)
    leased = json.loads(run_leased(leased_host, native(PROGRAM), "--facts").stdout)
    extensions = set(text(leased["CL_DEVICE_EXTENSIONS"]).split())
    assert extensions <= set(text(bare["CL_DEVICE_EXTENSIONS"]).split())
    abilities = number(leased["CL_DEVICE_EXECUTION_CAPABILITIES"])
    assert abilities & ~number(bare["CL_DEVICE_EXECUTION_CAPABILITIES"]) == 0


def test_the_queries_of_every_announced_extension_are_answered(leased_host: Host) -> None:
    leased = json.loads(run_leased(leased_host, native(PROGRAM), "--facts").stdout)
    assert "cl_khr_spir" in text(leased["CL_DEVICE_EXTENSIONS"]).split()
    assert not leased["CL_DEVICE_SPIR_VERSIONS"].startswith("error")


def test_every_extension_that_may_be_announced_has_its_queries_tested() -> None:
    announced = extensions_in("opencl/extension_table.h")
    assert len(announced) > 50
    assert announced == extensions_in("tests/conformance/extension_queries.cpp")
