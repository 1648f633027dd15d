# SPDX-License-Identifier: Apache-2.0
"""A process is never mistaken for another one that got its number."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.processes import descriptors, eventually
from tessera.leases import process
from tessera.leases.watch import Watch, wait_for_exit
from tessera.model.lease import ProcessId


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def identity(child: subprocess.Popen[bytes]) -> ProcessId:
    found = process.identify(child.pid)
    assert found is not None
    return found


def test_a_process_is_alive_until_it_ended(sleeper: subprocess.Popen[bytes]) -> None:
    known = identity(sleeper)
    assert process.is_alive(known)
    assert process.owner(sleeper.pid) == os.geteuid()
    sleeper.kill()
    eventually(lambda: not process.is_alive(known), "a zombie is not alive")
    sleeper.wait()
    assert process.identify(sleeper.pid) is None


def test_a_number_that_was_given_away_is_somebody_else(sleeper: subprocess.Popen[bytes]) -> None:
    known = identity(sleeper)
    earlier = known.model_copy(update={"started": known.started - 1})
    other_boot = known.model_copy(update={"boot": "another"})
    for stranger in (earlier, other_boot):
        assert not process.is_alive(stranger)
        assert process.open_pidfd(stranger) is None
        assert not process.send(stranger, signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_signal_reaches_exactly_this_process(sleeper: subprocess.Popen[bytes]) -> None:
    assert process.send(identity(sleeper), signal.SIGTERM)
    assert sleeper.wait(5) == -signal.SIGTERM


def test_a_program_may_have_any_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("names")
    name = folder / ") Z 1 (x"
    name.symlink_to("/bin/sleep")
    with subprocess.Popen([name, "60"]) as child:
        assert process.is_alive(identity(child))
        child.kill()


def test_a_watch_tells_once_and_keeps_no_descriptor(sleeper: subprocess.Popen[bytes]) -> None:
    async def watch() -> int:
        told: list[None] = []
        before = descriptors()
        first = Watch(identity(sleeper), lambda: told.append(None))
        cancelled = Watch(identity(sleeper), lambda: told.append(None))
        cancelled.cancel()
        first.check()
        assert not told
        sleeper.kill()
        assert await wait_for_exit(identity_before, 5)
        first.check()
        first.check()
        await asyncio.sleep(0)
        assert descriptors() == before
        return len(told)

    identity_before = identity(sleeper)
    assert asyncio.run(watch()) == 1


def test_a_process_that_is_gone_already_is_told_too() -> None:
    async def watch() -> bool:
        return await wait_for_exit(ProcessId(pid=1, started=0, boot="another"), 5)

    assert asyncio.run(watch())


def test_a_process_lives_as_long_as_its_last_thread() -> None:
    script = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('ready', flush=True)\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"  # exit of this thread alone
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        stat = Path(f"/proc/{child.pid}/stat")
        eventually(lambda: ") Z " in stat.read_text(), "its first thread has ended")
        assert process.is_alive(identity(child))
        child.kill()


def test_waiting_has_a_limit(sleeper: subprocess.Popen[bytes]) -> None:
    assert not asyncio.run(wait_for_exit(identity(sleeper), 0.05))
