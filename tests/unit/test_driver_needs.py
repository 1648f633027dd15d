# SPDX-License-Identifier: Apache-2.0
"""What libtessera-opencl.so needs of the programs and guests that load it, and what it shows them."""

import re
import subprocess

from tessera.native import find

NEWEST_GLIBC = (2, 31)
LIBRARIES = {"libpthread.so.0", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"}
EXPORTS = {
    "clGetExtensionFunctionAddress",
    "clGetPlatformIDs",
    "clGetPlatformInfo",
    "clIcdGetPlatformIDsKHR",
}


def objdump(option: str) -> str:
    driver = str(find("libtessera-opencl.so"))
    return subprocess.run(
        ["objdump", option, driver], check=True, capture_output=True, text=True
    ).stdout


def test_no_symbol_is_newer_than_glibc_2_31() -> None:
    versions = {
        tuple(int(part) for part in version.split("."))
        for version in re.findall(r"GLIBC_([\d.]+)", objdump("-T"))
    }
    assert versions
    assert max(versions) <= NEWEST_GLIBC


def test_the_cpp_runtime_is_inside() -> None:
    needed = set(re.findall(r"NEEDED\s+(\S+)", objdump("-p")))
    assert "libc.so.6" in needed
    assert needed <= LIBRARIES


def test_only_what_a_loader_looks_for_is_shown() -> None:
    shown = {
        line.split()[-1]
        for line in objdump("-T").splitlines()
        if " g " in line and "*UND*" not in line and " DF " in line
    }
    assert shown == EXPORTS
