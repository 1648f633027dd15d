# SPDX-License-Identifier: Apache-2.0
"""A source on a lease includes the files that it includes on the bare device, and is told the same of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from helpers.host import Host
from helpers.leases import inside, lease_of, real_host
from helpers.programs import bare_environment

# Prints for each way what the kernel computes, or the log of a build that fails.
WAYS = r"""
import os, sys
import numpy as np
import pyopencl as cl

context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)
KERNEL = "\nkernel void k(global int* p) { *p = VALUE; }\n"

def put(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)

def value_of(program):
    buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4)
    kernel = cl.Kernel(program, "k")
    kernel.set_args(buffer)
    cl.enqueue_nd_range_kernel(commands, kernel, (1,), None)
    out = np.zeros(1, np.int32)
    cl.enqueue_copy(commands, out, buffer)
    return out[0]

def way(name, source, *options):
    program = cl.Program(context, source + KERNEL)
    try:
        program.build(list(options), cache_dir=False)
        print(name, value_of(program))
    except cl.Error:
        print(name, "fails")
    print(program.get_build_info(context.devices[0], cl.program_build_info.LOG))

def linked(name, source, headers, *options):
    made = [(header, cl.Program(context, text)) for header, text in headers]
    program = cl.Program(context, source + KERNEL)
    program.compile(list(options), headers=made)
    print(name, value_of(cl.link_program(context, [program])))

here = os.getcwd()
for folder, value in (("", 1), ("a/", 2), ("b/", 3), ("with space/", 4)):
    put(folder + "h.h", f"#define VALUE {value}\n")
put("a/only.h", "#define VALUE 12\n")
put("b/only.h", "#define VALUE 13\n")
put("a/sub/deep.h", '#include "../h.h"\n')
put("a/sub/angled.h", "#include <h.h>\n")
put("a/sub/beside.h", '#include "near.h"\n')
put("a/sub/near.h", "#define VALUE 5\n")
put("out.h", "#define VALUE 6\n")
put("once.h", "#pragma once\nconstant int once = 7;\n#define VALUE once\n")
put("itself.h", '''
#ifndef FIRST
#define FIRST 1
#include "itself.h"
#else
#define VALUE 8
#endif
''')
put("wrong.h", "int fine;\n\nint broken = ;\n")
put("file.h", "constant char name[] = __FILE__; constant int line = __LINE__;\n#define VALUE (name[2] * 100 + line)\n")
put("guarded.h", "#ifndef GUARDED_H\n#define GUARDED_H\nconstant int guarded = 9;\n#endif\n#define VALUE guarded\n")
put("list.inc", "10, 20,\n30\n")
os.symlink("../out.h", "a/link.h")
os.symlink("../once.h", "b/again.h")

