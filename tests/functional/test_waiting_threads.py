# SPDX-License-Identifier: Apache-2.0
"""Threads of one program that wait at the same time."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from helpers.host import Host
from helpers.leases import real_host
from helpers.programs import run_leased

THREADS = 300

PROGRAM = f"""
import threading
import pyopencl as cl

context = cl.Context([cl.get_platforms()[0].get_devices()[0]])
queue = cl.CommandQueue(context)
gate = cl.UserEvent(context)
marker = cl.enqueue_marker(queue, wait_for=[gate])
queue.flush()
began = threading.Semaphore(0)
ended = []

def wait() -> None:
    began.release()
    marker.wait()
    ended.append(marker.command_execution_status)

threading.stack_size(256 * 1024)
threads = [threading.Thread(target=wait) for _ in range({THREADS})]
for thread in threads:
    thread.start()
for _ in threads:
    began.acquire()
# A finish in the midst of them, of a queue that holds nothing back.
cl.CommandQueue(context).finish()
gate.set_status(cl.command_execution_status.COMPLETE)
for thread in threads:
    thread.join()
print(len(ended), set(ended) == {{cl.command_execution_status.COMPLETE}})
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with real_host() as host:
        yield host


@pytest.mark.parametrize("transport", ["shm", "unix", "tcp"])
def test_300_threads_wait_for_one_event(host: Host, transport: str) -> None:
    options = ("--fraction", "1/4", "--transport", transport)
    done = run_leased(host, sys.executable, "-c", PROGRAM, options=options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(THREADS), "True"]
