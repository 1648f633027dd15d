# SPDX-License-Identifier: Apache-2.0
"""Direct leases of a daemon on a recreated host: granted, refused, given back, also by the next daemon."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import fakes
from helpers.daemons import ME, Daemons, until
from helpers.pci import VFIO, Card, Died, FakeKernel
from tessera.leases.peer import Peer
from tessera.leases.resizing import Resizing
from tessera.leases.service import LeaseService
from tessera.model.direct import FindingName
from tessera.model.errors import (
    DirectDeviceNotFound,
    DirectFailed,
    DirectRefused,
    DirectUnsupported,
    GpuInDirectUse,
    InvalidRequest,
    NameInUse,
    NoCapacity,
    StoreError,
    SuspendUnsupported,
    UsageError,
)
from tessera.model.lease import Lease, LeaseChange, LeaseRequest, LeaseState, Mode
from tessera.model.suspension import Keep

GPU0, GPU1, DISK = "0000:65:00.0", "0000:66:00.0", "0000:67:00.0"
ROOT = Peer(uid=0, pid=os.getpid())


@pytest.fixture
def host(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemons]:
    """Two GPUs with functions of their own, and a disk."""
    host = Daemons(short_folder)
    fakes.install(host.native, 2, addresses=(GPU0, GPU1))
    monkeypatch.setenv("TESSERA_NATIVE_DIR", str(host.native))
    kernel = host.files = FakeKernel(short_folder / "root")
    kernel.add(Card(GPU0, group=17))
    kernel.add(Card(GPU1, group=18))
    kernel.add(Card(DISK, class_code="0x010802", driver="nvme", group=19))
    if os.geteuid() != 0:
        # Who is asked for as root could not be given anything by anybody else.
        monkeypatch.setattr(os, "chown", lambda *_: None)
    yield host
    host.close()


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child
        child.kill()


def kernel_of(host: Daemons) -> FakeKernel:
    assert isinstance(host.files, FakeKernel)
    return host.files


def request(*devices: str, name: str | None = None, pid: int | None = None) -> LeaseRequest:
    return LeaseRequest(direct=devices, name=name, holder_pid=pid or os.getpid())


async def refused(service: LeaseService, *devices: str) -> list[FindingName]:
    with pytest.raises(DirectRefused):
        await service.grant(request(*devices), ROOT)
    return [each.name for each in (await service.direct.check(request(*devices), ROOT)).findings]


def test_devices_are_handed_over_and_given_back(host: Daemons) -> None:
    kernel = kernel_of(host)
    before = kernel.state()

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request("gpu0", DISK, name="job"), ROOT)
        assert (lease.state, lease.mode) == (LeaseState.ACTIVE, Mode.DIRECT)
        assert [(each.key, each.group) for each in lease.direct] == [(GPU0, 17), (DISK, 19)]
        assert (lease.gatekeeper, lease.endpoint, lease.environment) == (None, None, {})
        assert [kernel.driver(each) for each in (GPU0, GPU1, DISK)] == [VFIO, "nvidia", VFIO]
        node = kernel.root / "dev/vfio/17"
        assert node.stat().st_mode & 0o777 == 0o600
        used = (await service.gpus())[0]
        assert (used.free, used.leases, used.direct) == (0, ("job",), "job")
        view = await service.direct.view()
        shown = {each.address: (each.lease, each.gpu) for each in view.functions}
        assert shown == {GPU0: ("job", "gpu0"), GPU1: (None, "gpu1"), DISK: ("job", None)}
        assert view.findings == ()
        released = await service.release("job", ROOT)
        assert released.state is LeaseState.RELEASED
        assert (await service.gpus())[0].direct is None

    host.run(scenario)
    assert kernel.state() == before
    assert host.gatekeepers() == []


def test_nobody_else_gets_them_meanwhile(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request(GPU1, name="job"), ROOT)
        assert await refused(service, GPU1) == [FindingName.IN_DIRECT_USE]
        shared = await service.grant(LeaseRequest(), ME)
        assert shared.gpus[0].gpu == "gpu0"
        with pytest.raises(GpuInDirectUse, match="gpu1 is in direct use by lease job") as caught:
            await service.grant(LeaseRequest(fraction="1/4"), ME)
        assert caught.value.exit_code == 4
        assert await refused(service, GPU0) == [FindingName.IN_SHARED_USE]
        await service.release(lease.id, ROOT)
        await service.grant(LeaseRequest(fraction="1/4"), ME)
        for each in await service.leases():
            await service.release(each.id, ROOT)

    host.run(scenario)


def test_gpus_behind_one_that_is_away_are_not_leased(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request(GPU0, name="job"), ROOT)
        with pytest.raises(GpuInDirectUse):
            await service.grant(LeaseRequest(fraction="1/4"), ME)
        await service.release(lease.id, ROOT)
        wide = await service.grant(LeaseRequest(gpus=2, fraction="1/4"), ME)
        assert await refused(service, GPU0) == [FindingName.IN_SHARED_USE]
        await service.release(wide.id, ME)

    host.run(scenario)


def test_the_gpu_before_would_change_the_place_of_those_behind(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        whole = await service.grant(LeaseRequest(), ME)
        behind = await service.grant(LeaseRequest(name="late"), ME)
        assert behind.gpus[0].gpu == "gpu1"
        await service.release(whole.id, ME)
        assert await refused(service, GPU0) == [FindingName.GPUS_BEHIND]
        await service.release(behind.id, ME)

    host.run(scenario)


def test_a_refusal_changes_nothing(host: Daemons) -> None:
    kernel = kernel_of(host)
    kernel.put(kernel.function(GPU0) / "reset_method", "")

    async def scenario(service: LeaseService) -> None:
        assert await refused(service, GPU0, GPU1) == [FindingName.NO_RESET]
        with pytest.raises(DirectDeviceNotFound):
            await service.grant(request("0000:99:00.0"), ROOT)
        await service.grant(request(GPU1, name="job"), ROOT)
        with pytest.raises(NameInUse):
            await service.grant(request(DISK, name="job"), ROOT)
        accepted = request(GPU0).model_copy(update={"without_reset": True})
        await service.grant(accepted, ROOT)
        for each in await service.leases():
            await service.release(each.id, ROOT)

    host.run(scenario)


def test_only_root_hands_over_a_disk(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        stranger = Peer(uid=12345, pid=os.getpid())
        found = await service.direct.check(request(DISK), stranger)
        assert FindingName.NOT_A_GPU in [each.name for each in found.findings]
        found = await service.direct.check(request(GPU0), stranger)
        assert found.findings == ()

    host.run(scenario)


def test_the_owner_gets_the_node_and_nobody_else(
    host: Daemons, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "chown", lambda node, uid, _gid: given.append((node.name, uid)))
    monkeypatch.setattr("tessera.leases.process.owner", lambda _pid: 12345)

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request(GPU0, pid=holder.pid), Peer(uid=12345, pid=holder.pid))
        assert given == [("17", 12345)]
        await service.release(lease.id, ROOT)

    host.run(scenario)


def test_a_step_that_fails_leaves_no_lease(host: Daemons) -> None:
    kernel = kernel_of(host)
    before = kernel.state()
    kernel.refuses = f"{DISK}/driver/unbind"

    async def scenario(service: LeaseService) -> None:
        with pytest.raises(DirectFailed):
            await service.grant(request(GPU0, DISK, name="job"), ROOT)
        assert await service.leases() == []
        assert (await service.find("job")).reason
        kernel.refuses = None
        await service.grant(request(GPU0, name="job"), ROOT)
        await service.release("job", ROOT)

    host.run(scenario)
    assert kernel.state() == before


def test_a_fresh_virtual_function_with_neighbours_is_undone(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernel_of(host)
    kernel.add_virtual(GPU0, 2)
    kernel.next_group = 19
    before = kernel.state()

    async def scenario(service: LeaseService) -> None:
        with pytest.raises(DirectRefused, match="shares IOMMU group 19"):
            await service.grant(request(f"{GPU0}/vf"), ROOT)
        assert await service.leases() == []

    host.run(scenario)
    assert kernel.state() == before


def test_virtual_functions_go_with_the_last_lease(host: Daemons) -> None:
    kernel = kernel_of(host)
    kernel.add_virtual(GPU0, 2)
    before = kernel.state()

    async def scenario(service: LeaseService) -> None:
        first = await service.grant(request(f"{GPU0}/vf"), ROOT)
        second = await service.grant(request(f"{GPU0}/vf"), ROOT)
        assert {each.direct[0].key for each in (first, second)} == {"0000:65:00.4", "0000:65:00.5"}
        assert await refused(service, f"{GPU0}/vf") == [FindingName.NO_VIRTUAL_FUNCTION]
        await service.release(first.id, ROOT)
        assert kernel.text(kernel.function(GPU0) / "sriov_numvfs") == "2"
        await service.release(second.id, ROOT)

    host.run(scenario)
    assert kernel.state() == before


def test_a_lease_ends_with_its_holder(host: Daemons, holder: subprocess.Popen[bytes]) -> None:
    kernel = kernel_of(host)

    async def scenario(service: LeaseService) -> None:
        await service.grant(request(GPU0, pid=holder.pid), ROOT)
        holder.kill()
        holder.wait()
        await until(lambda: kernel.driver(GPU0) == "nvidia", "it is given back")
        assert await service.leases() == []

    host.run(scenario)


def test_what_does_not_come_back_stays_listed_until_it_does(host: Daemons) -> None:
    kernel = kernel_of(host)

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request(GPU0, name="job"), ROOT)
        kernel.refuses = "drivers/nvidia/bind"
        failed = await service.release("job", ROOT)
        assert failed.state is LeaseState.FAILED
        assert GPU0 in (failed.reason or "")
        assert await refused(service, GPU0) == [FindingName.IN_DIRECT_USE]
        assert (await service.release("job", ROOT)).state is LeaseState.FAILED
        kernel.refuses = None
        assert (await service.release(lease.id, ROOT)).state is LeaseState.RELEASED
        assert kernel.driver(GPU0) == "nvidia"

    host.run(scenario)


def test_what_is_for_workers_is_refused_by_name(host: Daemons) -> None:
    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request(GPU1, name="job"), ROOT)
        with pytest.raises(SuspendUnsupported, match="cannot migrate"):
            await service.suspending.suspend("job", Keep.MEMORY, ROOT)
        with pytest.raises(SuspendUnsupported):
            await service.suspending.check("job", ROOT)
        with pytest.raises(DirectUnsupported):
            await service.stats("job")
        with pytest.raises(DirectUnsupported):
            await Resizing(service).change("job", LeaseChange(weight=7), ROOT)
        with pytest.raises(DirectUnsupported):
            await service.set_weight("job", 7, ROOT)
        assert (await service.find("job")).state is LeaseState.ACTIVE
        await service.release(lease.id, ROOT)

    host.run(scenario)


def test_the_next_daemon_keeps_what_a_machine_has(
    host: Daemons, holder: subprocess.Popen[bytes]
) -> None:
    kernel = kernel_of(host)
    before = kernel.state()

    async def first(service: LeaseService) -> None:
        await service.grant(request(GPU0, name="job", pid=holder.pid), ROOT)

    async def second(service: LeaseService) -> None:
        (lease,) = await service.leases()
        assert (lease.name, lease.state) == ("job", LeaseState.ACTIVE)
        # The driver lists one GPU now, and it is not the first.
        gpus = await service.gpus()
        assert [(gpu.id, gpu.pci and gpu.pci.address) for gpu in gpus] == [
            ("gpu0", GPU0),
            ("gpu1", GPU1),
        ]
        assert gpus[0].direct == "job"
        with pytest.raises(NoCapacity):
            await service.grant(LeaseRequest(fraction="1/4"), ME)
        assert kernel.driver(GPU0) == VFIO

    async def third(service: LeaseService) -> None:
        assert await service.leases() == []
        assert kernel.state() == before

    host.run(first)
    fakes.install(host.native, 1, addresses=(GPU1,))
    host.run(second)
    holder.kill()
    holder.wait()
    host.run(third)


@pytest.mark.parametrize("death", range(7))
def test_the_next_daemon_gives_back_what_a_death_left(
    host: Daemons, holder: subprocess.Popen[bytes], death: int
) -> None:
    kernel = kernel_of(host)
    before = kernel.state()
    kernel.dies_at = death

    async def dies(service: LeaseService) -> None:
        # A process that is killed writes nothing down any more.
        service.give_up = service.fail = lambda *_: None  # type: ignore[assignment,method-assign]
        service.direct._binder.give_back = lambda *_: None  # type: ignore[method-assign]
        try:
            await service.grant(request(GPU0, DISK, pid=holder.pid), ROOT)
        except Died:
            service._leases.clear()

    async def next_one(service: LeaseService) -> None:
        leases = await service.leases()
        if death >= 6:
            assert [lease.state for lease in leases] == [LeaseState.ACTIVE]
            await service.release(leases[0].id, ROOT)
        assert await service.leases() == []

    host.run(dies)
    kernel.dies_at = None
    host.run(next_one)
    assert kernel.state() == before


def test_a_database_that_is_full_keeps_devices_where_they_are(
    host: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernel_of(host)
    before = kernel.state()

    async def scenario(service: LeaseService) -> None:
        real = service.save

        def full(lease: Lease) -> None:
            if lease.state is refused_state:
                raise StoreError("The database refused.")
            real(lease)

        monkeypatch.setattr(service, "save", full)
        for refused_state in (LeaseState.PENDING, LeaseState.ACTIVE):
            with pytest.raises(StoreError):
                await service.grant(request(GPU0), ROOT)
            assert kernel.state() == before
            assert await service.leases() == []

    host.run(scenario)


def test_a_request_that_is_given_up_is_finished_all_the_same(
    host: Daemons, holder: subprocess.Popen[bytes]
) -> None:
    kernel = kernel_of(host)

    async def scenario(service: LeaseService) -> None:
        asking = asyncio.ensure_future(service.grant(request(GPU0, pid=holder.pid), ROOT))
        await until(lambda: bool(service.all()), "it is written down")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await service.direct.close()
        (lease,) = service.all()
        assert lease.state is LeaseState.ACTIVE
        assert kernel.driver(GPU0) == VFIO
        await service.release(lease.id, ROOT)

    host.run(scenario)


def test_a_host_without_opencl_hands_devices_over(host: Daemons) -> None:
    (host.native / "probe-mode").write_text("fail")

    async def scenario(service: LeaseService) -> None:
        lease = await service.grant(request(GPU0), ROOT)
        assert (lease.gpus, lease.direct[0].gpu) == ((), None)
        await service.release(lease.id, ROOT)

    host.run(scenario)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"fraction": "1/4"}, UsageError),
        ({"memory": 5}, UsageError),
        ({"gpus": 2}, UsageError),
        ({"wait_seconds": 5}, UsageError),
        ({"holder_pid": None}, InvalidRequest),
        ({"direct": ["x"] * 33}, InvalidRequest),
    ],
)
def test_what_makes_no_sense_with_whole_devices(
    change: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        LeaseRequest.checked({"direct": [GPU0], "holder_pid": 1, **change})
