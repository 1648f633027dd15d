# SPDX-License-Identifier: Apache-2.0
"""Handles that are not there, pointers where none belong, ranges past the end, memory past the limit."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from helpers.leases import stats
from helpers.processes import eventually, is_running
from helpers.wire import FIELDS, OPCODES, TO_WORKER, Bench, Ended, Wire, encode

if TYPE_CHECKING:
    from security.conftest import Witness

MIB = 1 << 20
REFUSED = -4  # CL_MEM_OBJECT_ALLOCATION_FAILURE
NOBODY = 0x7777_7777
POINTERS = [0x1000, 0x7FFF_FFFF_F000, (1 << 64) - 8, 0x5555_5555_4000]

SOURCE = """
kernel void peek(global const uint* from, global uint* to, int n) { to[0] = from[n]; }
kernel void forever(global uint* p) { while (1) p[0] += 1; }
"""


@pytest.fixture
def bench(witness: Witness) -> Iterator[Bench]:
    with witness.attacker() as wire:
        yield Bench(wire)


def with_handles() -> list[tuple[str, str]]:
    kinds = ("id", "ids")
    return [(name, field) for name in TO_WORKER for kind, field in FIELDS[name] if kind in kinds]


def values_with(name: str, field: str, identity: int) -> dict[str, Any]:
    kinds = {own: kind for kind, own in FIELDS[name]}
    return {field: [identity] if kinds[field] == "ids" else identity}


@pytest.mark.parametrize(("name", "field"), with_handles())
def test_a_handle_that_is_not_there_ends_the_session(
    witness: Witness, name: str, field: str
) -> None:
    with witness.attacker() as wire:
        bench = Bench(wire)
        known = {
            "context": bench.context,
            "queue": bench.queue,
            "buffer": bench.buffer,
            "src_buffer": bench.buffer,
            "dst_buffer": bench.buffer,
        }
        values = {own: known[own] for kind, own in FIELDS[name] if kind == "id" and own in known}
        wire.post(name, **(values | values_with(name, field, NOBODY)))
        try:
            wire.socket.shutdown(1)
        except OSError:
            pass
        assert wire.ended()
    assert witness.bench.works()


def test_a_handle_of_another_kind_ends_the_session(witness: Witness) -> None:
    for name, values in [
        ("finish_queue", {"queue": "context"}),
        ("finish_queue", {"queue": "buffer"}),
        ("create_queue", {"queue": "new", "context": "buffer"}),
        ("create_sub_buffer", {"sub_buffer": "new", "buffer": "queue"}),
        ("create_user_event", {"event": "new", "context": "queue"}),
        ("build_program", {"program": "buffer"}),
        ("create_kernel", {"kernel": "new", "program": "buffer"}),
        ("create_command_buffer", {"command_buffer": "new", "queue": "buffer"}),
        ("finalize_command_buffer", {"command_buffer": "queue"}),
    ]:
        with witness.attacker() as wire:
            bench = Bench(wire)
            ids = {
                own: wire.new() if v == "new" else getattr(bench, v) for own, v in values.items()
            }
            wire.post(name, **ids)
            assert wire.ended(), (name, values)
    witness.unharmed()


def recorded(wire: Wire, bench: Bench, name: str, **values: Any) -> int:
    """A new command buffer, in which this command was recorded."""
    made = wire.new()
    wire.post("create_command_buffer", command_buffer=made, queue=bench.queue)
    wire.post(
        "record_command",
        command_buffer=made,
        opcode=OPCODES[name],
        command=encode(name, values),
    )
    return made


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fill_buffer", {"buffer": NOBODY, "pattern": b"\1", "cb": 16}),
        ("copy_buffer", {"src_buffer": NOBODY, "dst_buffer": POINTERS[0], "cb": 16}),
        ("copy_image", {"src_image": POINTERS[1], "dst_image": POINTERS[2]}),
        ("enqueue_nd_range", {"kernel": POINTERS[3], "work_dim": 1}),
        ("read_buffer", {"buffer": 1, "size": 16}),
        ("record_command", {"command_buffer": 1}),
        ("release", {"target": 1}),
    ],
)
def test_a_recorded_command_is_judged_as_one_that_is_enqueued(
    witness: Witness, name: str, values: dict[str, Any]
) -> None:
    with witness.attacker() as wire:
        recorded(wire, Bench(wire), name, **values)
        assert wire.ended()
    witness.unharmed()


def test_a_recorded_command_past_the_end_never_runs(witness: Witness) -> None:
    with witness.attacker() as wire:
        bench = Bench(wire)
        for offset, size in [(bench.size, 16), (0, 1 << 40), ((1 << 64) - 8, 16)]:
            made = recorded(
                wire,
                bench,
                "fill_buffer",
                buffer=bench.buffer,
                pattern=b"\1" * 4,
                offset=offset,
                cb=size,
            )
            wire.post("finalize_command_buffer", command_buffer=made)
            wire.post("enqueue_command_buffer", queue=bench.queue, command_buffer=made)
            assert wire.call("finish_queue", queue=bench.queue).fields["status"] < 0
        assert bench.works()
    witness.unharmed()


def test_a_handle_may_not_be_made_twice_or_be_zero(witness: Witness) -> None:
    for identity in ("context", "queue", "buffer"):
        with witness.attacker() as wire:
            bench = Bench(wire)
            wire.post("create_context", context=getattr(bench, identity), devices=[0])
            assert wire.ended()
    with witness.attacker() as wire:
        wire.post("create_context", context=0, devices=[0])
        assert wire.ended()
    witness.unharmed()


@pytest.mark.parametrize(
    ("name", "made", "source"),
    [
        ("create_sub_buffer", "sub_buffer", "buffer"),
        ("create_image", "image", "buffer"),
        ("clone_kernel", "kernel", "source"),
    ],
)
def test_nothing_is_made_of_itself(witness: Witness, name: str, made: str, source: str) -> None:
    with witness.attacker() as wire:
        bench = Bench(wire)
        context = {"context": bench.context} if name == "create_image" else {}
        itself = wire.new()
        wire.post(name, **{made: itself, source: itself}, **context)
        assert wire.ended()
    witness.unharmed()


def test_a_released_handle_is_gone(witness: Witness, bench: Bench) -> None:
    bench.wire.post("release", target=bench.buffer)
    bench.wire.post("fill_buffer", queue=bench.queue, buffer=bench.buffer, pattern=b"1234", cb=8)
    assert bench.wire.ended()
    witness.unharmed()


@pytest.mark.parametrize("device", [1, 7, 0xFFFF_FFFF])
def test_a_device_that_is_not_of_the_lease(witness: Witness, device: int) -> None:
    with witness.attacker() as wire:
        wire.post("create_context", context=wire.new(), devices=[device])
        assert wire.ended()
    witness.unharmed()


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 4097), (4096, 1), (1 << 63, 1 << 63), ((1 << 64) - 1, 2)]
)
def test_reads_past_the_end_bring_nothing(
    witness: Witness, bench: Bench, offset: int, size: int
) -> None:
    assert not brought(lambda: bench.read(bench.buffer, offset, size).bulk)
    witness.unharmed()


def brought(read: Any) -> bytes:
    """What a forged read brought: nothing, or the session's end."""
    try:
        data: bytes = read()
    except Ended:
        return b""
    return data


