# SPDX-License-Identifier: Apache-2.0
"""A tenant's source makes the driver's compiler include files of the host: it gets nothing that its program
could not open itself.

Each way is tried on the bare device too, where the compiler shows what is in the file: so the ways are
ways, and what ends them is Tessera.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host
from helpers.programs import bare_environment
from helpers.wire import Bench, Wire, addresses

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


def blind_to(folder: Path) -> list[str]:
    """What runs a command that does not see what is in the folder: another one's container, for example."""
    cover = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", cover, str(folder)]


def ways(secret: Path) -> dict[str, tuple[str, list[str]]]:
    link = secret.with_name("link.h")
    link.symlink_to(secret)
    return {
        "name": (f'#include "{secret}"', []),
        "macro": (f'#define FILE "{secret}"\n#include FILE', []),
        "forced": ("", ["-include", str(secret)]),
        "link": (f'#include "{link}"', []),
        "folder": (f"#include <{secret.name}>", ["-I", str(secret.parent)]),
    }


@pytest.mark.parametrize("way", ["name", "macro", "forced", "link", "folder"])
def test_a_source_includes_no_file_that_its_program_cannot_open(
    host: Host, secret: Path, way: str
) -> None:
    source, options = ways(secret)[way]
    bare = log(bare_environment(), source + KERNEL, *options)
    with lease_of(host) as lease:
        environment = inside(host, lease)
        leased = log(environment, source + KERNEL, *options, through=blind_to(secret.parent))
        assert "error" in leased or "INVALID_BUILD_OPTIONS" in leased
        assert SECRET not in leased
        # The lease is none the worse for it.
        assert "error" not in log(environment, KERNEL)
        if way != "forced":  # which this driver does not take
            assert SECRET in bare
            assert SECRET in log(environment, source + KERNEL, *options)


def told_by_worker(
    lease: dict[str, Any], source: str, options: Sequence[str], shipped: bool
) -> str:
    """The log of a build that a client asks for who looks for no file itself.

    `shipped`: the source is a file that another one includes, and that comes with the build.
    """
    text = source.encode()
    with Wire(addresses(lease["endpoint"])[1]).open() as wire:
        context, program, ticket = Bench(wire).context, wire.new(), wire.new()
        wire.post("create_program_with_source", text, program=program, context=context)
        asked = {"program": program, "options": " ".join(options), "ticket": ticket}
        if shipped:
            parts = [b"#include ", b"\n", text]
            asked |= {"part_sizes": [len(part) for part in parts], "part_files": [1, 0, 0]}
            wire.post("build_program", b"".join(parts), **asked, text_ends=[2, 3])
        else:
            wire.post("build_program", **asked)
        logs = b""
        while (message := wire.receive()).name != "build_done":
            logs += message.bulk if message.name == "build_log" else b""
        assert message.fields["status"] != 0
        return logs.decode(errors="replace")


@pytest.mark.parametrize("shipped", [False, True], ids=["source", "file"])
@pytest.mark.parametrize("way", ["name", "macro", "forced", "link", "folder"])
def test_no_message_has_a_file_of_the_host_included(
    host: Host, secret: Path, way: str, shipped: bool
) -> None:
    source, options = ways(secret)[way]
    with lease_of(host) as lease:
        assert SECRET not in told_by_worker(lease, source + KERNEL, options, shipped)


def test_a_programs_own_headers_are_those_that_it_sees_itself(host: Host, secret: Path) -> None:
    """In another mount namespace another file has the name; it is that one that is read."""
    source, options = "#include <secret.h>" + KERNEL, ["-I", str(secret.parent)]
    through = blind_to(secret.parent)
    through[-2] = 'mount -t tmpfs none "$0" && echo "mine it is;" >"$0/secret.h" && exec "$@"'
    with lease_of(host) as lease:
        seen = log(inside(host, lease), source, *options, through=through)
    assert "mine" in seen
    assert SECRET not in seen


@pytest.mark.parametrize("shipped", [False, True], ids=["source", "file"])
def test_a_source_includes_nothing_of_the_worker_and_of_other_processes(
    host: Host, shipped: bool
) -> None:
    with lease_of(host) as lease:
        for path in ("/proc/self/environ", "/proc/self/maps", "/proc/1/environ", "/etc/passwd"):
            told = told_by_worker(lease, f'#include "{path}"' + KERNEL, [], shipped)
            assert "error" in told
            assert "root:" not in told
            assert "tessera-worker" not in told
