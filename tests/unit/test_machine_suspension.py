# SPDX-License-Identifier: Apache-2.0
"""A lease and its virtual machine are suspended as one, with fakes for both; whoever dies, one thing is whole."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from helpers.daemons import ME, Daemons, until
from tessera.hypervisor import holding, saved
from tessera.hypervisor.base import Accelerator, MachineSpec
from tessera.hypervisor.child import Child
from tessera.hypervisor.fake import FakeMachine, cat
from tessera.hypervisor.holding import Holding, Phase
from tessera.inventory import Inventory
from tessera.leases import control, machine
from tessera.leases.service import LeaseService
from tessera.model.errors import (
    AlreadySuspended,
    ControlFailed,
    ControlRefused,
    MachineFailed,
    ResumeRefused,
    StateFileDamaged,
    StateFileOtherVersion,
    SuspendFailed,
    SuspendUnsupported,
    TesseraError,
)
from tessera.model.lease import Lease, LeaseRequest, LeaseState
from tessera.model.policy import DEFAULT_POLICY
from tessera.model.suspension import Keep
from tessera.store import Store

MEMORY = 3 * saved.PIECE


class Talk:
    """What a machine's process says to its guest."""

    def __init__(self) -> None:
        self.goes_on = True
        self.held = False

    async def hold(self) -> None:
        self.held = True

    async def let_go(self) -> None:
        self.held = False