def test_rectangles_past_the_end_bring_nothing(witness: Witness) -> None:
    wrong = [
        {"origin": (0, 0, 0), "region": (64, 65, 1), "row_pitch": 64},
        {"origin": (0, (1 << 64) // 64, 0), "region": (64, 1, 1), "row_pitch": 64},
        {"origin": (0, 0, 0), "region": (8, 1 << 62, 1), "row_pitch": 8},
        {"origin": (0, 0, 1 << 63), "region": (8, 1, 1), "slice_pitch": 2},
    ]
    for values in wrong:
        with witness.attacker() as wire:
            bench = Bench(wire)

            def read(bench: Bench = bench, values: dict[str, Any] = values) -> bytes:
                own = {"queue": bench.queue, "buffer": bench.buffer, "ticket": 5, "blocking": 1}
                bench.wire.post("read_buffer_rect", **own, **values)
                return bench.wire.until("read_done", ticket=5).bulk

            assert not brought(read), values
    witness.unharmed()


def kernel_of(bench: Bench, name: str) -> int:
    program, status = bench.program(SOURCE)
    assert status == 0
    kernel = bench.wire.new()
    bench.wire.post("create_kernel", kernel=kernel, program=program, name=name)
    return kernel


def launch(bench: Bench, kernel: int) -> int:
    event = bench.wire.new()
    one = {"work_dim": 1, "global": (1, 1, 1)}
    bench.wire.post("enqueue_nd_range", queue=bench.queue, event=event, kernel=kernel, **one)
    return event


@pytest.mark.parametrize("pointer", POINTERS)
@pytest.mark.parametrize("way", ["value", "confirmed", "object", "svm", "exec_info"])
def test_a_pointer_is_no_argument(witness: Witness, bench: Bench, way: str, pointer: int) -> None:
    def attack() -> bytes:
        wire, kernel = bench.wire, kernel_of(bench, "peek")
        wire.post("set_kernel_arg_object", kernel=kernel, index=1, target=bench.buffer)
        wire.post("set_kernel_arg_value", kernel=kernel, index=2, value=bytes(4))
        wire.post("fill_buffer", queue=bench.queue, buffer=bench.buffer, pattern=b"same", cb=4096)
        if way in ("value", "confirmed"):
            value = struct.pack("<Q", pointer)
            confirm = int(way == "confirmed")
            wire.post("set_kernel_arg_value", kernel=kernel, index=0, value=value, confirm=confirm)
        elif way == "object":
            wire.post("set_kernel_arg_object", kernel=kernel, index=0, target=pointer)
        elif way == "svm":
            wire.post("set_kernel_arg_svm", kernel=kernel, index=0, address=pointer)
        else:
            svm_pointers = 0x11B6  # CL_KERNEL_EXEC_INFO_SVM_PTRS
            wire.post("set_kernel_exec_info", kernel=kernel, param=svm_pointers, values=[pointer])
        launch(bench, kernel)
        return bench.read(bench.buffer, 0, 4).bulk

    assert brought(attack) in (b"", b"same")
    witness.unharmed()


@pytest.mark.parametrize("pointer", POINTERS)
def test_shared_virtual_memory_is_only_what_was_given(
    witness: Witness, bench: Bench, pointer: int
) -> None:
    def attack() -> bytes:
        own = {"queue": bench.queue, "address": pointer, "size": 64, "ticket": 9, "blocking": 1}
        bench.wire.post("svm_read", **own)
        return bench.wire.until("read_done", ticket=9).bulk

    assert brought(attack) == b""
    witness.unharmed()


@pytest.mark.parametrize("pointer", POINTERS)
def test_a_buffer_lies_only_in_shared_virtual_memory_that_was_given(
    witness: Witness, bench: Bench, pointer: int
) -> None:
    def attack() -> bytes:
        made = bench.wire.new()
        own = {"buffer": made, "context": bench.context, "flags": 1, "size": 64, "svm": pointer}
        bench.wire.post("create_buffer", **own)
        return bench.read(made, 0, 64).bulk

    assert brought(attack) == b""
    witness.unharmed()


@pytest.mark.parametrize("flags", [1 << 3, 1 << 3 | 1, 1 << 5, 1 << 4 | 1 << 3])
def test_host_pointer_flags_do_not_reach_the_driver(
    witness: Witness, bench: Bench, flags: int
) -> None:
    def attack() -> bytes:
        made, status = bench.buffer_of(64, flags)
        return bench.read(made, 0, 64).bulk if status == 0 else b""

    assert brought(attack) in (b"", bytes(64))
    witness.unharmed()


def test_no_number_of_messages_gets_a_byte_more(witness: Witness) -> None:
    limit = witness.gpu()["limit"]
    with witness.attacker() as first, witness.attacker() as second:
        benches = [Bench(first), Bench(second)]
        statuses = [bench.buffer_of(30 * MIB)[1] for _ in range(6) for bench in benches]
        assert statuses.count(0) == 8
        assert set(statuses) == {0, REFUSED}
        posted = {"context": benches[0].context, "flags": 1, "size": 30 * MIB, "confirm": 0}
        for _ in range(100):
            first.post("create_buffer", buffer=first.new(), **posted)
        assert first.alive()
        assert benches[1].works()
        gpu = witness.gpu()
        assert gpu["used"] <= limit
        assert gpu["peak"] <= limit
    for size in ((1 << 64) - 1, 1 << 63, limit + 1):
        with witness.attacker() as wire:
            bench = Bench(wire)
            assert (
                brought(lambda b=bench, s=size: b"made" if b.buffer_of(s)[1] == 0 else b"") == b""
            )
    eventually(lambda: witness.gpu()["used"] <= 4096, "all but the witness's memory is back")
    witness.unharmed()


def test_images_of_impossible_size_are_refused(witness: Witness) -> None:
    huge = (1 << 62, (1 << 64) - 1, 1 << 32, 1_000_000)
    for side in huge:
        with witness.attacker() as wire:
            bench = Bench(wire)
            values = {"channel_order": 0x10B5, "channel_type": 0x10DE, "image_type": 0x10F2}
            reply = answered(
                wire, image=wire.new(), context=bench.context, extent=(side, side, side), confirm=1,
                array_size=side, row_pitch=side, flags=1, **values,
            )  # fmt: skip
            assert reply != 0
    witness.unharmed()


def answered(wire: Wire, **values: Any) -> int:
    try:
        status: int = wire.call("create_image", **values).fields["status"]
    except Ended:
        return -1
    return status


def test_an_endless_kernel_ends_with_its_session(witness: Witness) -> None:
    wire = witness.attacker()
    bench = Bench(wire)
    kernel = kernel_of(bench, "forever")
    wire.post("set_kernel_arg_object", kernel=kernel, index=0, target=bench.buffer)
    launch(bench, kernel)
    wire.post("flush_queue", queue=bench.queue)
    assert wire.alive()
    before = workers(witness)
    wire.close()
    eventually(lambda: len(workers(witness)) < len(before), "its worker is gone", 5.0)
    gone = before - workers(witness)
    assert not any(is_running(pid) for pid in gone)
    witness.unharmed()


def workers(witness: Witness) -> set[int]:
    sessions = stats(witness.host, witness.lease)["sessions"]
    return {session["worker_pid"] for session in sessions}
