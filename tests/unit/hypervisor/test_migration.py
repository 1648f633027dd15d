# SPDX-License-Identifier: Apache-2.0
"""QEMU's stream is taken apart without a loss, and what is no such stream is refused."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.hypervisor.migration import PAGE, UnknownStream, split

RAM, ROM = b"pc.ram", b"pc.rom"
PAGES = 16
HEAD = b"QEVM\0\0\0\3" + b"\x07" + (5).to_bytes(4, "big") + b"pc-99"
DEVICES = b"\x04" + bytes(range(200)) + b"\0\x06rest"

# (block, number of the page, what fills it)
Page = tuple[bytes, int, int]


def word(offset: int, flags: int) -> bytes:
    return (offset | flags).to_bytes(8, "big")


def block_list() -> bytes:
    sizes = {RAM: PAGES * PAGE, ROM: 4 * PAGE}
    named = b"".join(
        bytes([len(name)]) + name + size.to_bytes(8, "big") for name, size in sizes.items()
    )
    return word(sum(sizes.values()), 0x04) + named


def section(kind: int, content: bytes, number: int = 2) -> bytes:
    raw = number.to_bytes(4, "big")
    name = b"\x03ram" + bytes(4) + (4).to_bytes(4, "big") if kind == 1 else b""
    return bytes([kind]) + raw + name + content + word(0, 0x10) + b"\x7e" + raw


def encoded(pages: Sequence[Page], only: bytes | None = None) -> bytes:
    """As QEMU writes pages; `only` of one block, each told as in the whole."""
    out, last = b"", b""
    for block, number, fill in pages:
        same = 0x20 if block == last else 0
        named = b"" if same else bytes([len(block)]) + block
        last = block
        data = bytes([fill]) * PAGE if fill else b"\0"
        if only in (None, block):
            out += word(number * PAGE, (0x08 if fill else 0x02) | same) + named + data
    return out


def run(stream: bytes) -> tuple[bytes, bytes, int]:
    """What is left of a stream, the memory's content, and the bytes that it takes on the disk."""
    outlet, inlet = os.pipe()

    def feed() -> None:
        with open(inlet, "wb") as out:
            out.write(stream)

    writer = threading.Thread(target=feed)
    writer.start()
    with tempfile.TemporaryFile() as file:
        try:
            rest = split(outlet, file.fileno(), PAGES * PAGE)
        finally:
            while os.read(outlet, 1 << 16):
                pass
            writer.join()
            os.close(outlet)
        return rest, os.pread(file.fileno(), PAGES * PAGE, 0), os.fstat(file.fileno()).st_blocks


def whole(pages: Sequence[Page]) -> list[Page]:
    """Every page of the memory once, as zeros, before the others."""
    return [(RAM, number, 0) for number in range(PAGES)] + list(pages)


any_page = st.one_of(
    st.tuples(st.just(RAM), st.integers(0, PAGES - 1), st.integers(0, 255)),
    st.tuples(st.just(ROM), st.integers(0, 3), st.integers(0, 255)),
)


@given(st.lists(any_page, max_size=60), st.integers(0, 60))
def test_memory_and_the_rest_together_are_the_stream(pages: list[Page], cut: int) -> None:
    sent = whole(pages)
    # A new piece of the section goes on where the last one ended.
    first, second = encoded(sent[:cut]), encoded(sent)[len(encoded(sent[:cut])) :]
    stream = HEAD + section(1, block_list()) + section(2, first) + section(3, second) + DEVICES
    expected = bytearray(PAGES * PAGE)
    for block, number, fill in sent:
        if block == RAM:
            expected[number * PAGE : (number + 1) * PAGE] = bytes([fill]) * PAGE
    kept_first = encoded(sent[:cut], only=ROM)
    kept = encoded(sent, only=ROM)
    rest, memory, _ = run(stream)
    assert memory == expected
    assert rest == (
        HEAD
        + section(1, block_list())
        + section(2, kept_first)
        + section(3, kept[len(kept_first) :])
        + DEVICES
    )


def test_zeros_take_no_room() -> None:
    stream = HEAD + section(1, block_list()) + section(3, encoded(whole([(RAM, 3, 7)]))) + DEVICES
    _, memory, blocks = run(stream)
    assert memory[3 * PAGE] == 7
    assert blocks * 512 <= 2 * PAGE


GOOD = HEAD + section(1, block_list()) + section(3, encoded(whole([])))
LIES = [
    (b"", "ends too early"),
    (GOOD[:40], "ends too early"),
    (b"QEVM\0\0\0\2" + GOOD[8:], "does not begin"),
    (HEAD[:8] + b"\x08" + HEAD[9:], "no type of machine"),
    (HEAD[:9] + b"\xff" * 4, "has no end"),
    (HEAD + section(1, block_list()).replace(b"\x03ram", b"\x03rum"), "not known"),
    (HEAD + section(1, block_list()) + section(3, b"", number=7), "part of no section"),
    (HEAD + section(1, word(0, 0x40)), "flags 0x40"),
    (HEAD + section(1, word(0, 0x02) + b"\x06pc.ram" + b"\1"), "zeros that is not"),
    (HEAD + section(1, word(PAGES * PAGE, 0x02) + b"\x06pc.ram\0"), "beyond the memory's end"),
    (HEAD + section(1, block_list())[:-1] + b"?", "does not end where it should"),
    (HEAD + section(1, block_list()) + section(3, b"") + DEVICES, "16 pages of the memory"),
]


@pytest.mark.parametrize(("stream", "why"), LIES)
def test_what_is_no_such_stream_is_refused(stream: bytes, why: str) -> None:
    with pytest.raises(UnknownStream, match=why):
        run(stream)


@given(st.integers(0, len(GOOD + DEVICES) - 1), st.integers(1, 255))
def test_any_change_is_refused_or_read(place: int, change: int) -> None:
    stream = bytearray(GOOD + DEVICES)
    stream[place] ^= change
    try:
        _, memory, _ = run(bytes(stream))
    except UnknownStream:
        return
    assert len(memory) == PAGES * PAGE
