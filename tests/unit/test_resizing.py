# SPDX-License-Identifier: Apache-2.0
"""A lease that lives changes its size, or stays as it was; record and quota page agree in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from helpers import fakes
from helpers.daemons import ME, Daemons
from tessera.leases import control, quota
from tessera.leases.peer import Peer
from tessera.leases.resizing import Resizing
from tessera.leases.service import LeaseService
from tessera.model.errors import (
    ControlFailed,
    DiskFull,
    LeaseNotActive,
    LeaseNotFound,
    NoCapacity,
    NotPermitted,
    ResizeBelowUse,
    TesseraError,
    UsageError,
)
from tessera.model.lease import GpuShare, Lease, LeaseChange, LeaseRequest

Field = Literal["limit", "used"]


@pytest.fixture
def host(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    host = Daemons(short_folder)
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(host.native))
    yield host
    host.close()


def page_of(service: LeaseService, lease: Lease) -> Path:
    return service.workspace(lease.id).quota


def limits(service: LeaseService, lease: Lease) -> tuple[int, ...]:
    return quota.limits_of(quota.read_page(page_of(service, lease)))


def write(page: Path, field: Field, value: int, index: int = 0) -> None:
    """Changes one figure of a quota page, as a worker or a gatekeeper would."""
    copy = quota.read_page(page)
    setattr(copy.gpus[index], field, value)
    page.write_bytes(bytes(copy))


async def unchanged(service: LeaseService, lease: Lease) -> None:
    """The lease, what is booked for it and its page are as they were."""
    assert (await service.find(lease.id)).gpus == lease.gpus
    assert limits(service, lease) == tuple(share.memory for share in lease.gpus)
    leased = {gpu.id: gpu.leased for gpu in await service.gpus()}
    for share in lease.gpus:
        assert leased[share.gpu] == share.memory


def test_a_lease_grows_and_shrinks(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        resizing = Resizing(service)
        lease = await service.grant(LeaseRequest(memory=1000, name="job"), ME)
        for memory in (2000, 500, fakes.MEMORY):
            changed = await resizing.change("job", LeaseChange(memory=memory), ME)
            assert changed.memory == memory
            await unchanged(service, changed)
        halved = await resizing.change(lease.id, LeaseChange(fraction="1/2"), ME)
        assert halved.memory == fakes.MEMORY // 2
        await service.grant(LeaseRequest(memory=fakes.MEMORY - halved.memory), ME)

    async def later(service: LeaseService) -> None:
        assert (await service.find("job")).memory == fakes.MEMORY // 2

    host.run(scenario)
    host.run(later)


def test_each_gpu_of_a_lease_is_resized(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(gpus=2, memory=1000), ME)
        changed = await Resizing(service).change(lease.id, LeaseChange(memory=3000), ME)
        assert [share.memory for share in changed.gpus] == [3000, 3000]
        await unchanged(service, changed)

    host.run(scenario)


def test_growth_that_does_not_fit_changes_nothing(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(gpus=2, memory=1000), ME)
        other = await service.grant(LeaseRequest(memory=fakes.MEMORY - 1500), ME)
        with pytest.raises(NoCapacity) as refused:
            await Resizing(service).change(lease.id, LeaseChange(memory=1501), ME)
        assert "500 B are free for it" in refused.value.message
        assert "--memory 1500 or less" in refused.value.hint
        assert limits(service, lease) == (1000, 1000)
        assert (await service.find(lease.id)).gpus == lease.gpus
        await Resizing(service).change(lease.id, LeaseChange(memory=1500), ME)
        await service.release(other.id, ME)

    host.run(scenario)


def test_never_below_what_is_in_use(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(gpus=2, memory=1000), ME)
        write(page_of(service, lease), "used", 700, index=1)
        with pytest.raises(ResizeBelowUse) as refused:
            await Resizing(service).change(lease.id, LeaseChange(memory=699, weight=7), ME)
        assert "700 B (700 bytes) in use on gpu1" in refused.value.message
        assert "--memory 700" in refused.value.hint
        assert refused.value.exit_code == 4
        await unchanged(service, lease)
        assert (await service.find(lease.id)).weight == lease.weight
        await Resizing(service).change(lease.id, LeaseChange(memory=700), ME)

    host.run(scenario)


def test_the_weight_alone(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(memory=1000, name="job"), ME)
        changed = await Resizing(service).change("job", LeaseChange(weight=250), ME)
        assert (changed.weight, changed.gpus) == (250, lease.gpus)
        await unchanged(service, lease)

    async def later(service: LeaseService) -> None:
        assert (await service.find("job")).weight == 250

    host.run(scenario)
    host.run(later)


@pytest.mark.parametrize(("told", "done"), [("deaf", False), ("refuse", True), ("mute", True)])
@pytest.mark.parametrize("memory", [500, 2000])
def test_after_a_failure_the_record_says_what_the_page_says(
    host: Daemons, told: str, done: bool, memory: int
) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(memory=1000), ME)
        (host.native / "control-mode").write_text(told)
        with pytest.raises(ControlFailed):
            await Resizing(service).change(lease.id, LeaseChange(memory=memory), ME)
        then = await service.find(lease.id)
        assert then.memory == (memory if done else 1000)
        await unchanged(service, then)

    host.run(scenario)


@pytest.mark.parametrize("there", [400, 4000])
def test_the_next_daemon_believes_the_page(host: Daemons, there: int) -> None:
    made: list[Lease] = []

    async def first(service: LeaseService) -> None:
        made.append(await service.grant(LeaseRequest(memory=1000, name="job"), ME))
        # As if this daemon had been killed between the page and the record.
        write(page_of(service, made[0]), "limit", there)

    async def second(service: LeaseService) -> None:
        lease = await service.find("job")
        assert lease.gpus == (GpuShare(gpu=made[0].gpus[0].gpu, memory=there),)
        await unchanged(service, lease)

    host.run(first)
    host.run(second)
    host.run(second)


def test_a_page_that_cannot_be_read_keeps_nobody_from_adopting(host: Daemons) -> None:
    async def first(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(memory=1000, name="job"), ME)
        page_of(service, lease).write_bytes(b"")

    async def second(service: LeaseService) -> None:
        assert (await service.find("job")).memory == 1000

    host.run(first)
    host.run(second)


def test_a_full_disk_changes_nothing(host: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(memory=1000), ME)

        def full(_: Lease) -> None:
            raise DiskFull("no room")

        with monkeypatch.context() as patch:
            patch.setattr(service, "save", full)
            with pytest.raises(DiskFull):
                await Resizing(service).change(lease.id, LeaseChange(memory=2000), ME)
        await unchanged(service, lease)

    host.run(scenario)


def test_changes_at_once_are_made_one_after_another(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        resizing = Resizing(service)
        lease = await service.grant(LeaseRequest(memory=1000), ME)
        sizes = [3000, 10, 700, fakes.MEMORY + 1, 2000]
        answers = await asyncio.gather(
            *(resizing.change(lease.id, LeaseChange(memory=size), ME) for size in sizes),
            return_exceptions=True,
        )
        assert [isinstance(answer, NoCapacity) for answer in answers] == [
            size > fakes.MEMORY for size in sizes
        ]
        then = await service.find(lease.id)
        assert then.memory in sizes
        await unchanged(service, then)

    host.run(scenario)


def test_who_comes_while_another_waits_waits_too(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize = control.resize
    under_way = 0

    async def watched(socket: Path, limits: Sequence[int]) -> None:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        await resize(socket, limits)
        under_way -= 1

    monkeypatch.setattr(control, "resize", watched)

    async def scenario(service: LeaseService) -> None:
        resizing = Resizing(service)
        lease = await service.grant(LeaseRequest(memory=1000), ME)

        def change(memory: int) -> asyncio.Task[Lease]:
            return asyncio.create_task(resizing.change(lease.id, LeaseChange(memory=memory), ME))

        # The third comes when the first has just made room for the second.
        tasks = [change(2000), change(3000)]
        await tasks[0]
        tasks.append(change(4000))
        assert [(await task).memory for task in tasks] == [2000, 3000, 4000]
        await unchanged(service, await service.find(lease.id))

    host.run(scenario)


def test_two_leases_that_grow_at_once_are_not_promised_the_same_memory(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        resizing = Resizing(service)
        leases = [await service.grant(LeaseRequest(memory=1000), ME) for _ in range(2)]
        assert leases[0].gpus[0].gpu == leases[1].gpus[0].gpu
        change = LeaseChange(memory=fakes.MEMORY // 2 + 1)
        answers = await asyncio.gather(
            *(resizing.change(lease.id, change, ME) for lease in leases), return_exceptions=True
        )
        assert sorted(isinstance(answer, NoCapacity) for answer in answers) == [False, True]
        assert all(gpu.leased <= fakes.MEMORY for gpu in await service.gpus())

    host.run(scenario)


def test_what_cannot_be_changed(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        resizing = Resizing(service)
        lease = await service.grant(LeaseRequest(memory=1000, name="job"), ME)
        stranger = Peer(uid=65534, pid=1)
        refusals: list[tuple[str, Peer, type[TesseraError]]] = [
            ("job", stranger, NotPermitted),
            ("other", ME, LeaseNotFound),
        ]
        for key, peer, kind in refusals:
            with pytest.raises(kind):
                await resizing.change(key, LeaseChange(memory=10), peer)
        await unchanged(service, lease)
        await service.release("job", ME)
        with pytest.raises(LeaseNotActive):
            await resizing.change("job", LeaseChange(memory=10), ME)

    host.run(scenario)
    for nothing in ({}, {"memory": 1, "fraction": "1/2"}):
        with pytest.raises(UsageError):
            LeaseChange.checked(nothing)
