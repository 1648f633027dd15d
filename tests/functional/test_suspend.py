# SPDX-License-Identifier: Apache-2.0
"""A lease that was suspended and resumed computes what it would have computed undisturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from helpers import workloads
from helpers.host import Host, Running
from helpers.leases import inside, lease_of, stats
from helpers.processes import eventually
from helpers.workloads import running
from tessera.bench.demo import keep_caches
from tessera.bench.examples import find_example
from tessera.model.errors import (
    AlreadySuspended,
    NoCapacity,
    NotSuspended,
    StateFileDamaged,
    StateFileOtherVersion,
    SuspendUnsupported,
)
from tessera.model.suspension import Keep

ROOT = Path(__file__).resolve().parents[2]
LANGUAGE_MODEL = [
    sys.executable,
    str(find_example("language_model")),
    *("--json-lines", "--steps", "40", "--report-every", "2"),
]
# Of one kind: tinygrad loads its kernels as binaries, which no other kind of device takes.
TWO_DEVICES = {"POCL_DEVICES": "pthread pthread"}

# What can be unfinished at once: a kernel whose argument was changed after it was enqueued, a read, a map,
# an image, a part of a buffer, a callback and a thread in a wait, all behind a user event.
EVERYTHING = """
import sys, threading
import numpy as np
import pyopencl as cl

context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)
flags = cl.mem_flags
source = '''
kernel void add(global int* p, int n) { p[get_global_id(0)] += n; }
kernel void twice(global int* p) { p[get_global_id(0)] *= 2; }
'''
add = cl.Kernel(cl.Program(context, source).build(), "add")
twice = cl.Kernel(cl.Program(context, source).build(), "twice")
numbers = np.arange(1024, dtype=np.int32)
buffer = cl.Buffer(context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=numbers)
part = buffer[2048:4096]
pixels = np.arange(16 * 16 * 4, dtype=np.float32).reshape(16, 16, 4)
kind = cl.ImageFormat(cl.channel_order.RGBA, cl.channel_type.FLOAT)
image = cl.create_image(context, flags.READ_WRITE | flags.COPY_HOST_PTR, kind, shape=(16, 16),
                        hostbuf=pixels)
mapped, event = cl.enqueue_map_buffer(commands, buffer, cl.map_flags.READ, 0, (1024,), np.int32)
event.wait()

gate = cl.UserEvent(context)
add.set_args(buffer, np.int32(5))
first = cl.enqueue_nd_range_kernel(commands, add, (1024,), None, wait_for=[gate])
add.set_args(part, np.int32(100))
second = cl.enqueue_nd_range_kernel(commands, add, (512,), None)
twice.set_args(buffer)
cl.enqueue_nd_range_kernel(commands, twice, (1024,), None)
add.set_args(buffer, np.int32(0))
result = np.empty(1024, np.int32)
read = cl.enqueue_copy(commands, result, buffer, is_blocking=False)
told = threading.Event()
read.set_callback(cl.command_execution_status.COMPLETE, lambda status: told.set())
waited = threading.Event()
threading.Thread(target=lambda: (second.wait(), waited.set()), daemon=True).start()
other = threading.Event()
threading.Thread(target=lambda: (commands.finish(), other.set()), daemon=True).start()
commands.flush()
print("ready", flush=True)
sys.stdin.readline()
assert not told.is_set() and not waited.is_set() and not other.is_set()
assert (mapped == numbers).all()
gate.set_status(cl.command_execution_status.COMPLETE)
for each in (told, waited, other):
    assert each.wait(30)
expected = numbers + 5
expected[512:] += 100
assert (result == expected * 2).all(), (result[:3], result[512:515])
seen = np.empty_like(pixels)
cl.enqueue_copy(commands, seen, image, origin=(0, 0), region=(16, 16))
assert (seen == pixels).all()
print("done", flush=True)
"""


# Command buffers, which pyopencl does not know: one that is still recorded, one that is finished, and one whose
# launch waits for a user event.
COMMAND_BUFFERS = """
import ctypes, sys
import numpy as np
import pyopencl as cl