way("current folder", '#include "h.h"')
way("angled, current folder", "#include <h.h>")
way("-I and current folder", '#include "h.h"', "-I", "a")
way("first of two", "#include <only.h>", "-I", "b", "-Ia")
way("blank in -I", "#include <only.h>", "-I", "./a", "-w")
way("above", '#include "../only.h"', "-I", "a/sub")
way("deep", "#include <sub/deep.h>", "-I", "a")
way("angled in a header", '#include "a/sub/angled.h"')
way("beside", '#include "a/sub/beside.h"')
way("link out of -I", '#include "link.h"', "-I", "a")
way("absolute", f'#include "{here}/a/only.h"')
way("absolute -I", "#include <only.h>", f"-I{here}/b")
way("macro", f'#define FILE "a/only.h"\n#include FILE')
way("one of two macros", '#if 1\n#define FILE <a/only.h>\n#else\n#define FILE "b/only.h"\n#endif\n#include FILE')
way("once", '#include "once.h"\n#include "once.h"\n#include "b/again.h"')
way("itself", '#include "itself.h"')
way("guarded", '#include "guarded.h"\n#include "guarded.h"')
way("in a list", 'constant int list[] = {\n#include "list.inc"\n};\n#define VALUE list[2]')
way("behind a condition", '#if 0\n#include "missing.h"\n#endif\n#include "h.h"')
way("asked for", '#if __has_include("a/only.h") && !__has_include("missing.h")\n#define VALUE 11\n#endif')
way("in a comment", '/* \n#include "missing.h"\n*/ // #include "missing.h"\n#include "h.h"')
way("name and line", '#include "file.h"')
way("error in a header", '#include "wrong.h"')
way("error behind it", '#include "h.h"\n#define F "h.h"\n#include F\nint broken = ;')
way("missing", '#include "missing.h"', "-I", "a")
linked("header program", '#include "h.h"', [("h.h", "#define VALUE 14\n")])
linked("file of a header program", "#include <own.h>", [("own.h", '#include "a/only.h"\n')])
linked("both", '#include "own.h"\n#include "out.h"', [("own.h", "\n")])
put("a/only.h", "#define VALUE 15\n")
way("changed", "#include <only.h>", "-I", "a")
os.chdir("b")
way("another current folder", '#include "h.h"')
way("from there", "#include <only.h>", "-I", "../a")
put("late/late.h", "#define VALUE 16\n")
way("made later", "#include <late.h>", "-Ilate")
"""

TEMPORARY = re.compile(r"/\S*/tempfile\S*?\.cl")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


def run(environment: Mapping[str, str], folder: Path, *words: str) -> str:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", *words],
        # pyopencl's own cache knows neither the files nor, where the platform has another name, the log.
        env={**environment, "PYOPENCL_NO_CACHE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_a_lease_finds_what_the_bare_device_finds(
    host: Host, tmp_path: Path, transport: str
) -> None:
    # In one folder, because the log has its name.
    folder = tmp_path / "here"
    bare = run(bare_environment(), folder, WAYS)
    folder.rename(tmp_path / "there")
    with lease_of(host, transport=transport) as lease:
        leased = run(inside(host, lease), folder, WAYS)
    told, expected = (TEMPORARY.sub("SOURCE", text).splitlines() for text in (leased, bare))
    assert [line for line in told if line not in expected] == []
    assert told == expected
    values = dict(line.rsplit(" ", 1) for line in bare.splitlines() if line[-1:].isdigit())
    assert len(values) >= 20, "the bare device itself finds what is asked for"


BUILD = """
import numpy as np
import pyopencl as cl
context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4)
for source in ('#include "h.h"', "#include <h.h>", "#define VALUE 2"):
    text = source + "\\nkernel void k(global int* p) { *p = VALUE; }\\nkernel void idle() {}\\n"
    kernel = cl.Kernel(cl.Program(context, text).build(["-I", "."], cache_dir=False), "k")
    kernel.set_args(buffer)
    cl.enqueue_nd_range_kernel(commands, kernel, (1,), None)
    commands.finish()
"""


def test_the_drivers_cache_knows_a_build_again(tmp_path: Path) -> None:
    """As many programs and kernels are compiled as on the bare device, and none by a second session."""
    (tmp_path / "h.h").write_text("#define VALUE 1\n")

    def compiled(cache: Path) -> tuple[int, int]:
        return len(list(cache.rglob("program.bc"))), len(list(cache.rglob("*.so")))

    caches = {name: tmp_path / name for name in ("bare", "leased")}
    for cache in caches.values():
        cache.mkdir()
    run(bare_environment({"POCL_CACHE_DIR": str(caches["bare"])}), tmp_path, BUILD)
    with real_host() as host:
        host.environment["POCL_CACHE_DIR"] = str(caches["leased"])
        for _ in range(2):
            with lease_of(host) as lease:
                run(inside(host, lease), tmp_path, BUILD)
            assert compiled(caches["leased"]) == compiled(caches["bare"])
    assert min(compiled(caches["bare"])) > 0
