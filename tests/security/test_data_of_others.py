# SPDX-License-Identifier: Apache-2.0
"""What another tenant has, or had, in a device's memory: no way leads there.

On two devices. The embedded one, on which a worker's memory is that of its process; and the null driver's
GPU, whose memory outlives its processes and comes to the next one as it was left. There each test first
finds the secret in the device's memory, so that not finding it afterwards means something.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from helpers.host import Host
from helpers.leases import lease_of, null_gpu_host, real_host, stats
from helpers.processes import eventually
from helpers.wire import SHM, Bench, Ended, Wire, addresses
from tessera.client import wire as rest

MIB = 1 << 20
PIECES = 12  # of a MiB each: what a tenant takes of its 16 MiB
SECRET = b"the other tenant's weights. "
SIDE = 512  # pixels of four bytes: a MiB
RGBA, UNORM8, IMAGE2D = 0x10B5, 0x10D2, 0x10F1
RINGS = 12_288  # where they begin in a session's shared memory
INVALID_OPERATION = -59
FAR = 0x5EC2E7  # an id that no other session uses

SOURCE = """
kernel void peek(global const uint* from, global uint* to, ulong n) {
    to[get_global_id(0)] = from[n + get_global_id(0)];
}
kernel void leftovers(global uint* to, local uint* left) {
    for (int i = 0; i < 1024; ++i) to[i] = left[i];
}
"""


@dataclass
class Place:
    """A host, and the file that its GPU's memory is, where it has one."""

    host: Host
    memory: Path | None

    def holds_secret(self) -> bool:
        return self.memory is not None and SECRET * 100 in self.memory.read_bytes()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Place]:
    with real_host() as host:
        yield Place(host, None)


@pytest.fixture(scope="module")
def gpu() -> Iterator[Place]:
    with null_gpu_host() as (host, memory):
        yield Place(host, memory)


