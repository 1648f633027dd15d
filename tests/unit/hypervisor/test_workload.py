# SPDX-License-Identifier: Apache-2.0
"""A program in a machine, with a fake for the machine: every way in which it can go."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tessera.hypervisor import accelerator, frames, guest, holding, workload
from tessera.hypervisor.base import CONTROL, STDERR, STDIN, STDOUT, Accelerator, MachineSpec
from tessera.hypervisor.boot import Program
from tessera.hypervisor.fake import Behaviour, FakeGuest, FakeHypervisor, cat
from tessera.hypervisor.frames import Kind, numbers
from tessera.model.errors import (
    GuestDidNotBoot,
    GuestFailed,
    MachineFailed,
    ProgramNotExecutable,
    ProgramNotFound,
)


def spec() -> MachineSpec:
    return MachineSpec("t", 1, 1 << 28, Path("/k"), b"", None, Accelerator.TCG)


@contextmanager
def pipes() -> Iterator[tuple[int, int, int]]:
    """Ends of this process's standard streams: to write its input, to read its output and errors."""
    ends = [os.pipe() for _ in range(3)]
    saved = [os.dup(fd) for fd in (0, 1, 2)]
    for fd, end in enumerate((ends[0][0], ends[1][1], ends[2][1])):
        os.dup2(end, fd)
        os.close(end)
    ours = (ends[0][1], ends[1][0], ends[2][0])
    yield ours
    for fd, copy in enumerate(saved):
        os.dup2(copy, fd)
        os.close(copy)
    for fd in ours:
        os.close(fd)


def run(behave: Behaviour, limit: float = 20.0) -> int:
    work = workload.Workload(Program(["prog"]), spec(), "/nowhere/gpu.sock", limit)
    return asyncio.run(workload.run(work, FakeHypervisor(behave)))


def starting(then: Callable[[FakeGuest], object]) -> Behaviour:
    async def behave(machine: FakeGuest) -> None:
        await machine.boot()
        await machine.say(Kind.STARTED)
        await then(machine)  # type: ignore[misc]
        await machine.hear()

    return behave


@pytest.mark.parametrize(("code", "number", "seen"), [(0, 0, 0), (37, 0, 37), (0, 9, 137)])
def test_the_exit_code_is_the_programs_or_tells_its_signal(
    code: int, number: int, seen: int
) -> None:
    assert run(starting(lambda machine: machine.exit(code, number))) == seen


def test_the_streams_are_carried() -> None:
    async def talk(machine: FakeGuest) -> None:
        heard = await machine.hear(STDIN)
        await machine.say(Kind.DATA, b"out:" + heard.payload, STDOUT)
        await machine.say(Kind.DATA, b"err", STDERR)
        await machine.exit(0)

    with pipes() as (stdin, stdout, stderr):
        os.write(stdin, b"in\0")
        code = run(starting(talk))
        found = (os.read(stdout, 100), os.read(stderr, 100))
    assert (code, *found) == (0, b"out:in\0", b"err")


