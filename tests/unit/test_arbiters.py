# SPDX-License-Identifier: Apache-2.0
"""One arbiter for each GPU in use: started, watched, started again, adopted, ended; told of every change."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from helpers import boards, fakes
from helpers.daemons import ME, Daemons, until
from helpers.processes import descriptors, eventually, is_running
from tessera.leases import arbiter, arbiters, board
from tessera.leases.peer import Peer
from tessera.leases.service import LeaseService
from tessera.leases.sharing import Sharing
from tessera.model.errors import (
    ArbiterFailed,
    GpuNotFound,
    InvalidRequest,
    LeaseNotActive,
    NotPermitted,
)
from tessera.model.lease import Lease, LeaseRequest, LeaseState
from tessera.model.policy import PolicyChange, PolicyKind

HALF = LeaseRequest(fraction="1/2")


@pytest.fixture
def host(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    host = Daemons(short_folder)
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(host.native))
    yield host
    host.close()


def starts(host: Daemons) -> list[tuple[str, list[object] | None]]:
    notes = fakes.arbiter_notes(host.native)
    return [(gpu, told) for gpu, what, told in notes if what == "start"]


def looks(host: Daemons) -> int:
    return sum(what == "look" for _, what, _ in fakes.arbiter_notes(host.native))


def words_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def following(words: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(words) if name == option]


def test_an_arbiter_comes_with_the_first_lease_and_goes_with_the_last(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        leases = [await service.grant(HALF, ME) for _ in range(3)]
        assert host.gpu_folders() == ["gpu0", "gpu1"]
        assert starts(host) == [("gpu0", ["equal", "0", False]), ("gpu1", ["equal", "0", False])]
        await service.release(leases[0].id, ME)
        assert len(host.arbiters()) == 2
        await service.release(leases[2].id, ME)
        assert host.gpu_folders() == ["gpu0"]
        assert len(host.arbiters()) == 1
        await service.release(leases[1].id, ME)

    host.run(scenario)
    assert host.arbiters() == []
    assert host.gpu_folders() == []


def test_leases_at_once_share_one_arbiter(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        request = LeaseRequest(memory=1)
        for _ in range(3):
            leases = await asyncio.gather(*(service.grant(request, ME) for _ in range(5)))
            assert len(host.arbiters()) == 1
            # One begins while the others end.
            *_, last = await asyncio.gather(
                *(service.release(lease.id, ME) for lease in leases), service.grant(request, ME)
            )
            assert len(host.arbiters()) == 1
            assert host.board().exists()
            await service.release(last.id, ME)
            assert host.arbiters() == []

    host.run(scenario)
    assert host.gpu_folders() == []


def test_a_gatekeeper_is_told_its_boards_and_what_the_lease_pays_for(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(gpus=2, fraction="1/4", weight=300), ME)
        assert lease.gatekeeper
        words = words_of(lease.gatekeeper.pid)
        assert following(words, "--board") == [str(host.board(gpu)) for gpu in ("gpu0", "gpu1")]
        assert following(words, "--share") == ["249999"] * 2  # rounded down, as its memory is
        assert following(words, "--weight") == ["300"]
        assert lease.weight == 300
        await service.release(lease.id, ME)

    host.run(scenario)


def test_files_of_a_gpu_are_private(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(HALF, ME)
        assert host.board().parent.stat().st_mode & 0o777 == 0o700
        assert host.board().parent.parent.stat().st_mode & 0o777 == 0o700
        assert (host.board().parent / "arbiter.log").stat().st_mode & 0o777 == 0o600
        pid = host.arbiters()[0]
        assert os.getsid(pid) == pid
        await service.release(lease.id, ME)

    host.run(scenario)


@pytest.mark.parametrize(
    ("mode", "said"),
    [("fail", "no such board"), ("garbage", "did not say"), ("silent", "no answer")],
)
def test_an_arbiter_that_does_not_get_ready_grants_nothing_and_leaves_nothing(
    host: Daemons, mode: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.native / "arbiter-mode").write_text(mode)
    monkeypatch.setattr(arbiter.start, "__defaults__", (0.5,))

    async def scenario(service: LeaseService) -> None:
        before = descriptors()
        with pytest.raises(ArbiterFailed, match=said):
            await service.grant(HALF, ME)
        assert await service.leases() == []
        assert (host.arbiters(), host.gatekeepers(), host.gpu_folders()) == ([], [], [])
        assert descriptors() == before
        (host.native / "arbiter-mode").write_text("well")
        await service.release((await service.grant(HALF, ME)).id, ME)

    host.run(scenario)
    assert host.lease_folders() == []


def test_a_killed_arbiter_is_started_again_over_the_same_board(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(HALF, ME)
        with boards.opened(host.board()) as page:
            boards.add_tenant(page, lease.id, device_ns=7)
        (old,) = host.arbiters()
        os.kill(old, signal.SIGKILL)
        await until(lambda: service.arbiters.restarts("gpu0") == 1, "it is started again")
        assert [told for _, told in starts(host)] == [["equal", "0", False], ["equal", "0", True]]
        assert host.arbiters() != [old]
        stats = await service.stats(lease.id)
        assert stats.gpus[0].device
        assert stats.gpus[0].device.device_ns == 7
        assert (await service.find(lease.id)).conditions == ()
        await service.release(lease.id, ME)

    host.run(scenario)
    assert host.arbiters() == []


def test_an_arbiter_that_cannot_run_is_tried_with_pauses_and_its_leases_say_so(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        if seconds >= arbiters._FIRST_PAUSE:
            pauses.append(seconds)
        await sleep(0)

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(HALF, ME)
        (host.native / "arbiter-mode").write_text("fail")
        monkeypatch.setattr(asyncio, "sleep", counted)
        os.kill(host.arbiters()[0], signal.SIGKILL)
        while len(pauses) < 9:
            await sleep(0.01)
        assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        (shown,) = await service.leases()
        assert shown.state is LeaseState.ACTIVE
        assert [condition.name for condition in shown.conditions] == ["ArbiterRestarting"]
        assert "no such board" in shown.conditions[0].message
        (host.native / "arbiter-mode").write_text("well")
        while not service.arbiters.is_running("gpu0"):
            await sleep(0.01)
        monkeypatch.setattr(arbiters, "STEADY", 0.0)
        assert (await service.find(lease.id)).conditions == ()
        await service.release(lease.id, ME)

    host.run(scenario)
    assert host.arbiters() == []
    assert host.gpu_folders() == []


def test_a_lease_ends_while_its_arbiter_is_down(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(HALF, ME)
        (host.native / "arbiter-mode").write_text("fail")
        os.kill(host.arbiters()[0], signal.SIGKILL)
        await until(lambda: len(starts(host)) > 2, "it was tried again")
        await service.release(lease.id, ME)
        assert host.gpu_folders() == []

    host.run(scenario)
    assert host.arbiters() == []


def test_a_dead_gatekeeper_takes_the_arbiter_along(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(holder_pid=os.getpid()), ME)
        assert lease.gatekeeper
        os.kill(lease.gatekeeper.pid, signal.SIGKILL)
        await until(lambda: host.gpu_folders() == [], "the GPU is not in use any more")
        assert (await service.leases())[0].state is LeaseState.FAILED
        await service.release(lease.id, ME)

    host.run(scenario)
    assert host.arbiters() == []


def test_a_restarted_daemon_adopts_arbiters_and_ends_those_without_leases(host: Daemons) -> None:
    granted: list[Lease] = []

    async def first(service: LeaseService) -> None:
        granted.extend([await service.grant(LeaseRequest(), ME) for _ in range(2)])

    async def second(service: LeaseService) -> None:
        assert [lease.state for lease in await service.leases()] == [LeaseState.ACTIVE] * 2
        assert sorted(host.arbiters()) == before
        assert len(starts(host)) == 2
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(starts(host)) == 3, "an adopted one is watched, too")
        await service.release(granted[1].id, ME)

    async def third(service: LeaseService) -> None:
        assert host.gpu_folders() == ["gpu0"]
        assert len(host.arbiters()) == 1
        await service.release(granted[0].id, ME)

    host.run(first)
    before = sorted(host.arbiters())
    host.run(second)
    (host.folder / "gpus" / "gpu7").mkdir()
    host.run(third)
    assert host.arbiters() == []
    assert host.gpu_folders() == []


def test_an_arbiter_that_ended_while_no_daemon_ran_is_replaced(host: Daemons) -> None:
    granted: list[Lease] = []

    async def first(service: LeaseService) -> None:
        granted.append(await service.grant(HALF, ME))

    async def second(service: LeaseService) -> None:
        assert [told for _, told in starts(host)][1:] == [["equal", "0", True]]
        assert len(host.arbiters()) == 1
        (host.native / "arbiter-mode").write_text("fail")

    async def third(service: LeaseService) -> None:
        (shown,) = await service.leases()
        assert shown.state is LeaseState.ACTIVE
        assert [condition.name for condition in shown.conditions] == ["ArbiterRestarting"]
        await service.release(granted[0].id, ME)

    for scenario in (first, second, third):
        host.run(scenario)
        for pid in host.arbiters():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: host.arbiters() == [], "no arbiter runs")
    assert host.gpu_folders() == []


def test_an_arbiter_of_nobody_is_ended(host: Daemons) -> None:
    async def first(service: LeaseService) -> None:
        await service.grant(HALF, ME)

    async def nothing(service: LeaseService) -> None:
        assert await service.leases() == []

    host.run(first)
    Path(host.url.removeprefix("sqlite:///")).unlink()
    (pid,) = host.arbiters()
    host.run(nothing)
    assert not is_running(pid)
    assert host.gpu_folders() == []


def test_the_policy_of_the_host_holds_until_a_gpu_has_its_own(host: Daemons) -> None:
    weighted = PolicyChange(policy=PolicyKind.WEIGHTED, time_slice_ms=3)
    fixed = PolicyChange(policy=PolicyKind.FIXED)

    async def scenario(service: LeaseService) -> None:
        sharing = Sharing(service)
        assert (await sharing.policy("gpu0")).policy is PolicyKind.WEIGHTED
        lease = await service.grant(LeaseRequest(gpus=2), ME)
        assert [told for _, told in starts(host)] == [["weighted", "3000", False]] * 2
        shown = await sharing.choose("gpu1", fixed, ME)
        assert (shown.policy, shown.time_slice_ms) == (PolicyKind.FIXED, None)
        assert (shown.effective_slice_ms, shown.leases) == (2.0, 1)
        page = board.read_board(host.board("gpu1"))
        assert (page.policy, page.slice_us) == (board.POLICY_WORDS[PolicyKind.FIXED], 0)
        await until(lambda: looks(host) == 1, "its arbiter is told")
        assert board.read_board(host.board("gpu0")).policy == 0  # the fake writes none
        await service.release(lease.id, ME)

    async def later(service: LeaseService) -> None:
        policies = [await Sharing(service).policy(gpu) for gpu in ("gpu0", "gpu1")]
        assert [policy.policy for policy in policies] == [PolicyKind.EQUAL, PolicyKind.FIXED]

    host.run(scenario, policy=weighted)
    host.run(later)


def test_a_policy_is_the_hosts_to_set(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        sharing = Sharing(service)
        chosen = PolicyChange(policy=PolicyKind.FIXED)
        with pytest.raises(NotPermitted):
            await sharing.choose("gpu0", chosen, Peer(uid=12345, pid=1))
        for act in (sharing.policy("gpu9"), sharing.choose("gpu9", chosen, ME)):
            with pytest.raises(GpuNotFound):
                await act
        assert (await sharing.policy("gpu0")).policy is PolicyKind.EQUAL

    host.run(scenario)


def test_the_automatic_slice_is_shorter_among_many(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        sharing = Sharing(service)
        for wanted in [2.0] * 8 + [1.0] * 2:
            await service.grant(LeaseRequest(memory=1), ME)
            assert (await sharing.policy("gpu0")).effective_slice_ms == wanted
        for lease in await service.leases():
            await service.release(lease.id, ME)

    host.run(scenario)


def test_a_weight_is_changed_on_the_board_and_in_the_store(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(HALF, ME)
        with boards.opened(host.board()) as page:
            boards.add_tenant(page, "another", place=0)
            boards.add_tenant(page, lease.id, place=1)
        assert (await service.set_weight(lease.id, 700, ME)).weight == 700
        page = board.read_board(host.board())
        assert [page.tenants[place].weight for place in (0, 1)] == [100, 700]
        assert page.tenants[1].share_ppm == 499_999
        await until(lambda: looks(host) == 1, "its arbiter is told")
        for weight in (0, 10_001):
            with pytest.raises(InvalidRequest):
                await service.set_weight(lease.id, weight, ME)
        with pytest.raises(NotPermitted):
            await service.set_weight(lease.id, 1, Peer(uid=12345, pid=1))

    async def later(service: LeaseService) -> None:
        (lease,) = await service.leases()
        assert lease.weight == 700
        await service.release(lease.id, ME)
        with pytest.raises(LeaseNotActive):
            await service.set_weight(lease.id, 5, ME)

    host.run(scenario)
    host.run(later)


def test_many_restarts_leave_no_descriptor(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(HALF, ME)
        before = descriptors()
        for number in range(10):
            service.arbiters._entry("gpu0").deaths = 0
            os.kill(host.arbiters()[0], signal.SIGKILL)
            await until(lambda number=number: service.arbiters.restarts("gpu0") > number, "again")  # type: ignore[misc]
        assert descriptors() == before
        await service.release(lease.id, ME)

    host.run(scenario)
