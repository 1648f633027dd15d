# SPDX-License-Identifier: Apache-2.0
"""Small OpenCL programs that tests start, watch and end."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_BEGIN = """
import os, sys, time
import numpy as np
import pyopencl as cl

context = cl.create_some_context(interactive=False)
commands = cl.CommandQueue(context)

def say(*words):
    print(*words, flush=True)

def take(size):
    return cl.Buffer(context, cl.mem_flags.READ_WRITE, size)

def failed(error):
    say("error", error.code, time.monotonic())
    os._exit(7)

source = "kernel void advance(global int* p) { p[get_global_id(0)] += 1; }"
step = cl.Program(context, source).build().advance
counts = take(1024)
cl.enqueue_fill_buffer(commands, counts, np.int32(0), 0, 1024)

def steps(n):
    for _ in range(n):
        step(commands, (256,), None, counts)
    out = np.empty(256, np.int32)
    cl.enqueue_copy(commands, out, counts)
    return int(out[255])

steps(1)
"""

# Computes until it is told to stop by the end of its standard input, or until the API fails.
COMPUTE = (
    _BEGIN
    + """
import select
held = take(int(sys.argv[1]))
cl.enqueue_fill_buffer(commands, held, np.int32(1), 0, int(sys.argv[1]))
done = steps(1)
say("ready")
try:
    while not select.select([sys.stdin], [], [], 0)[0]:
        before, done = done, steps(5)
        assert done == before + 5, (before, done)
except cl.Error as error:
    failed(error)
say("done")
"""
)

# Waits for a command that nothing will let go.
_WAIT = (
    _BEGIN
    + """
gate = cl.UserEvent(context)
cl.enqueue_fill_buffer(commands, counts, np.int32(0), 0, 1024, wait_for=[gate])
say("ready")
try:
    WAIT_HERE
except cl.Error as error:
    failed(error)
say("done")
"""
)


def waiting(call: str) -> str:
    """The program that waits by `call`."""
    return _WAIT.replace("WAIT_HERE", call)


# Enqueues without ever waiting.
POST = (
    _BEGIN
    + """
say("ready")
try:
    while True:
        step(commands, (256,), None, counts)
        commands.flush()
        time.sleep(0.001)
except cl.Error as error:
    failed(error)
"""
)

# Takes memory as its standard input asks: "take BYTES", "free", "steps"; answers each line. "told": the
# size of the device's memory, as the driver tells it now.
MEMORY = (
    _BEGIN
    + """
held = []
say("ready")
for line in sys.stdin:
    word, *numbers = line.split()
    try:
        if word == "take":
            held.append(take(int(numbers[0])))
            cl.enqueue_fill_buffer(commands, held[-1], np.int32(7), 0, int(numbers[0]))
            commands.finish()
        elif word == "image":
            side = int(numbers[0])
            kind = cl.ImageFormat(cl.channel_order.RGBA, cl.channel_type.FLOAT)
            held.append(cl.create_image(context, cl.mem_flags.READ_WRITE, kind, shape=(side, side)))
            commands.finish()
        elif word == "free":
            held.pop().release()
            commands.finish()
        elif word == "told":
            say(context.devices[0].global_mem_size)
            continue
        elif word == "steps":
            steps(3)
        say("ok")
    except cl.Error as error:
        say("error", error.code)
"""
)

# Leaves commands behind a user event, so many and in such a way as its arguments say; then does as
# its standard input asks: "steps" on its other queue, or "set" the event and tell what they wrote.
BLOCKED = (
    _BEGIN
    + """
number, way = int(sys.argv[1]), sys.argv[2]
size = 30 << 20 if way == "large" else 4096
later = cl.CommandQueue(context)
gate = cl.UserEvent(context)
target = take(size)
sent, seen, kept = np.full(size, 7, np.uint8), np.zeros(size, np.uint8), []
for i in range(number):
    if way == "fills":
        kept.append(cl.enqueue_fill_buffer(later, target, np.uint8(7), 0, size, wait_for=[gate]))
    else:
        kept.append(cl.enqueue_copy(later, target, sent, is_blocking=False, wait_for=[gate]))
        kept.append(cl.enqueue_copy(later, seen, target, is_blocking=False))
later.flush()
say("ready")
for line in sys.stdin:
    if line == "steps\\n":
        say(steps(5))
    else:
        gate.set_status(cl.command_execution_status.COMPLETE)
        later.finish()
        cl.enqueue_copy(later, seen, target)
        say(int((seen == 7).all()), *{event.command_execution_status for event in kept})
"""
)

# Holds what cannot be written down: memory whose addresses it may have put anywhere.
SHARED_MEMORY = (
    _BEGIN
    + """
held = cl.svm_empty(context, cl.svm_mem_flags.READ_WRITE, 256, np.int32)
say("ready")
for line in sys.stdin:
    say(steps(3))
"""
)


class Program:
    """A running workload, read line by line with a time limit."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._drain, daemon=True).start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        return "".join(self._errors)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def _drain(self) -> None:
        assert self.process.stderr
        self._errors.extend(self.process.stderr)

    def line(self, limit: float = 60.0) -> str:
        """The next line; "" at the end. Fails the test after `limit` seconds."""
        try:
            return self._lines.get(timeout=limit)
        except queue.Empty:
            raise AssertionError(f"nothing said within {limit:g} s: {self.stderr}") from None

    def expect(self, words: str, limit: float = 60.0) -> None:
        line = self.line(limit)
        assert line == words, (line, self.stderr)

    def ask(self, question: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.line()

    def stop(self, limit: float = 60.0) -> int:
        """Ends its standard input and waits for its end; its exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(limit)


@contextmanager
def running(script: str, *arguments: Any, environment: Mapping[str, str]) -> Iterator[Program]:
    """A workload in this environment; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**environment, "PYOPENCL_NO_CACHE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream
            try:
                stream.close()
            except BrokenPipeError:
                pass
