# SPDX-License-Identifier: Apache-2.0
"""The life of leases, with a fake gatekeeper: granted, watched, adopted, released, nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import fakes
from helpers.daemons import ME, Daemons, until
from helpers.processes import descriptors, eventually, is_running
from tessera.leases import gatekeeper, spawn
from tessera.leases.peer import Peer
from tessera.leases.service import LeaseService
from tessera.model.errors import (
    DiskFull,
    GatekeeperFailed,
    InvalidRequest,
    LeaseNotActive,
    LeaseNotFound,
    NameInUse,
    NoCapacity,
    NotPermitted,
    RuntimeFolderUnusable,
    TesseraError,
)
from tessera.model.lease import Identity, Lease, LeaseRequest, LeaseState, Transport


@pytest.fixture
def host(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    host = Daemons(short_folder)
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(host.native))
    yield host
    host.close()


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def test_a_lease_is_granted_and_released(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(fraction="1/4", name="job"), ME)
        assert lease.state is LeaseState.ACTIVE
        assert lease.memory == fakes.MEMORY // 4
        folder = host.folder / "leases" / lease.id
        assert lease.endpoint == f"shm:{folder}/gpu.sock"
        shown = f"{folder}/vendors,{host.native}/libtessera-opencl.so,{folder}/gpu.sock"
        assert lease.environment == {
            "APPTAINER_BIND": shown,
            "SINGULARITY_BIND": shown,
            "OCL_ICD_VENDORS": str(folder / "vendors"),
            "TESSERA_ENDPOINT": lease.endpoint,
            "TESSERA_IDENTITY": "tessera",
            "TESSERA_LEASE": lease.id,
        }
        assert "OCL_ICD_FILENAMES" in lease.environment_unset
        icds = list((folder / "vendors").iterdir())
        assert [icd.read_text().strip() for icd in icds] == [
            str(host.native / "libtessera-opencl.so")
        ]
        assert lease.gatekeeper is not None
        assert is_running(lease.gatekeeper.pid)
        assert (await service.gpus())[0].free == fakes.MEMORY - lease.memory
        assert (await service.stats("job")).sessions == ()

        released = await service.release("job", ME)
        assert released.state is LeaseState.RELEASED
        assert not is_running(lease.gatekeeper.pid)
        assert (await service.gpus())[0].free == fakes.MEMORY
        assert await service.leases() == []
        assert [ended.id for ended in await service.leases(ended=True)] == [lease.id]
        assert (await service.release(lease.id, ME)).state is LeaseState.RELEASED

    host.run(scenario)
    assert host.lease_folders() == []
    assert host.gatekeepers() == []


@pytest.mark.parametrize("identity", Identity)
def test_the_workload_is_told_whose_names_its_platform_bears(
    host: Daemons, identity: Identity
) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(identity=identity), ME)
        assert lease.identity is identity
        assert lease.environment["TESSERA_IDENTITY"] == identity.value
        await service.release(lease.id, ME)

    host.run(scenario)


def test_the_files_of_a_lease_are_private(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(transport=Transport.TCP), ME)
        folder = host.folder / "leases" / lease.id
        modes = {item.name: item.stat().st_mode & 0o777 for item in folder.iterdir()}
        assert modes["token"] == 0o600
        assert modes["gatekeeper.log"] == 0o600
        assert folder.stat().st_mode & 0o777 == 0o711
        await service.release(lease.id, ME)

    host.run(scenario)


def test_the_tcp_token_is_shown_to_nobody_but_the_one_who_asked(host: Daemons) -> None:
    tokens: list[str] = []

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(transport=Transport.TCP), ME)
        token = (host.folder / "leases" / lease.id / "token").read_text().strip()
        assert lease.endpoint == "tcp:127.0.0.1:4242"
        assert lease.environment["TESSERA_TOKEN"] == token
        assert len(bytes.fromhex(token)) == 32
        tokens.append(token)
        assert token not in (await service.find(lease.id)).model_dump_json()
        await service.release(lease.id, ME)
        assert token not in (await service.find(lease.id)).model_dump_json()

    host.run(scenario)
    for file in Path(host.url.removeprefix("sqlite:///")).parent.iterdir():
        assert tokens[0].encode() not in file.read_bytes()


def test_requests_at_once_are_never_promised_the_same_memory(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        half = LeaseRequest(fraction="1/2")
        answers = await asyncio.gather(
            *(service.grant(half, ME) for _ in range(7)), return_exceptions=True
        )
        granted = [answer for answer in answers if isinstance(answer, Lease)]
        refused = [answer for answer in answers if isinstance(answer, NoCapacity)]
        assert (len(granted), len(refused)) == (4, 3)
        for gpu in await service.gpus():
            assert gpu.leased == 2 * (fakes.MEMORY // 2)
        await asyncio.gather(*(service.release(lease.id, ME) for lease in granted))

    host.run(scenario)


def test_the_reserve_is_kept_free(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(gpus=2), ME)
        assert {share.memory for share in lease.gpus} == {fakes.MEMORY - 1000}
        assert [gpu.free for gpu in await service.gpus()] == [0, 0]
        await service.release(lease.id, ME)

    host.run(scenario, reserve=1000)


def test_a_name_is_taken_once(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        request = LeaseRequest(name="job", memory=1)
        await service.grant(request, ME)
        with pytest.raises(NameInUse):
            await service.grant(request, ME)
        await service.release("job", ME)
        await service.grant(request, ME)
        await service.release("job", ME)
        with pytest.raises(LeaseNotFound):
            await service.find("other")

    host.run(scenario)


@pytest.mark.parametrize(
    ("mode", "said"),
    [("fail", "no such device"), ("garbage", "exit code"), ("silent", "no answer")],
)
def test_a_gatekeeper_that_does_not_get_ready_leaves_nothing(
    host: Daemons, mode: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.behave(mode)
    monkeypatch.setattr(gatekeeper.start, "__defaults__", (0.5,))

    async def scenario(service: LeaseService) -> None:
        before = descriptors()
        with pytest.raises(GatekeeperFailed, match=said):
            await service.grant(LeaseRequest(name="job"), ME)
        assert await service.leases() == []
        assert (await service.gpus())[0].leased == 0
        assert (await service.find("job")).reason
        assert descriptors() == before
        host.behave("well")
        await service.grant(LeaseRequest(name="job"), ME)
        await service.release("job", ME)

    host.run(scenario)
    assert host.lease_folders() == []
    assert host.gatekeepers() == []


def test_a_runtime_folder_that_is_too_deep_for_a_socket(host: Daemons) -> None:
    host.folder = host.folder / ("d" * 80)

    async def scenario(service: LeaseService) -> None:
        with pytest.raises(RuntimeFolderUnusable, match="too long"):
            await service.grant(LeaseRequest(), ME)

    host.run(scenario)
    assert host.lease_folders() == []


def test_a_lease_ends_with_its_holder(host: Daemons, holder: subprocess.Popen[bytes]) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(holder_pid=holder.pid), ME)
        holder.kill()
        holder.wait()
        assert await service.leases() == []
        assert (await service.find(lease.id)).state is LeaseState.RELEASED
        assert (await service.gpus())[0].leased == 0

    host.run(scenario)
    assert host.gatekeepers() == []


def test_a_holder_must_be_there_and_be_ones_own(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        with pytest.raises(InvalidRequest):
            await service.grant(LeaseRequest(holder_pid=(1 << 22)), ME)
        stranger = Peer(uid=12345, pid=1)
        with pytest.raises(NotPermitted):
            await service.grant(LeaseRequest(holder_pid=os.getpid()), stranger)

    host.run(scenario)
    assert host.lease_folders() == []


def test_a_stranger_may_not_end_a_lease(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(), ME)
        with pytest.raises(NotPermitted):
            await service.release(lease.id, Peer(uid=12345, pid=1))
        assert (await service.find(lease.id)).state is LeaseState.ACTIVE
        await service.release(lease.id, ME)

    host.run(scenario)


def test_a_lease_of_another_user_lets_that_user_in(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(), Peer(uid=12345, pid=1))
        socket = host.folder / "leases" / lease.id / "gpu.sock"
        access = os.getxattr(socket, "system.posix_acl_access")
        assert (12345).to_bytes(4, "little") in access
        assert socket.stat().st_mode & 0o007 == 0
        await service.release(lease.id, ME)

    host.run(scenario)


def test_a_dead_gatekeeper_fails_its_lease_and_frees_the_memory(
    host: Daemons, holder: subprocess.Popen[bytes]
) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(holder_pid=holder.pid), ME)
        assert lease.gatekeeper is not None
        os.kill(lease.gatekeeper.pid, signal.SIGKILL)
        await until(lambda: not is_running(lease.gatekeeper.pid), "it is killed")  # type: ignore[union-attr]
        failed = (await service.leases())[0]
        assert failed.state is LeaseState.FAILED
        assert failed.reason is not None
        assert "ended with code -9" in failed.reason
        assert (await service.gpus())[0].leased == 0
        with pytest.raises(LeaseNotActive):
            await service.stats(lease.id)
        holder.kill()
        holder.wait()
        assert await service.leases() == []
        assert "gatekeeper" in str((await service.find(lease.id)).reason)

    host.run(scenario)
    assert host.lease_folders() == []


def test_a_gatekeeper_that_does_not_listen_to_term_is_killed(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.behave("stubborn")
    monkeypatch.setattr(spawn, "_STOP_LIMIT", 0.2)

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(), ME)
        await service.release(lease.id, ME)
        assert lease.gatekeeper is not None
        assert not is_running(lease.gatekeeper.pid)

    host.run(scenario)
    assert host.lease_folders() == []


def test_stopping_ends_the_holder_first(host: Daemons, holder: subprocess.Popen[bytes]) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(holder_pid=holder.pid), ME)
        released = await service.release(lease.id, ME, end_holder=True)
        assert released.state is LeaseState.RELEASED
        assert holder.wait(5) == -signal.SIGTERM

    host.run(scenario)


def test_a_holder_that_ignores_term_is_killed_after_its_grace(host: Daemons) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout
        assert stubborn.stdout.readline() == b"ready\n"

        async def scenario(service: LeaseService) -> None:
            lease = await service.grant(LeaseRequest(holder_pid=stubborn.pid), ME)
            await service.release(lease.id, ME, end_holder=True, grace=0.2)

        host.run(scenario)
        assert stubborn.wait(5) == -signal.SIGKILL


def test_a_restarted_daemon_adopts_and_releases(
    host: Daemons, holder: subprocess.Popen[bytes]
) -> None:
    granted: list[Lease] = []

    async def first(service: LeaseService) -> None:
        for held in (True, False):
            pid = holder.pid if held else None
            granted.append(await service.grant(LeaseRequest(fraction="1/2", holder_pid=pid), ME))

    async def second(service: LeaseService) -> None:
        assert [lease.id for lease in await service.leases()] == [lease.id for lease in granted]
        assert (await service.gpus())[0].leased == 2 * (fakes.MEMORY // 2)
        holder.kill()
        holder.wait()
        assert [lease.id for lease in await service.leases()] == [granted[1].id]
        await service.release(granted[1].id, ME)

    host.run(first)
    assert len(host.gatekeepers()) == 2
    host.run(second)
    assert host.gatekeepers() == []
    assert host.lease_folders() == []


def test_what_ended_while_no_daemon_ran_is_cleaned_up(
    host: Daemons, holder: subprocess.Popen[bytes]
) -> None:
    granted: list[Lease] = []

    async def first(service: LeaseService) -> None:
        for pid in (holder.pid, None, None):
            granted.append(await service.grant(LeaseRequest(memory=5, holder_pid=pid), ME))

    async def second(service: LeaseService) -> None:
        left = await service.leases()
        assert [(lease.id, lease.state) for lease in left] == [
            (granted[1].id, LeaseState.FAILED),
            (granted[2].id, LeaseState.ACTIVE),
        ]
        assert "no daemon was running" in str(left[0].reason)
        assert len(host.gatekeepers()) == 1
        for lease in left:
            await service.release(lease.id, ME)

    host.run(first)
    holder.kill()
    holder.wait()
    assert granted[1].gatekeeper is not None
    dead = granted[1].gatekeeper.pid
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: not is_running(dead), "the gatekeeper is gone")
    host.run(second)
    assert host.lease_folders() == []


def test_leases_of_an_earlier_boot_have_failed(host: Daemons) -> None:
    async def first(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(), ME)
        assert lease.gatekeeper is not None
        old = lease.gatekeeper.model_copy(update={"boot": "another"})
        service.save(lease.model_copy(update={"gatekeeper": old}))

    async def second(service: LeaseService) -> None:
        lease = (await service.leases())[0]
        assert (lease.state, lease.reason) == (LeaseState.FAILED, "The host was restarted.")
        await service.release(lease.id, ME)

    host.run(first)
    host.run(second)


def test_gatekeepers_and_folders_that_nobody_knows_are_removed(host: Daemons) -> None:
    async def first(service: LeaseService) -> None:
        await service.grant(LeaseRequest(), ME)

    async def nothing(service: LeaseService) -> None:
        assert await service.leases() == []

    host.run(first)
    (host.folder / "leases" / "feedc0ffee00" / "vendors").mkdir(parents=True)
    Path(host.url.removeprefix("sqlite:///")).unlink()
    assert len(host.gatekeepers()) == 1
    host.run(nothing)
    assert host.gatekeepers() == []
    assert host.lease_folders() == []


def test_a_lease_that_was_being_made_when_the_daemon_died_is_over(host: Daemons) -> None:
    async def first(service: LeaseService) -> None:
        lease = await service.grant(LeaseRequest(), ME)
        service._store.save(lease.model_copy(update={"state": LeaseState.PENDING}))

    async def second(service: LeaseService) -> None:
        assert await service.leases() == []
        assert "being made" in str((await service.leases(ended=True))[0].reason)

    host.run(first)
    host.run(second)
    assert host.gatekeepers() == []
    assert host.lease_folders() == []


def test_releasing_a_lease_while_it_is_made_waits_for_it(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        making = asyncio.create_task(service.grant(LeaseRequest(name="job"), ME))
        while service.live_count == 0:
            await asyncio.sleep(0)
        assert (await service.find("job")).state is LeaseState.PENDING
        assert (await service.release("job", ME)).state is LeaseState.RELEASED
        await making
        assert await service.leases() == []

    host.run(scenario)
    assert host.gatekeepers() == []
    assert host.lease_folders() == []


def test_a_full_store_grants_nothing_and_leaves_nothing(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(service: LeaseService) -> None:
        save = service._store.save

        def full(lease: Lease) -> None:
            if lease.state is LeaseState.ACTIVE:
                raise TesseraError("disk full")
            save(lease)

        monkeypatch.setattr(service._store, "save", full)
        with pytest.raises(TesseraError, match="disk full"):
            await service.grant(LeaseRequest(), ME)
        assert await service.leases() == []

    host.run(scenario)
    assert host.gatekeepers() == []
    assert host.lease_folders() == []


def test_many_leases_leave_no_descriptor(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        await service.release((await service.grant(LeaseRequest(), ME)).id, ME)
        before = descriptors()
        for _ in range(20):
            lease = await service.grant(LeaseRequest(holder_pid=os.getpid()), ME)
            await service.release(lease.id, ME)
        assert descriptors() == before

    host.run(scenario)


def test_a_full_disk_grants_nothing_and_leaves_nothing(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "tessera.icd")

    async def scenario(service: LeaseService) -> None:
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(DiskFull) as refusal:
            await service.grant(LeaseRequest(), ME)
        assert "Free some space" in refusal.value.hint
        assert await service.leases() == []

    host.run(scenario)
    assert host.gatekeepers() == []
    assert host.lease_folders() == []
