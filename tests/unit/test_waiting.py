# SPDX-License-Identifier: Apache-2.0
"""Requests that wait: they hold nothing, keep their order, and are gone with who made them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from helpers import fakes
from helpers.daemons import ME, Daemons, until
from tessera.leases import drafts, queue
from tessera.leases.peer import Peer
from tessera.leases.resizing import Resizing
from tessera.leases.service import LeaseService
from tessera.model.errors import (
    DaemonStopping,
    DiskFull,
    LeaseNotActive,
    NameInUse,
    NoCapacity,
    NotPermitted,
    QueueFull,
    WaitEnded,
    WaitTimedOut,
)
from tessera.model.lease import Lease, LeaseChange, LeaseRequest, LeaseState

HOUR = 3600.0
HALF = fakes.MEMORY // 2


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


@pytest.fixture
def host(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    host = Daemons(short_folder, devices=1)
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(host.native))
    yield host
    host.close()


def request(name: str, memory: int = fakes.MEMORY, **more: Any) -> LeaseRequest:
    return LeaseRequest.checked({"name": name, "memory": memory, "wait_seconds": HOUR, **more})


class Crowd:
    """Requests to one service that go on while the scenario does."""

    def __init__(self, service: LeaseService) -> None:
        self.service = service
        self.tasks: dict[str, asyncio.Task[Lease]] = {}

    async def ask(self, wanted: LeaseRequest, *leaving: asyncio.Future[None]) -> None:
        """Asks, and returns when the answer is there or the request waits."""
        assert wanted.name is not None
        task = asyncio.create_task(self.service.grant(wanted, ME, leaving))
        self.tasks[wanted.name] = task
        await until(
            lambda: task.done() or self.service.queue.find(wanted.name or "") is not None,
            "it is answered or waits",
        )

    async def answer(self, name: str) -> Lease:
        return await asyncio.wait_for(self.tasks.pop(name), 30)

    def waiting(self) -> list[str]:
        return [lease.name for lease in self.service.queue.waiting()]


def with_a_full_gpu(
    host: Daemons, scenario: Callable[[Crowd], Awaitable[None]], memory: int = fakes.MEMORY
) -> None:
    """Runs a scenario in which the lease `full` has the only GPU."""

    async def life(service: LeaseService) -> None:
        await service.grant(LeaseRequest(name="full", memory=memory), ME)
        crowd = Crowd(service)
        await scenario(crowd)
        for task in crowd.tasks.values():
            task.cancel()
        await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)

    host.run(life)


def test_it_waits_and_starts_when_there_is_room(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        service = crowd.service
        await crowd.ask(request("first", HALF, command=["train"]))
        await crowd.ask(request("second", HALF + 2))
        shown = await service.leases()
        assert [lease.name for lease in shown] == ["full", "first", "second"]
        assert shown[1].state is LeaseState.PENDING
        assert shown[1].gpus == ()
        assert shown[1].waiting is not None
        assert (shown[1].waiting.position, shown[1].waiting.of) == (1, 2)
        assert shown[1].waiting.memory == HALF
        assert "position 2 of 2" in (shown[2].reason or "")
        assert (await service.find("first")).command == ("train",)
        assert host.lease_folders() == [(await service.find("full")).id]
        assert service.live_count == 3
        with pytest.raises(LeaseNotActive):
            await service.stats("first")

        await service.release("full", ME)
        granted = await crowd.answer("first")
        assert granted.state is LeaseState.ACTIVE
        assert granted.memory == HALF
        assert crowd.waiting() == ["second"]
        await service.release("first", ME)
        assert (await crowd.answer("second")).memory == HALF + 2

    with_a_full_gpu(host, scenario)


def test_nothing_of_it_is_stored(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("patient"))

    async def later(service: LeaseService) -> None:
        assert [lease.name for lease in await service.leases(ended=True)] == ["full"]

    with_a_full_gpu(host, scenario)
    host.run(later)


def test_a_wait_ends_with_what_would_have_fit(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        wanted = LeaseRequest(memory=1000, wait_seconds=0.05)
        with pytest.raises(WaitTimedOut) as over:
            await crowd.service.grant(wanted, ME)
        assert "no room within 0.05 s" in over.value.message
        assert "400 B" in over.value.message
        assert "--memory 400 or less" in over.value.hint
        assert over.value.exit_code == 4
        assert crowd.waiting() == []

    with_a_full_gpu(host, scenario, fakes.MEMORY - 400)


def test_what_can_never_fit_does_not_wait(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        for impossible in ({"memory": fakes.MEMORY + 1}, {"gpus": 2, "memory": 1}):
            with pytest.raises(NoCapacity):
                await crowd.service.grant(
                    LeaseRequest.checked({**impossible, "wait_seconds": HOUR}), ME
                )

    with_a_full_gpu(host, scenario)


def test_nobody_takes_what_another_waits_for(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        service = crowd.service
        small = await service.grant(LeaseRequest(name="small", memory=1000), ME)
        await crowd.ask(request("big", fakes.MEMORY - HALF))
        with pytest.raises(NoCapacity) as refused:
            await service.grant(LeaseRequest(memory=1000), ME)
        assert "requests ahead in the queue" in refused.value.message
        # It could start when the small one has ended, and could not if `full` grew.
        with pytest.raises(NoCapacity, match="0 B are free for it"):
            await Resizing(service).change("full", LeaseChange(memory=HALF + 1), ME)
        urgent = await service.grant(LeaseRequest(memory=1000, priority=1), ME)
        assert urgent.memory == 1000
        await service.release("big", ME)
        await service.grant(LeaseRequest(memory=1000), ME)
        await service.release(small.id, ME)

    with_a_full_gpu(host, scenario, HALF)


def test_higher_priority_comes_first(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("plain"))
        await crowd.ask(request("later"))
        await crowd.ask(request("low", priority=-5))
        await crowd.ask(request("urgent", priority=7))
        assert crowd.waiting() == ["urgent", "plain", "later", "low"]
        for name, before in zip(crowd.waiting(), ["full", "urgent", "plain", "later"], strict=True):
            await crowd.service.release(before, ME)
            assert (await crowd.answer(name)).name == name

    with_a_full_gpu(host, scenario)


def test_raising_the_priority_is_the_hosts_to_allow(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        stranger = Peer(uid=65534, pid=1)
        with pytest.raises(NotPermitted):
            await crowd.service.grant(LeaseRequest(priority=1), stranger)
        with pytest.raises(NoCapacity):
            await crowd.service.grant(LeaseRequest(priority=-1), stranger)

    with_a_full_gpu(host, scenario)


def test_who_hangs_up_leaves_the_queue_and_those_behind_move_up(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        gone = asyncio.get_running_loop().create_future()
        await crowd.ask(request("big"), gone)
        await crowd.ask(request("small", 10))
        assert crowd.waiting() == ["big", "small"]
        gone.set_result(None)
        with pytest.raises(WaitEnded):
            await crowd.answer("big")
        assert (await crowd.answer("small")).memory == 10

    with_a_full_gpu(host, scenario, fakes.MEMORY - 10)


def test_a_wait_ends_with_its_holder(host: Daemons, holder: subprocess.Popen[bytes]) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("held", holder_pid=holder.pid))
        assert crowd.waiting() == ["held"]
        holder.kill()
        with pytest.raises(WaitEnded):
            await crowd.answer("held")
        assert crowd.waiting() == []

    with_a_full_gpu(host, scenario)


def test_a_wait_can_be_stopped(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("unwanted"))
        ended = await crowd.service.release("unwanted", ME, end_holder=True)
        assert ended.state is LeaseState.RELEASED
        with pytest.raises(WaitEnded, match="stopped while it waited"):
            await crowd.answer("unwanted")

    with_a_full_gpu(host, scenario)


def test_a_daemon_that_ends_sends_those_who_wait_to_the_next(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("patient"))
        crowd.service.queue.close()
        with pytest.raises(DaemonStopping):
            await crowd.answer("patient")

    with_a_full_gpu(host, scenario)


def test_a_lease_that_nobody_collects_is_given_back(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("gone"))
        full = crowd.service.live((await crowd.service.find("full")).id)
        assert full is not None
        # In one step of the event loop: granted, and cancelled before it could be told.
        crowd.service._leases.pop(full.id)
        crowd.service.queue.advance()
        crowd.tasks["gone"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await crowd.answer("gone")
        crowd.service._leases[full.id] = full
        assert [lease.name for lease in await crowd.service.leases()] == ["full"]

    with_a_full_gpu(host, scenario)


def test_its_name_is_taken(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("patient"))
        with pytest.raises(NameInUse):
            await crowd.service.grant(request("patient", 10), ME)

    with_a_full_gpu(host, scenario)


def test_the_queue_has_an_end(host: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST_WAITING", 2)

    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("one"))
        await crowd.ask(request("two"))
        with pytest.raises(QueueFull, match="2 requests wait already"):
            await crowd.service.grant(request("three"), ME)
        assert crowd.waiting() == ["one", "two"]

    with_a_full_gpu(host, scenario)


def test_one_that_cannot_be_booked_leaves_room_to_the_next(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(crowd: Crowd) -> None:
        service = crowd.service
        await crowd.ask(request("unlucky"))
        await crowd.ask(request("lucky"))
        save = service.save

        def full_for_one(lease: Lease) -> None:
            if lease.name == "unlucky":
                raise DiskFull("no room")
            save(lease)

        monkeypatch.setattr(service, "save", full_for_one)
        await service.release("full", ME)
        with pytest.raises(DiskFull):
            await crowd.answer("unlucky")
        assert (await crowd.answer("lucky")).state is LeaseState.ACTIVE

    with_a_full_gpu(host, scenario)


def test_a_lease_that_fails_or_shrinks_makes_room(host: Daemons) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.ask(request("first", HALF))
        await Resizing(crowd.service).change("full", LeaseChange(memory=HALF), ME)
        assert (await crowd.answer("first")).memory == HALF
        await crowd.ask(request("second", HALF))
        # Its gatekeeper does not start, so that the next in line gets the room.
        host.behave("fail")
        await crowd.service.release("full", ME)
        with pytest.raises(Exception, match="did not get ready"):
            await crowd.answer("second")
        host.behave("well")
        assert (await crowd.service.grant(LeaseRequest(memory=HALF), ME)).memory == HALF

    with_a_full_gpu(host, scenario)


def test_those_who_come_back_after_a_restart_keep_their_places(
    host: Daemons, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as a place can be believed: not before its holder lived, and soon after the restart."""
    said = datetime.now(UTC)

    async def since(crowd: Crowd, name: str, claimed: datetime, held: bool = True) -> datetime:
        more = {"holder_pid": holder.pid} if held else {}
        await crowd.ask(request(name, waiting_since=claimed, **more))
        waiting = (await crowd.service.find(name)).waiting
        assert waiting is not None
        return waiting.since

    async def scenario(crowd: Crowd) -> None:
        asked = datetime.now(UTC)
        assert await since(crowd, "back", said) == said
        assert said - await since(crowd, "liar", said - timedelta(days=1)) < timedelta(seconds=30)
        assert await since(crowd, "anonymous", said, held=False) >= asked
        assert await since(crowd, "future", said + timedelta(days=1)) <= datetime.now(UTC)
        monkeypatch.setattr(drafts, "_RETURN_LIMIT", 0.0)
        assert await since(crowd, "late", said) >= asked
        assert crowd.waiting() == ["liar", "back", "anonymous", "future", "late"]

    with_a_full_gpu(host, scenario)