class Command:
    """A fake of the process that runs a machine: this one."""

    def __init__(self) -> None:
        spec = MachineSpec("t", 1, MEMORY, Path("/k"), b"", None, Accelerator.TCG)
        self.machine = FakeMachine(spec, cat)
        self.talk = Talk()
        self.relay = Child(["/bin/sleep", "600"], [], None)
        self.holding = Holding(self.machine, self.relay, self.talk, "fake 1")
        self.listener = holding.listen()
        self.serving = asyncio.ensure_future(self.holding.serve(self.listener))

    @property
    def name(self) -> str:
        return holding.name_of(self.listener)

    def stands_still(self) -> bool:
        stopped = Path(f"/proc/{self.relay.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        assert (stopped == "T") == self.talk.held
        return self.talk.held

    async def end(self) -> None:
        self.serving.cancel()
        await asyncio.gather(self.serving, return_exceptions=True)
        self.listener.close()
        await self.machine.end()
        await self.relay.end()


class Host:
    """Daemons that come and go on one event loop, a lease, and its machine's command."""

    def __init__(self, daemons: Daemons) -> None:
        self.daemons = daemons
        self.states = daemons.folder / "suspended"
        self.command = Command()
        self.lease_id = ""

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[LeaseService]:
        store = Store(self.daemons.url, "here")
        service = LeaseService(
            store, Inventory({}, boards=dict), self.daemons.folder, 0, {}, DEFAULT_POLICY
        )
        await service.start()
        try:
            yield service
        finally:
            await service.close()
            store.close()

    async def grant(self, service: LeaseService) -> Lease:
        request = LeaseRequest(fraction="1/4", holder_pid=os.getpid(), machine=self.command.name)
        lease = await service.grant(request, ME)
        self.lease_id = lease.id
        return lease

    async def gatekeeper(self) -> str:
        path = self.daemons.folder / "leases" / self.lease_id / "control.sock"
        return await control.ask(path, "state")

    async def agrees(self, service: LeaseService) -> LeaseState:
        """The lease's state, if all of it is in that one."""
        lease = await service.find(self.lease_id)
        found = await machine.phase(lease)
        if lease.state is LeaseState.ACTIVE:
            assert (found, await self.gatekeeper()) == ("running", "active")
            assert not self.command.stands_still()
            assert not (self.states / lease.id).exists()
        else:
            assert (lease.state, await self.gatekeeper()) == (LeaseState.SUSPENDED, "suspended")
            assert found in ("parked", "paused")
            assert saved.is_sealed(self.states / lease.id) == (found == "parked")
            assert self.command.stands_still()
        return lease.state


@pytest.fixture
def daemons(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    daemons = Daemons(short_folder)
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(daemons.native))
    yield daemons
    daemons.close()


Scenario = Callable[[Host, LeaseService], Coroutine[None, None, None]]


def play(daemons: Daemons, scenario: Scenario) -> None:
    async def life() -> None:
        host = Host(daemons)
        try:
            async with host.daemon() as service:
                await host.grant(service)
                await scenario(host, service)
        finally:
            await host.command.end()

    asyncio.run(life())


async def suspended(host: Host, service: LeaseService, to: Keep = Keep.DISK) -> None:
    await service.suspending.suspend(host.lease_id, to, ME)
    assert await host.agrees(service) is LeaseState.SUSPENDED


async def resumed(host: Host, service: LeaseService) -> None:
    await service.suspending.resume(host.lease_id, (), ME)
    assert await host.agrees(service) is LeaseState.ACTIVE


@pytest.mark.parametrize(
    ("to", "steps"),
    [
        (Keep.MEMORY, ["pause", "go_on"]),
        (Keep.DISK, ["pause", "save", "park", "load", "go_on"]),
    ],
)
def test_the_machine_goes_with_its_lease(daemons: Daemons, to: Keep, steps: list[str]) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        needs = await service.suspending.check(host.lease_id, ME)
        assert (needs.state, needs.machine) == (4096, len(FakeMachine.MEMORY))
        for _ in range(2):
            host.command.machine.steps.clear()
            await suspended(host, service, to)
            with pytest.raises(AlreadySuspended):
                await service.suspending.suspend(host.lease_id, to, ME)
            await resumed(host, service)
            assert [step for step in host.command.machine.steps if step != "obstacle"] == steps

    play(daemons, scenario)


FAILURES: list[tuple[str, Exception, type[TesseraError], str]] = [
    ("save", OSError(errno.ENOSPC, "No space left on device"), SuspendFailed, "No space left"),
    ("save", MachineFailed("QEMU is gone."), MachineFailed, "QEMU is gone"),
    ("pause", MachineFailed("no rest"), MachineFailed, "no rest"),
    ("obstacle", SuspendUnsupported("a device of the host"), SuspendUnsupported, "a device"),
]


@pytest.mark.parametrize(("step", "trouble", "error", "text"), FAILURES)
def test_what_cannot_be_suspended_goes_on(
    daemons: Daemons, step: str, trouble: Exception, error: type[TesseraError], text: str
) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        host.command.machine.trouble[step] = trouble
        with pytest.raises(error, match=text):
            await service.suspending.suspend(host.lease_id, Keep.DISK, ME)
        assert await host.agrees(service) is LeaseState.ACTIVE
        await suspended(host, service)
        await resumed(host, service)

    play(daemons, scenario)


def test_a_disk_that_is_full_for_the_daemon_is_named(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario(host: Host, service: LeaseService) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(saved, "seal", full)
            with pytest.raises(SuspendFailed, match="No space left") as caught:
                await service.suspending.suspend(host.lease_id, Keep.DISK, ME)
        assert "goes on as it was" in caught.value.hint
        assert await host.agrees(service) is LeaseState.ACTIVE

    play(daemons, scenario)


def test_a_machine_that_boots_is_left_alone(daemons: Daemons) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        host.command.talk.goes_on = False
        for ask in (
            service.suspending.check(host.lease_id, ME),
            service.suspending.suspend(host.lease_id, Keep.DISK, ME),
        ):
            with pytest.raises(SuspendUnsupported, match="has not started its program"):
                await ask
        host.command.talk.goes_on = True
        assert await host.agrees(service) is LeaseState.ACTIVE

    play(daemons, scenario)


def damage(file: Path, place: int) -> bytes:
    """Changes a byte; returned is what was there."""
    content = file.read_bytes()
    file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    return content


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (saved.MEMORY, 2 * saved.PIECE),
        (saved.STATE, 3),
        (saved.MANIFEST, 9),
        ("session-0.state", 5),
    ],
)
def test_a_damaged_state_is_refused_and_a_copy_is_taken(
    daemons: Daemons, name: str, place: int
) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        await suspended(host, service)
        file = host.states / host.lease_id / name
        whole = damage(file, place)
        with pytest.raises(StateFileDamaged, match=f"(?s)Lease .*{name}") as caught:
            await service.suspending.resume(host.lease_id, (), ME)
        assert "Put a whole copy of the file back" in caught.value.hint
        assert await host.agrees(service) is LeaseState.SUSPENDED
        file.write_bytes(whole)
        await resumed(host, service)

    play(daemons, scenario)


