# SPDX-License-Identifier: Apache-2.0
"""A program of two devices, built for one of them: what it says and has belongs to that one.

The bare device is no measure here: it says of both devices what is true of the one, gives that one's
binary to the first, and ends the process in a launch on the other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import run_leased

PROGRAM = """
import json, sys
import numpy as np
import pyopencl as cl

which = int(sys.argv[1])
devices = cl.get_platforms()[0].get_devices()
assert len(devices) == 2
context = cl.Context(devices)
info, build_info = cl.program_info, cl.program_build_info


def code(call):
    try:
        call()
    except cl.Error as error:
        return error.code
    return 0


def launch(kernel, device):
    queue = cl.CommandQueue(context, device)
    out = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4)
    kernel.set_arg(0, out)
    cl.enqueue_nd_range_kernel(queue, kernel, (1,), None)
    value = np.zeros(1, np.int32)
    cl.enqueue_copy(queue, value, out)
    assert value[0] == 5


def facts(program):
    kernel = cl.Kernel(program, "five")
    binaries = program.get_info(info.BINARIES)
    assert [len(each) for each in binaries] == program.get_info(info.BINARY_SIZES)
    return {
        "status": [program.get_build_info(d, build_info.STATUS) for d in devices],
        "options": [program.get_build_info(d, build_info.OPTIONS) for d in devices],
        "type": [program.get_build_info(d, build_info.BINARY_TYPE) for d in devices],
        "binaries": [len(each) > 0 for each in binaries],
        "group": [code(lambda: kernel.get_work_group_info(cl.kernel_work_group_info.WORK_GROUP_SIZE, d))
                  for d in devices],
        "launch": [code(lambda: launch(kernel, d)) for d in devices],
    }


SOURCE = "kernel void five(global int* out) { *out = 5; }"
program = cl._cl._Program(context, SOURCE)
program._build(b"-DONE", [devices[which]])
told = {"built": facts(program)}

again = cl._cl._Program(context, [devices[which]], [program.get_info(info.BINARIES)[which]])
again._build(b"", None)
launch(cl.Kernel(again, "five"), devices[which])

program = cl._cl._Program(context, SOURCE)
for device in (devices[1 - which], devices[which]):
    program._build(b"-DONE", [device])
told["built one after the other"] = facts(program)
print(json.dumps(told))
"""

NONE, SUCCESS, EXECUTABLE = -1, 0, 4
INVALID_DEVICE, INVALID_PROGRAM_EXECUTABLE = -33, -45


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        host.environment["POCL_DEVICES"] = "pthread pthread"
        yield host


@pytest.mark.parametrize("which", [0, 1])
def test_a_build_belongs_to_the_device_that_it_was_for(host: Host, which: int) -> None:
    options = ("--gpus", "2", "--fraction", "1/4")
    done = run_leased(host, sys.executable, "-c", PROGRAM, str(which), options=options)
    assert done.stdout, done.stderr

    def of_one(this: object, other: object) -> list[object]:
        return [this if number == which else other for number in range(2)]

    right = {
        "status": of_one(SUCCESS, NONE),
        "options": of_one("-DONE", ""),
        "type": of_one(EXECUTABLE, 0),
        "binaries": of_one(True, False),
        "group": of_one(SUCCESS, INVALID_DEVICE),
        "launch": of_one(SUCCESS, INVALID_PROGRAM_EXECUTABLE),
    }
    # The embedded device keeps the last build only.
    assert json.loads(done.stdout) == {"built": right, "built one after the other": right}