opencl = ctypes.CDLL("libOpenCL.so.1")
find = opencl.clGetExtensionFunctionAddressForPlatform
find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
context = cl.create_some_context(interactive=False)
assert "cl_khr_command_buffer" in context.devices[0].extensions
platform = context.devices[0].platform.int_ptr
pointer, number, size = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t

def function(name, *types, returns=ctypes.c_int32):
    return ctypes.CFUNCTYPE(returns, *types)(find(platform, name.encode()))

create = function("clCreateCommandBufferKHR", number, pointer, pointer, pointer, returns=pointer)
finalize = function("clFinalizeCommandBufferKHR", pointer)
enqueue = function("clEnqueueCommandBufferKHR", number, pointer, pointer, number, pointer, pointer)
launch = function("clCommandNDRangeKernelKHR", pointer, pointer, pointer, pointer, number, pointer,
                  pointer, pointer, number, pointer, pointer, pointer)

commands = cl.CommandQueue(context)
add = cl.Kernel(cl.Program(context, "kernel void add(global int* p, int n) { p[get_global_id(0)] += n; }")
                .build(), "add")
items = (size * 1)(1024)

def new():
    error = ctypes.c_int32(1)
    made = create(1, (pointer * 1)(commands.int_ptr), None, ctypes.byref(error))
    assert error.value == 0
    return made

def record(into, buffer, n):
    add.set_args(buffer, np.int32(n))
    assert launch(into, None, None, add.int_ptr, 1, None, items, None, 0, None, None, None) == 0

def run(which, events=()):
    waits = (pointer * len(events))(*[event.int_ptr for event in events]) if events else None
    assert enqueue(0, None, which, len(events), waits, None) == 0

buffers = [cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR,
                     hostbuf=np.zeros(1024, np.int32)) for _ in range(3)]
recording, finished, pending = new(), new(), new()
record(recording, buffers[0], 1)
record(finished, buffers[1], 10)
record(finished, buffers[1], 100)
record(pending, buffers[2], 1000)
for each in (finished, pending):
    assert finalize(each) == 0
run(finished)
commands.finish()
gate = cl.UserEvent(context)
run(pending, [gate])
commands.flush()
add.set_args(buffers[0], np.int32(7))
print("ready", flush=True)
sys.stdin.readline()
gate.set_status(cl.command_execution_status.COMPLETE)
record(recording, buffers[0], 2)
assert finalize(recording) == 0
commands.finish()
for each in (recording, finished, pending):
    run(each)
for buffer, expected in zip(buffers, (3, 220, 2000)):
    result = np.empty(1024, np.int32)
    cl.enqueue_copy(commands, result, buffer)
    assert (result == expected).all(), (result[:3], expected)
