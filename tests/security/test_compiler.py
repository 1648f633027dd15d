# SPDX-License-Identifier: Apache-2.0
"""A tenant's source makes the driver's compiler include files of the host: it gets nothing of them.

Each way is tried on the bare device too, where the compiler shows what is in the file: so the ways are
ways, and what ends them is Tessera.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host
from helpers.programs import bare_environment

SECRET = "swordfish_1847"

# Builds the source that it reads, with its arguments as options, and prints the log either way.
BUILD = """
import sys
import pyopencl as cl
context = cl.create_some_context(interactive=False)
program = cl.Program(context, sys.stdin.read())
try:
    program.build(sys.argv[1:], cache_dir=False)
except cl.Error as error:
    print(error)
for device in context.devices:
    print(program.get_build_info(device, cl.program_build_info.LOG))
"""
KERNEL = "\nkernel void k(global int* p) { *p = 1; }\n"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the worker's own user, of which a compiler shows the line that makes no sense to it."""
    path = tmp_path / "secret.h"
    path.write_text(f"{SECRET} is the word;\n")
    path.chmod(0o600)
    return path


def log(
    environment: Mapping[str, str], source: str, *options: str, through: Sequence[str] = ()
) -> str:
    done = subprocess.run(
        [*through, sys.executable, "-c", BUILD, *options],
        env=dict(environment),
        input=source,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("way", ["name", "macro", "forced", "link"])
def test_a_source_includes_no_file_of_the_host(host: Host, secret: Path, way: str) -> None:
    link = secret.with_name("link.h")
    link.symlink_to(secret)
    source, options = {
        "name": (f'#include "{secret}"', []),
        "macro": (f'#define FILE "{secret}"\n#include FILE', []),
        "forced": ("", ["-include", str(secret)]),
        "link": (f'#include "{link}"', []),
    }[way]
    bare = log(bare_environment(), source + KERNEL, *options)
    with lease_of(host) as lease:
        leased = log(inside(host, lease), source + KERNEL, *options)
        assert SECRET not in leased
        # The lease is none the worse for it.
        assert "error" not in log(inside(host, lease), KERNEL)
    if way != "forced":  # which this driver does not take
        assert SECRET in bare


def test_a_programs_own_headers_are_read_and_no_more(host: Host, secret: Path) -> None:
    """A client that sees the worker's files under the same names may name folders; no other may."""
    source, options = "#include <secret.h>" + KERNEL, ["-I", str(secret.parent)]
    with lease_of(host) as lease:
        assert SECRET in log(inside(host, lease), source, *options)
        assert SECRET not in log(inside(host, lease), f'#include "{secret}"' + KERNEL, "-I", "/usr")
        elsewhere = ["unshare", "--mount", "--propagation", "slave"]
        assert SECRET not in log(inside(host, lease), source, *options, through=elsewhere)


def test_a_source_includes_nothing_of_the_worker_and_of_other_processes(host: Host) -> None:
    with lease_of(host) as lease:
        for path in ("/proc/self/environ", "/proc/self/maps", "/proc/1/environ", "/etc/passwd"):
            told = log(inside(host, lease), f'#include "{path}"' + KERNEL)
            assert "error" in told
            assert "root:" not in told
            assert "tessera-worker" not in told