@pytest.fixture(params=["embedded", "gpu"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


class Tenant:
    """One session of a lease."""

    def __init__(self, place: Place, lease: dict[str, Any]) -> None:
        self.place = place
        self.lease = lease
        self.wire = Wire(addresses(lease["endpoint"])[1]).open()
        self.bench = Bench(self.wire)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def worker(self) -> int:
        found: int = stats(self.place.host, self.lease)["sessions"][0]["worker_pid"]
        return found

    def leave_secret(self) -> list[int]:
        """Writes the secret to most of the lease's memory; the ids of its buffers."""
        piece = (SECRET * (MIB // len(SECRET) + 1))[:MIB]
        made = [self.bench.buffer_of(MIB) for _ in range(PIECES)]
        assert [status for _, status in made] == [0] * PIECES
        for buffer, _ in made:
            self.wire.post("write_buffer", piece, queue=self.bench.queue, buffer=buffer)
            assert self.bench.read(buffer, 0, len(SECRET)).bulk == SECRET
        return [buffer for buffer, _ in made]

    def svm(self, size: int) -> int:
        """The address of an allocation."""
        own = {"context": self.bench.context, "flags": 1, "size": size}
        reply = self.wire.call("svm_alloc", **own).fields
        assert reply["status"] == 0
        address: int = reply["values"][0]
        return address

    def unified(self, size: int) -> int | None:
        """The address of the device's own unified shared memory; None where it has none."""
        own = {"context": self.bench.context, "kind": 2, "device": [0], "size": size}
        reply = self.wire.call("usm_alloc", **own).fields
        if reply["status"] == INVALID_OPERATION:
            return None
        assert reply["status"] == 0
        address: int = reply["values"][0]
        return address

    def read_svm(self, address: int, size: int) -> bytes:
        own = {"queue": self.bench.queue, "address": address, "size": size, "ticket": 9}
        self.wire.post("svm_read", **own, blocking=1)
        return self.wire.until("read_done", ticket=9).bulk

    def read_image(self) -> bytes:
        """All of a new image."""
        image = self.wire.new()
        kind = {"channel_order": RGBA, "channel_type": UNORM8, "image_type": IMAGE2D}
        own = {"image": image, "context": self.bench.context, "flags": 1, "confirm": 1}
        extent = (SIDE, SIDE, 0)
        assert self.wire.call("create_image", **own, **kind, extent=extent).fields["status"] == 0
        region = {"origin": (0, 0, 0), "region": (SIDE, SIDE, 1), "ticket": 8, "blocking": 1}
        self.wire.post("read_image", queue=self.bench.queue, image=image, **region)
        return self.wire.until("read_done", ticket=8).bulk

    def fresh_memory(self) -> Iterator[bytes]:
        """What buffers, images, shared virtual and unified memory hold before anybody wrote to them."""
        for _ in range(PIECES // 4):
            buffer, status = self.bench.buffer_of(MIB)
            assert status == 0
            yield self.bench.read(buffer, 0, MIB).bulk
            yield self.read_image()
            yield self.read_svm(self.svm(MIB), MIB)
            if (address := self.unified(MIB)) is not None:
                yield self.read_svm(address, MIB)

    def release_all(self, buffers: list[int]) -> None:
        for buffer in buffers:
            self.wire.post("release", target=buffer)
        assert self.wire.alive()
        self.wire.close()

    def kill_worker(self) -> None:
        worker = self.worker()
        os.kill(worker, signal.SIGKILL)
        gone(worker)
        self.wire.close()


def gone(pid: int) -> None:
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the worker is gone, and not a zombie")


@pytest.fixture
def other(place: Place) -> Iterator[Tenant]:
    """The tenant whose data it is."""
    with lease_of(place.host) as lease, Tenant(place, lease) as tenant:
        yield tenant


@pytest.fixture
def thief(place: Place) -> Iterator[Tenant]:
    with lease_of(place.host) as lease, Tenant(place, lease) as tenant:
        yield tenant


def brought(way: Callable[[], bytes]) -> bytes:
    """What a way brought: nothing, if it ended the session."""
    try:
        return way()
    except Ended:
        return b""


def release(tenant: Tenant, buffers: list[int]) -> None:
    tenant.release_all(buffers)


def drop(tenant: Tenant, _: list[int]) -> None:
    worker = tenant.worker()
    tenant.wire.close()
    gone(worker)


def kill(tenant: Tenant, _: list[int]) -> None:
    tenant.kill_worker()


def stop(tenant: Tenant, _: list[int]) -> None:
    worker = tenant.worker()
    rest.call(str(tenant.place.host.socket), "DELETE", f"/v1/leases/{tenant.lease['id']}")
    gone(worker)


def stay(_: Tenant, __: list[int]) -> None:
    pass


@pytest.mark.parametrize("end", [stay, release, drop, kill, stop])
def test_fresh_memory_is_nobodys(
    place: Place, other: Tenant, end: Callable[[Tenant, list[int]], None]
) -> None:
    end(other, other.leave_secret())
    if place.memory is not None:
        assert place.holds_secret()
    with lease_of(place.host) as lease, Tenant(place, lease) as thief:
        for seen in thief.fresh_memory():
            assert len(seen) == MIB
            assert SECRET[:8] not in seen
            assert place.memory is None or not any(seen)


def test_handles_of_another_session_are_nothing(place: Place, other: Tenant) -> None:
    bench, wire = other.bench, other.wire
    own = {"buffer": FAR, "context": bench.context, "flags": 1, "size": MIB, "confirm": 1}
    assert wire.call("create_buffer", **own).fields["status"] == 0
    wire.post("write_buffer", SECRET, queue=bench.queue, buffer=FAR)
    assert bench.read(FAR, 0, len(SECRET)).bulk == SECRET
    ways: list[Callable[[Tenant], bytes]] = [
        lambda thief: thief.bench.read(FAR, 0, len(SECRET)).bulk,
        lambda thief: copied(thief, src_buffer=FAR),
        lambda thief: cut(thief, FAR),
    ]
    for way in ways:
        for lease in (other.lease, None):
            with lease_of(place.host) as another, Tenant(place, lease or another) as thief:
                assert brought(partial(way, thief)) == b""
    assert bench.read(FAR, 0, len(SECRET)).bulk == SECRET


def copied(thief: Tenant, **source: int) -> bytes:
    own = {"queue": thief.bench.queue, "dst_buffer": thief.bench.buffer, "cb": len(SECRET)}
    thief.wire.post("copy_buffer", **own, **source)
    return thief.bench.read(thief.bench.buffer, 0, len(SECRET)).bulk


def cut(thief: Tenant, buffer: int, origin: int = 0, size: int = 4096) -> bytes:
    """What a sub-buffer holds."""
    made = thief.wire.new()
    own = {"sub_buffer": made, "buffer": buffer, "flags": 1, "origin": origin, "size": size}
    thief.wire.post("create_sub_buffer", **own)
    return thief.bench.read(made, 0, len(SECRET)).bulk


def test_addresses_of_another_are_nothing(place: Place, other: Tenant) -> None:
    address = other.svm(MIB)
    own = {"queue": other.bench.queue, "address": address}
    other.wire.post("svm_write", SECRET, **own)
    assert other.read_svm(address, len(SECRET)) == SECRET

    def as_buffer(thief: Tenant) -> bytes:
        made = thief.wire.new()
        own = {"buffer": made, "context": thief.bench.context, "flags": 1, "size": 4096}
        thief.wire.post("create_buffer", **own, svm=address)
        return thief.bench.read(made, 0, len(SECRET)).bulk

    def by_copy(thief: Tenant) -> bytes:
        mine = thief.svm(4096)
        own = {"queue": thief.bench.queue, "destination": mine, "source": address}
        thief.wire.post("svm_memcpy", **own, size=len(SECRET))
        return thief.read_svm(mine, len(SECRET))

    ways = [lambda thief: thief.read_svm(address, len(SECRET)), as_buffer, by_copy]
    for way in ways:
        with lease_of(place.host) as lease, Tenant(place, lease) as thief:
            assert SECRET[:8] not in brought(partial(way, thief))
    assert other.read_svm(address, len(SECRET)) == SECRET


@pytest.mark.parametrize(
    ("offset", "size"), [(4096, 1), (0, 4097), (1 << 62, 4096), ((1 << 64) - 4096, 8192)]
)
def test_a_sub_buffer_ends_where_it_ends(
    other: Tenant, thief: Tenant, offset: int, size: int
) -> None:
    other.leave_secret()
    wire, bench = thief.wire, thief.bench
    whole, status = bench.buffer_of(8192)
    assert status == 0
    part = wire.new()
    wire.post("create_sub_buffer", sub_buffer=part, buffer=whole, flags=1, origin=4096, size=4096)
    wire.post("fill_buffer", queue=bench.queue, buffer=whole, pattern=b"mine", cb=8192)
    assert bench.read(part, 0, 4096).bulk == b"mine" * 1024
    assert brought(lambda: bench.read(part, offset, size).bulk) == b""


@pytest.mark.parametrize(("origin", "size"), [(4096, 8192), (8192, 4096), (1 << 63, 1 << 63)])
def test_no_sub_buffer_lies_outside_its_buffer(
    other: Tenant, thief: Tenant, origin: int, size: int
) -> None:
    other.leave_secret()
    whole, _ = thief.bench.buffer_of(8192)
    assert brought(lambda: cut(thief, whole, origin, size)) == b""


def test_a_session_begins_with_empty_shared_memory(place: Place, other: Tenant) -> None:
    other.leave_secret()
    with Wire(addresses(other.lease["endpoint"])[1], SHM).connect() as wire:
        assert wire.hello() == 0
        assert wire.descriptor is not None
        with mmap.mmap(wire.descriptor, os.fstat(wire.descriptor).st_size) as memory:
            # Behind the pages in which both sides say who sleeps.
            assert not any(memory[at] for at in range(RINGS, len(memory), 64))
            assert memory.find(SECRET) < 0


def kernel(thief: Tenant, name: str) -> int:
    program, status = thief.bench.program(SOURCE)
    assert status == 0
    made = thief.wire.new()
    thief.wire.post("create_kernel", kernel=made, program=program, name=name)
    return made


def result_of(thief: Tenant, made: int, items: int) -> bytes:
    sizes = {"work_dim": 1, "global": (items, 1, 1), "local": (1, 1, 1)}
    thief.wire.post("enqueue_nd_range", queue=thief.bench.queue, kernel=made, **sizes)
    return thief.bench.read(thief.bench.buffer, 0, thief.bench.size).bulk


@pytest.fixture
def compiling(embedded: Place) -> Iterator[tuple[Tenant, Tenant]]:
    """The other and the thief on the only device here that runs kernels; of a GPU nothing is claimed."""
    with (
        lease_of(embedded.host) as theirs,
        lease_of(embedded.host) as lease,
        Tenant(embedded, theirs) as other,
        Tenant(embedded, lease) as thief,
    ):
        other.leave_secret()
        yield other, thief


@pytest.mark.parametrize("far", [0, 4096, MIB, 16 * MIB, 1 << 40])
def test_a_kernel_that_reads_past_its_buffer_finds_no_other_tenant(
    compiling: tuple[Tenant, Tenant], far: int
) -> None:
    other, thief = compiling

    def peek() -> bytes:
        made = kernel(thief, "peek")
        for index in (0, 1):
            target = {"index": index, "target": thief.bench.buffer}
            thief.wire.post("set_kernel_arg_object", kernel=made, **target)
        value = struct.pack("<Q", (4096 + far) // 4)
        thief.wire.post("set_kernel_arg_value", kernel=made, index=2, value=value)
        return result_of(thief, made, 1024)

    assert SECRET[:8] not in brought(peek)
    assert other.bench.works()


def test_a_kernels_own_memory_holds_no_other_tenant(compiling: tuple[Tenant, Tenant]) -> None:
    _, thief = compiling
    made = kernel(thief, "leftovers")
    target = {"index": 0, "target": thief.bench.buffer}
    thief.wire.post("set_kernel_arg_object", kernel=made, **target)
    thief.wire.post("set_kernel_arg_local", kernel=made, index=1, size=4096)
    assert SECRET[:8] not in result_of(thief, made, 1)