def test_damage_that_shows_later_ends_the_machine(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        await suspended(host, service)
        damage(host.states / host.lease_id / saved.MEMORY, 2 * saved.PIECE)
        # As if the disk had changed it.
        monkeypatch.setattr(saved, "is_untouched", lambda *_: True)
        await service.suspending.resume(host.lease_id, (), ME)
        with pytest.raises(StateFileDamaged, match="damaged in its MiB 2"):
            await asyncio.wait_for(asyncio.shield(host.command.serving), 10)

    play(daemons, scenario)


def test_another_hypervisor_does_not_take_the_state(daemons: Daemons) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        await suspended(host, service)
        folder = host.states / host.lease_id
        saved.seal(folder, host.lease_id, "fake 2")
        with pytest.raises(StateFileOtherVersion, match="hypervisor is not the one"):
            await service.suspending.resume(host.lease_id, (), ME)
        assert await host.agrees(service) is LeaseState.SUSPENDED

    play(daemons, scenario)


@pytest.mark.parametrize("step", ["load", "go_on"])
def test_a_machine_that_cannot_go_on_leaves_the_state_whole(daemons: Daemons, step: str) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        await suspended(host, service)
        for _ in range(2):
            host.command.machine.trouble[step] = MachineFailed("QEMU did not start.")
            with pytest.raises(ResumeRefused, match="QEMU did not start"):
                await service.suspending.resume(host.lease_id, (), ME)
            assert await host.agrees(service) is LeaseState.SUSPENDED
        await resumed(host, service)

    play(daemons, scenario)


@pytest.mark.parametrize("to", list(Keep))
def test_a_gpu_that_refuses_leaves_the_state_whole(daemons: Daemons, to: Keep) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        await suspended(host, service, to)
        (daemons.native / "control-mode").write_text("refuse-resume")
        with pytest.raises(ControlRefused, match="as told"):
            await service.suspending.resume(host.lease_id, (), ME)
        assert await host.agrees(service) is LeaseState.SUSPENDED
        (daemons.native / "control-mode").write_text("well")
        await resumed(host, service)

    play(daemons, scenario)


class DeadDaemon:
    """Makes a daemon's word to a machine the last that it does: it hangs before or after it."""

    def __init__(self, patch: pytest.MonkeyPatch, word: str, before: bool) -> None:
        self._real = machine.ask
        self._word = word
        self._before = before
        self.reached = asyncio.Event()
        patch.setattr(machine, "ask", self._ask)

    async def _ask(self, lease: Lease, word: str, files: Sequence[int] = ()) -> str:
        if word == self._word and self._before:
            await self._hang()
        answer = await self._real(lease, word, files)
        if word == self._word:
            await self._hang()
        return answer

    async def _hang(self) -> None:
        self.reached.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("way", "word"),
    [
        *(("suspend", word) for word in ("pause", "save", "park")),
        *(("resume", word) for word in ("load", "go")),
        *(("suspend to memory", "pause"), ("resume from memory", "go")),
    ],
)
def test_a_daemon_that_dies_leaves_one_whole_thing_to_the_next(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch, way: str, word: str, before: bool
) -> None:
    to = Keep.MEMORY if "memory" in way else Keep.DISK

    async def scenario(host: Host, service: LeaseService) -> None:
        if way.startswith("resume"):
            await suspended(host, service, to)
        with monkeypatch.context() as patch:
            dead = DeadDaemon(patch, word, before)
            suspending = service.suspending
            body = (
                suspending.resume(host.lease_id, (), ME)
                if way.startswith("resume")
                else suspending.suspend(host.lease_id, to, ME)
            )
            request = asyncio.ensure_future(body)
            await asyncio.wait_for(dead.reached.wait(), 10)
        async with host.daemon() as following:

            def settled() -> bool:
                lease = following.live(host.lease_id)
                return lease is not None and lease.state in (
                    LeaseState.ACTIVE,
                    LeaseState.SUSPENDED,
                )

            await until(settled, "the next daemon knows what it is")
            if await host.agrees(following) is LeaseState.SUSPENDED:
                await resumed(host, following)
            await suspended(host, following)
            await resumed(host, following)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)

    play(daemons, scenario)


def test_a_command_that_is_gone_is_named(daemons: Daemons) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        host.command.serving.cancel()
        await asyncio.gather(host.command.serving, return_exceptions=True)
        host.command.listener.close()
        with pytest.raises(ControlFailed, match="The machine of lease .*: Connection refused"):
            await service.suspending.check(host.lease_id, ME)

    play(daemons, scenario)


def test_a_socket_of_another_process_is_not_believed(daemons: Daemons) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        lease = await service.find(host.lease_id)
        assert lease.holder is not None
        stranger = lease.holder.model_copy(update={"pid": os.getppid()})
        with pytest.raises(ControlFailed, match="another process listens"):
            await machine.phase(lease.model_copy(update={"holder": stranger}))

    play(daemons, scenario)


def test_words_that_are_none_change_nothing(daemons: Daemons) -> None:
    async def scenario(host: Host, service: LeaseService) -> None:
        lease = await service.find(host.lease_id)
        for word in ("jump", "save", "load", ""):
            with pytest.raises(ControlRefused, match="no step"):
                await machine.ask(lease, word)
        for word in ("park", "pause x"):
            with pytest.raises(ControlRefused):
                await machine.ask(lease, word)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(f"\0{host.command.name}")
            await suspended(host, service)
        assert host.command.holding.phase is Phase.PARKED

    play(daemons, scenario)