def test_signals_are_the_programs_once_it_runs() -> None:
    seen = []

    async def talk(machine: FakeGuest) -> None:
        # The command has heard of the start when it passes the first one on.
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        frame = await machine.hear(CONTROL)
        seen.append((frame.kind, frame.number(0)))
        await machine.exit(5)

    assert run(starting(talk)) == 5
    assert seen == [(Kind.SIGNAL, signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_program_runs_ends_the_command(number: signal.Signals) -> None:
    async def never(machine: FakeGuest) -> None:
        os.kill(os.getpid(), number)
        await machine.hear()

    assert run(never) == 128 + number


def test_a_guest_that_never_speaks_has_a_limit() -> None:
    async def mute(machine: FakeGuest) -> None:
        await machine.hear()

    with pytest.raises(GuestDidNotBoot, match=r"(?s)did not boot in 0\.1 s.*no console"):
        run(mute, limit=0.1)


def test_a_machine_that_ends_at_once() -> None:
    async def gone(_: FakeGuest) -> None:
        pass

    with pytest.raises(GuestDidNotBoot, match="machine ended with code 0"):
        run(gone)


def test_a_guest_of_another_version() -> None:
    async def other(machine: FakeGuest) -> None:
        await machine.say(Kind.HELLO, numbers(frames.VERSION + 1))
        await machine.hear()

    with pytest.raises(GuestDidNotBoot, match="another version"):
        run(other)


def test_a_machine_that_ends_under_its_program() -> None:
    async def gone(machine: FakeGuest) -> None:
        await machine.boot()
        await machine.say(Kind.STARTED)

    with pytest.raises(MachineFailed, match="ended with code 0"):
        run(gone)


@pytest.mark.parametrize("data", [b"\xff" * 8, frames.encode(Kind.OPEN)])
def test_a_guest_that_breaks_the_protocol_loses_its_machine(data: bytes) -> None:
    with pytest.raises(MachineFailed, match="broke the protocol"):
        run(starting(lambda machine: machine.write(data)))


def test_a_guest_that_breaks_the_protocol_of_the_gpu_ports_loses_its_machine() -> None:
    with pytest.raises(MachineFailed, match="broke the protocol"):
        run(starting(lambda machine: machine.say(Kind.DATA, b"x", port=7)))


@pytest.mark.parametrize(
    ("number", "what", "error"),
    [
        (errno.ENOENT, "prog", ProgramNotFound),
        (errno.EACCES, "prog", ProgramNotExecutable),
        (errno.ENOENT, "the folder /x", GuestFailed),
        (0, "mounting the image: Invalid argument", GuestFailed),
    ],
)
def test_what_the_guest_could_not_do_has_a_name(
    number: int, what: str, error: type[Exception]
) -> None:
    async def refuse(machine: FakeGuest) -> None:
        await machine.boot()
        await machine.say(Kind.FAILED, numbers(number) + what.encode())
        await machine.hear()

    with pytest.raises(error, match=what):
        run(refuse)


def verdict(behave: Behaviour, file: Path, device: Path) -> accelerator.Verdict:
    kernel = guest.Kernel(Path("/k"), "6.1", ())
    return asyncio.run(accelerator.choose(FakeHypervisor(behave), kernel, file, device))


def test_kvm_is_used_where_a_guest_was_seen_to_boot(tmp_path: Path) -> None:
    file = tmp_path / "state" / "answer"
    assert verdict(cat, file, Path("/dev/null")).accelerator is Accelerator.KVM
    assert oct(file.parent.stat().st_mode)[-3:] == "700"


async def dead(_: FakeGuest) -> None:
    pass


def test_an_answer_is_remembered_until_something_changes(tmp_path: Path) -> None:
    file = tmp_path / "answer"
    first = verdict(dead, file, Path("/dev/null"))
    assert first.accelerator is Accelerator.TCG
    assert "did not boot" in first.why
    assert verdict(cat, file, Path("/dev/null")) == first
    file.write_text(file.read_text().replace("fake", "older"))
    assert verdict(cat, file, Path("/dev/null")).accelerator is Accelerator.KVM
    file.write_text("{}")
    assert verdict(dead, file, Path("/dev/null")) == first


def test_without_kvm_nothing_is_tried(tmp_path: Path) -> None:
    found = verdict(dead, tmp_path / "answer", tmp_path / "kvm")
    assert (found.accelerator, list(tmp_path.iterdir())) == (Accelerator.TCG, [])
    assert str(tmp_path / "kvm") in found.why


async def ask(name: str, word: str) -> str:
    """What a command answers that runs a machine; nothing where it does not listen to us."""
    reader, writer = await asyncio.open_unix_connection(f"\0{name}")
    writer.write(word.encode() + b"\n")
    try:
        return (await reader.readline()).decode().strip()
    except ConnectionResetError:
        return ""
    finally:
        writer.close()


async def until_it_runs(name: str) -> None:
    while await ask(name, "state") != "ok running":
        await asyncio.sleep(0.01)


def run_and_meanwhile(
    behave: Behaviour, meanwhile: Callable[[str], Coroutine[None, None, None]]
) -> int:
    """Runs a program, while somebody talks to the command."""

    async def both() -> int:
        with holding.listen() as listener:
            work = workload.Workload(Program(["p"]), spec(), "/nowhere/gpu.sock", 20.0, listener)
            command = asyncio.ensure_future(workload.run(work, FakeHypervisor(behave)))
            talk = asyncio.ensure_future(meanwhile(holding.name_of(listener)))
            await asyncio.wait([command, talk], timeout=20, return_when=asyncio.FIRST_COMPLETED)
            if talk.done():
                talk.result()
            talk.cancel()
            return await asyncio.wait_for(command, 20)

    return asyncio.run(both())


def test_a_guest_that_was_paused_lost_nothing_and_is_told_the_time() -> None:
    heard: list[frames.Frame] = []

    async def talk(machine: FakeGuest) -> None:
        heard.append(await machine.hear(STDIN))
        heard.append(await machine.hear(CONTROL))
        await machine.say(Kind.DATA, b"late", STDOUT)
        await machine.exit(0)

    async def meanwhile(name: str) -> None:
        await until_it_runs(name)
        assert await ask(name, "pause") == "ok"
        assert await ask(name, "state") == "ok paused"
        os.write(stdin, b"said while it was away")
        await asyncio.sleep(0.1)
        assert heard == []
        assert await ask(name, "go") == "ok"

    with pipes() as (stdin, stdout, _):
        assert run_and_meanwhile(starting(talk), meanwhile) == 0
        assert os.read(stdout, 100) == b"late"
    told = heard[1]
    assert (heard[0].payload, told.kind) == (b"said while it was away", Kind.TIME)
    assert abs(told.number(0) + (told.number(1) << 32) - time.time()) < 5
    assert told.number(2) < 1_000_000_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_program_is_suspended_ends_the_command(number: signal.Signals) -> None:
    async def talk(machine: FakeGuest) -> None:
        await machine.hear(CONTROL)

    async def meanwhile(name: str) -> None:
        await until_it_runs(name)
        assert await ask(name, "pause") == "ok"
        os.kill(os.getpid(), number)

    assert run_and_meanwhile(starting(talk), meanwhile) == 128 + number


def test_a_program_that_has_ended_is_not_held_up_by_a_suspend() -> None:
    async def talk(machine: FakeGuest) -> None:
        await machine.exit(3)

    async def meanwhile(name: str) -> None:
        with suppress(OSError):
            await until_it_runs(name)
            await ask(name, "pause")
            await ask(name, "go")

    assert run_and_meanwhile(starting(talk), meanwhile) == 3


def test_strangers_are_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(machine: FakeGuest) -> None:
        await machine.hear(STDIN)
        await machine.exit(0)

    async def meanwhile(name: str) -> None:
        monkeypatch.setattr(holding, "_user", lambda _: 12345)
        assert await ask(name, "pause") == ""
        os.write(stdin, b"x")

    with pipes() as (stdin, _, _):
        assert run_and_meanwhile(starting(talk), meanwhile) == 0