print("done", flush=True)
"""


@pytest.fixture
def warm_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with the compiled kernels of earlier runs."""
    for name in ("POCL_CACHE_DIR", "CACHEDB"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    keep_caches(ROOT / ".cache")
    for name in ("POCL_CACHE_DIR", "CACHEDB"):
        host.environment[name] = os.environ[name]
    return host


def gpu_memory(host: Host) -> list[tuple[int, int]]:
    """Leased and free bytes of each GPU."""
    return [(gpu["leased"], gpu["free"]) for gpu in host.json("gpus")]


def state_files(host: Host) -> list[Path]:
    return sorted((host.state / "suspended").glob("*/*"))


def run_on_the_whole_device(host: Host) -> None:
    done = host.run("run", "--", sys.executable, "-c", workloads.COMPUTE, "4096", stdin="")
    assert done.stdout.split() == ["ready", "done"]


def records(program: Running) -> Iterator[dict[str, Any]]:
    assert program.stdout is not None
    for line in program.stdout:
        yield json.loads(line)


def suspend_and_resume(host: Host, name: str, to: str, *gpu: str) -> None:
    # Not by a command: while that starts, a program near its end would end.
    with host.client() as client:
        client.suspend(name, Keep(to))
    assert host.leases()[0].state == "suspended"
    assert all(leased == 0 for leased, _ in gpu_memory(host))
    assert bool(state_files(host)) == (to == "disk")
    run_on_the_whole_device(host)
    host.run("resume", name, *gpu)
    eventually(lambda: not state_files(host), "the state is removed")


def train(host: Host, moments: int, seed: int, *gpu: str) -> str:
    """The checksum of the weights of a training that is suspended at so many random moments."""
    choice = random.Random(seed)
    reports = sorted(choice.sample(range(1, 16), moments))
    with host.start("run", "-f", "1/4", "-n", "lm", "--", *LANGUAGE_MODEL) as program:
        report = 0
        for record in records(program):
            if record["event"] == "result":
                return str(record["sha256"])
            report += record["event"] == "step"
            if record["event"] == "step" and report in reports:
                time.sleep(choice.random() * 0.2)
                suspend_and_resume(host, "lm", "disk", *gpu)
    assert program.stderr is not None
    raise AssertionError(f"the training ended early: {host.log}")


@pytest.fixture(scope="session")
def undisturbed() -> str:
    """The checksum without Tessera."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("POCL_CACHE_DIR", "CACHEDB"):
            patch.setenv(name, "")
            patch.delenv(name)
        keep_caches(ROOT / ".cache")
        done = subprocess.run(LANGUAGE_MODEL, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout.splitlines()[-1])["sha256"])


def test_training_is_bit_identical(warm_host: Host, undisturbed: str) -> None:
    assert train(warm_host, 3, seed=time.time_ns()) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(7))
def test_training_is_bit_identical_at_many_moments(
    warm_host: Host, undisturbed: str, seed: int
) -> None:
    assert train(warm_host, 3, seed) == undisturbed


def test_training_goes_on_on_another_device(warm_host: Host, undisturbed: str) -> None:
    warm_host.environment.update(TWO_DEVICES)
    assert train(warm_host, 1, time.time_ns(), "--gpu", "gpu1") == undisturbed


@pytest.mark.parametrize("to", ["memory", "disk"])
def test_everything_unfinished_is_finished_after_the_resume(host: Host, to: str) -> None:
    arguments = ("-n", "all", "--", sys.executable, "-c", EVERYTHING)
    with host.start("run", "-f", "1/4", *arguments, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdin is not None
        assert program.stdout.readline() == "ready\n"
        needs = host.json("suspend", "all", "--check")
        assert needs["device"] >= 4096 and needs["objects"] > 8
        suspend_and_resume(host, "all", to)
        suspend_and_resume(host, "all", to)
        program.stdin.write("go\n")
        program.stdin.flush()
        out, err = program.communicate(timeout=60)
        assert (out, program.returncode) == ("done\n", 0), err


@pytest.mark.parametrize("to", ["memory", "disk"])
def test_command_buffers_in_every_state_come_back(host: Host, to: str) -> None:
    arguments = ("-n", "all", "--", sys.executable, "-c", COMMAND_BUFFERS)
    with host.start("run", "-f", "1/4", *arguments, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdin is not None
        assert program.stdout.readline() == "ready\n"
        suspend_and_resume(host, "all", to)
        suspend_and_resume(host, "all", to)
        program.stdin.write("go\n")
        program.stdin.flush()
        out, err = program.communicate(timeout=60)
        assert (out, program.returncode) == ("done\n", 0), err


def test_one_process_that_cannot_be_suspended_keeps_its_lease_as_it_was(host: Host) -> None:
    """The others of the lease are suspended by then, and are put back."""
    with lease_of(host) as lease, ExitStack() as stack:
        environment = inside(host, lease)
        programs = [
            stack.enter_context(running(script, environment=environment))
            for script in (workloads.MEMORY, workloads.SHARED_MEMORY, workloads.MEMORY)
        ]
        for program in programs:
            program.expect("ready")
        used = stats(host, lease)["totals"]["memory"]
        with host.client() as client, pytest.raises(SuspendUnsupported, match="shared virtual"):
            client.suspend(lease["id"], Keep.DISK)
        assert [found.state for found in host.leases()] == ["active"]
        assert not state_files(host)
        assert [program.ask("steps") for program in programs] == ["ok", "4", "ok"]
        assert stats(host, lease)["totals"]["memory"] == used
        assert programs[1].stop() == 0
        suspend_and_resume(host, lease["id"], "memory")
        assert [programs[place].ask("steps") for place in (0, 2)] == ["ok", "ok"]


# Builds a program with a header of the folder that it is given, and tells twice what it computes.
INCLUDING = """
import sys
import numpy as np
import pyopencl as cl

context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)
source = '#include "value.h"\\nkernel void f(global int* p) { p[get_global_id(0)] = VALUE; }'
kernel = cl.Kernel(cl.Program(context, source).build(["-I", sys.argv[1]], cache_dir=False), "f")
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4)
kernel.set_args(buffer)
for _ in range(2):
    cl.enqueue_fill_buffer(commands, buffer, np.int32(0), 0, 4)
    cl.enqueue_nd_range_kernel(commands, kernel, (1,), None)
    out = np.zeros(1, np.int32)
    cl.enqueue_copy(commands, out, buffer)
    print(out[0], flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
@pytest.mark.parametrize("then", ["changed", "gone", "elsewhere"])
def test_what_was_built_is_what_comes_back(
    host: Host, tmp_path: Path, transport: str, then: str
) -> None:
    """The files that a source included belong to the state, whatever has become of them since."""
    header = tmp_path / "include" / "value.h"
    header.parent.mkdir()
    (header.parent / "deeper.h").write_text("#define VALUE 1\n")
    header.write_text('#include "deeper.h"\n')
    gpu: tuple[str, ...] = ()
    if then == "elsewhere":
        host.environment.update(TWO_DEVICES)
        gpu = ("--gpu", "gpu1")
    words = ("--", sys.executable, "-c", INCLUDING, str(header.parent))
    options = ("-f", "1/4", "-n", "one", "-t", transport)
    with host.start("run", *options, *words, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "1\n"
        host.run("suspend", "one")
        if then == "changed":
            (header.parent / "deeper.h").write_text("#define VALUE 2\n")
        else:
            shutil.rmtree(header.parent)
        host.run("resume", "one", *gpu)
        out, err = program.communicate("\n\n", timeout=60)
        assert (out, program.returncode) == ("1\n", 0), err


# Computes on each half of its device, for every line of its standard input.
ON_PARTS = """
import sys
import numpy as np
import pyopencl as cl

whole = cl.get_platforms()[0].get_devices()[0]
parts = whole.create_sub_devices([cl.device_partition_property.EQUALLY, 1])
facts = lambda: [(part.max_compute_units, part.parent_device == whole) for part in parts]
before = facts()
context = cl.Context(parts)
source = "kernel void f(global int* p) { ++p[get_global_id(0)]; }"
kernel = cl.Kernel(cl.Program(context, source).build(cache_dir=False), "f")
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4096)
kernel.set_args(buffer)
queues = [cl.CommandQueue(context, part) for part in parts]
cl.enqueue_fill_buffer(queues[0], buffer, np.int32(0), 0, 4096).wait()
print(len(parts), flush=True)
for line in sys.stdin:
    for queue in queues:
        cl.enqueue_nd_range_kernel(queue, kernel, (1024,), None).wait()
    out = np.zeros(1024, np.int32)
    cl.enqueue_copy(queues[0], out, buffer)
    assert facts() == before
    print(out.min(), out.max(), flush=True)
print(len(whole.create_sub_devices([cl.device_partition_property.EQUALLY, 1])), flush=True)
"""


@pytest.mark.parametrize("gpu", [(), ("--gpu", "gpu1")])
def test_sub_devices_come_back(host: Host, gpu: tuple[str, ...]) -> None:
    host.environment.update(TWO_DEVICES)
    words = ("--", sys.executable, "-c", ON_PARTS)
    with host.start("run", "-f", "1/4", "-n", "parts", *words, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdin is not None
        parts = int(program.stdout.readline())
        assert parts >= 1
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == f"{parts} {parts}\n"
        suspend_and_resume(host, "parts", "disk", *gpu)
        out, err = program.communicate("\n", timeout=60)
        assert (out, program.returncode) == (f"{2 * parts} {2 * parts}\n{parts}\n", 0), err


# A kernel that counts in a variable of its program.
COUNTING = """
import sys
import numpy as np
import pyopencl as cl

context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)
source = "global int counter = 5; kernel void f(global int* p) { *p = ++counter; }"
kernel = cl.Kernel(cl.Program(context, source).build(["-cl-std=CL2.0"], cache_dir=False), "f")
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 4)
kernel.set_args(buffer)
print("ready", flush=True)
for line in sys.stdin:
    cl.enqueue_nd_range_kernel(commands, kernel, (1,), None)
    out = np.zeros(1, np.int32)
    cl.enqueue_copy(commands, out, buffer)
    print(out[0], flush=True)
"""


def test_variables_of_a_program_are_refused_by_name(host: Host) -> None:
    words = ("-f", "1/4", "-n", "one", "--", sys.executable, "-c", COUNTING)
    with host.start("run", *words, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdin is not None

        def ask() -> str:
            assert program.stdin is not None and program.stdout is not None
            program.stdin.write("go\n")
            program.stdin.flush()
            return str(program.stdout.readline())

        assert program.stdout.readline() == "ready\n"
        # They have their first values until something runs.
        host.run("suspend", "one")
        host.run("resume", "one")
        assert [ask(), ask()] == ["6\n", "7\n"]
        with host.client() as client:
            for refused in (client.suspend_check, client.suspend):
                with pytest.raises(SuspendUnsupported, match="variables of its own"):
                    refused("one")
        assert ask() == "8\n"
        program.communicate(timeout=60)
        assert program.returncode == 0


def test_new_programs_wait_for_the_resume(host: Host) -> None:
    with host.start(
        "run", "-n", "one", "--", sys.executable, "-c", workloads.MEMORY, stdin=subprocess.PIPE
    ) as program:
        assert program.stdout is not None and program.stdin is not None
        assert program.stdout.readline() == "ready\n"
        host.run("suspend", "one")
        environment = host.json("show", "one")["environment"]
        late = subprocess.Popen(
            [sys.executable, "-c", workloads.COMPUTE, "4096"],
            env={**host.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(1)
        assert late.poll() is None
        host.run("resume", "one")
        assert late.communicate(timeout=60)[0].split() == ["ready", "done"]
        program.stdin.close()


def test_errors_have_names_and_lose_nothing(host: Host) -> None:
    with host.start(
        "run", "-n", "one", "--", sys.executable, "-c", workloads.COMPUTE, "65536",
        stdin=subprocess.PIPE,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        with host.client() as client:
            with pytest.raises(NotSuspended):
                client.resume("one")
            client.suspend("one", Keep.DISK)
            with pytest.raises(AlreadySuspended):
                client.suspend("one")
            with pytest.raises(AlreadySuspended):
                client.suspend_check("one")
            (file,) = state_files(host)
            whole = file.read_bytes()
            for damaged, error in (
                (whole[:-1], StateFileDamaged),
                (whole[:100] + b"?" + whole[101:], StateFileDamaged),
                (whole[:8] + b"\x63" + whole[9:], StateFileOtherVersion),
            ):
                file.write_bytes(damaged)
                with pytest.raises(error):
                    client.resume("one")
            file.write_bytes(whole)
            with pytest.raises(NoCapacity):
                client.resume("one", ["gpu7"])
        # A daemon that comes back finds the lease suspended, and can resume it.
        host.kill_daemon()
        assert host.leases()[0].state == "suspended"
        host.run("resume", "one")
        assert host.leases()[0].state == "active"
        out, err = program.communicate("\n", timeout=60)
        assert (out, program.returncode) == ("done\n", 0), err


def test_a_lease_can_be_stopped_while_it_is_suspended(host: Host) -> None:
    with host.start(
        "run", "-n", "one", "--", sys.executable, "-c", workloads.COMPUTE, "65536",
        stdin=subprocess.PIPE,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        host.run("suspend", "one", "--to", "disk")
        host.run("stop", "one")
        program.communicate(timeout=60)
        assert not state_files(host) and not host.leases()
